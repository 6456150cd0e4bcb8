"""Parts, nearest lesions and organs around: closed forms, hand-made cases and slow distances."""

from __future__ import annotations

import math
import time
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from relation_cases import (
    instance,
    random_affine,
    random_study,
    slow_distance_mm,
    study,
    voxels,
)
from scipy.ndimage import generate_binary_structure, label

from medseg.errors import InputRefused
from medseg.measurement.lattice import facing_steps, steps_within
from medseg.measurement.organs import organ_relations, organs_of
from medseg.measurement.pairs import meeting_boxes
from medseg.measurement.parts import labelled_parts
from medseg.measurement.relations import component_counts, nearest_lesions
from medseg.measurement.size import boxes
from medseg.types import Geometry, Instance, Instances, Shape

GRID = Geometry.from_spacing((20, 30, 40), (5.0, 1.0, 0.5))
SLANTED = np.array(
    [[1.0, 0.0, 0.9, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.2, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
"""Axes z and x are 78 degrees from square: the step (1, 0, -1) is the shortest of all, 0.22 mm."""


def block(
    number: int, *parts: slice | int, name: str = "tumour", geometry: Geometry = GRID
) -> Instance:
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[parts] = True
    return instance(mask, number, name)


def ball(centre: tuple[int, ...], radius: float, shape: Shape) -> NDArray[np.bool_]:
    offset = np.moveaxis(np.indices(shape), 0, -1) - centre
    return np.asarray(np.linalg.norm(offset, axis=-1) <= radius)


# Parts.


@given(seed=st.integers(0, 2**32 - 1), connectivity=st.sampled_from([6, 18, 26]))
@settings(max_examples=1000)
def test_parts_are_as_many_as_another_library_finds(
    seed: int, connectivity: Literal[6, 18, 26]
) -> None:
    rng = np.random.default_rng(seed)
    objects = random_study(rng, GRID.crop((slice(0, 5),) * 3), 4, ("liver", "tumour"))
    structure = generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[connectivity])
    wanted = [label(item.mask, structure)[1] for item in objects]
    assert component_counts(objects, connectivity=connectivity).tolist() == wanted


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 101, 1), (25, 1, 25), (3, 3, 3), (7, 5, 9)])
@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_scattered_voxels_are_parts_of_their_own_on_thin_and_odd_crops(
    shape: Shape, connectivity: Literal[6, 18, 26]
) -> None:
    mask = np.zeros(shape, dtype=bool)
    mask[::2, ::2, ::2] = True
    objects = study(Geometry.identity(shape), instance(mask, 1))
    assert component_counts(objects, connectivity=connectivity).tolist() == [mask.sum()]
    labels, count = labelled_parts(mask, connectivity)
    assert sorted(labels[mask].tolist()) == list(range(1, count + 1))
    assert not labels[~mask].any()


def test_parts_of_nothing_are_none_and_another_connectivity_is_a_bad_call() -> None:
    assert component_counts(study(GRID)).shape == (0,)
    with pytest.raises(ValueError, match="connectivity is 6, 18 or 26; got 4"):
        component_counts(study(GRID), connectivity=4)  # type: ignore[arg-type]


# Nearest lesions.


def slow_nearest(objects: Instances, row: int) -> tuple[int, float]:
    """Every pair; of equal distances the lowest id."""
    item = objects.items[row]
    others = [one for one in objects if one.kind == "lesion" and one is not item]
    if item.kind != "lesion" or not others:
        return 0, math.nan
    far = {one.id: slow_distance_mm(item, one, objects.geometry) for one in others}
    least = min(far.values())
    return min(number for number, mm in far.items() if mm <= least + 1e-9), least


@given(seed=st.integers(0, 2**32 - 1), shear=st.sampled_from([0.0, 0.3, 2.0]))
@settings(max_examples=1000)
def test_nearest_lesions_equal_a_search_over_all_pairs_of_voxels(seed: int, shear: float) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 14, size=3))
    geometry = Geometry(shape, random_affine(rng, shear))
    objects = random_study(rng, geometry, int(rng.integers(1, 8)), ("liver", "node", "tumour"))
    found = nearest_lesions(objects)
    for row in range(len(objects)):
        number, distance_mm = slow_nearest(objects, row)
        assert found.distance_mm[row] == pytest.approx(distance_mm, abs=1e-9, nan_ok=True)
        assert found.id[row] == number


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=1000)
def test_of_many_small_lesions_on_a_regular_grid_the_lowest_of_the_equally_near_counts(
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    labels = np.zeros((7, 7, 7), dtype=np.int64)
    labels[::2, ::2, ::2] = rng.permutation(64).reshape(4, 4, 4) + 1
    turned, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = 0.7 * turned, rng.uniform(-300, 300, size=3)
    objects = Instances.from_labelmap(labels, Geometry(labels.shape, affine))
    found = nearest_lesions(objects)
    assert found.distance_mm == pytest.approx(np.full(64, 1.4))
    places = np.array([voxels(item)[0] for item in objects])
    ids = np.array([item.id for item in objects])
    steps = np.abs(places[:, None] - places).sum(axis=-1)
    assert np.array_equal(found.id, np.where(steps == 2, ids, 65).min(axis=1))


def test_distance_between_boxes_is_that_of_their_nearest_voxel_centres() -> None:
    objects = study(
        GRID,
        block(70_001, slice(2, 4), slice(3, 6), slice(10, 20)),
        block(5, slice(6, 9), slice(9, 12), slice(26, 30)),  # 3, 4 and 7 voxels further
        block(6, 0, 0, 0),
        block(4, slice(None), slice(None), slice(None), name="liver"),
    )
    found = nearest_lesions(objects)
    apart = math.sqrt((3 * 5.0) ** 2 + (4 * 1.0) ** 2 + (7 * 0.5) ** 2)
    corner = math.sqrt((2 * 5.0) ** 2 + (3 * 1.0) ** 2 + (10 * 0.5) ** 2)
    assert found.id.tolist() == [6, 70_001, 70_001, 0]
    assert found.distance_mm == pytest.approx([corner, apart, corner, math.nan], nan_ok=True)


def test_neighbours_are_a_voxel_apart_and_those_that_share_a_voxel_not_at_all() -> None:
    touching = study(GRID, block(1, 3, 3, slice(0, 5)), block(2, 3, 3, slice(5, 9)))
    assert nearest_lesions(touching).distance_mm.tolist() == [0.5, 0.5]
    sharing = study(GRID, block(1, 3, 3, slice(0, 6)), block(2, 3, 3, slice(5, 9)))
    assert nearest_lesions(sharing).distance_mm.tolist() == [0.0, 0.0]


def test_a_lesion_deep_inside_another_shares_its_voxels() -> None:
    outer = block(1, slice(0, 20), slice(0, 30), slice(0, 40))
    inner = block(9, slice(8, 11), slice(10, 13), slice(15, 18))
    found = nearest_lesions(study(GRID, inner, outer, block(3, 19, 29, 39)))
    assert found.distance_mm.tolist() == [0.0, 0.0, 0.0]
    assert found.id.tolist() == [1, 3, 1]


def test_a_lesion_in_the_hollow_of_another_is_apart_from_its_inner_wall() -> None:
    geometry = Geometry.identity((41, 41, 41))
    middle = (20, 20, 20)
    shell = ball(middle, 18.5, geometry.shape) & ~ball(middle, 12.5, geometry.shape)
    objects = study(geometry, instance(shell, 1), instance(ball(middle, 4.2, geometry.shape), 2))
    # Along (0, 0, 1) the ball ends at 4 and the wall begins at 13; other directions may be nearer.
    assert nearest_lesions(objects).distance_mm == pytest.approx(
        np.full(2, slow_distance_mm(*objects.items, geometry))
    )
    assert 8 < nearest_lesions(objects).distance_mm[0] <= 9


def test_on_a_strongly_sheared_grid_the_nearest_voxel_may_have_all_neighbours_by_a_face() -> None:
    geometry = Geometry((13, 5, 13), SLANTED)
    hole = np.zeros(geometry.shape, dtype=bool)
    hole[6, 2, 6] = True
    # The voxels at (5, 2, 7) and (7, 2, 5) are inside by their faces, and nearer than any other.
    found = nearest_lesions(study(geometry, instance(hole, 1), instance(~hole, 2)))
    assert found.distance_mm == pytest.approx(np.full(2, math.hypot(0.1, 0.2)))


def test_a_long_lesion_is_found_behind_short_ones_that_begin_later() -> None:
    objects = study(
        GRID,
        block(1, slice(0, 16), 3, 3),  # ends 10 mm below the last
        block(2, 2, 3, 4),  # beside the long one
        block(3, 14, 20, 3),  # 15 mm and 17 mm from the last
        block(4, 17, 3, 3),
    )
    found = nearest_lesions(objects)
    assert found.id.tolist() == [2, 1, 1, 1]
    assert found.distance_mm.tolist() == [0.5, 0.5, 17.0, 10.0]


def test_order_of_the_instances_does_not_matter() -> None:
    rng = np.random.default_rng(8)
    objects = random_study(rng, GRID, 12, ("node", "tumour"))
    found = nearest_lesions(objects)
    turned = nearest_lesions(Instances(GRID, objects.items[::-1], objects.classes))
    assert np.array_equal(found.id, turned.id[::-1])
    assert np.array_equal(found.distance_mm, turned.distance_mm[::-1])


@pytest.mark.parametrize(
    "objects",
    [study(GRID), study(GRID, block(3, 1, 1, 1)), study(GRID, block(3, 1, 1, 1, name="liver"))],
)
def test_without_another_lesion_there_is_no_nearest(objects: Instances) -> None:
    found = nearest_lesions(objects)
    assert found.id.tolist() == [0] * len(objects)
    assert np.isnan(found.distance_mm).all()
    assert found.distance_mm.shape == (len(objects),)


def test_thirty_thousand_lesions_take_seconds() -> None:
    labels = np.zeros((84, 108, 108), dtype=np.uint32)
    every = labels[::3, ::3, ::3]
    every[:] = np.arange(1, every.size + 1).reshape(every.shape)
    objects = Instances.from_labelmap(labels, Geometry.identity(labels.shape))
    assert len(objects) > 30_000
    start = time.perf_counter()
    found = nearest_lesions(objects)
    assert time.perf_counter() - start < 30  # about 1 s on a quiet core
    assert found.distance_mm.tolist() == [3.0] * len(objects)


# Organs.


def slow_organ(lesion: Instance, organs: Instances) -> tuple[str, float, str, float]:
    """On full arrays, one organ class after the other; the first by id of equal ones."""
    shape = organs.geometry.shape
    own = np.zeros(shape, dtype=bool)
    own[lesion.box] = lesion.mask
    ordered = sorted(organs, key=lambda item: item.id)
    held: dict[str, NDArray[np.bool_]] = {}
    for organ in ordered:
        whole = held.setdefault(organ.class_name, np.zeros(shape, dtype=bool))
        whole[organ.box] |= organ.mask
    shares = {name: int((own & whole).sum()) for name, whole in held.items()}
    most = max(shares.values())
    if most:
        return next(n for n in shares if shares[n] == most), most / int(own.sum()), "", math.nan
    far = [slow_distance_mm(lesion, organ, organs.geometry) for organ in ordered]
    nearest = next(n for n, mm in enumerate(far) if mm <= min(far) + 1e-9)
    return "", 0.0, ordered[nearest].class_name, min(far)


@given(seed=st.integers(0, 2**32 - 1), shear=st.sampled_from([0.0, 2.0]))
@settings(max_examples=1000)
def test_organs_equal_full_arrays_and_a_search_over_all_voxels(seed: int, shear: float) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(2, 14, size=3))
    geometry = Geometry(shape, random_affine(rng, shear))
    objects = random_study(rng, geometry, 6, ("liver", "node", "tumour"))
    organs = random_study(rng, geometry, int(rng.integers(1, 4)), ("liver", "lung"))
    found = organ_relations(objects, organs)
    for row, item in enumerate(objects):
        measured = (
            found.organ[row],
            float(found.fraction_inside[row]),
            found.nearest_organ[row],
            float(found.distance_mm[row]),
        )
        wanted = ("", math.nan, "", math.nan)
        if item.kind == "lesion":
            wanted = slow_organ(item, organs)
        assert measured[::2] == wanted[::2]
        assert measured[1::2] == pytest.approx(wanted[1::2], abs=1e-9, nan_ok=True)


def test_lesions_inside_across_and_outside_as_worked_out_by_hand() -> None:
    objects = study(
        GRID,
        block(1, slice(0, 10), slice(0, 10), slice(0, 20), name="liver"),
        block(2, slice(0, 10), slice(0, 10), slice(24, 40), name="lung"),
        block(11, 5, 5, slice(3, 7)),  # in the liver
        block(12, 5, 5, slice(18, 28)),  # two voxels in the liver, four in the lung
        block(13, 12, 13, slice(21, 23), name="node"),  # 3, 4 and 2 voxels from both
    )
    found = organ_relations(objects, organs_of(objects))
    assert found.organ == ("", "", "liver", "lung", "")
    assert found.fraction_inside == pytest.approx([math.nan, math.nan, 1.0, 0.4, 0.0], nan_ok=True)
    assert found.nearest_organ == ("", "", "", "", "liver")
    apart = math.sqrt((3 * 5.0) ** 2 + (4 * 1.0) ** 2 + (2 * 0.5) ** 2)
    assert found.distance_mm == pytest.approx([math.nan] * 4 + [apart], nan_ok=True)


def test_overlapping_organs_count_each_for_itself_and_the_objects_of_one_together() -> None:
    organs = study(
        GRID,
        block(8, slice(0, 10), 5, slice(0, 30), name="liver"),
        block(3, slice(0, 10), 5, slice(0, 20), name="lung"),
        block(5, slice(0, 10), 5, slice(15, 40), name="lung"),
    )
    lesions = study(GRID, block(1, 4, 5, slice(10, 35)), block(2, 4, 5, slice(0, 5)))
    found = organ_relations(lesions, organs)
    assert found.organ == ("lung", "lung")  # 25 of 25 against 20; 5 against 5, the lower id
    assert found.fraction_inside.tolist() == [1.0, 1.0]


def test_without_organs_nothing_is_said_of_where_lesions_lie() -> None:
    found = organ_relations(study(GRID, block(1, 1, 1, 1)), study(GRID))
    assert (found.organ, found.nearest_organ) == (("",), ("",))
    assert np.isnan([found.fraction_inside, found.distance_mm]).all()
    assert organ_relations(study(GRID), study(GRID)).organ == ()


def test_organs_on_another_grid_are_refused_and_lesions_are_no_organs() -> None:
    other = Geometry.from_spacing(GRID.shape, (5.0, 1.0, 0.6))
    with pytest.raises(InputRefused, match=r"^organs: .* that of the objects: spacing"):
        organ_relations(study(GRID), study(other))
    with pytest.raises(ValueError, match=r"of kind organ; instance 7 is not \(organs_of picks"):
        organ_relations(study(GRID), study(GRID, block(7, 1, 1, 1)))


# What both stand on.


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=1000)
def test_meeting_boxes_are_those_that_share_a_voxel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = (
        random_study(rng, GRID.crop((slice(0, 9),) * 3), int(rng.integers(0, 20)), ("node",))
        for _ in range(2)
    )
    wanted = [
        [n, m]
        for n, one in enumerate(ours)
        for m, other in enumerate(theirs)
        if all(
            max(a.start, b.start) < min(a.stop, b.stop)
            for a, b in zip(one.box, other.box, strict=True)
        )
    ]
    assert meeting_boxes(boxes(ours), boxes(theirs)).tolist() == wanted


def test_steps_within_a_radius_are_all_of_them_on_a_sheared_grid() -> None:
    geometry = Geometry((3, 3, 3), SLANTED)
    reach = np.arange(-40, 41)
    every = np.stack(np.meshgrid(reach, [-2, -1, 0, 1, 2], reach, indexing="ij"), axis=-1)
    lengths = np.linalg.norm(every @ geometry.affine[:3, :3].T, axis=-1)
    wanted = every[lengths <= 1.5]
    assert np.array_equal(steps_within(geometry, 1.5), wanted)
    assert steps_within(geometry, 0.0).tolist() == [[0, 0, 0]]


def test_faces_decide_on_a_square_grid_and_the_shortest_steps_on_a_sheared_one() -> None:
    straight = {tuple(step) for step in facing_steps(GRID).tolist()}
    assert straight == {(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)}
    slanted = {tuple(step) for step in facing_steps(Geometry((3, 3, 3), SLANTED)).tolist()}
    assert (1, 0, -1) in slanted  # 0.22 mm, against 0.92 mm along x and 1 mm along z
    assert (0, 0, 1) not in slanted or (1, 0, 0) not in slanted


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=1000)
def test_from_any_voxel_to_another_a_deciding_neighbour_leads_nearer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    geometry = Geometry((3, 3, 3), random_affine(rng, 2.0))
    steps = facing_steps(geometry)
    axes = geometry.affine[:3, :3].T
    apart = rng.integers(-6, 7, size=(200, 3))
    apart = apart[apart.any(axis=1)]
    after = np.linalg.norm((apart[:, None] - steps) @ axes, axis=-1).min(axis=1)
    assert (after < np.linalg.norm(apart @ axes, axis=-1)).all()

"""RECIST diameters: closed forms, and exact rational arithmetic over every corner and voxel."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from relation_cases import as_study, overlapping_masks
from scipy.spatial.distance import pdist

from medseg.measurement.recist import Diameters, mask_diameters, recist_diameters
from medseg.types import Geometry, Instance, InstanceClass, Instances

CLASSES = (InstanceClass("a", "lesion", 1),)
AXES = st.integers(0, 2)
MASKS = arrays(np.bool_, st.tuples(*[st.integers(1, 6)] * 3)).filter(lambda mask: mask.any())
SEEDS = st.integers(0, 2**32 - 1)


def of_mask(mask: np.ndarray, affine: np.ndarray, axis: int, *, before: int = 0) -> Diameters:
    """The diameters of one mask on a grid with `before` empty planes at the start of each axis."""
    grid = Geometry([n + before for n in mask.shape], affine)
    item = Instance.from_mask(
        mask, id=1, class_name="a", kind="lesion", offset=(before, before, before)
    )
    return recist_diameters(Instances(grid, [item], CLASSES), axis)


def sheared(rng: np.random.Generator) -> np.ndarray:
    """Steps that are multiples of a quarter of a mm: rational arithmetic is exact on them."""
    while True:
        linear = rng.integers(-8, 9, (3, 3)) / 4
        lengths = np.linalg.norm(linear, axis=0)
        if lengths.min() > 0 and abs(np.linalg.det(linear / lengths)) > 0.05:
            return linear


def exact_pair(mask: np.ndarray, linear: np.ndarray, axis: int) -> tuple[float, float]:
    """The long and the short diameter by trying everything, in whole numbers and fractions.

    The columns of `linear` are whole multiples of a quarter of a millimetre.
    """
    plane = [n for n in range(3) if n != axis]
    a, b = ([int(mm) for mm in 4 * linear[:, n]] for n in plane)
    aa, ab, bb = (
        sum(p * q for p, q in zip(one, two, strict=True)) for one, two in ((a, a), (a, b), (b, b))
    )
    pairs: dict[int, set[tuple[int, int, int]]] = {}
    slices = [np.argwhere(part).tolist() for part in np.moveaxis(mask, axis, 0)]
    for k, voxels in enumerate(slices):
        corners = {(i + p, j + q) for i, j in voxels for p in (0, 1) for q in (0, 1)}
        for one, two in itertools.combinations(sorted(corners), 2):
            i, j = two[0] - one[0], two[1] - one[1]
            pairs.setdefault(aa * i * i + 2 * ab * i * j + bb * j * j, set()).add((k, i, j))
    long2 = max(pairs)
    widest = max(
        widest_chord(slices[k], (aa * i + ab * j, ab * i + bb * j), (-j, i))
        for k, i, j in pairs[long2]
    )
    return math.sqrt(long2) / 4, float(widest) * math.sqrt((aa * bb - ab * ab) / long2) / 4


def widest_chord(
    voxels: list[tuple[int, int]], along: tuple[int, int], across: tuple[int, int]
) -> Fraction | int:
    """Largest extent `across` of what a line of equal `along` meets, over lines through corners."""
    edges = set()
    for i, j in voxels:
        square = [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)]
        edges |= {tuple(sorted(edge)) for edge in zip(square, square[1:] + square[:1], strict=True)}
    ends = [
        [(along[0] * i + along[1] * j, across[0] * i + across[1] * j) for i, j in edge]
        for edge in edges
    ]
    widest: Fraction | int = 0
    for place in {start for edge in ends for start, _ in edge}:
        met: list[Fraction | int] = []
        for (start, low), (stop, high) in ends:
            if start == stop == place:
                met += [low, high]
            elif start != stop and min(start, stop) <= place <= max(start, stop):
                met.append(low + Fraction((place - start) * (high - low), stop - start))
        widest = max(widest, max(met) - min(met))
    return widest


@given(seed=SEEDS, axis=AXES)
@settings(deadline=None, max_examples=1000)
def test_both_diameters_of_overlapping_objects_are_those_of_trying_every_pair_and_every_line(
    seed: int, axis: int
) -> None:
    rng = np.random.default_rng(seed)
    masks, linear = overlapping_masks(rng, 2, tuple(rng.integers(1, 6, 3).tolist())), sheared(rng)
    found = recist_diameters(as_study(masks, linear), axis)
    wanted = [exact_pair(mask, linear, axis) for mask in masks]
    assert found.long_mm == pytest.approx([long_mm for long_mm, _ in wanted], rel=1e-9)
    assert found.short_mm == pytest.approx([short_mm for _, short_mm in wanted], rel=1e-9)


@given(
    mask=MASKS,
    spacing=st.tuples(*[st.sampled_from([0.5, 1.0, 2.0, 3.0])] * 3),
    axis=AXES,
)
@settings(deadline=None, max_examples=1000)
def test_of_a_mask_and_a_spacing_alone_too(
    mask: np.ndarray, spacing: tuple[float, float, float], axis: int
) -> None:
    long_mm, short_mm = exact_pair(mask, np.diag(spacing), axis)
    found = mask_diameters(mask, spacing, axis)
    assert found.long_mm == pytest.approx(long_mm, rel=1e-9)
    assert found.short_mm == pytest.approx(short_mm, rel=1e-9)


@given(seed=st.integers(0, 2**32 - 1), axis=AXES)
@settings(deadline=None, max_examples=1000)
def test_the_ends_are_where_they_are_said_to_be(seed: int, axis: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 12, 3)) < rng.choice([0.1, 0.5, 0.9])
    mask[tuple(rng.integers(mask.shape))] = True
    affine = np.eye(4)
    affine[:3] = rng.normal(size=(3, 4)) + 3 * np.eye(3, 4)
    found = of_mask(mask, affine, axis, before=2)
    grid = Geometry(mask.shape, affine)
    long, short = (
        grid.index_to_world(ends[0]) for ends in (found.long_ends_zyx, found.short_ends_zyx)
    )
    assert found.axis == axis
    assert np.linalg.norm(long[1] - long[0]) == pytest.approx(found.long_mm[0], rel=1e-12)
    assert np.linalg.norm(short[1] - short[0]) == pytest.approx(found.short_mm[0], rel=1e-12)
    assert abs((long[1] - long[0]) @ (short[1] - short[0])) < 1e-5 * found.long_mm[0]
    part = mask.take(found.slice_index[0] - 2, axis)
    plane = [n for n in range(3) if n != axis]
    for ends in (found.long_ends_zyx[0], found.short_ends_zyx[0]):
        assert (ends[:, axis] == found.slice_index[0]).all()
        for i, j in ends[:, plane] - 2 + 0.5:  # corner coordinates: voxel n reaches from n to n + 1
            near = [(p, q) for p, q in np.argwhere(part) if inside(i, p) and inside(j, q)]
            around = {(math.floor(i + p), math.floor(j + q)) for p in TINY for q in TINY}
            assert near and len(around & {(p, q) for p, q in near}) < len(around)
    assert (found.long_ends_zyx[0][:, plane] % 1 == 0.5).all()


TINY = (-1e-5, 1e-5)


def inside(place: float, voxel: int) -> bool:
    return bool(voxel - 1e-5 <= place <= voxel + 1 + 1e-5)


# Closed forms


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_voxel_has_its_diagonal_and_the_chord_square_to_it(axis: int) -> None:
    # A rectangle a x b: the chord square to the diagonal through the corners off it would leave
    # the rectangle; through them it ends on the longer side, at b * diagonal / a for b <= a.
    spacing = (5.0, 3.0, 4.0)
    b, a = sorted(spacing[n] for n in range(3) if n != axis)
    found = mask_diameters(np.ones((1, 1, 1), bool), spacing, axis)
    assert found.long_mm == pytest.approx(math.hypot(a, b), rel=1e-12)
    assert found.short_mm == pytest.approx(b * math.hypot(a, b) / a, rel=1e-12)


def test_a_square_voxel_has_its_two_diagonals() -> None:
    found = mask_diameters(np.ones((1, 1, 1), bool), (1, 1, 1))
    assert found.long_mm == found.short_mm == math.sqrt(2)
    assert found.long_ends_zyx.tolist() == [[0, -0.5, -0.5], [0, 0.5, 0.5]]
    assert found.short_ends_zyx.tolist() == [[0, -0.5, 0.5], [0, 0.5, -0.5]]


@pytest.mark.parametrize("rows", [1, 3, 8])
@pytest.mark.parametrize("columns", [2, 8, 30])
def test_a_box_has_its_diagonal_and_the_chord_square_to_it(rows: int, columns: int) -> None:
    b, a = sorted([rows * 0.8, columns * 0.5])
    found = mask_diameters(np.ones((4, rows, columns), bool), (5.0, 0.8, 0.5))
    assert found.long_mm == pytest.approx(math.hypot(a, b), rel=1e-12)
    assert found.short_mm == pytest.approx(b * math.hypot(a, b) / a, rel=1e-12)
    assert found.slice_index == 0


def test_an_oblong_at_45_degrees_has_exact_diameters() -> None:
    # Voxels on a diagonal of nine, each touching the next at a corner: long from end to end,
    # short the other diagonal of one voxel.
    found = mask_diameters(np.eye(9, dtype=bool)[None], (1, 1, 1))
    assert found.long_mm == pytest.approx(9 * math.sqrt(2), rel=1e-12)
    assert found.short_mm == pytest.approx(math.sqrt(2), rel=1e-12)


def test_a_line_that_meets_two_voxels_at_their_corners_only_joins_them() -> None:
    # A diagonal with a gap, and a voxel beside it. The line i + j = 4 goes through corner (0, 4)
    # of the voxel beside, and corner (2, 2), where the first part of the diagonal ends.
    mask = np.diag(np.array([1, 1, 0, 0, 1, 1], bool))
    mask[0, 4] = True
    found = mask_diameters(mask[None], (1, 1, 1))
    assert found.long_mm == pytest.approx(6 * math.sqrt(2), rel=1e-12)
    assert found.short_mm == pytest.approx(math.hypot(2, 2), rel=1e-12)
    assert found.short_ends_zyx.tolist() == [[0, -0.5, 3.5], [0, 1.5, 1.5]]


@pytest.mark.parametrize(
    ("semi_mm", "turn", "spacing"),
    [
        ((20.0, 20.0), 0.0, (1.0, 1.0)),
        ((20.0, 12.0), 0.3, (0.7, 0.7)),
        ((25.0, 10.0), 1.1, (1.0, 0.5)),
        ((15.0, 9.0), 2.2, (0.6, 0.9)),
    ],
)
def test_an_ellipse_has_its_axes_within_the_size_of_a_voxel(
    semi_mm: tuple[float, float], turn: float, spacing: tuple[float, float]
) -> None:
    grid = [2 * math.ceil(max(semi_mm) / mm) + 5 for mm in spacing]
    points = (np.indices(grid).reshape(2, -1).T - (np.array(grid) - 1) / 2) * spacing
    along = points @ [math.cos(turn), math.sin(turn)]
    across = points @ [-math.sin(turn), math.cos(turn)]
    mask = (along / semi_mm[0]) ** 2 + (across / semi_mm[1]) ** 2 <= 1
    found = mask_diameters(mask.reshape(1, *grid), (3.0, *spacing))
    diagonal = math.hypot(*spacing)
    assert 2 * semi_mm[0] - diagonal < found.long_mm < 2 * semi_mm[0] + diagonal
    assert 2 * semi_mm[1] - 2 * diagonal < found.short_mm < 2 * semi_mm[1] + diagonal


# Which of equal ones, and what does not matter


def test_of_equally_long_ones_the_one_with_the_longer_chord_counts() -> None:
    # Both slices reach from corner to corner of a square of five; the second is three wide.
    mask = np.zeros((2, 5, 5), bool)
    mask[0] = np.eye(5, dtype=bool)
    mask[1] = mask[0] | np.eye(5, k=1, dtype=bool) | np.eye(5, k=-1, dtype=bool)
    found = mask_diameters(mask, (1, 1, 1))
    assert found.slice_index == 1
    assert found.short_mm == pytest.approx(2 * math.sqrt(2), rel=1e-12)


def test_of_equal_ones_the_lowest_slice_and_the_first_ends_count() -> None:
    mask = np.zeros((9, 9, 9), bool)
    mask[2:7, 3:6, 3:6] = True
    found = mask_diameters(mask, (1.0, 0.3, 0.3))
    assert found.slice_index == 2
    assert found.long_ends_zyx.tolist() == [[2, 2.5, 2.5], [2, 5.5, 5.5]]
    assert found.short_ends_zyx.tolist() == [[2, 2.5, 5.5], [2, 5.5, 2.5]]


def test_single_precision_noise_in_an_oblique_affine_settles_no_tie() -> None:
    # A disc of 12 corners has four equally long diameters with unlike chords.
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    exact = np.eye(4)
    exact[:3, :3] = turn @ np.diag([5.0, 0.7, 0.7])
    for _ in range(30):
        mask = rng.random((2, 7, 7)) < 0.6
        mask[0, [0, -1, 0, -1], [0, 0, -1, -1]] = True
        one, two = (of_mask(mask, affine, 0) for affine in (exact, exact.astype(np.float32)))
        assert two.short_mm == pytest.approx(one.short_mm, rel=1e-6)
        assert np.array_equal(one.long_ends_zyx, two.long_ends_zyx)


@given(mask=MASKS, axis=AXES, seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=1000)
def test_flips_and_another_order_of_axes_change_no_diameter(
    mask: np.ndarray, axis: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = np.diag([0.7, 0.7, 2.5]) + rng.choice([0.0, 0.2]) * rng.normal(size=(3, 3))
    item = Instance.from_mask(mask, id=1, class_name="a", kind="lesion")
    grid = Geometry(mask.shape, affine)
    wanted = recist_diameters(Instances(grid, [item], CLASSES), axis)
    axes, flips = tuple(rng.permutation(3).tolist()), tuple(rng.random(3) < 0.5)
    turned = np.flip(mask.transpose(axes), [n for n in range(3) if flips[n]])
    found = of_mask(turned, grid.reoriented(axes, flips).affine, axes.index(axis))
    assert found.long_mm == pytest.approx(wanted.long_mm, rel=1e-9)
    assert found.short_mm == pytest.approx(wanted.short_mm, rel=1e-9)


def test_each_object_is_measured_by_itself_in_the_order_of_the_items() -> None:
    grid = Geometry.from_spacing((9, 20, 20), (5.0, 0.5, 0.5))
    boxes = [np.s_[2:4, 0:10, 0:10], np.s_[3:9, 5:8, 5:9], np.s_[8:9, 19:20, 0:20]]
    items = []
    for number, box in zip((7, 3, 70_001), boxes, strict=True):  # the first two overlap
        mask = np.zeros(grid.shape, bool)
        mask[box] = True
        items.append(Instance.from_mask(mask, id=number, class_name="a", kind="lesion"))
    found = recist_diameters(Instances(grid, items, CLASSES), 0)
    wanted = [math.hypot(5, 5), math.hypot(1.5, 2), math.hypot(0.5, 10)]
    assert found.long_mm == pytest.approx(wanted, rel=1e-12)
    assert found.slice_index.tolist() == [2, 3, 8]
    assert found.long_ends_zyx[2].tolist() == [[8, 18.5, -0.5], [8, 19.5, 19.5]]


def test_without_an_object_every_array_is_empty() -> None:
    found = recist_diameters(Instances(Geometry.identity((3, 3, 3)), [], CLASSES), 0)
    assert found.long_mm.shape == found.short_mm.shape == found.slice_index.shape == (0,)
    assert found.long_ends_zyx.shape == found.short_ends_zyx.shape == (0, 2, 3)
    assert found.slice_index.dtype == np.int64


def test_pieces_of_one_object_are_spanned() -> None:
    mask = np.zeros((1, 1, 20), bool)
    mask[0, 0, [0, 19]] = True
    assert mask_diameters(mask, (1, 1, 1)).long_mm == pytest.approx(math.hypot(1, 20))


def test_a_gap_in_an_object_is_crossed_by_its_short_diameter() -> None:
    # A ring of 9 x 9 with a hole of 7 x 7 has the diameters of the full square.
    ring = np.ones((1, 9, 9), bool)
    ring[0, 1:8, 1:8] = False
    found = mask_diameters(ring, (1, 1, 1))
    assert (found.long_mm, found.short_mm) == pytest.approx((9 * math.sqrt(2), 9 * math.sqrt(2)))


@pytest.mark.parametrize(
    ("mask", "spacing", "axis", "said"),
    [
        (np.zeros((2, 2, 2), bool), (1, 1, 1), 0, "without a voxel"),
        (np.ones((2, 2), bool), (1, 1, 1), 0, r"\(z, y, x\) is wanted; got bool \(2, 2\)"),
        (np.ones((2, 2, 2), np.uint8), (1, 1, 1), 0, "wanted; got uint8"),
        (np.ones((2, 2, 2), bool), (1, 1), 0, "three lengths"),
        (np.ones((2, 2, 2), bool), (1, 0, 1), 0, "above 0"),
        (np.ones((2, 2, 2), bool), (1, math.nan, 1), 0, "above 0"),
        (np.ones((2, 2, 2), bool), (1, 1, 1), 3, "axes 0, 1, 2; got 3"),
        (np.ones((2, 2, 2), bool), (1, 1, 1), -1, "axes 0, 1, 2; got -1"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(mask, spacing, axis, said) -> None:
    with pytest.raises(ValueError, match=said):
        mask_diameters(mask, spacing, axis)


# Beside others


def farthest_mm(points: np.ndarray) -> float:
    return float(pdist(points).max()) if len(points) > 1 else 0.0


def mesh_diameters_mm(mask: np.ndarray, spacing: tuple[float, ...], axis: int) -> tuple[float, ...]:
    """Largest distance of vertices of marching cubes at one half, in and between the slices."""
    plane = [spacing[n] for n in range(3) if n != axis]
    slices = np.pad(np.moveaxis(mask, axis, 0), 1)
    within, between = 0.0, 0.0
    for this, following in itertools.pairwise(slices):
        along_i = np.argwhere(this[1:] != this[:-1]) + np.array([0.5, 0])
        along_j = np.argwhere(this[:, 1:] != this[:, :-1]) + np.array([0, 0.5])
        within = max(within, farthest_mm(np.concatenate([along_i, along_j]) * plane))
        between = max(between, farthest_mm(np.argwhere(this != following) * plane))
    return within, between


@pytest.mark.parametrize("case", ["brain1", "brain2", "breast1", "lung1", "lung2"])
def test_beside_pyradiomics_whose_diameter_joins_mesh_vertices(
    case: str, shared_data: Path, skip_unless: Callable[[bool, str], None]
) -> None:
    # Its vertices are the middles of the faces between voxels. Those in a slice lie less than
    # half a diagonal inside our corners at each end. It also joins those between two slices,
    # and so two pieces that no slice holds together: brain1 has 53.6 mm there, 48.0 mm in slices.
    folder = shared_data.parent / "reference" / "pyradiomics_cases"
    skip_unless(folder.is_dir(), "PyRadiomics' cases are not at ../shared/reference")
    image = SimpleITK.ReadImage(str(folder / f"{case}_label.nrrd"))
    mask = SimpleITK.GetArrayFromImage(image) == 1
    spacing = image.GetSpacing()[::-1]
    theirs = json.loads((folder / "shape_expected.json").read_text())[case]
    for axis, name in enumerate(("Slice", "Column", "Row")):
        within, between = mesh_diameters_mm(mask, spacing, axis)
        assert max(within, between) == pytest.approx(theirs[f"Maximum2DDiameter{name}"], rel=1e-6)
        found = mask_diameters(mask, spacing, axis).long_mm
        diagonal = math.hypot(*(spacing[n] for n in range(3) if n != axis))
        assert within < found < within + diagonal

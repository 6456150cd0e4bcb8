"""Size and place of instances: closed forms, hand calculation, and slow obvious references."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from relation_cases import instance, overlapping_masks, study

from medseg.measurement.size import (
    boxes,
    centroids_lps_mm,
    touches_border,
    union,
    union_voxels,
    volumes_ml,
    voxel_counts,
)
from medseg.types import Geometry, Instances

OBLIQUE = np.array(
    [
        [0.5, 0.0, 2.0, -10.0],
        [0.0, 3.0, 1.0, 20.0],
        [4.0, 0.0, 0.0, 5.0],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
"""Sheared: columns z, y, x lead to (0.5, 0, 4), (0, 3, 0) and (2, 1, 0) mm; determinant -24 mm3."""


def labelled(labels: NDArray[np.int64], affine: NDArray[np.float64] | None = None) -> Instances:
    geometry = Geometry.identity(labels.shape) if affine is None else Geometry(labels.shape, affine)
    return Instances.from_labelmap(labels, geometry)


def box_of_ones(shape: tuple[int, int, int], *parts: slice) -> NDArray[np.int64]:
    labels = np.zeros(shape, dtype=np.int64)
    labels[parts] = 1
    return labels


@pytest.mark.parametrize(
    ("spacing_mm", "rel"),
    [((1.0, 1.0, 1.0), 0.01), ((5.0, 0.7, 0.7), 0.04), ((2.0, 1.0, 0.5), 0.01)],
)
def test_ball_has_its_closed_form_volume(
    spacing_mm: tuple[float, float, float], rel: float
) -> None:
    radius = 15.0
    shape = [2 * math.ceil(radius / mm) + 3 for mm in spacing_mm]
    geometry = Geometry.from_spacing(shape, spacing_mm)
    centre = geometry.index_to_world([(n - 1) / 2 for n in shape])
    points = geometry.index_to_world(np.moveaxis(np.indices(shape), 0, -1))
    ball = np.linalg.norm(points - centre, axis=-1) <= radius
    found = Instances.from_labelmap(ball.astype(np.uint8), geometry)
    assert volumes_ml(found) == pytest.approx([4 / 3 * math.pi * radius**3 / 1000], rel=rel)
    assert centroids_lps_mm(found) == pytest.approx(centre[None], abs=1e-9)


def test_box_of_voxels_has_its_exact_volume_and_ends() -> None:
    labels = box_of_ones((6, 7, 8), slice(1, 3), slice(2, 5), slice(4, 8))
    geometry = Geometry.from_spacing(labels.shape, (2.5, 0.5, 0.25))
    found = Instances.from_labelmap(labels, geometry)
    assert voxel_counts(found).tolist() == [24]
    assert volumes_ml(found) == pytest.approx([24 * 2.5 * 0.5 * 0.25 / 1000], rel=1e-12)
    assert boxes(found).tolist() == [[1, 3, 2, 5, 4, 8]]


def test_volume_on_a_sheared_grid_is_that_of_its_parallelepipeds() -> None:
    labels = box_of_ones((4, 4, 4), slice(0, 2), slice(0, 1), slice(0, 3))
    assert volumes_ml(labelled(labels, OBLIQUE)) == pytest.approx([6 * 24 / 1000], rel=1e-12)


def test_centroid_on_a_sheared_grid_as_worked_out_by_hand() -> None:
    # Centre of the box in indices: z 0.5, y 2, x 1.
    # x: 0.5 * 0.5 + 2 * 1 - 10 = -7.75; y: 3 * 2 + 1 * 1 + 20 = 27; z: 4 * 0.5 + 5 = 7.
    labels = box_of_ones((4, 4, 4), slice(0, 2), slice(2, 3), slice(0, 3))
    assert centroids_lps_mm(labelled(labels, OBLIQUE)) == pytest.approx(
        np.array([[-7.75, 27.0, 7.0]]), abs=1e-12
    )


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)),
    overlapping=st.booleans(),
)
@settings(deadline=None, max_examples=1000)
def test_every_measure_of_labels_and_of_overlapping_masks_equals_a_loop_over_voxels(
    seed: int, shape: tuple[int, int, int], overlapping: bool
) -> None:
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = rng.normal(size=(3, 3)) + 3 * np.eye(3)
    affine[:3, 3] = rng.normal(size=3) * 50
    if overlapping:
        masks = list(overlapping_masks(rng, 3, shape))
        found = study(Geometry(shape, affine), *map(instance, masks, (9, 70_001, 5)))
    else:
        labels = rng.choice([0, 0, 2, 7, 70_001], size=shape)
        found = labelled(labels, affine)
        assert [item.id for item in found] == sorted(set(labels[labels > 0].tolist()))
        masks = [labels == item.id for item in found]
    counts, volumes, centres = voxel_counts(found), volumes_ml(found), centroids_lps_mm(found)
    at_border, ends = touches_border(found), boxes(found)
    for row, mask in enumerate(masks):
        where = [index for index in np.ndindex(*shape) if mask[index]]
        world = np.array([affine @ [*index, 1.0] for index in where])[:, :3]
        assert counts[row] == len(where)
        assert volumes[row] == pytest.approx(len(where) * abs(np.linalg.det(affine[:3, :3])) / 1000)
        assert centres[row] == pytest.approx(world.mean(axis=0), abs=1e-9)
        around = [(min(axis), max(axis) + 1) for axis in zip(*where, strict=True)]
        assert ends[row].tolist() == [end for axis in around for end in axis]
        edge = any(
            place in (0, length - 1)
            for index in where
            for place, length in zip(index, shape, strict=True)
        )
        assert at_border[row] == edge


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("place", "touches"), [(0, True), (1, False), (3, False), (4, True)])
def test_border_is_the_first_and_last_plane_of_each_axis(
    axis: int,
    place: int,
    touches: bool,
) -> None:
    index = [2, 2, 2]
    index[axis] = place
    labels = np.zeros((5, 5, 5), dtype=np.int64)
    labels[tuple(index)] = 1
    assert touches_border(labelled(labels)).tolist() == [touches]


def test_without_an_instance_every_measure_is_an_empty_array() -> None:
    nothing = labelled(np.zeros((3, 3, 3), dtype=np.int64))
    assert voxel_counts(nothing).shape == volumes_ml(nothing).shape == (0,)
    assert centroids_lps_mm(nothing).shape == (0, 3)
    assert boxes(nothing).shape == (0, 6)
    assert touches_border(nothing).shape == (0,)
    assert union(nothing.items) is None
    assert union_voxels(nothing.items) == 0


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=1000)
def test_union_of_overlapping_instances_is_their_logical_or(
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    maps = rng.random((3, 5, 6, 4)) < 0.1
    maps[:, 2, 3, 1] = True
    items = [item for one in maps for item in labelled(one.astype(np.int64)).items]
    merged = union(items)
    assert merged is not None
    box, mask = merged
    whole = np.zeros(maps.shape[1:], dtype=bool)
    whole[box] = mask
    assert np.array_equal(whole, maps.any(axis=0))
    assert union_voxels(items) == np.count_nonzero(maps.any(axis=0))

"""Objects in parts that lie far apart are measured without the room between: to the same values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist

from medseg.measurement import measure, recist
from medseg.types import Geometry, Instance, InstanceClass, Instances, boxes_apart

SHAPE = (90, 100, 110)
CLASSES = (InstanceClass("lesion", "lesion", 1),)
SHEARED = np.array([[0.0, 0.3, 0.9, -20], [0.1, 1.2, 0.0, 5], [2.5, 0.4, -0.3, 7], [0, 0, 0, 1.0]])


def scattered(seed: int, geometry: Geometry) -> Instances:
    """Two lesions of some ragged blobs each, in opposite corners of the grid and between."""
    rng = np.random.default_rng(seed)
    items = []
    for number in (1, 2):
        mask = np.zeros(SHAPE, dtype=np.bool_)
        places = [(0, 0, 0), (78, 88, 98), *rng.integers(0, 76, (3, 3)).tolist()]
        for z, y, x in places:
            mask[z : z + 12, y : y + 12, x : x + 12] |= rng.random((12, 12, 12)) > 0.4
        mask &= (np.indices(SHAPE).sum(axis=0) + number) % 3 > 0  # the two share some voxels only
        made = Instance.from_mask(mask, id=number, class_name="lesion", kind="lesion")
        assert made is not None
        assert len(boxes_apart(made.mask)) > 2
        items.append(made)
    return Instances(geometry, items, CLASSES)


@pytest.mark.parametrize(
    "geometry", [Geometry.from_spacing(SHAPE, (2.0, 1.0, 1.0)), Geometry(SHAPE, SHEARED)]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_size_parts_and_centre_are_those_of_all_voxels_at_once(seed, geometry) -> None:
    instances = scattered(seed, geometry)
    table = measure(instances, groups=["size", "relations"])
    for item, row in zip(instances.items, table.itertuples(), strict=True):
        index = np.argwhere(item.mask) + [part.start for part in item.box]
        centre = geometry.index_to_world(index).mean(axis=0)
        found = [row.centroid_x_mm, row.centroid_y_mm, row.centroid_z_mm]
        np.testing.assert_allclose(found, centre, rtol=1e-9)
        assert row.voxel_count == len(index)
        assert row.component_count == ndimage.label(item.mask, np.ones((3, 3, 3)))[1]


@pytest.mark.parametrize(
    "geometry", [Geometry.from_spacing(SHAPE, (2.0, 1.0, 1.0)), Geometry(SHAPE, SHEARED)]
)
def test_the_nearest_lesion_is_as_far_as_the_nearest_two_voxels(geometry) -> None:
    first, second = scattered(5, geometry).items
    apart = Instance.from_mask(
        second.mask[:40], id=2, class_name="lesion", kind="lesion", offset=(50, 30, 9)
    )
    assert apart is not None
    inside = first.mask[first.box[0].start : 30]
    upper = Instance.from_mask(inside, id=1, class_name="lesion", kind="lesion")
    assert upper is not None
    table = measure(Instances(geometry, [upper, apart], CLASSES), groups=["relations"])
    world = [
        geometry.index_to_world(np.argwhere(one.mask) + [part.start for part in one.box])
        for one in (upper, apart)
    ]
    assert table["nearest_lesion_mm"].tolist() == pytest.approx([cdist(*world).min()] * 2)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_diameters_are_those_with_the_empty_slices_left_in(axis, monkeypatch) -> None:
    mask = np.zeros((80, 90, 100), dtype=np.bool_)
    rng = np.random.default_rng(axis)
    for corner in ((3, 4, 5), (60, 70, 80)):
        mask[tuple(slice(n, n + 14) for n in corner)] = rng.random((14, 14, 14)) > 0.5
    found = recist.mask_diameters(mask, (2.0, 1.1, 0.9), axis)
    monkeypatch.setattr(recist, "_MANY", mask.size + 1)
    wanted = recist.mask_diameters(mask, (2.0, 1.1, 0.9), axis)
    assert found.slice_index == wanted.slice_index
    assert found[:2] == wanted[:2]
    np.testing.assert_array_equal(found.long_ends_zyx, wanted.long_ends_zyx)
    np.testing.assert_array_equal(found.short_ends_zyx, wanted.short_ends_zyx)

"""Shape on other grids, of few voxels, of many objects, and of masks that are refused."""

from __future__ import annotations

import math
from dataclasses import astuple, fields
from itertools import permutations, product

import numpy as np
import pytest
from shape_cases import CUBES, LENGTHS, SHEARED, blob, on_grid, turned

from medseg.measurement.shape import Shapes, mask_shape, shapes
from medseg.types import Geometry, Instance, InstanceClass, Instances, reoriented_array

# The same object on another grid


@pytest.mark.parametrize("seed", range(3))
def test_the_order_and_direction_of_axes_change_nothing(seed: int) -> None:
    mask = blob(seed)
    affine = np.eye(4)
    affine[:3, :3] = SHEARED
    geometry = Geometry(mask.shape, affine)
    as_is = on_grid(mask, SHEARED)
    for axes in permutations(range(3)):
        for flips in product((False, True), repeat=3):
            other = geometry.reoriented(axes, flips).affine[:3, :3]
            found = on_grid(reoriented_array(mask, axes, flips), other)
            assert found == pytest.approx(as_is, rel=1e-12)


def test_a_rotated_affine_changes_nothing() -> None:
    mask, rng = blob(7), np.random.default_rng(3)
    as_is = on_grid(mask, SHEARED)
    for _ in range(5):
        assert on_grid(mask, turned(rng) @ SHEARED) == pytest.approx(as_is, rel=1e-10)


def test_lengths_grow_with_the_scale_and_ratios_stay() -> None:
    mask = blob(8)
    small, large = on_grid(mask, SHEARED), on_grid(mask, 3 * SHEARED)
    assert large.volume_mesh_ml == pytest.approx(27 * small.volume_mesh_ml)
    assert large.surface_area_mm2 == pytest.approx(9 * small.surface_area_mm2)
    for name in LENGTHS:
        assert getattr(large, name) == pytest.approx(3 * getattr(small, name))
    for name in ("sphericity", "elongation", "flatness"):
        assert getattr(large, name) == pytest.approx(getattr(small, name))


def test_an_object_at_the_border_is_closed_there() -> None:
    mask = blob(9)
    z, y, x = (np.flatnonzero(mask.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1)))
    tight = mask[z[0] : z[-1] + 1, y[0] : y[-1] + 1, x[0] : x[-1] + 1]
    far = mask_shape(np.pad(tight, 3), (2.0, 1.0, 0.5))
    assert mask_shape(tight, (2.0, 1.0, 0.5)) == far
    assert mask_shape(np.asfortranarray(np.pad(tight, 3)), (2.0, 1.0, 0.5)) == far
    tight.setflags(write=False)
    assert mask_shape(tight, (2.0, 1.0, 0.5)) == far


# Few voxels, many objects


def test_a_line_of_voxels_has_one_axis() -> None:
    line = np.eye(9, dtype=bool)[None]  # diagonal: rounding must not make it thick
    found = mask_shape(line, (5.0, 0.7, 0.7))
    length = 0.7 * math.sqrt(2) * 4 * math.sqrt((81 - 1) / 12 * 9 / 8)
    assert found[4:] == pytest.approx((length, 0, 0, 0, 0), rel=1e-12, abs=0)


def test_a_plane_of_voxels_has_two_axes_and_a_line_one_on_oblique_grids_too() -> None:
    sheet = np.zeros((9, 9, 9), bool)
    index = np.arange(9)
    sheet[index, index] = True  # slanted
    line = np.zeros((9, 9, 9), bool)
    line[index, index, index] = True
    rng = np.random.default_rng(5)
    for _ in range(10):
        linear = turned(rng) @ np.diag([1.0, 0.7, 0.3])
        found = on_grid(sheet, linear)
        assert found.axis_major_mm > found.axis_minor_mm > 0
        assert (found.axis_least_mm, found.flatness) == (0, 0)
        assert on_grid(line, linear)[5:] == (0, 0, 0, 0)


def test_an_empty_mask_has_no_surface_and_nothing_else() -> None:
    found = mask_shape(np.zeros((3, 4, 5), bool), CUBES)
    assert found[:2] == (0.0, 0.0)
    assert all(math.isnan(value) for value in found[2:])


def test_without_an_instance_every_measure_is_an_empty_array() -> None:
    found = shapes(Instances(Geometry.identity((3, 3, 3)), []))
    assert all(getattr(found, field.name).shape == (0,) for field in fields(Shapes))


def test_overlapping_objects_are_each_measured_as_they_are() -> None:
    masks = [blob(1), blob(2), np.ones((4, 5, 6), bool)]
    items = [
        Instance.from_mask(mask, id=n, class_name="lesion", kind="lesion")
        for n, mask in enumerate(masks, start=1)
    ]
    geometry = Geometry.from_spacing((9, 11, 13), (2.0, 1.0, 0.5))
    classes = (InstanceClass("lesion", "lesion", 1),)
    found = shapes(Instances(geometry, [item for item in items if item is not None], classes))
    for row, mask in enumerate(masks):
        alone = mask_shape(mask, (2.0, 1.0, 0.5))
        assert [value[row] for value in astuple(found)] == pytest.approx(list(alone), rel=1e-12)


@pytest.mark.parametrize(
    ("mask", "spacing_mm", "covariance", "said"),
    [
        (np.ones((3, 3, 3), np.uint8), CUBES, "sample", r"a boolean mask .* got uint8 \(3, 3, 3\)"),
        (np.ones((3, 3), bool), CUBES, "sample", r"got bool \(3, 3\)"),
        (np.ones((3, 3, 3), bool), (1.0, 1.0), "sample", "three lengths above 0"),
        (np.ones((3, 3, 3), bool), (1.0, 0.0, 1.0), "sample", "three lengths above 0"),
        (np.ones((3, 3, 3), bool), (1.0, math.nan, 1.0), "sample", "three lengths above 0"),
        (np.ones((3, 3, 3), bool), CUBES, "N", "'sample' or 'population'; got 'N'"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(mask, spacing_mm, covariance, said) -> None:
    with pytest.raises(ValueError, match=said):
        mask_shape(mask, spacing_mm, covariance=covariance)

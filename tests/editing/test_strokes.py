"""Painting and erasing with a ball or a disc in millimetres."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from editing_cases import GRIDS, LESION, ball, centre_lps_mm, full, instance, world

from medseg.editing import erase, paint, paint_new
from medseg.types import Geometry


def slow_stroke(geometry: Geometry, points: np.ndarray, radius_mm: float) -> np.ndarray:
    """Voxels near any of 101 points along each part of the stroke."""
    places, covered = world(geometry), np.zeros(geometry.shape, dtype=bool)
    for first, last in pairwise(points):
        for part in np.linspace(0, 1, 101):
            away = np.square(places - (first + part * (last - first))).sum(axis=-1)
            covered |= away <= radius_mm**2
    return covered


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("radius_mm", [1.3, 4.0])
def test_a_click_paints_the_ball_around_it_and_erasing_it_again_leaves_what_was(
    grid, radius_mm
) -> None:
    geometry = GRIDS[grid]
    place = centre_lps_mm(geometry) + np.array([0.31, -0.17, 0.05])
    item = instance(ball(geometry, place + np.array([9.0, 0, 0]), 2.5))
    painted = paint(item, geometry, place, radius_mm)
    wanted = ball(geometry, place, radius_mm)
    wanted[tuple(np.rint(geometry.world_to_index(place)).astype(int))] = True
    np.testing.assert_array_equal(full(painted, geometry), wanted | full(item, geometry))
    assert (painted.id, painted.score, painted.probability) == (5, 0.75, None)
    again = erase(painted, geometry, place, radius_mm)
    np.testing.assert_array_equal(full(again, geometry), full(item, geometry))


def test_painting_and_erasing_twice_is_the_same_as_once_and_keeps_the_probability() -> None:
    geometry = GRIDS["turned"]
    place = centre_lps_mm(geometry)
    item = instance(ball(geometry, place, 4.0))
    assert paint(item, geometry, place, 4.0) is item
    assert erase(item, geometry, place + np.array([9.0, 0, 0]), 4.0) is item
    painted = paint(item, geometry, place + np.array([3.0, 0, 0]), 4.0)
    assert paint(painted, geometry, place + np.array([3.0, 0, 0]), 4.0) is painted
    left = erase(item, geometry, place + np.array([3.0, 0, 0]), 4.0)
    assert erase(left, geometry, place + np.array([3.0, 0, 0]), 4.0) is left
    assert erase(item, geometry, place, 4.0) is None


@pytest.mark.parametrize("grid", GRIDS)
def test_a_stroke_is_the_ball_led_along_its_points(grid) -> None:
    geometry = GRIDS[grid]
    points = centre_lps_mm(geometry) + np.array([[-6.0, 1.0, 2.0], [1.0, -4.0, 0.0], [2.0, 3.0, 1]])
    found = paint_new(geometry, points, 2.0, id=3, of=LESION)
    covered = full(found, geometry)
    assert not (slow_stroke(geometry, points, 2.0) & ~covered).any()
    assert not (covered & ~slow_stroke(geometry, points, 2.002)).any()
    assert (found.id, found.class_name, found.kind, found.score) == (3, "lesion", "lesion", 1.0)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("grid", GRIDS)
def test_a_disc_paints_one_slice_as_a_ball_cut_there_would(grid, axis) -> None:
    geometry = GRIDS[grid]
    index = np.array([6.0, 11.0, 12.0])
    off = index.copy()
    off[axis] += 0.4  # beside the slice's plane, still on the slice
    found = paint_new(geometry, geometry.index_to_world(off), 3.5, id=3, of=LESION, axis=axis)
    wanted = ball(geometry, geometry.index_to_world(index), 3.5)
    slices = np.moveaxis(wanted, axis, 0)
    slices[np.arange(len(slices)) != index[axis]] = False
    np.testing.assert_array_equal(full(found, geometry), wanted)


def test_a_brush_thinner_than_a_voxel_paints_the_voxels_under_it() -> None:
    geometry = Geometry.from_spacing((5, 9, 9), (5.0, 1.0, 1.0))
    points = geometry.index_to_world([[2.4, 4.4, 4.4], [2.4, 4.4, 5.4]])
    found = paint_new(geometry, points, 0.05, id=1, of=LESION)
    assert found.box == (slice(2, 3), slice(4, 5), slice(4, 6))


def test_what_goes_beyond_the_image_is_left_out_and_a_stroke_outside_is_a_bad_call() -> None:
    geometry = Geometry.from_spacing((6, 8, 10), (2.0, 1.0, 1.0))
    corner = geometry.index_to_world([-0.4, -0.4, -0.4])
    found = paint_new(geometry, [corner, corner - [30.0, 0, 0]], 3.0, id=1, of=LESION)
    np.testing.assert_array_equal(full(found, geometry), ball(geometry, corner, 3.0))
    item = instance(np.ones(geometry.shape, dtype=bool))
    for points in ([-50.0, 0, 0], [[90.0, 90, 90], [95, 95, 95]]):
        with pytest.raises(ValueError, match="outside the image: begin it inside"):
            paint(item, geometry, points, 2.0)
        with pytest.raises(ValueError, match="outside the image: begin it inside"):
            erase(item, geometry, points, 2.0)


def test_paint_stays_out_of_other_objects_but_not_of_its_own() -> None:
    geometry = Geometry.identity((9, 9, 9))
    place = centre_lps_mm(geometry)
    other = np.zeros(geometry.shape, dtype=bool)
    other[:, :, 5:] = True
    item = instance(ball(geometry, place, 1.5))
    found = paint(item, geometry, place, 3.0, keep_out=[instance(other, 2)])
    wanted = (ball(geometry, place, 3.0) & ~other) | full(item, geometry)
    np.testing.assert_array_equal(full(found, geometry), wanted)
    with pytest.raises(ValueError, match="other objects hold all that the stroke covers"):
        paint_new(geometry, [7.0, 4, 4], 1.0, id=9, of=LESION, keep_out=[instance(other, 2)])


def test_a_ball_has_its_closed_form_volume() -> None:
    geometry = Geometry.from_spacing((30, 100, 100), (1.5, 0.5, 0.5))
    found = paint_new(geometry, centre_lps_mm(geometry), 20.0, id=1, of=LESION)
    exact_ml = 4 / 3 * np.pi * 20.0**3 / 1000
    assert found.voxel_count * geometry.voxel_ml == pytest.approx(exact_ml, rel=0.005)


def test_work_grows_with_the_brush_and_not_with_the_image() -> None:
    huge = Geometry.from_spacing((100_000, 100_000, 100_000), (1.0, 1.0, 1.0))
    found = paint_new(huge, [5e4, 5e4, 5e4], 3.0, id=1, of=LESION)
    assert found.voxel_count == 123  # lattice points in a ball of radius 3


@pytest.mark.parametrize("radius", [0, -1.0, np.nan, np.inf])
def test_a_radius_is_above_0(radius) -> None:
    with pytest.raises(ValueError, match="radius_mm is a number above 0"):
        paint_new(GRIDS["cubes"], [9.0, 9, 9], radius, id=1, of=LESION)


def test_a_disc_on_several_slices_and_an_unknown_axis_are_bad_calls() -> None:
    points = [[9.0, 9, 9], [9, 9, 12]]
    with pytest.raises(ValueError, match=r"lie on \[9, 12\]: paint each by itself, or use a ball"):
        paint_new(GRIDS["cubes"], points, 2.0, id=1, of=LESION, axis=0)
    with pytest.raises(ValueError, match="axis is 0, 1 or 2"):
        paint_new(GRIDS["cubes"], points, 2.0, id=1, of=LESION, axis=3)
    with pytest.raises(ValueError, match="points .* are wanted, at least one"):
        paint_new(GRIDS["cubes"], np.empty((0, 3)), 2.0, id=1, of=LESION)

"""Where voxels stand in napari: nothing is mirrored, nothing is lost, oblique or not."""

from __future__ import annotations

import numpy as np
import pytest
from medseg_napari.view.placement import Placement
from view_cases import STRAIGHT, TURNS, oblique, twisted

from medseg.types import Geometry


def numbered(grid: Geometry) -> np.ndarray:
    return np.arange(np.prod(grid.shape)).reshape(grid.shape)


@pytest.mark.parametrize(("axes", "flips"), TURNS)
@pytest.mark.parametrize("degrees", [0.0, 2.0, 20.0])
def test_every_orientation_is_shown_towards_head_back_and_left(axes, flips, degrees) -> None:
    grid = oblique(STRAIGHT, degrees).reoriented(axes, flips)
    placement = Placement.of(grid)
    towards = placement.shown.direction[[2, 1, 0], [0, 1, 2]]
    assert towards == pytest.approx([np.cos(np.radians(degrees)), 1, np.cos(np.radians(degrees))])
    assert placement.scale_mm == pytest.approx((3.0, 0.9, 0.7))
    assert min(placement.scale_mm) > 0


@pytest.mark.parametrize(("axes", "flips"), TURNS)
def test_arrays_boxes_and_masks_come_back_to_their_own_grid(axes, flips) -> None:
    grid = oblique(STRAIGHT, 20.0).reoriented(axes, flips)
    placement = Placement.of(grid)
    array = numbered(grid)
    shown = placement.to_shown(array)
    assert np.shares_memory(shown, array)
    assert np.array_equal(placement.to_own(shown), array)
    box = (slice(1, 3), slice(0, 2), slice(2, 4))
    assert placement.own_box(placement.shown_box(box)) == box
    assert np.array_equal(shown[placement.shown_box(box)], placement.shown_mask(array[box]))


@pytest.mark.parametrize(("axes", "flips"), TURNS)
def test_of_a_straight_image_the_world_of_napari_is_the_patient(axes, flips) -> None:
    """The voxel whose centre lies at LPS (x, y, z) stands at (z, y, x)."""
    grid = STRAIGHT.reoriented(axes, flips)
    placement = Placement.of(grid)
    for index in [(0, 0, 0), (1, 2, 1), tuple(n - 1 for n in grid.shape)]:
        point = grid.index_to_world(index)
        assert placement.index_to_world(index) == pytest.approx(point[::-1], abs=1e-9)
        (where,) = np.argwhere(placement.to_shown(numbered(grid)) == numbered(grid)[index])
        drawn = np.multiply(where, placement.scale_mm) + placement.translate_mm
        assert drawn == pytest.approx(point[::-1], abs=1e-9)


@pytest.mark.parametrize(("axes", "flips"), TURNS[::5])
def test_points_of_an_oblique_image_go_to_napari_and_back(axes, flips) -> None:
    grid = twisted(STRAIGHT).reoriented(axes, flips)
    placement = Placement.of(grid)
    points = grid.index_to_world([(0, 0, 0), (3, 1, 2), (1.5, 0.25, 2.0)])
    world = placement.lps_to_world(points)
    assert placement.world_to_lps(world) == pytest.approx(points)
    assert placement.world_to_index(world) == pytest.approx(grid.world_to_index(points))
    apart = np.linalg.norm(world[1] - world[0]), np.linalg.norm(points[1] - points[0])
    assert apart[0] == pytest.approx(apart[1])


@pytest.mark.parametrize(("axes", "flips"), TURNS[::5])
def test_the_layer_of_an_oblique_image_stands_where_its_points_are_said_to(axes, flips) -> None:
    """Scale and translation, which napari draws with, agree with the conversion of points."""
    grid = twisted(STRAIGHT).reoriented(axes, flips)
    placement = Placement.of(grid)
    index = tuple(n - 2 for n in grid.shape)
    (where,) = np.argwhere(placement.to_shown(numbered(grid)) == numbered(grid)[index])
    drawn = np.multiply(where, placement.scale_mm) + placement.translate_mm
    assert placement.index_to_world(index) == pytest.approx(drawn)
    assert placement.world_to_lps(drawn) == pytest.approx(grid.index_to_world(index))


def test_a_crop_of_an_oblique_image_stands_on_the_image() -> None:
    grid = twisted(STRAIGHT).reoriented((1, 2, 0), (False, True, False))
    box = (slice(2, 5), slice(1, 6), slice(1, 3))
    whole, part = Placement.of(grid), Placement.of(grid.crop(box))
    assert part.index_to_world((0, 0, 0)) == pytest.approx(whole.index_to_world((2, 1, 1)))
    assert whole.turned_degrees(part) == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("degrees", [0.0, 2.0, 20.0])
def test_how_oblique_an_image_is_does_not_hang_on_the_order_of_its_axes(degrees) -> None:
    found = {
        Placement.of(oblique(STRAIGHT, degrees).reoriented(*turn)).oblique_degrees for turn in TURNS
    }
    assert found == {degrees}


def test_an_array_of_another_grid_is_not_taken() -> None:
    placement = Placement.of(STRAIGHT.reoriented((2, 1, 0), (False, False, False)))
    with pytest.raises(ValueError, match=r"shape \(6, 5, 4\) is wanted; got \(4, 5, 6\)"):
        placement.to_shown(np.zeros((4, 5, 6)))
    with pytest.raises(ValueError, match=r"shape \(4, 5, 6\) is wanted"):
        placement.to_own(np.zeros((6, 5, 4)))

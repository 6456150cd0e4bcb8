"""Growing, smoothing, filling and cleaning one object, in millimetres on any grid."""

from __future__ import annotations

import numpy as np
import pytest
from editing_cases import (
    GRIDS,
    ball,
    blob,
    centre_lps_mm,
    full,
    instance,
    sheared_grid,
    slow_distance,
    turned_grid,
    world,
)
from scipy import ndimage

from medseg.editing import fill_holes, grow, keep_largest_part, remove_small_parts, smooth
from medseg.editing.distances import ball_rows, distance_mm
from medseg.measurement.lattice import steps_within
from medseg.types import Geometry, Instance

SMALL = {
    "cubes": Geometry.identity((9, 8, 11)),
    "thick slices": Geometry.from_spacing((8, 11, 10), (3.0, 0.7, 0.9)),
    "turned": turned_grid((8, 9, 10), (1.7, 0.9, 1.1)),
    "sheared": sheared_grid((8, 10, 9)),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("grid", SMALL)
def test_distances_are_those_between_the_nearest_voxel_centres(grid, seed) -> None:
    geometry = SMALL[grid]
    mask = np.random.default_rng(seed).random(geometry.shape) < 0.03
    np.testing.assert_allclose(distance_mm(mask, geometry), slow_distance(mask, geometry))
    assert np.isinf(distance_mm(np.zeros_like(mask), geometry)).all()


@pytest.mark.parametrize("grid", SMALL)
@pytest.mark.parametrize("mm", [0.3, 0.9, 2.7, 6.1])
def test_the_rows_of_a_ball_hold_every_step_within_its_radius(grid, mm) -> None:
    rows = ball_rows(SMALL[grid], mm)
    steps = {(z, y, x) for z, y, first, last in rows.tolist() for x in range(first, last + 1)}
    assert steps == set(map(tuple, steps_within(SMALL[grid], mm * (1 + 1e-9)).tolist()))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("by_mm", [1.8, 3.1, -1.8, -3.1])
@pytest.mark.parametrize("grid", SMALL)
def test_growing_and_shrinking_are_by_distance_whatever_lies_at_the_border(
    grid, by_mm, seed
) -> None:
    geometry = SMALL[grid]
    mask = ndimage.binary_closing(blob(seed, geometry.shape, margin=0), iterations=1 + (by_mm < 0))
    near = slow_distance(mask, geometry) <= by_mm + 1e-9
    eaten = slow_distance(~mask, geometry) <= 1e-9 - by_mm
    found = grow(instance(mask), geometry, by_mm)
    np.testing.assert_array_equal(full(found, geometry), near if by_mm > 0 else mask & ~eaten)


@pytest.mark.parametrize("grid", GRIDS)
def test_a_grown_ball_lies_inside_the_larger_ball_and_misses_less_than_a_voxel_of_it(grid) -> None:
    geometry, middle = GRIDS[grid], centre_lps_mm(GRIDS[grid])
    found = full(grow(instance(ball(geometry, middle, 6.0)), geometry, 3.0), geometry)
    diagonal = np.abs(geometry.affine[:3, :3]).sum(axis=1)
    assert not (found & ~ball(geometry, middle, 9.0)).any()
    assert (found | ~ball(geometry, middle, 9.0 - float(np.linalg.norm(diagonal)))).all()
    shrunk = full(grow(instance(ball(geometry, middle, 6.0)), geometry, -3.0), geometry)
    assert (shrunk | ~ball(geometry, middle, 3.0)).all()
    assert not (shrunk & ~ball(geometry, middle, 3.0 + float(np.linalg.norm(diagonal)))).any()


@pytest.mark.parametrize("grid", GRIDS)
def test_a_ball_grown_and_shrunk_again_is_the_same_ball(grid) -> None:
    geometry = GRIDS[grid]
    mask = ball(geometry, centre_lps_mm(geometry), 7.0)
    grown = grow(instance(mask), geometry, 3.0)
    assert grown is not None
    np.testing.assert_array_equal(full(grow(grown, geometry, -3.0), geometry), mask)


def test_a_box_grows_by_whole_slices_only_where_they_are_near_enough() -> None:
    geometry = Geometry.from_spacing((9, 21, 21), (5.0, 1.0, 1.0))
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[3:6, 8:13, 8:13] = True
    assert grow(instance(mask), geometry, 4.0).box == (slice(3, 6), slice(4, 17), slice(4, 17))
    assert grow(instance(mask), geometry, 5.0).box == (slice(2, 7), slice(3, 18), slice(3, 18))
    assert grow(instance(mask), geometry, -2.0).box == (slice(3, 6), slice(10, 11), slice(10, 11))


def test_growth_stays_out_of_others_and_shrinking_spares_the_images_border() -> None:
    geometry = Geometry.identity((6, 6, 6))
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[:3, :, :3] = True
    other = np.zeros_like(mask)
    other[:, :, 4:] = True
    found = full(grow(instance(mask), geometry, 2.0, keep_out=[instance(other, 2)]), geometry)
    wanted = np.zeros_like(mask)
    wanted[:5, :, :4] = True
    wanted[4, :, 3] = False  # the corner is the square root of 5 away
    np.testing.assert_array_equal(found, wanted)
    assert grow(instance(mask), geometry, -1.0).box == (slice(0, 2), slice(0, 6), slice(0, 2))
    whole = instance(np.ones_like(mask))
    assert grow(whole, geometry, -3.0) is whole


def test_what_changed_keeps_id_class_and_score_but_no_probability() -> None:
    geometry = Geometry.identity((7, 7, 7))
    item = instance(ball(geometry, np.array([3.0, 3, 3]), 1.5))
    found = grow(item, geometry, 1.0)
    assert (found.id, found.class_name, found.kind, found.score) == (5, "lesion", "lesion", 0.75)
    assert item.probability is not None and found.probability is None


def test_shrinking_to_nothing_gives_none_and_one_voxel_grows_to_a_ball() -> None:
    geometry = GRIDS["turned"]
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[8, 15, 14] = True
    assert grow(instance(mask), geometry, -1.0) is None
    found = full(grow(instance(mask), geometry, 5.0), geometry)
    np.testing.assert_array_equal(found, ball(geometry, geometry.index_to_world([8, 15, 14]), 5.0))


def test_a_distance_that_changes_nothing_is_a_bad_call() -> None:
    geometry = Geometry.from_spacing((4, 4, 4), (5.0, 0.7, 0.8))
    item = instance(np.ones((4, 4, 4), dtype=bool))
    with pytest.raises(ValueError, match=r"0\.5 mm is less than a voxel: use 0\.7 mm or more"):
        grow(item, geometry, 0.5)
    for wrong in (0.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="a number above 0"):
            grow(item, geometry, wrong)


@pytest.mark.parametrize("grid", GRIDS)
def test_smoothing_keeps_a_balls_volume_and_place(grid) -> None:
    geometry, middle = GRIDS[grid], centre_lps_mm(GRIDS[grid])
    mask = ball(geometry, middle, 8.0)
    found = full(smooth(instance(mask), geometry, 1.5), geometry)
    assert np.count_nonzero(found) == pytest.approx(np.count_nonzero(mask), rel=0.01)
    np.testing.assert_allclose(world(geometry)[found].mean(axis=0), middle, atol=0.02)
    assert np.count_nonzero(found ^ mask) < 0.04 * np.count_nonzero(mask)


@pytest.mark.parametrize("grid", GRIDS)
def test_smoothing_takes_off_what_sticks_out_and_fills_what_is_cut_in(grid) -> None:
    geometry, middle = GRIDS[grid], centre_lps_mm(GRIDS[grid])
    clean = ball(geometry, middle, 8.0)
    ragged = clean ^ (np.random.default_rng(1).random(clean.shape) < 0.08)
    ragged &= ball(geometry, middle, 10.0)
    found = full(smooth(instance(ragged), geometry, 1.5), geometry)
    before, after = (np.count_nonzero(one ^ clean) for one in (ragged, found))
    assert after < before / 2
    assert np.count_nonzero(found) == pytest.approx(np.count_nonzero(ragged), rel=0.01)


def test_smoothing_is_the_same_in_mm_on_a_sheared_grid_as_the_sum_over_all_voxels() -> None:
    geometry = sheared_grid((9, 10, 11))
    mask = blob(3, geometry.shape, margin=3)
    points = world(geometry)
    blurred = np.zeros(geometry.shape)
    for point in points[mask]:
        square = np.square(points - point).sum(axis=-1)
        blurred += np.where(square <= 16 * 0.8**2, np.exp(-square / (2 * 0.8**2)), 0.0)
    most = np.sort(blurred, axis=None)[-np.count_nonzero(mask)]
    found = full(smooth(instance(mask), geometry, 0.8), geometry)
    np.testing.assert_array_equal(found, blurred >= most * (1 - 1e-9))


def test_an_object_that_the_image_cuts_is_smoothed_as_if_it_went_on() -> None:
    geometry = Geometry.identity((12, 12, 12))
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[:, :, :6] = True
    item = instance(mask)
    assert smooth(item, geometry, 2.0) is item
    one = instance(np.ones((1, 1, 1), dtype=bool))
    assert smooth(one, Geometry.identity((1, 1, 1)), 2.0) is one
    with pytest.raises(ValueError, match="sigma_mm is a number above 0; got 0"):
        smooth(item, geometry, 0)


def shell_with_tunnel() -> Instance:
    """A hollow box, and beside it a ring along x, whose hole is open at both ends."""
    mask = np.zeros((7, 7, 14), dtype=bool)
    mask[1:6, 1:6, 1:6] = True
    mask[2:5, 2:5, 2:5] = False
    mask[1:6, 1:6, 8:12] = True
    mask[2:5, 2:5, 8:12] = False
    return instance(mask)


def test_a_hole_is_filled_in_3d_and_a_tunnel_only_on_the_slices_that_close_it() -> None:
    item = shell_with_tunnel()
    solid = np.zeros((5, 5, 11), dtype=bool)
    solid[:, :, :5] = True
    np.testing.assert_array_equal(fill_holes(item).mask, item.mask | solid)
    solid[:, :, 7:] = True
    np.testing.assert_array_equal(fill_holes(item, axis=2).mask, solid)
    np.testing.assert_array_equal(fill_holes(item, axis=0).mask, fill_holes(item).mask)
    assert fill_holes(fill_holes(item)).probability is None


def test_a_cavity_open_at_an_edge_is_closed_by_faces_and_one_at_a_face_is_none() -> None:
    mask = np.ones((3, 3, 3), dtype=bool)
    mask[1, 1, 1] = mask[0, 0, 1] = False
    assert fill_holes(instance(mask)).mask[1, 1, 1]
    mask[0, 1, 1] = False
    open_one = instance(mask)
    assert fill_holes(open_one) is open_one
    with pytest.raises(ValueError, match="axis is 0, 1 or 2"):
        fill_holes(open_one, axis=3)


def parts() -> Instance:
    """Three parts of 8, 2 and 1 voxels; the last two touch by a corner."""
    mask = np.zeros((4, 4, 8), dtype=bool)
    mask[:2, :2, :2] = True
    mask[0, 0, 4:6] = True
    mask[1, 1, 6] = True
    return instance(mask)


def test_parts_below_a_volume_go_and_those_at_it_stay() -> None:
    geometry = Geometry.from_spacing((4, 4, 8), (2.0, 0.5, 0.7))  # 0.7 mm3 a voxel
    item = parts()
    assert remove_small_parts(item, geometry, 2.1) is item
    assert remove_small_parts(item, geometry, 2.2).voxel_count == 8
    assert remove_small_parts(item, geometry, 1.4, connectivity=6).voxel_count == 10
    assert remove_small_parts(item, geometry, 6.0) is None
    with pytest.raises(ValueError, match="smallest_mm3"):
        remove_small_parts(item, geometry, -1.0)


def test_the_largest_part_is_kept_and_of_equal_ones_the_first() -> None:
    assert keep_largest_part(parts()).box == (slice(0, 2), slice(0, 2), slice(0, 2))
    mask = np.zeros((1, 1, 7), dtype=bool)
    mask[0, 0, [0, 1, 4, 5]] = True
    assert keep_largest_part(instance(mask)).box[2] == slice(0, 2)
    with pytest.raises(ValueError, match="connectivity is 6, 18 or 26"):
        keep_largest_part(parts(), connectivity=4)

"""Splitting an object at points and into its parts."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from editing_cases import GRIDS, ball, centre_lps_mm, full, instance, world

from medseg.editing import split_at_points, split_parts
from medseg.types import Geometry, Volume

APART = np.array([4.6, 0.0, 0.0])
RADIUS_MM = 6.5


def pair(geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Two balls that overlap, beside each other in the world, and the middle between them."""
    middle = centre_lps_mm(geometry) + 0.013  # no voxel lies on the plane between them
    near, far = (ball(geometry, middle + side * APART, RADIUS_MM) for side in (-1, 1))
    return near | far, middle


@pytest.mark.parametrize("off", [(0.0, 0.0, 0.0), (-3.5, 2.0, 1.0), (0.5, -3.0, -2.0)])
@pytest.mark.parametrize("grid", GRIDS)
def test_two_balls_are_cut_at_the_neck_wherever_inside_them_the_clicks_are(grid, off) -> None:
    geometry = GRIDS[grid]
    mask, middle = pair(geometry)
    clicks = [middle - APART + off, middle + APART]
    found = split_at_points(instance(mask), geometry, clicks, next_id=8)
    assert [part.id for part in found] == [5, 8]
    near, far = (full(part, geometry) for part in found)
    np.testing.assert_array_equal(near ^ far, mask)
    side = world(geometry)[..., 0] - middle[0]
    wrong = mask & (near != (side < 0))
    diagonal = float(np.linalg.norm(np.abs(geometry.affine[:3, :3]).sum(axis=1)))
    assert np.abs(side[wrong]).max(initial=0) < diagonal
    assert np.count_nonzero(wrong) < 0.05 * np.count_nonzero(mask)
    assert {part.score for part in found} == {0.75}
    assert all(part.probability is None for part in found)


@pytest.mark.parametrize("grid", GRIDS)
def test_without_a_neck_every_voxel_goes_to_the_nearest_click(grid) -> None:
    geometry, middle = GRIDS[grid], centre_lps_mm(GRIDS[grid])
    mask = ball(geometry, middle, 9.0)
    clicks = middle + np.array([[-3.1, 1.0, 0.0], [3.0, 0.2, 1.1], [0.3, -4.0, 2.0]])
    found = split_at_points(instance(mask), geometry, clicks, next_id=6)
    distance = np.linalg.norm(world(geometry)[..., None, :] - clicks, axis=-1)
    for n, part in enumerate(found):
        np.testing.assert_array_equal(full(part, geometry), mask & (distance.argmin(axis=-1) == n))


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_two_clicks_in_one_of_two_balls_share_that_ball_alone(order) -> None:
    geometry = Geometry.identity((24, 24, 44))
    middle = centre_lps_mm(geometry)
    left, right = (ball(geometry, middle + np.array([x, 0, 0]), 9.0) for x in (-8.0, 8.0))
    clicks = middle + np.array([[-8.0, 3.5, 0.0], [-8.0, -3.5, 0.0], [8.0, 0.0, 0.0]])
    found = split_at_points(instance(left | right), geometry, clicks[list(order)], next_id=6)
    by_click = {click: full(part, geometry) for click, part in zip(order, found, strict=True)}
    x, y = world(geometry)[..., 0] - middle[0], world(geometry)[..., 1] - middle[1]
    np.testing.assert_array_equal(by_click[2], (left | right) & (x > 0))
    np.testing.assert_array_equal(by_click[0], left & (x < 0) & (y > 0))


def test_a_rod_is_shared_by_halves_along_its_length() -> None:
    geometry = Geometry.from_spacing((7, 7, 42), (1.0, 1.0, 0.5))
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[1:6, 1:6, 1:41] = True
    clicks = geometry.index_to_world([[3, 3, 10], [3, 3, 31]])
    near, far = split_at_points(instance(mask), geometry, clicks, next_id=6)
    assert near.box[2] == slice(1, 21) and far.box[2] == slice(21, 41)


def test_a_dark_gap_parts_a_block_where_its_shape_has_no_neck() -> None:
    geometry = Geometry.identity((12, 12, 40))
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[2:10, 2:10, 2:38] = True
    values = np.random.default_rng(0).normal(100.0, 5.0, geometry.shape)
    values[:, :, 12] -= 80.0
    volume = Volume(values.astype(np.float32), geometry, "CT", "HU")
    clicks = geometry.index_to_world([[6, 6, 7], [6, 6, 32]])
    by_shape = split_at_points(instance(mask), geometry, clicks, next_id=6)
    assert by_shape[0].box[2].stop == 20
    near, far = split_at_points(instance(mask), geometry, clicks, next_id=6, volume=volume)
    assert near.box[2].stop in (12, 13) and far.box[2].start in (12, 13)


def test_a_part_without_a_click_goes_to_the_nearest_piece() -> None:
    geometry = Geometry.from_spacing((3, 3, 30), (1.0, 1.0, 2.0))
    mask = np.zeros(geometry.shape, dtype=bool)
    for start, stop in ((0, 5), (10, 15), (16, 18), (28, 30)):
        mask[1, 1, start:stop] = True
    clicks = geometry.index_to_world([[1, 1, 2], [1, 1, 12]])
    near, far = split_at_points(instance(mask), geometry, clicks, next_id=6)
    assert near.box[2] == slice(0, 5) and far.box[2] == slice(10, 30)


def test_an_object_that_fills_the_image_and_one_of_two_voxels_are_split_too() -> None:
    for shape in ((4, 4, 8), (1, 1, 2)):
        geometry = Geometry.identity(shape)
        ends = geometry.index_to_world([[0, 0, 0], np.array(shape) - 1])
        whole = instance(np.ones(shape, dtype=bool))
        near, far = split_at_points(whole, geometry, ends, next_id=6)
        assert near.voxel_count == far.voxel_count == np.prod(shape) / 2


def test_calls_that_cannot_be_meant_say_what_to_do() -> None:
    geometry = Geometry.identity((5, 5, 5))
    item = instance(ball(geometry, np.array([2.0, 2, 2]), 1.5))
    for clicks, said in (
        ([[2.0, 2, 2]], "two points or more"),
        ([2.0, 2, 2], "two points or more"),
        ([[2.0, 2, 2], [0, 0, 0]], "point 2 lies outside object 5: choose points inside it"),
        ([[2.0, 2, 2], [90, 0, 0]], "point 2 lies outside"),
        ([[2.0, 2, 2], [2.1, 2, 2]], "in one voxel of object 5: choose them further apart"),
        ([[2.0, 2, np.nan], [2, 2, 1]], "no finite number"),
        ([[2.0, 2], [2, 2]], "points \\(x, y, z\\) in LPS mm are wanted"),
    ):
        with pytest.raises(ValueError, match=said):
            split_at_points(item, geometry, clicks, next_id=6)
    clicks = [[1.0, 2, 2], [3, 2, 2]]
    elsewhere = Geometry.identity((5, 5, 6))
    with pytest.raises(ValueError, match="another grid than the object"):
        split_at_points(
            item, geometry, clicks, next_id=6, volume=Volume(np.zeros((5, 5, 6)), elsewhere)
        )
    with pytest.raises(ValueError, match="are no numbers"):
        split_at_points(
            item, geometry, clicks, next_id=6, volume=Volume(np.full((5, 5, 5), np.nan), geometry)
        )


def test_parts_come_largest_first_and_a_whole_object_comes_back_as_it_is() -> None:
    mask = np.zeros((3, 3, 12), dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True  # they touch by a corner
    mask[1, 1, 4:7] = mask[1, 1, 9:12] = True
    item = instance(mask)
    found = split_parts(item, next_id=20)
    assert [part.id for part in found] == [5, 20, 21]
    assert [part.box[2] for part in found] == [slice(4, 7), slice(9, 12), slice(0, 2)]
    by_faces = split_parts(item, next_id=20, connectivity=6)
    assert [part.voxel_count for part in by_faces] == [3, 3, 1, 1]
    (whole,) = split_parts(found[0], next_id=20)
    assert whole is found[0]
    with pytest.raises(ValueError, match="connectivity is 6, 18 or 26"):
        split_parts(item, next_id=20, connectivity=8)

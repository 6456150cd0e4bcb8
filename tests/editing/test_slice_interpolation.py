"""Empty slices between painted ones."""

from __future__ import annotations

import numpy as np
import pytest
from editing_cases import GRIDS, ball, centre_lps_mm, full, instance, slow_distance, turned_grid

from medseg.editing import interpolate_slices
from medseg.types import Geometry


def only(mask: np.ndarray, axis: int, *slices: int) -> np.ndarray:
    kept = np.zeros_like(mask)
    for n in slices:
        np.moveaxis(kept, axis, 0)[n] = np.moveaxis(mask, axis, 0)[n]
    return kept


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("grid", GRIDS)
def test_two_equal_slices_give_a_prism(grid, axis) -> None:
    geometry = GRIDS[grid]
    outline = np.moveaxis(ball(geometry, centre_lps_mm(geometry), 6.0), axis, 0)
    outline = outline[len(outline) // 2]
    mask = np.zeros(geometry.shape, dtype=bool)
    slices = np.moveaxis(mask, axis, 0)
    slices[2] = slices[7] = outline
    item = instance(mask)
    found = full(interpolate_slices(item, geometry, axis), geometry)
    slices[2:8] = outline
    np.testing.assert_array_equal(found, mask)
    assert interpolate_slices(item, geometry, axis).probability is None


def test_between_two_discs_the_radius_changes_evenly() -> None:
    geometry = Geometry.from_spacing((11, 81, 161), (3.0, 0.5, 0.25))
    z, y, x = np.indices(geometry.shape)
    off = np.hypot((y - 40) * 0.5, (x - 80) * 0.25)
    cone = off <= 6.0 + z
    found = full(interpolate_slices(instance(only(cone, 0, 0, 10)), geometry, 0), geometry)
    for n in range(11):
        area_mm2 = np.count_nonzero(found[n]) * 0.125
        assert np.sqrt(area_mm2 / np.pi) == pytest.approx(6.0 + n, abs=0.25)


def test_slices_that_hold_something_stay_and_every_gap_is_filled() -> None:
    geometry = GRIDS["thick slices"]
    whole = ball(geometry, centre_lps_mm(geometry), 11.0)
    painted = only(whole, 0, 3, 5, 6, 9)
    found = full(interpolate_slices(instance(painted), geometry, 0), geometry)
    for n in (3, 5, 6, 9):
        np.testing.assert_array_equal(found[n], whole[n])
    assert found[[4, 7, 8]].any(axis=(1, 2)).all()
    assert not found[[0, 1, 2, 10, 11]].any()
    missed = np.count_nonzero(found[3:10] ^ whole[3:10])
    assert missed < 0.06 * np.count_nonzero(whole[3:10])


@pytest.mark.parametrize("seed", range(3))
def test_a_slice_between_is_where_the_mean_of_two_signed_distances_is_not_above_0(seed) -> None:
    geometry = turned_grid((3, 12, 13), (4.0, 0.8, 1.3))
    rng = np.random.default_rng(seed)
    mask = rng.random(geometry.shape) < 0.5
    mask[:, 3:9, 3:9] = True
    mask[1] = False

    def signed(n: int) -> np.ndarray:
        inside = only(mask, 0, n)
        outside = only(~mask, 0, n)
        return np.where(
            inside[n], -slow_distance(outside, geometry)[n], slow_distance(inside, geometry)[n]
        )

    found = full(interpolate_slices(instance(mask), geometry, 0), geometry)
    np.testing.assert_array_equal(found[1], signed(0) + signed(2) <= 1e-9)


def test_slices_that_fill_the_image_lead_over_to_each_other() -> None:
    geometry = Geometry.identity((4, 3, 3))
    mask = np.ones(geometry.shape, dtype=bool)
    mask[1:3] = False
    assert interpolate_slices(instance(mask), geometry, 0).voxel_count == 36


def test_without_a_gap_or_an_overlap_the_call_says_what_to_paint() -> None:
    geometry = Geometry.identity((7, 9, 9))
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[1:3, 1:3, 1:3] = True
    with pytest.raises(ValueError, match="no empty slice between two painted ones along axis 0"):
        interpolate_slices(instance(mask), geometry, 0)
    mask[5, 6:8, 6:8] = True
    with pytest.raises(ValueError, match="on slices 2 and 5 do not overlap enough: paint a slice"):
        interpolate_slices(instance(mask), geometry, 0)
    with pytest.raises(ValueError, match="axis is 0, 1 or 2"):
        interpolate_slices(instance(mask), geometry, -1)

"""A new object from one click."""

from __future__ import annotations

import numpy as np
import pytest
from editing_cases import GRIDS, LESION, ball, centre_lps_mm, full, instance

from medseg.editing import RegionSettings, grow_region
from medseg.types import Geometry, Volume


def bright_ball(geometry: Geometry, radius_mm: float, noise: float) -> tuple[Volume, np.ndarray]:
    mask = ball(geometry, centre_lps_mm(geometry), radius_mm)
    values = np.random.default_rng(4).normal(0.0, noise, geometry.shape) + 100.0 * mask
    return Volume(values.astype(np.float32), geometry, "CT", "HU"), mask


@pytest.mark.parametrize("grid", GRIDS)
def test_a_click_in_a_noisy_ball_finds_nearly_all_of_it_and_nothing_else(grid) -> None:
    geometry = GRIDS[grid]
    volume, mask = bright_ball(geometry, 6.0, 8.0)
    settings = RegionSettings(sample_mm=3.0, spread=3.5)
    place = centre_lps_mm(geometry) + np.array([1.0, -2.0, 0.5])
    made = grow_region(volume, place, id=4, of=LESION, settings=settings)
    found = full(made, geometry)
    assert not (found & ~mask).any()
    assert np.count_nonzero(found) > 0.97 * np.count_nonzero(mask)
    assert (made.id, made.class_name, made.kind, made.score) == (4, "lesion", "lesion", 1.0)
    assert made.probability is None


@pytest.mark.parametrize("grid", GRIDS)
def test_in_an_even_image_a_region_is_the_ball_that_it_may_reach(grid) -> None:
    geometry = GRIDS[grid]
    volume = Volume(np.full(geometry.shape, 40, dtype=np.int16), geometry, "CT", "HU")
    place = geometry.index_to_world((np.array(geometry.shape) - 1) // 2)
    settings = RegionSettings(reach_mm=7.5)
    found = grow_region(volume, place, id=1, of=LESION, settings=settings)
    np.testing.assert_array_equal(full(found, geometry), ball(geometry, place, 7.5))


def test_a_tolerance_in_the_images_unit_says_exactly_what_is_alike() -> None:
    geometry = Geometry.identity((3, 3, 20))
    ramp = np.broadcast_to(np.arange(20.0), geometry.shape)
    volume = Volume(ramp, geometry)
    settings = RegionSettings(sample_mm=0.5, tolerance=4.0)
    found = grow_region(volume, [8.0, 1, 1], id=1, of=LESION, settings=settings)
    assert found.box == (slice(0, 3), slice(0, 3), slice(4, 13))
    settings = RegionSettings(sample_mm=0.5, tolerance=0.0)
    found = grow_region(volume, [8.0, 1, 1], id=1, of=LESION, settings=settings)
    assert found.box[2] == slice(8, 9)


def test_voxels_hang_together_by_faces_or_also_by_corners_as_said() -> None:
    geometry = Geometry.identity((4, 4, 4))
    values = np.zeros(geometry.shape)
    for n in range(4):
        values[n, n, n] = 100.0
    volume = Volume(values, geometry)
    for connectivity, voxels in ((6, 1), (18, 1), (26, 4)):
        settings = RegionSettings(sample_mm=0.5, tolerance=10.0, connectivity=connectivity)
        found = grow_region(volume, [0.0, 0, 0], id=1, of=LESION, settings=settings)
        assert found.voxel_count == voxels


def test_a_region_stays_out_of_other_objects_which_do_not_count_for_what_is_usual() -> None:
    geometry = Geometry.identity((5, 5, 12))
    values = np.full(geometry.shape, 50.0)
    other = np.zeros(geometry.shape, dtype=bool)
    other[:, :, 4] = True
    values[other] = 900.0
    volume = Volume(values, geometry)
    settings = RegionSettings(sample_mm=9.0, tolerance=1000.0)
    around = [instance(other, 2)]
    found = grow_region(volume, [2.0, 2, 2], id=1, of=LESION, settings=settings, keep_out=around)
    assert found.box[2] == slice(0, 4) and found.mask.all()
    with pytest.raises(ValueError, match="must stay out of: click beside it"):
        grow_region(volume, [4.0, 2, 2], id=1, of=LESION, keep_out=around)


def test_a_click_at_the_border_works_and_one_outside_or_on_no_number_is_a_bad_call() -> None:
    geometry = Geometry.from_spacing((3, 4, 5), (3.0, 1.0, 1.0))
    values = np.full(geometry.shape, 7.0)
    values[2, 3, 4] = np.nan
    volume = Volume(values, geometry)
    found = grow_region(volume, [0.0, 0, 0], id=1, of=LESION)
    assert found.voxel_count == 59
    for click, said in (
        ([-0.6, 0, 0], "outside the image: click inside it"),
        ([4.0, 3, 6], "no number at the click"),
        ([[0.0, 0, 0], [1, 0, 0]], "from one click; got 2"),
        ([np.inf, 0, 0], "no finite number"),
    ):
        with pytest.raises(ValueError, match=said):
            grow_region(volume, click, id=1, of=LESION)


def test_settings_that_make_no_sense_are_refused_by_name() -> None:
    for change, said in (
        ({"reach_mm": 0}, "reach_mm is a number above 0"),
        ({"sample_mm": -1.0}, "sample_mm"),
        ({"spread": 0.0}, "spread"),
        ({"tolerance": -0.1}, "tolerance is a number from 0 up"),
        ({"connectivity": 8}, "connectivity is 6, 18 or 26"),
    ):
        with pytest.raises(ValueError, match=said):
            RegionSettings(**change)


def test_work_grows_with_what_may_be_reached_and_not_with_the_image() -> None:
    geometry = Geometry.identity((40_000, 40_000, 40_000))
    array = np.broadcast_to(np.int16(3), geometry.shape)
    settings = RegionSettings(reach_mm=3.0)
    found = grow_region(
        Volume(array, geometry), [2e4, 2e4, 2e4], id=1, of=LESION, settings=settings
    )
    assert found.voxel_count == 123  # lattice points in a ball of radius 3

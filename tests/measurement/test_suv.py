"""Peaks: the IBSI phantom, cases worked out by hand, and a loop over all voxels in the world."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from relation_cases import instance, random_affine, random_mask, study, voxels

from medseg.errors import InputRefused
from medseg.io import read
from medseg.measurement import suv
from medseg.measurement.suv import PEAK_RADIUS_MM, peaks, suv_peaks, total_lesion_glycolysis_g
from medseg.types import Geometry, Instance, Instances, Volume

PET = Geometry.from_spacing((20, 20, 20), (4.0, 4.0, 4.0))
BALL = 19
"""Voxels of 4 mm within 6.2 mm of one: itself, 6 by a face (4 mm), 12 by an edge (5.7 mm)."""


def spot(*index: int, geometry: Geometry = PET) -> NDArray[np.bool_]:
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[index] = True
    return mask


def slow_peaks(item: Instance, volume: Volume) -> tuple[float, float]:
    """Local and global peak with every distance taken in the world, voxel by voxel."""
    world = volume.geometry.index_to_world(np.moveaxis(np.indices(volume.array.shape), 0, -1))
    found = []
    for index in voxels(item):
        if not np.isfinite(volume.array[tuple(index)]):
            continue
        near = np.linalg.norm(world - world[tuple(index)], axis=-1) <= PEAK_RADIUS_MM
        around = volume.array[near & np.isfinite(volume.array)].astype(np.float64)
        found.append((float(volume.array[tuple(index)]), float(around.mean())))
    if not found:
        return math.nan, math.nan
    largest = max(value for value, _ in found)
    local = max(mean for value, mean in found if value == largest)
    return local, max(mean for _, mean in found)


def test_the_radius_is_that_of_a_ball_of_one_millilitre() -> None:
    assert pytest.approx(6.2035, abs=5e-5) == PEAK_RADIUS_MM
    assert 4 / 3 * math.pi * PEAK_RADIUS_MM**3 == pytest.approx(1000)


def test_the_ibsi_phantom_has_its_consensus_peaks(shared_data: Path, skip_unless) -> None:
    folder = shared_data.parent / "reference" / "ibsi1_digital"
    skip_unless(folder.is_dir(), "the IBSI phantom is not in the shared folder")
    image, mask = (read(folder / f"{name}.nii.gz") for name in ("phantom", "mask"))
    found = peaks(Instances.from_labelmap(mask.array, mask.geometry), image)
    assert found.local_peak == pytest.approx([2.6], abs=1e-9)
    assert found.global_peak == pytest.approx([3.103], abs=0.0005)
    assert found.cut.tolist() == [True]  # the phantom is 10 mm wide, a ball 12.4 mm


@given(seed=st.integers(0, 2**32 - 1), shear=st.sampled_from([0.0, 1.0]))
@settings(max_examples=1000)
def test_peaks_equal_a_loop_over_all_voxels_in_the_world(seed: int, shear: float) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 9, size=3))
    geometry = Geometry(shape, random_affine(rng, shear))
    array = rng.integers(0, 6, size=shape).astype(np.float32)  # few values: many are tied
    array[rng.random(shape) < 0.2 * rng.integers(2)] = rng.choice([np.nan, np.inf])
    objects = study(geometry, *(instance(random_mask(rng, shape), n) for n in (1, 2, 3)))
    found = peaks(objects, Volume(array, geometry))
    for place, item in enumerate(objects):
        local, highest = slow_peaks(item, Volume(array, geometry))
        assert found.local_peak[place] == pytest.approx(local, nan_ok=True)
        assert found.global_peak[place] == pytest.approx(highest, nan_ok=True)


def test_the_ball_takes_in_voxels_outside_the_lesion_as_worked_out_by_hand() -> None:
    array = np.zeros(PET.shape)
    array[10, 10, 10], array[10, 10, 11], array[10, 11, 11] = 19.0, 38.0, 57.0
    array[10, 10, 12] = 190.0  # 8 mm from the lesion's voxel
    found = suv_peaks(study(PET, instance(spot(10, 10, 10), 1)), Volume(array, PET, "PT", "SUVbw"))
    assert found.local_peak == pytest.approx([6.0])  # (19 + 38 + 57) / 19
    assert found.global_peak == pytest.approx([6.0])
    assert (found.cut.tolist(), found.left_out.tolist(), found.ball_voxels) == ([False], [0], BALL)


def test_local_is_at_the_largest_voxel_and_global_wherever_the_mean_is_highest() -> None:
    array = np.zeros(PET.shape)
    array[5, 5, 5] = 9.0  # a lone hot voxel
    array[14:17, 14:17, 14:17] = 5.0  # a warm cube, larger than a ball
    mask = array > 0
    found = peaks(study(PET, instance(mask, 1)), Volume(array, PET))
    assert found.local_peak == pytest.approx([9 / BALL])
    assert found.global_peak == pytest.approx([5.0])


def test_of_equally_large_voxels_the_one_with_the_highest_mean_counts() -> None:
    array = np.zeros(PET.shape)
    array[5, 5, 5] = array[14, 14, 14] = array[8, 8, 8] = 9.0
    array[14, 14, 15] = 3.0
    found = peaks(study(PET, instance(array == 9, 1)), Volume(array, PET))
    assert found.local_peak == pytest.approx([12 / BALL])


def test_nothing_stands_in_for_what_lies_beyond_the_border_and_that_is_said() -> None:
    array = np.full(PET.shape, 2.0)
    objects = study(PET, instance(spot(0, 0, 0), 1), instance(spot(10, 1, 10), 2))
    found = peaks(objects, Volume(array, PET))
    assert found.local_peak == pytest.approx([2.0, 2.0])
    assert found.cut.tolist() == [True, False]


def test_a_voxel_without_a_number_is_neither_averaged_nor_a_centre() -> None:
    array = np.full(PET.shape, 1.0)
    array[10, 10, 10], array[10, 10, 12] = np.inf, np.nan
    array[10, 10, 11] = 18.0
    mask = spot(10, 10, slice(10, 12))
    alone = spot(10, 10, 10)
    found = peaks(study(PET, instance(mask, 1), instance(alone, 2)), Volume(array, PET))
    assert found.local_peak == pytest.approx([(18 + 16) / 17, math.nan], nan_ok=True)
    assert found.global_peak == pytest.approx([2.0, math.nan], nan_ok=True)
    assert found.left_out.tolist() == [2, 0]
    assert found.cut.tolist() == [False, False]


def test_a_large_lesion_is_searched_in_slabs_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(3)
    grid = PET.crop((slice(0, 13), slice(0, 7), slice(0, 6)))
    array = rng.integers(0, 9, grid.shape).astype(np.float64)
    array[rng.random(grid.shape) < 0.1] = np.nan
    objects = study(grid, instance(rng.random(grid.shape) < 0.5, 1))
    at_once = peaks(objects, Volume(array, grid))
    monkeypatch.setattr(suv, "_AT_ONCE", 1)
    in_slabs = peaks(objects, Volume(array, grid))
    for one in fields(at_once):
        assert np.array_equal(getattr(at_once, one.name), getattr(in_slabs, one.name)), one.name
    assert at_once.local_peak == pytest.approx(
        slow_peaks(objects.items[0], Volume(array, grid))[:1]
    )


def test_voxels_wider_than_the_ball_give_their_own_value_and_the_ball_says_so() -> None:
    wide = Geometry.from_spacing((3, 3, 3), (7.0, 7.0, 7.0))
    array = np.arange(27, dtype=np.int16).reshape(3, 3, 3)
    found = peaks(study(wide, instance(spot(1, 1, 1, geometry=wide), 1)), Volume(array, wide))
    assert (found.local_peak[0], found.ball_voxels) == (13.0, 1)


def test_another_unit_than_suv_is_refused_where_suv_is_asked_for() -> None:
    volume = Volume(np.zeros(PET.shape), PET, "PT", "Bq/ml")
    with pytest.raises(InputRefused, match=r"^image: its unit is Bq/ml, SUVpeak needs SUVbw"):
        suv_peaks(study(PET), volume)
    assert peaks(study(PET), volume).local_peak.shape == (0,)


def test_an_image_on_another_grid_is_refused() -> None:
    other = Geometry.from_spacing(PET.shape, (4.0, 4.0, 4.1))
    with pytest.raises(InputRefused, match=r"^image: .* that of the objects: spacing"):
        peaks(study(PET), Volume(np.zeros(PET.shape), other))


def test_glycolysis_is_mean_times_volume_and_missing_where_one_is() -> None:
    grams = total_lesion_glycolysis_g(np.array([2.5, np.nan]), np.array([4.0, 4.0]))
    assert grams == pytest.approx([10.0, np.nan], nan_ok=True)

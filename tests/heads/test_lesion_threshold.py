"""The threshold of a lesion's probability, where the map is coarser than the image."""

from __future__ import annotations

import numpy as np
import pytest
from fringe_cases import ball, blurred, spots, whole_slab
from hypothesis import given
from hypothesis import strategies as st

from medseg.heads.evidence import at_even_odds
from medseg.transforms.grids import GridMap

UNIT = (1.0, 1.0, 1.0)
SHAPE = (24, 24, 24)
HALF = GridMap((0.5, 0.5, 0.5), (-0.25, -0.25, -0.25))
"""From an image's voxels to those, twice as long, of a map."""


@pytest.mark.parametrize("threshold", [0.15, 0.4, 0.5, 0.8])
def test_a_sure_mask_keeps_its_volume_whatever_the_threshold(threshold: float) -> None:
    sure = blurred(ball([11.6, 11.4, 11.5], 6.0), SHAPE, UNIT, 0.1) > 0.5
    fine = tuple(2 * length for length in SHAPE)
    slab = whole_slab({"lesion": sure[None].astype(np.float32)}, HALF, fine)
    decoder = spots(threshold=threshold, smallest_mm3=0.0)
    (found,) = decoder.group([slab], (2.0, 2.0, 2.0))
    assert found.voxel_count == pytest.approx(8 * sure.sum(), rel=0.05)


@pytest.mark.parametrize("threshold", [0.1, 0.4, 0.5, 0.9])
def test_on_a_maps_own_voxels_a_lesion_is_what_lies_above_the_threshold(threshold: float) -> None:
    chance = blurred(ball([11.6, 11.4, 11.5], 6.0), SHAPE, UNIT, 2.0)
    decoder = spots(threshold=threshold, smallest_mm3=0.0)
    (found,) = decoder.group([whole_slab({"lesion": chance[None]})], UNIT)
    assert found.voxel_count == np.count_nonzero(chance > threshold)


@given(threshold=st.floats(0.01, 0.99), chance=st.floats(0.0, 1.0))
def test_shifted_odds_are_even_at_the_threshold(threshold: float, chance: float) -> None:
    two = np.array([threshold, chance], dtype=np.float32)
    even = at_even_odds(two, float(two[0]))
    assert even[0] == pytest.approx(0.5, abs=1e-5)
    assert even.dtype == np.float32 and 0 <= even[1] <= 1
    if abs(chance - threshold) > 1e-4:
        assert (even[1] > 0.5) == (chance > threshold)

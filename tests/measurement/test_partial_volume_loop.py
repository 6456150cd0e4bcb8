"""Volumes from probabilities of overlapping instances, against a loop over their voxels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relation_cases import KINDS, overlapping_masks, study

from medseg.measurement.partial_volume import partial_volumes
from medseg.types import Geometry, Instance


def slow_reason(item: Instance, probability: list[float], inside: list[bool]) -> str:
    """What the crop of an instance cannot tell, from the list of its voxels."""
    if any(not 0 <= p <= 1 for p in probability):
        return "probability is not between 0 and 1"
    within = [p for p, one in zip(probability, inside, strict=True) if one]
    outside = [p for p, one in zip(probability, inside, strict=True) if not one]
    if outside and all(p == 0 for p in outside) and any(p < 1 for p in within):
        return "probability outside the mask was not kept"
    if item.kind == "lesion" and any(p > min(within) for p in outside):
        return "probability outside the mask is another object's"
    return ""


def slow_cut(item: Instance, shape: tuple[int, ...]) -> bool:
    """Whether more than a twentieth lies beyond the faces, if a probability halves with each voxel.

    Each voxel of a face goes on as a half of it, a quarter, ..., beyond the image's border too, but
    not beside an image of one slice.
    """
    crop = item.probability.astype(np.float64)
    if np.array_equal(crop, item.mask):
        return False
    beyond, high_beyond = 0.0, 0
    for axis in (n for n in range(3) if shape[n] > 1):
        for p in np.concatenate([crop.take(face, axis).ravel() for face in (0, -1)]):
            fading = [p / 2**n for n in range(1, 60)]
            beyond += sum(fading)
            high_beyond += sum(one >= 0.25 for one in fading)
    return beyond > 0.05 * crop.sum() or high_beyond > 0.05 * np.count_nonzero(crop >= 0.25)


@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["liver", "tumour"]))
@settings(max_examples=1000)
def test_volumes_of_overlapping_instances_equal_a_loop_over_voxels(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 7, 3).tolist())
    items = []
    for number, mask in enumerate(overlapping_masks(rng, 3, shape), start=1):
        sure = rng.choice([0.5, 0.25, 0.0])  # least inside
        inside = rng.choice([sure, 0.75, 1.0], shape)
        outside = rng.choice([0.0, 0.125, 0.25], shape) * rng.integers(2)
        probability = np.where(mask, inside, outside)
        if rng.random() < 0.1:
            probability.flat[rng.integers(probability.size)] = rng.choice([np.nan, 1.5, -0.25])
        item = Instance.from_mask(
            mask, id=number, class_name=kind, kind=KINDS[kind], probability=probability
        )
        assert item is not None
        items.append(item)
    found = partial_volumes(study(Geometry.from_spacing(shape, (10.0, 10.0, 10.0)), *items))
    for row, item in enumerate(items):
        crop = item.probability.astype(np.float64).ravel().tolist()
        reason = slow_reason(item, crop, item.mask.ravel().tolist())
        volumes = (found.estimate_ml[row], found.low_ml[row], found.high_ml[row])
        wanted = (sum(crop), sum(p >= 0.75 for p in crop), sum(p >= 0.25 for p in crop))
        assert found.reasons[row] == reason
        assert volumes == pytest.approx((math.nan,) * 3 if reason else wanted, nan_ok=True)
        assert found.cut[row] == (not reason and slow_cut(item, shape))

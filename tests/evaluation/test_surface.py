"""Surface distances: the cases of the surface-distance project, and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.evaluation.surface import (
    average_distances_mm,
    hausdorff_mm,
    surface_dice,
    surface_distances,
)

EMPTY = np.zeros((6, 6, 6), dtype=bool)
FULL = np.ones((6, 6, 6), dtype=bool)


def test_two_single_voxels_as_measured_by_surface_distance() -> None:
    ref, pred = np.zeros((2, 128, 128, 128), dtype=bool)
    ref[50, 60, 70] = pred[50, 60, 72] = True
    found = surface_distances(pred, ref, (3.0, 2.0, 1.0))
    assert average_distances_mm(found) == pytest.approx((1.5, 1.5))
    assert (hausdorff_mm(found, 100), hausdorff_mm(found)) == (2.0, 2.0)
    assert surface_dice(found, 1.0) == pytest.approx(0.5)


def test_two_half_volumes_as_measured_by_surface_distance() -> None:
    ref, pred = np.zeros((2, 100, 100, 100), dtype=bool)
    ref[:50], pred[:51] = True, True
    found = surface_distances(pred, ref, (2.0, 1.0, 1.0))
    to_ref, to_pred = average_distances_mm(found)
    assert (to_pred, to_ref) == pytest.approx((0.322, 0.339), abs=5e-4)
    assert (hausdorff_mm(found, 100), hausdorff_mm(found)) == (2.0, 2.0)
    assert surface_dice(found, 1.0) == pytest.approx(0.836, abs=5e-4)


def test_a_box_has_the_area_of_its_faces_in_the_limit() -> None:
    mask = np.zeros((42, 62, 82), dtype=bool)
    mask[1:41, 1:61, 1:81] = True
    spacing = (2.0, 1.0, 0.5)
    sides = (80.0, 60.0, 40.0)
    faces = 2 * (sides[0] * sides[1] + sides[1] * sides[2] + sides[0] * sides[2])
    area = surface_distances(mask, mask, spacing).pred_area_mm2.sum()
    assert area == pytest.approx(faces, rel=0.02)  # edges and corners are bevelled


@pytest.mark.parametrize(
    ("pred", "ref", "dice", "hausdorff", "average"),
    [
        (EMPTY, FULL, 0.0, math.inf, (math.nan, math.inf)),
        (FULL, EMPTY, 0.0, math.inf, (math.inf, math.nan)),
        (EMPTY, EMPTY, math.nan, math.nan, (math.nan, math.nan)),
        (FULL, FULL, 1.0, 0.0, (0.0, 0.0)),
    ],
)
def test_empty_masks_have_the_documented_result(pred, ref, dice, hausdorff, average) -> None:
    found = surface_distances(pred, ref, (1.0, 1.0, 1.0))
    assert surface_dice(found, 1.0) == pytest.approx(dice, nan_ok=True)
    assert hausdorff_mm(found) == pytest.approx(hausdorff, nan_ok=True)
    assert average_distances_mm(found) == pytest.approx(average, nan_ok=True)


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_distances_equal_brute_force_over_all_pairs_of_corners(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spacing = (2.5, 1.0, 0.75)
    pred, ref = rng.random((2, 5, 6, 4)) < 0.2
    pred[2, 2, 2] = ref[3, 1, 1] = True

    def corners(mask: np.ndarray) -> np.ndarray:
        padded = np.pad(mask, 1)
        mixed = [
            index
            for index in np.ndindex(*(length - 1 for length in padded.shape))
            if 0 < padded[tuple(slice(n, n + 2) for n in index)].sum() < 8
        ]
        return np.array(mixed) * spacing

    one, other = corners(pred), corners(ref)
    apart = np.linalg.norm(one[:, None] - other[None], axis=-1)
    found = surface_distances(pred, ref, spacing)
    assert found.pred_mm == pytest.approx(np.sort(apart.min(axis=1)), abs=1e-5)
    assert found.ref_mm == pytest.approx(np.sort(apart.min(axis=0)), abs=1e-5)
    assert hausdorff_mm(found, 100) == pytest.approx(
        max(apart.min(axis=1).max(), apart.min(axis=0).max()), abs=1e-5
    )


def test_masks_of_two_shapes_are_a_bad_call() -> None:
    with pytest.raises(ValueError, match=r"one shape are wanted; got \(6, 6, 6\) and \(5, 6, 6\)"):
        surface_distances(EMPTY, EMPTY[1:], (1.0, 1.0, 1.0))

"""Surface distances: the cases of the surface-distance project, and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.evaluation.distances import nearest_mm
from medseg.evaluation.surface import (
    average_distances_mm,
    average_symmetric_mm,
    hausdorff_mm,
    instance_surface_distances,
    surface_dice,
    surface_distances,
)
from medseg.types import Geometry, Instance

SHEARED = np.array([[0.3, 0.0, 1.0], [0.0, 1.5, 0.4], [2.0, 0.2, 0.0]])
ROTATED = np.linalg.qr(np.array([[1.0, 2.0, 0.5], [0.0, 1.0, 3.0], [2.0, 0.0, 1.0]]))[0]

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
@settings(deadline=None, max_examples=1000)
def test_distances_equal_brute_force_over_all_pairs_of_corners(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spacing = (2.5, 1.0, 0.75)
    pred, ref = rng.random((2, 5, 6, 4)) < 0.2
    pred[2, 2, 2] = ref[3, 1, 1] = True

    one, other = (surface_corners(mask) * spacing for mask in (pred, ref))
    apart = np.linalg.norm(one[:, None] - other[None], axis=-1)
    found = surface_distances(pred, ref, spacing)
    assert found.pred_mm == pytest.approx(np.sort(apart.min(axis=1)), abs=1e-5)
    assert found.ref_mm == pytest.approx(np.sort(apart.min(axis=0)), abs=1e-5)
    assert hausdorff_mm(found, 100) == pytest.approx(
        max(apart.min(axis=1).max(), apart.min(axis=0).max()), abs=1e-5
    )


def surface_corners(mask: np.ndarray) -> np.ndarray:
    """Corners between voxels of which some, not all, are inside; a corner lies before its voxel."""
    padded = np.pad(mask, 1)
    mixed = [
        index
        for index in np.ndindex(*(length - 1 for length in padded.shape))
        if 0 < padded[tuple(slice(n, n + 2) for n in index)].sum() < 8
    ]
    return np.array(mixed)


def as_instance(mask: np.ndarray) -> Instance:
    found = Instance.from_mask(mask, id=1, class_name="tumour", kind="lesion")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("seed", "spacing", "average", "hd95", "hd100", "dice"),
    [
        (0, (1.0, 1.0, 1.0), (0.10453586617, 0.13101931032), 1.0, 1.41421356237, 0.99797605833),
        (1, (5.0, 0.75, 0.75), (0.09731396620, 0.09091575639), 0.75, 1.67705098312, 0.99034753619),
        (2, (2.0, 1.5, 0.8), (0.12205040544, 0.08144421562), 0.8, 2.5, 0.97713257264),
    ],
)
def test_noise_as_measured_by_surface_distance(seed, spacing, average, hd95, hd100, dice) -> None:
    # Version 0.1 of the package; noise holds every arrangement of eight voxels, the ambiguous too.
    ref, pred = np.random.default_rng(seed).random((2, 7, 8, 9)) < 0.3
    found = surface_distances(pred, ref, spacing)
    assert average_distances_mm(found)[::-1] == pytest.approx(average)
    assert (hausdorff_mm(found), hausdorff_mm(found, 100)) == pytest.approx((hd95, hd100))
    assert surface_dice(found, 1.0) == pytest.approx(dice)


def test_a_mask_and_its_complement_have_one_surface() -> None:
    mask = np.zeros((8, 9, 10), dtype=bool)
    mask[2:-2, 2:-2, 2:-2] = np.random.default_rng(0).random((4, 5, 6)) < 0.5
    hollow = np.pad(~mask, 3, constant_values=True)
    outside = np.ones_like(hollow)
    spacing = (2.0, 1.0, 0.5)
    area = surface_distances(mask, mask, spacing).pred_area_mm2.sum()
    whole, shell = (
        surface_distances(one, one, spacing).pred_area_mm2.sum() for one in (hollow, outside)
    )
    assert whole - shell == pytest.approx(area)


@given(seed=st.integers(0, 2**32 - 1), sheared=st.booleans())
@settings(max_examples=1000)
def test_instances_on_any_grid_equal_brute_force_in_the_world(seed: int, sheared: bool) -> None:
    rng = np.random.default_rng(seed)
    shape = (6, 7, 5)
    axes = SHEARED if sheared else ROTATED * (2.5, 1.0, 0.75)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes, (10.0, -20.0, 30.0)
    pred, ref = rng.random((2, *shape)) < rng.choice([0.03, 0.3])
    pred[2, 2, 2] = ref[3, 1, 1] = True
    found = instance_surface_distances(as_instance(pred), as_instance(ref), Geometry(shape, affine))
    one, other = (surface_corners(mask) @ axes.T for mask in (pred, ref))
    apart = np.linalg.norm(one[:, None] - other[None], axis=-1)
    assert found.pred_mm == pytest.approx(np.sort(apart.min(axis=1)))
    assert found.ref_mm == pytest.approx(np.sort(apart.min(axis=0)))


def test_a_turned_grid_gives_what_the_straight_one_gives() -> None:
    rng = np.random.default_rng(3)
    pred, ref = rng.random((2, 7, 6, 8)) < 0.3
    spacing = (3.0, 1.0, 0.8)
    affine = np.eye(4)
    affine[:3, :3] = ROTATED * spacing
    turned = instance_surface_distances(
        as_instance(pred), as_instance(ref), Geometry(pred.shape, affine)
    )
    straight = surface_distances(pred, ref, spacing)
    for name in ("pred_mm", "ref_mm"):
        assert getattr(turned, name) == pytest.approx(getattr(straight, name))
    assert average_symmetric_mm(turned) == pytest.approx(average_symmetric_mm(straight))


def test_a_box_on_a_sheared_grid_has_the_area_of_its_slanted_faces() -> None:
    affine = np.eye(4)
    affine[:3, :3] = SHEARED
    mask = np.ones((40, 40, 40), dtype=bool)
    found = instance_surface_distances(
        as_instance(mask), as_instance(mask), Geometry(mask.shape, affine)
    )
    z, y, x = 40 * SHEARED.T
    faces = 2 * sum(np.linalg.norm(np.cross(*two)) for two in ((z, y), (y, x), (z, x)))
    assert found.pred_area_mm2.sum() == pytest.approx(faces, rel=0.03)  # edges are bevelled
    assert hausdorff_mm(found, 100) == 0.0


def test_the_symmetric_average_weighs_both_surfaces_by_area() -> None:
    ref, pred = np.zeros((2, 12, 12, 12), dtype=bool)
    ref[2:10, 2:10, 2:10] = True
    pred[5, 5, 5] = True
    found = surface_distances(pred, ref, (1.0, 1.0, 1.0))
    to_ref, to_pred = average_distances_mm(found)
    areas = found.pred_area_mm2.sum(), found.ref_area_mm2.sum()
    expected = (to_ref * areas[0] + to_pred * areas[1]) / sum(areas)
    assert average_symmetric_mm(found) == pytest.approx(expected)
    assert average_symmetric_mm(surface_distances(EMPTY, FULL, (1.0, 1.0, 1.0))) == math.inf
    assert math.isnan(average_symmetric_mm(surface_distances(EMPTY, EMPTY, (1.0, 1.0, 1.0))))


@pytest.mark.parametrize("spacing", [0.8, float(np.float32(0.8)), 0.1, float(np.float32(0.1))])
def test_a_distance_equal_to_the_tolerance_is_within_though_a_file_rounded_it(spacing) -> None:
    ref, pred = np.zeros((2, 3, 3, 9), dtype=bool)
    ref[1, 1, 1] = pred[1, 1, 4] = True  # moved by three voxels
    found = surface_distances(pred, ref, (10.0, 10.0, spacing))
    assert surface_dice(found, 3 * round(spacing, 1)) == pytest.approx(1.0)
    assert surface_dice(found, 2.9 * round(spacing, 1)) < 1.0


def test_distances_over_planes_and_columns_without_a_point_are_exact() -> None:
    here, there = np.zeros((2, 9, 11, 13), dtype=bool)
    there[0, 10, 12] = there[8, 0, 0] = True
    here[::2, ::3, ::4] = True
    spacing = np.array([4.0, 1.5, 0.5])
    apart = np.linalg.norm(
        (np.argwhere(here)[:, None] - np.argwhere(there)[None]) * spacing, axis=-1
    )
    assert nearest_mm(here, there, np.diag(spacing)) == pytest.approx(apart.min(axis=1))
    assert np.isinf(nearest_mm(here, np.zeros_like(there), np.diag(spacing))).all()
    assert np.isinf(nearest_mm(here, np.zeros_like(there), SHEARED)).all()


def test_masks_of_two_shapes_are_a_bad_call() -> None:
    with pytest.raises(ValueError, match=r"one shape are wanted; got \(6, 6, 6\) and \(5, 6, 6\)"):
        surface_distances(EMPTY, EMPTY[1:], (1.0, 1.0, 1.0))

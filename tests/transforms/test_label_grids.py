"""Label maps from grid to grid."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator
from transform_cases import TURNS, all_indices, make_card, oblique_geometry

from medseg.transforms.labels import labels_to_grid, resample_labels, round_trip_dice
from medseg.transforms.pipeline import model_grid
from medseg.transforms.resampling import spacing_grid
from medseg.types import Geometry, reoriented_array

RADII_MM = (5.0, 7.5, 10.0, 15.0)
WORST_DICE = {
    # Spacing of the model over that of the image (1 mm), for balls of RADII_MM.
    0.8: (0.99, 0.995, 0.995, 0.995),
    1.0: (1.0, 1.0, 1.0, 1.0),
    1.5: (0.92, 0.94, 0.95, 0.97),
    2.0: (0.84, 0.91, 0.94, 0.96),
}
MOVES = [labels_to_grid, resample_labels]


def balls(geometry: Geometry, centres_mm, radii_mm) -> np.ndarray:
    """Label n + 1 in ball n; voxels by their centres."""
    points = geometry.index_to_world(all_indices(geometry.shape))
    labels = np.zeros(geometry.shape, dtype=np.uint16)
    for number, (centre, radius) in enumerate(zip(centres_mm, radii_mm, strict=True)):
        labels[((points - centre) ** 2).sum(axis=-1) <= radius**2] = number + 1
    return labels


def row_of_balls(seed: int, spacing_mm=(1.0, 1.0, 1.0)):
    shape = [math.ceil(length / mm) for length, mm in zip((40, 40, 92), spacing_mm, strict=True)]
    geometry = Geometry.from_spacing(shape, spacing_mm)
    before = (0.0, *RADII_MM[:3])
    places = np.cumsum([one + other + 2 for one, other in zip(RADII_MM, before, strict=True)])
    jitter = np.random.default_rng(seed).uniform(-0.5, 0.5, (4, 3))
    centres = np.stack([places, [20] * 4, [20] * 4], axis=1) + jitter
    return geometry, balls(geometry, centres, RADII_MM)


@pytest.mark.parametrize("ratio", WORST_DICE)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_round_trip_over_the_models_grid_loses_no_more_than_stated(ratio, seed) -> None:
    geometry, labels = row_of_balls(seed)
    dice = round_trip_dice(labels, geometry, spacing_grid(geometry, (ratio, ratio, ratio)))
    for label, least in enumerate(WORST_DICE[ratio], start=1):
        assert dice[label] >= least


@pytest.mark.parametrize(
    ("spacing_mm", "model_mm"),
    [((1.5, 0.7, 0.7), (1.5, 1.0, 1.0)), ((1.0, 1.0, 1.0), (1.5, 1.5, 1.5))],
)
def test_volumes_are_neither_shrunk_nor_swollen(spacing_mm, model_mm) -> None:
    ratios = []
    for seed in range(6):
        geometry, labels = row_of_balls(seed, spacing_mm)
        model = spacing_grid(geometry, model_mm)
        moved = resample_labels(labels, geometry, model)
        ratios.append(
            [
                (moved == label).sum()
                * model.voxel_ml
                / (labels == label).sum()
                / geometry.voxel_ml
                for label in range(1, 5)
            ]
        )
    assert np.mean(ratios, axis=0) == pytest.approx(1.0, abs=0.025)


def test_equal_shares_give_the_nearest_voxels_label() -> None:
    source = Geometry.identity((1, 1, 8))
    labels = np.array([[[0, 5, 0, 5, 5, 0, 5, 0]]], dtype=np.uint8)
    midway = Geometry.from_spacing((1, 1, 7), (1, 1, 1), origin_mm=(0.5, 0, 0))
    expected = labels_to_grid(labels, source, midway)
    np.testing.assert_array_equal(resample_labels(labels, source, midway), expected)
    assert 0 < np.count_nonzero(expected) < 7


def test_the_largest_share_places_balls_better_than_the_nearest_voxel() -> None:
    geometry, labels = row_of_balls(0)
    model = spacing_grid(geometry, (1.5, 1.5, 1.5))
    nearest = labels_to_grid(labels_to_grid(labels, geometry, model), model, geometry)
    linear = round_trip_dice(labels, geometry, model)
    for label in range(1, 5):
        a, b = labels == label, nearest == label
        assert linear[label] > 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize(("axes", "flips"), TURNS)
def test_a_turned_grid_gets_the_turned_labels(move, axes, flips) -> None:
    geometry = oblique_geometry(1, (4, 5, 6))
    labels = np.random.default_rng(0).integers(0, 4, geometry.shape).astype(np.uint8)
    out = move(labels, geometry, geometry.reoriented(axes, flips))
    np.testing.assert_array_equal(out, reoriented_array(labels, axes, flips))


@pytest.mark.parametrize("move", MOVES)
def test_labels_reach_the_models_grid_of_any_image(move) -> None:
    image = oblique_geometry(6, (30, 31, 32), spacing_mm=(1.0, 1.1, 0.9)).reoriented(
        (2, 0, 1), (True, False, True)
    )
    centre = image.index_to_world(np.asarray(image.shape) / 2)
    labels = balls(image, [centre], [9.0])
    target = model_grid(image, make_card(spacing_mm=(1.5, 1.2, 1.3)))
    moved = move(labels, image, target)
    truth = balls(target, [centre], [9.0])
    overlap = 2 * (moved & truth).sum() / (moved.sum() + truth.sum())
    assert overlap > 0.95


@pytest.mark.parametrize("move", MOVES)
def test_labels_and_types_are_kept(move) -> None:
    geometry = Geometry.identity((6, 6, 6))
    labels = np.zeros((6, 6, 6), dtype=np.int64)
    labels[:3], labels[3:, 3:] = 70_000, 12
    out = move(labels, geometry, spacing_grid(geometry, (0.5, 0.7, 1.0)))
    assert out.dtype == np.int64
    assert set(np.unique(out)) == {0, 12, 70_000}


@pytest.mark.parametrize("move", MOVES)
def test_beyond_the_source_is_background(move) -> None:
    source = Geometry.identity((3, 3, 3))
    target = Geometry.from_spacing((3, 3, 9), (1, 1, 1), origin_mm=(-3, 0, 0))
    out = move(np.ones((3, 3, 3), dtype=np.uint8), source, target)
    assert out[1, 1].tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0]


def test_a_voxel_that_reaches_into_the_source_is_labelled_as_the_image_is_extended() -> None:
    source = Geometry.identity((1, 1, 4))
    target = spacing_grid(source, (1.0, 1.0, 2.0))
    assert target.shape == (1, 1, 3)  # the last centre lies 1 mm beyond the source's
    for move in MOVES:
        out = move(np.array([[[0, 0, 0, 5]]], dtype=np.uint8), source, target)
        assert out.tolist() == [[[0, 0, 5]]]


@settings(max_examples=50)
@given(seed=st.integers(0, 10_000), ratio=st.tuples(*[st.floats(0.4, 2.5)] * 3))
def test_the_largest_share_is_that_of_one_hot_maps(seed, ratio) -> None:
    rng = np.random.default_rng(seed)
    source = Geometry.identity((5, 6, 7))
    target = spacing_grid(source, ratio)
    labels = rng.integers(0, 4, source.shape).astype(np.uint8)
    axes = [np.arange(n) for n in source.shape]
    index = source.world_to_index(target.index_to_world(all_indices(target.shape)))
    index = np.clip(index, 0, np.asarray(source.shape) - 1)
    shares = np.stack(
        [RegularGridInterpolator(axes, (labels == n).astype(float))(index) for n in range(4)]
    )
    out = resample_labels(labels, source, target)
    chosen = np.take_along_axis(shares, out[None].astype(int), axis=0)[0]
    assert (chosen >= shares.max(axis=0) - 1.1e-4).all()  # closer shares count as equal


@pytest.mark.parametrize(("shift_mm", "label"), [(0.29291, 0), (0.2935, 5)])
def test_shares_that_rounding_could_swap_count_as_equal(shift_mm, label) -> None:
    labels = np.array([[[0, 5], [5, 5]]], dtype=np.uint8)  # its share is 1 - (1 - shift)**2
    origin = (shift_mm, shift_mm, 0)
    target = Geometry.from_spacing((1, 1, 1), (1, 1, 1), origin_mm=origin)
    assert resample_labels(labels, Geometry.identity((1, 2, 2)), target).item() == label


def test_three_labels_that_meet_leave_no_hole() -> None:
    source = Geometry.identity((1, 2, 2))
    labels = np.array([[[1, 2], [3, 0]]], dtype=np.uint8)
    middle = Geometry.from_spacing((1, 1, 1), (1, 1, 1), origin_mm=(0.45, 0.45, 0))
    assert resample_labels(labels, source, middle).item() == 1


def test_an_empty_map_stays_empty() -> None:
    geometry = Geometry.identity((4, 4, 4))
    empty = np.zeros((4, 4, 4), dtype=np.uint8)
    finer = spacing_grid(geometry, (0.5, 0.5, 0.5))
    assert not resample_labels(empty, geometry, finer).any()
    assert round_trip_dice(empty, geometry, finer) == {}


def test_the_label_map_is_left_as_it_was() -> None:
    geometry, labels = row_of_balls(0)
    kept = labels.copy()
    out = resample_labels(labels, geometry, geometry)
    out[:] = 0
    resample_labels(labels, geometry, spacing_grid(geometry, (2, 2, 2)))
    np.testing.assert_array_equal(labels, kept)


@pytest.mark.parametrize("move", MOVES)
def test_grids_that_are_not_parallel_are_a_bad_call(move) -> None:
    source, target = oblique_geometry(1, (4, 5, 6)), oblique_geometry(2, (4, 5, 6))
    with pytest.raises(ValueError, match="not parallel"):
        move(np.zeros(source.shape, dtype=np.uint8), source, target)
    with pytest.raises(ValueError, match="differ in shape"):
        move(np.zeros((3, 3, 3), dtype=np.uint8), source, target)

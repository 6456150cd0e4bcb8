"""Index maps between grids, and sampling through them, against torch and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from transform_cases import all_indices, oblique_geometry

from medseg.transforms.grids import GridMap, above_on_grid, argmax_on_grid, interpolate_at
from medseg.transforms.resampling import spacing_grid
from medseg.types import Geometry


def noise(seed: int, shape) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def moved(grid: GridMap, index) -> np.ndarray:
    return np.asarray(index) * np.asarray(grid.scale) + np.asarray(grid.offset)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    ratio=st.tuples(*[st.floats(0.3, 3)] * 3),
    shear=st.sampled_from([0.0, 0.3]),
)
def test_between_agrees_with_the_world(seed, ratio, shear) -> None:
    source = oblique_geometry(seed, (7, 8, 9), shear=shear)
    spacing = np.asarray(source.spacing_mm) * ratio
    target = spacing_grid(source, spacing).crop((slice(0, 1), slice(0, 1), slice(0, 1)))
    index = all_indices(source.shape)
    expected = target.world_to_index(source.index_to_world(index))
    np.testing.assert_allclose(moved(GridMap.between(source, target), index), expected, atol=1e-6)


def test_between_takes_flipped_axes_and_refuses_swapped_ones() -> None:
    source = Geometry.identity((4, 5, 6))
    flipped = source.reoriented((0, 1, 2), (True, False, True))
    assert GridMap.between(source, flipped) == GridMap((-1, 1, -1), (3, 0, 5))
    with pytest.raises(ValueError, match="not parallel"):
        GridMap.between(source, source.reoriented((0, 2, 1), (False, False, False)))


def test_a_slight_turn_is_refused_once_it_moves_voxels() -> None:
    source = Geometry.identity((200, 200, 200))
    turned = source.affine.copy()
    turned[0, 1] = 1e-3  # a fifth of a voxel at the far end
    with pytest.raises(ValueError, match="not parallel"):
        GridMap.between(source, Geometry(source.shape, turned))


@given(stride=st.integers(1, 8), cell=st.integers(0, 20))
def test_a_cells_centre_is_the_middle_of_its_voxels(stride, cell) -> None:
    grid = GridMap((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)).strided(stride)
    voxels = np.arange(cell * stride, (cell + 1) * stride)
    index = np.repeat(voxels.mean(), 3)
    np.testing.assert_allclose(moved(grid, index), [cell] * 3, atol=1e-9)


def test_strided_is_what_pooling_does() -> None:
    volume = all_indices((8, 8, 8))[..., 2].astype(np.float32)
    pooled = torch.nn.functional.avg_pool3d(torch.from_numpy(volume)[None, None], 4)[0]
    grid = GridMap((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)).strided(4)
    inner = [2.0, 3.0, 4.0, 5.0]  # between the centres of the two cells
    z, y, x = moved(grid, np.stack([inner] * 3, axis=1)).T
    np.testing.assert_allclose(interpolate_at(pooled.numpy(), z, y, x)[0], inner, atol=1e-5)


@given(
    start=st.tuples(*[st.integers(0, 5)] * 3),
    scale=st.tuples(*[st.floats(0.1, 3)] * 3),
    offset=st.tuples(*[st.floats(-5, 5)] * 3),
)
def test_shifted_is_a_crop_of_the_target(start, scale, offset) -> None:
    grid = GridMap(scale, offset)
    index = np.array([2.0, 3.0, 4.0])
    np.testing.assert_allclose(
        moved(grid.shifted(start), index), moved(grid, index) - np.asarray(start), atol=1e-12
    )
    for axis in range(3):
        expected = [moved(grid.shifted(start), [n] * 3)[axis] for n in (3, 4)]
        np.testing.assert_allclose(grid.shifted(start).coordinates(axis, 3, 5), expected)


@pytest.mark.parametrize("shape", [(9, 11, 13), (4, 5, 6), (10, 5, 24), (1, 3, 5)])
def test_argmax_is_that_of_interpolated_maps(shape) -> None:
    maps = noise(1, (5, 5, 6, 7))
    full = torch.nn.functional.interpolate(
        torch.from_numpy(maps)[None], size=shape, mode="trilinear", align_corners=False
    )[0].numpy()
    axes = [(np.arange(n) + 0.5) * maps.shape[k + 1] / n - 0.5 for k, n in enumerate(shape)]
    out = argmax_on_grid(maps, *axes)
    assert (out.shape, out.dtype) == (shape, np.uint8)
    chosen = np.take_along_axis(full, out[None].astype(np.int64), axis=0)[0]
    np.testing.assert_allclose(chosen, full.max(axis=0), atol=1e-6)
    assert (out == full.argmax(axis=0)).mean() > 0.999


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    channels=st.integers(1, 4),
)
def test_interpolation_is_that_of_scipy_inside_and_the_borders_value_outside(
    seed, shape, channels
) -> None:
    maps = noise(seed, (channels, *shape))
    points = np.random.default_rng(seed).uniform(-2, 7, (3, 20))
    out = interpolate_at(maps, *points)
    assert (out.shape, out.dtype) == ((channels, 20), np.float32)
    for channel in range(channels):
        expected = map_coordinates(maps[channel], points, order=1, mode="nearest")
        np.testing.assert_allclose(out[channel], expected, atol=1e-5)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_both_samplers_agree(seed) -> None:
    rng = np.random.default_rng(seed)
    maps = noise(seed, (3, 4, 5, 6))
    axes = [np.sort(rng.uniform(-1, 6, 4)) for _ in range(3)]
    points = [axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")]
    values = interpolate_at(maps, *points)
    chosen = argmax_on_grid(maps, *axes).ravel()
    best = values.max(axis=0)
    np.testing.assert_allclose(values[chosen, np.arange(chosen.size)], best, atol=1e-6)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_above_is_where_the_interpolated_value_exceeds_the_threshold(threshold) -> None:
    values = noise(3, (5, 6, 7))
    axes = [np.linspace(-1, n, 2 * n) for n in values.shape]
    points = [axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")]
    exact = map_coordinates(values, points, order=1, mode="nearest")
    above = above_on_grid(values, *axes, threshold=threshold).ravel()
    sure = np.abs(exact - threshold) > 1e-5
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(above[sure], exact[sure] > threshold)
    assert not above_on_grid(np.full_like(values, threshold), *axes, threshold=threshold).any()


def test_equal_values_give_the_lower_channel() -> None:
    axis = np.linspace(0, 2, 5)
    assert not argmax_on_grid(np.ones((4, 3, 3, 3), dtype=np.float32), axis, axis, axis).any()


def test_views_and_other_types_are_taken() -> None:
    maps = noise(0, (7, 6, 5, 2)).astype(np.float64).transpose(3, 2, 1, 0)
    axes = [np.arange(n, dtype=np.float64) for n in maps.shape[1:]]
    np.testing.assert_array_equal(argmax_on_grid(maps, *axes), maps.argmax(axis=0))


def test_no_points_give_no_values() -> None:
    none = np.zeros(0)
    assert interpolate_at(noise(0, (2, 3, 3, 3)), none, none, none).shape == (2, 0)


def test_more_channels_than_the_output_holds_are_a_bad_call() -> None:
    axis = np.zeros(1)
    with pytest.raises(ValueError, match="at most 256 channels fit the output type; got 257"):
        argmax_on_grid(np.zeros((257, 1, 1, 1), dtype=np.float32), axis, axis, axis)

"""Spacing: where it samples, what it leaves alone, what it smooths."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Compose, Flipd, Spacing
from transform_cases import (
    TURNS,
    all_indices,
    make_card,
    noise_volume,
    oblique_geometry,
    world_ramp,
)

from medseg.transforms.bridge import geometry_of, to_metatensor
from medseg.transforms.grids import GridMap
from medseg.transforms.pipeline import orientation_step, spacing_step, turn_to_spl
from medseg.transforms.resampling import blur_sigma, resample_linear, smooth, spacing_grid
from medseg.transforms.spatial import AntialiasedSpacingd
from medseg.types import Geometry, Volume

spacings = st.tuples(*[st.floats(0.4, 6.0)] * 3)


def assert_ramp(tensor: MetaTensor, source: Geometry, margin: float) -> None:
    """Values are the world's ramp wherever `margin` source voxels lie on every side."""
    geometry = geometry_of(tensor)
    index = source.world_to_index(geometry.index_to_world(all_indices(geometry.shape)))
    ends = np.asarray(source.shape) - 1 - margin
    inside = ((index >= margin) & (index <= ends)).all(axis=-1)
    assert inside.any()
    expected = world_ramp(geometry)
    np.testing.assert_allclose(tensor[0].numpy()[inside], expected[inside], atol=1e-6)


@pytest.mark.parametrize(("axes", "flips"), TURNS)
def test_a_world_ramp_stays_in_place_in_every_orientation(axes, flips) -> None:
    geometry = oblique_geometry(5, spacing_mm=(2.5, 0.7, 1.1)).reoriented(axes, flips)
    volume = Volume(world_ramp(geometry), geometry)
    card = make_card(spacing_mm=(1.2, 1.5, 1.1))
    tensor = spacing_step(card)(orientation_step(card)({"t1": to_metatensor(volume)}))["t1"]
    assert_ramp(tensor, geometry, margin=5)
    turned = geometry.reoriented(*turn_to_spl(geometry))
    assert_same_places(turned, geometry_of(tensor))


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), spacing=spacings, shear=st.sampled_from([0.0, 1e-4, 0.3]))
def test_a_world_ramp_stays_in_place_on_oblique_and_sheared_grids(seed, spacing, shear) -> None:
    geometry = oblique_geometry(seed, (19, 20, 21), shear=shear)
    near = np.asarray(geometry.spacing_mm) * np.clip(spacing, 0.6, 2.0)
    volume = Volume(world_ramp(geometry), geometry)
    transform = AntialiasedSpacingd("a", spacing_mm=near.tolist())
    tensor = transform({"a": to_metatensor(volume)})["a"]
    assert_ramp(tensor, geometry, margin=5)
    assert_same_places(geometry, geometry_of(tensor))


@pytest.mark.parametrize(("axes", "flips"), TURNS)
def test_every_orientation_of_one_image_gives_one_result(axes, flips) -> None:
    volume = noise_volume(geometry=oblique_geometry(8, (9, 10, 11), spacing_mm=(3, 0.8, 1.0)))
    card = make_card(spacing_mm=(1.5, 1.0, 1.6))
    steps = Compose([orientation_step(card), spacing_step(card)])
    expected = steps({"t1": to_metatensor(volume)})["t1"]
    turned = steps({"t1": to_metatensor(volume.reoriented(axes, flips))})["t1"]
    torch.testing.assert_close(turned.as_tensor(), expected.as_tensor())
    assert geometry_of(turned).same_grid(geometry_of(expected), 1e-6)


def assert_same_places(source: Geometry, target: Geometry) -> None:
    grid = GridMap.between(source, target)
    index = all_indices(source.shape)[::7, ::7, ::7]
    moved = index * np.asarray(grid.scale) + np.asarray(grid.offset)
    np.testing.assert_allclose(
        target.index_to_world(moved), source.index_to_world(index), atol=1e-6
    )


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), spacing=spacings)
def test_grid_and_values_are_those_of_monai_where_it_up_samples(seed, spacing) -> None:
    geometry = oblique_geometry(seed, (5, 6, 7))
    finer = np.asarray(geometry.spacing_mm) / np.clip(spacing, 1.05, 6)
    extents = (np.asarray(geometry.shape) - 1) * geometry.spacing_mm / finer
    if np.abs(extents % 1 - 0.5).min() < 1e-3:
        return  # ties go to even in MONAI, up here
    image = to_metatensor(noise_volume(seed, geometry))
    theirs = Spacing(finer, dtype=np.float64)(image)
    ours = AntialiasedSpacingd("a", spacing_mm=finer.tolist())({"a": image})["a"]
    torch.testing.assert_close(ours.affine, theirs.affine, atol=1e-9, rtol=0)
    torch.testing.assert_close(ours.as_tensor(), theirs.as_tensor(), atol=1e-3, rtol=0)


@settings(max_examples=100)
@given(seed=st.integers(0, 10_000), spacing=spacings)
def test_the_last_centre_lies_within_half_a_step_of_the_last_source_centre(seed, spacing) -> None:
    source = oblique_geometry(seed, (7, 30, 31), shear=0.1)
    grid = spacing_grid(source, spacing)
    np.testing.assert_allclose(grid.spacing_mm, spacing, rtol=1.1e-3)
    assert grid.origin_mm == source.origin_mm
    last = grid.world_to_index(source.index_to_world(np.asarray(source.shape) - 1))
    assert (np.abs(last - (np.asarray(grid.shape) - 1)) <= 0.5 + 1e-3).all()


def test_ties_do_not_hang_on_how_a_file_rounds() -> None:
    shapes = {
        spacing_grid(Geometry.from_spacing((4, 4, 4), [mm] * 3), (2.0, 2.0, 2.0)).shape
        for mm in (1.0, 1.0 - 1e-6, 1.0 + 1e-6)
    }
    assert shapes == {(3, 3, 3)}


def test_an_image_that_fits_is_untouched() -> None:
    array = np.random.default_rng(0).integers(-1000, 1000, (5, 6, 7)).astype(np.int16)
    geometry = Geometry.from_spacing((5, 6, 7), (2.0, 1.0005, 0.9995))
    image = to_metatensor(Volume(array, geometry))
    same = AntialiasedSpacingd("a", spacing_mm=(2.0, 1.0, 1.0))({"a": image})["a"]
    assert same.dtype == torch.int16
    np.testing.assert_array_equal(same[0].numpy(), array)
    assert geometry_of(same) == geometry


def test_an_axis_that_fits_is_untouched() -> None:
    volume = noise_volume(geometry=Geometry.from_spacing((9, 6, 7), (1.0, 1.0, 1.0)))
    image = to_metatensor(volume)
    out = AntialiasedSpacingd("a", spacing_mm=(2.0, 1.0, 1.0))({"a": image})["a"]
    # Constant along z: whatever z does, rows must be the very rows of the source.
    flat = torch.broadcast_to(image.as_tensor()[:, :1], image.shape).clone()
    still = AntialiasedSpacingd("a", spacing_mm=(2.0, 1.0, 1.0))(
        {"a": MetaTensor(flat, affine=image.affine)}
    )["a"]
    assert out.shape == (1, 5, 6, 7)
    torch.testing.assert_close(still[:, 2].as_tensor(), flat[:, 0])


def test_down_sampling_leaves_little_of_what_the_grid_cannot_hold() -> None:
    stripes = torch.ones(1, 40, 4, 4)
    stripes[:, ::2] = -1.0
    halved = GridMap((2.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    aliased = resample_linear(stripes, halved, (20, 4, 4), antialias=False)
    smoothed = resample_linear(stripes, halved, (20, 4, 4))
    assert aliased[0, 5:-5].abs().min() == 1.0
    assert smoothed[0, 5:-5].abs().max() < 0.15


def test_up_sampling_does_not_smooth() -> None:
    values = torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0]).view(1, 5, 1, 1)
    out = resample_linear(values, GridMap((0.5, 1.0, 1.0), (0.0, 0.0, 0.0)), (9, 1, 1))
    assert out.flatten().tolist() == [0, 0, 0, 0.5, 1, 0.5, 0, 0, 0]


def test_smoothing_keeps_a_constant_up_to_the_border() -> None:
    values = torch.full((2, 9, 8, 7), 5.0)
    torch.testing.assert_close(smooth(values, (3.0, 2.0, 1.0)), values)


@given(step=st.floats(1.01, 10))
def test_the_blur_widens_a_voxel_sized_spread_to_the_step(step) -> None:
    fwhm = 2 * math.sqrt(2 * math.log(2)) * blur_sigma(step)
    assert math.hypot(1.0, fwhm) == pytest.approx(step)


@pytest.mark.parametrize("step", [0.3, 1.0, 1.0005])
def test_no_blur_without_down_sampling(step) -> None:
    assert blur_sigma(step) == 0.0


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.float64])
def test_every_type_gives_the_same_values(dtype) -> None:
    values = torch.arange(3 * 4 * 5 * 6).view(3, 4, 5, 6) % 200
    grid = GridMap((0.7, 1.6, 0.4), (0.1, 0.2, -0.3))
    expected = resample_linear(values.double(), grid, (5, 3, 9))
    out = resample_linear(values.to(dtype), grid, (5, 3, 9))
    assert out.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(out.double(), expected, atol=1e-4, rtol=0)


def test_the_inverse_gives_grid_and_smooth_content_back() -> None:
    geometry = oblique_geometry(2, (20, 21, 22), spacing_mm=(2.0, 1.0, 1.3))
    wave = np.sin(world_ramp(geometry) / 150)
    data = {"a": to_metatensor(Volume(wave, geometry)), "b": "kept"}
    pipeline = Compose([AntialiasedSpacingd("a", spacing_mm=(1.0, 1.0, 1.0)), Flipd("a", 0)])
    back = pipeline.inverse(pipeline(data))
    assert back["b"] == "kept"
    assert geometry_of(back["a"]).same_grid(geometry, 1e-6)
    inner = back["a"][0].numpy()[3:-3, 3:-3, 3:-3]
    np.testing.assert_allclose(inner, wave[3:-3, 3:-3, 3:-3], atol=0.01)


def test_the_source_is_left_as_it_was() -> None:
    image = to_metatensor(noise_volume())
    values, affine = image.as_tensor().clone(), image.affine.clone()
    AntialiasedSpacingd("a", spacing_mm=(2.0, 2.0, 2.0))({"a": image})
    torch.testing.assert_close(image.as_tensor(), values)
    torch.testing.assert_close(image.affine, affine)
    assert image.applied_operations == []


def test_an_lps_tensor_stays_in_lps() -> None:
    geometry = oblique_geometry(4)
    affine = torch.from_numpy(geometry.affine.copy())
    values = torch.from_numpy(world_ramp(geometry))[None]
    image = MetaTensor(values, affine=affine, meta={"space": "LPS"})
    out = AntialiasedSpacingd("a", spacing_mm=(1.0, 1.0, 1.0))({"a": image})["a"]
    assert out.meta["space"] == "LPS"
    assert_ramp(out, geometry, margin=5)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0), (1.0, 0.0, 1.0), (1.0, -1.0, 1.0)])
def test_a_senseless_spacing_is_a_bad_call(spacing_mm) -> None:
    with pytest.raises(ValueError, match="spacing_mm is three numbers above 0"):
        AntialiasedSpacingd("a", spacing_mm=spacing_mm)
    if len(spacing_mm) == 3:
        with pytest.raises(ValueError, match="spacing_mm is above 0"):
            spacing_grid(Geometry.identity((2, 2, 2)), spacing_mm)

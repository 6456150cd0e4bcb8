"""A card's pipeline as a whole, and its two grids."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Compose
from transform_cases import (
    CT_WINDOW,
    TURNS,
    Z_SCORE,
    all_indices,
    make_card,
    noise_volume,
    oblique_geometry,
)

from medseg import read
from medseg.errors import InputRefused
from medseg.transforms import pipeline
from medseg.transforms.bridge import geometry_of, to_metatensor
from medseg.transforms.grids import GridMap
from medseg.transforms.pipeline import model_grid, preprocess, preprocessing, turn_to_spl
from medseg.types import Geometry, Volume

THREE = make_card(("flair", True, Z_SCORE), ("t1", True, Z_SCORE), ("t2", False, Z_SCORE))


def three_volumes(*names, geometry=None) -> dict[str, Volume]:
    return {name: noise_volume(n, geometry) for n, name in enumerate(names)}


def test_the_result_is_a_plain_float_tensor_on_the_models_grid() -> None:
    volume = noise_volume(geometry=oblique_geometry(1, spacing_mm=(3.0, 0.7, 0.9)))
    card = make_card(spacing_mm=(1.5, 1.0, 0.9))
    prepared = preprocess(volume, card)
    assert type(prepared.image) is torch.Tensor
    assert (prepared.image.dtype, prepared.image.is_contiguous()) == (torch.float32, True)
    assert prepared.image.shape == (1, *prepared.geometry.shape)
    np.testing.assert_allclose(prepared.geometry.spacing_mm, card.spacing_mm, rtol=1e-3)
    assert prepared.image_geometry == volume.geometry
    assert (prepared.warnings, prepared.defaults) == ((), ())


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    turn=st.sampled_from(TURNS),
    spacing=st.tuples(*[st.floats(0.5, 4)] * 3),
)
def test_the_grids_are_known_without_running_the_pipeline(seed, turn, spacing) -> None:
    geometry = oblique_geometry(seed, (5, 6, 7), shear=0.05).reoriented(*turn)
    card = make_card(spacing_mm=spacing)
    prepared = preprocess(noise_volume(seed, geometry), card)
    expected = model_grid(geometry, card)
    assert prepared.geometry.shape == expected.shape
    np.testing.assert_allclose(prepared.geometry.affine, expected.affine, atol=1e-9)
    turned = geometry.reoriented(prepared.axes, prepared.flips)
    assert prepared.turned_geometry == turned
    grid = GridMap.between(turned, prepared.geometry)
    assert min(grid.scale) > 0
    index = all_indices(turned.shape) * np.asarray(grid.scale) + np.asarray(grid.offset)
    np.testing.assert_allclose(
        prepared.geometry.index_to_world(index),
        turned.index_to_world(all_indices(turned.shape)),
        atol=1e-6,
    )


@pytest.mark.parametrize(("axes", "flips"), TURNS)
def test_axes_lead_to_superior_posterior_left(axes, flips) -> None:
    geometry = oblique_geometry(0, spacing_mm=(1, 1, 1))
    tilt = geometry.direction.T @ geometry.reoriented(axes, flips).direction
    straight = Geometry.identity((4, 5, 6)).reoriented(axes, flips)
    assert straight.reoriented(*turn_to_spl(straight)) == Geometry.identity((4, 5, 6))
    assert np.abs(tilt).max() == pytest.approx(1.0)


def test_the_turn_is_the_one_that_monai_makes_even_when_all_planes_are_oblique() -> None:
    differing = 0
    for seed in range(60):
        geometry = oblique_geometry(seed, (3, 4, 5))
        card = make_card(spacing_mm=(1.0, 1.0, 1.0))
        turn = pipeline.orientation_step(card)
        turned = turn({"t1": to_metatensor(noise_volume(geometry=geometry))})["t1"]
        assert geometry_of(turned).same_grid(geometry.reoriented(*turn_to_spl(geometry)), 1e-9)
        differing += turn_to_spl(geometry) != geometry.closest_axes()
    assert differing > 0  # else `closest_axes` would do


def test_statistics_are_those_of_the_image_not_of_the_grid() -> None:
    volume = noise_volume(geometry=Geometry.from_spacing((20, 20, 20), (1, 1, 1)))
    images = [
        preprocess(volume, make_card(spacing_mm=(mm, mm, mm))).image for mm in (1.0, 0.5, 2.0)
    ]
    torch.testing.assert_close(images[1][:, ::2, ::2, ::2], images[0], atol=1e-4, rtol=0)
    assert images[0].std().item() == pytest.approx(1, abs=0.02)
    assert images[2].std().item() < 0.5  # smoothed noise, not scaled up again


def test_absent_optional_channels_are_zero_after_scaling() -> None:
    prepared = preprocess(three_volumes("flair", "t1"), THREE)
    assert prepared.image.shape[0] == 3
    assert prepared.image[2].abs().max() == 0
    assert min(prepared.image[n].abs().max() for n in (0, 1)) > 1
    assert prepared.defaults == ("channel 't2' was not given: filled with zeros",)


def test_channels_are_stacked_in_the_cards_order() -> None:
    volumes = three_volumes("t2", "t1", "flair")
    stacked = preprocess(volumes, THREE).image
    for position, name in enumerate(("flair", "t1", "t2")):
        alone = preprocess(volumes[name], make_card()).image[0]
        torch.testing.assert_close(stacked[position], alone)


def test_what_was_assumed_is_listed() -> None:
    card = make_card(("ct", True, CT_WINDOW), modality="CT")
    prepared = preprocess(noise_volume(modality="unknown", unit="unknown"), card)
    assert [one.code for one in prepared.warnings] == ["modality-assumed", "unit-assumed"]
    assert prepared.defaults == tuple(one.detail for one in prepared.warnings)


def test_a_sheared_grid_is_handled_and_said() -> None:
    volume = noise_volume(geometry=oblique_geometry(3, shear=0.2))
    prepared = preprocess(volume, make_card(spacing_mm=(1.1, 1.2, 1.3)))
    assert [one.code for one in prepared.warnings] == ["sheared-grid"]
    assert "degrees" in prepared.warnings[0].detail
    GridMap.between(prepared.turned_geometry, prepared.geometry)


def test_a_grid_beyond_the_limit_is_refused_before_it_is_made() -> None:
    coarse = Geometry.from_spacing((30, 30, 30), (100.0, 100.0, 100.0))
    with pytest.raises(InputRefused, match=r"2901, 2901, 2901.*too-large"):
        preprocess(noise_volume(geometry=coarse), make_card())


def test_the_pipeline_is_a_compose_that_leaves_other_keys() -> None:
    steps = preprocessing(make_card())
    assert isinstance(steps, Compose)
    out = steps({"t1": to_metatensor(noise_volume()), "label": 7})
    assert set(out) == {"image", "label"}
    assert isinstance(out["image"], MetaTensor)


def test_a_channel_may_be_called_image() -> None:
    card = make_card(("image", True, Z_SCORE), ("other", False, Z_SCORE))
    assert preprocess(noise_volume(), card).image.shape == (2, 8, 10, 12)


def test_the_volumes_are_left_as_they_were() -> None:
    volume = noise_volume()
    kept = volume.array.copy()
    first = preprocess(volume, make_card(spacing_mm=(0.7, 0.7, 2.0))).image
    np.testing.assert_array_equal(volume.array, kept)
    torch.testing.assert_close(
        first, preprocess(volume, make_card(spacing_mm=(0.7, 0.7, 2.0))).image, rtol=0, atol=0
    )


def test_real_hippocampi_of_any_intensity_come_out_alike(shared_data) -> None:
    paths = sorted((shared_data / "hippocampus_mr" / "images").glob("*.nii.gz"))
    volumes = [read(path, modality="MR", unit="arbitrary") for path in paths[:40]]
    highest = [float(volume.array.max()) for volume in volumes]
    assert max(highest) > 100 * min(highest)
    for volume in volumes:
        image = preprocess(volume, make_card()).image
        assert image.shape[1:] == volume.geometry.reoriented(*turn_to_spl(volume.geometry)).shape
        inner = image[image > image.min()]
        assert abs(inner.mean().item()) < 0.2
        assert -4 < image.min() < image.max() < 6

"""Several images as channels: who is refused, who is moved, what is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transform_cases import (
    CT_WINDOW,
    SUV,
    TURNS,
    Z_SCORE,
    all_indices,
    make_card,
    noise_volume,
    oblique_geometry,
    rotation,
    world_ramp,
)

from medseg.errors import InputRefused
from medseg.transforms.bridge import geometry_of
from medseg.transforms.channels import assemble_channels, coverage, resample_to
from medseg.types import Geometry, InputWarning, Volume

ONE = make_card()
TWO = make_card(("flair", True, Z_SCORE), ("t1", True, Z_SCORE), ("t2", False, Z_SCORE))
CT = make_card(("ct", True, CT_WINDOW), modality="CT")
PET_CT = make_card(("pet", True, SUV), ("ct", True, CT_WINDOW), modality="PT")


def refused(volumes, card) -> InputRefused:
    with pytest.raises(InputRefused) as caught:
        assemble_channels(volumes, card)
    return caught.value


def codes(warnings) -> list[str]:
    return [one.code for one in warnings]


def test_a_single_volume_is_the_first_channel() -> None:
    volume = noise_volume()
    channels, warnings = assemble_channels(volume, ONE)
    assert list(channels) == ["t1"]
    np.testing.assert_array_equal(channels["t1"][0].numpy(), volume.array)
    assert warnings == ()


def test_channels_come_in_the_cards_order() -> None:
    given_order = {"t2": noise_volume(2), "t1": noise_volume(1), "flair": noise_volume(0)}
    channels, _ = assemble_channels(given_order, TWO)
    assert list(channels) == ["flair", "t1", "t2"]


def test_an_absent_optional_channel_is_said() -> None:
    channels, warnings = assemble_channels({"flair": noise_volume(), "t1": noise_volume(1)}, TWO)
    assert list(channels) == ["flair", "t1"]
    assert codes(warnings) == ["channel-absent"]
    assert "'t2'" in warnings[0].detail


@pytest.mark.parametrize(
    ("names", "code", "subject", "detail"),
    [
        (["flair"], "channel-missing", "channel 't1'", "requires 'flair', 't1'"),
        ([], "channel-missing", "channel 'flair'", "requires 'flair', 't1'"),
        (["t1"], "channel-missing", "channel 'flair'", "requires 'flair', 't1'"),
        (["flair", "t1", "T2"], "channel-unknown", "channel 'T2'", "has 'flair', 't1', 't2'"),
    ],
)
def test_wrong_names_are_refused_with_the_right_ones(names, code, subject, detail) -> None:
    error = refused({name: noise_volume() for name in names}, TWO)
    assert (error.code, error.subject) == (code, subject)
    assert detail in error.detail


def test_a_single_volume_is_not_enough_where_two_are_required() -> None:
    assert refused(noise_volume(), TWO).code == "channel-missing"


@pytest.mark.parametrize(
    ("card", "fields", "code"),
    [
        (ONE, {"modality": "CT", "unit": "HU"}, "modality-mismatch"),
        (CT, {"modality": "MR", "unit": "arbitrary"}, "modality-mismatch"),
        (CT, {"modality": "CT", "unit": "arbitrary"}, "unit-mismatch"),
        (CT, {"modality": "unknown", "unit": "SUVbw"}, "unit-mismatch"),
    ],
)
def test_another_modality_or_unit_is_refused(card, fields, code) -> None:
    assert refused(noise_volume(**fields), card).code == code


def test_pet_in_becquerel_is_refused_for_a_model_of_suv() -> None:
    volumes = {
        "pet": noise_volume(modality="PT", unit="Bq/ml"),
        "ct": noise_volume(1, modality="CT", unit="HU"),
    }
    error = refused(volumes, PET_CT)
    assert (error.code, error.subject) == ("unit-mismatch", "channel 'pet'")
    assert "SUVbw" in error.remedy
    volumes["pet"] = replace(volumes["pet"], unit="SUVbw")
    assert list(assemble_channels(volumes, PET_CT)[0]) == ["pet", "ct"]


def test_what_is_not_said_is_assumed_aloud() -> None:
    warnings = assemble_channels(noise_volume(modality="unknown", unit="unknown"), CT)[1]
    assert codes(warnings) == ["modality-assumed", "unit-assumed"]
    assert "CT" in warnings[0].detail
    assert "HU" in warnings[1].detail


def test_mr_needs_no_unit() -> None:
    assert assemble_channels(noise_volume(unit="unknown"), ONE)[1] == ()


def test_warnings_of_the_files_are_passed_on_once() -> None:
    note = InputWarning("affine-conflict", "sform was taken")
    volumes = {name: noise_volume(warnings=(note,)) for name in ("flair", "t1", "t2")}
    assert assemble_channels(volumes, TWO)[1] == (note,)


@pytest.mark.parametrize(
    ("bad", "code"),
    [(np.nan, "not-finite"), (np.inf, "not-finite"), (-np.inf, "not-finite")],
)
def test_one_bad_voxel_is_refused(bad, code) -> None:
    volume = noise_volume()
    volume.array[2, 3, 4] = bad
    error = refused({"flair": noise_volume(), "t1": volume}, TWO)
    assert (error.code, error.subject) == (code, "channel 't1'")


@pytest.mark.parametrize("dtype", ["int16", "float32", "uint8"])
def test_a_constant_image_is_refused(dtype) -> None:
    volume = noise_volume()
    constant = replace(volume, array=np.full(volume.array.shape, 7, dtype=dtype))
    error = refused(constant, ONE)
    assert error.code == "constant-image"
    assert error.subject == "channel 't1'"
    assert "every voxel has the value 7" in error.detail


@pytest.mark.parametrize(
    ("frames", "passes"),
    [(("1.2", "1.2"), True), (("1.2", None), True), ((None, None), True), (("1.2", "1.3"), False)],
)
def test_frames_of_reference_must_agree_where_both_are_known(frames, passes) -> None:
    first, second = (
        noise_volume(meta={} if frame is None else {"frame_of_reference": frame})
        for frame in frames
    )
    volumes = {"flair": first, "t1": second}
    if passes:
        assemble_channels(volumes, TWO)
    else:
        assert refused(volumes, TWO).code == "mixed-frame-of-reference"


def shifted(volume: Volume, shift_mm) -> Volume:
    affine = volume.geometry.affine.copy()
    affine[:3, 3] += shift_mm
    return replace(volume, geometry=Geometry(volume.geometry.shape, affine))


def test_a_channel_on_the_same_grid_is_untouched() -> None:
    array = np.arange(960, dtype=np.int16).reshape(8, 10, 12)
    moved = shifted(replace(noise_volume(), array=array), (0.005, 0, 0))
    channels, warnings = assemble_channels({"flair": noise_volume(), "t1": moved}, TWO)
    np.testing.assert_array_equal(channels["t1"][0].numpy(), array)
    assert geometry_of(channels["t1"]) == noise_volume().geometry
    assert codes(warnings) == ["channel-absent"]


def test_a_channel_that_covers_too_little_is_refused_with_the_share() -> None:
    volumes = {"flair": noise_volume(), "t1": shifted(noise_volume(1), (9, 0, 0))}
    error = refused(volumes, TWO)
    assert error.code == "grid-mismatch"
    assert error.detail.startswith("it covers 25% of channel 'flair'")
    elsewhere = {"flair": noise_volume(), "t1": shifted(noise_volume(1), (500, 0, 0))}
    assert refused(elsewhere, TWO).detail.startswith("it covers 0%")


def test_where_a_channel_does_not_reach_it_has_its_minimum() -> None:
    volume = shifted(noise_volume(1), (3, 0, 0))
    channels, warnings = assemble_channels({"flair": noise_volume(), "t1": volume}, TWO)
    out = channels["t1"][0].numpy()
    assert codes(warnings) == ["channel-resampled", "channel-partial", "channel-absent"]
    assert "75%" in warnings[1].detail
    np.testing.assert_allclose(out[..., :3], volume.array.min())
    np.testing.assert_allclose(out[..., 3:], volume.array[..., :-3], rtol=1e-6)


def test_an_oblique_channel_has_its_minimum_where_it_does_not_reach() -> None:
    volume = noise_volume(1, oblique_geometry(1, (12, 12, 12), spacing_mm=(1, 1, 1)))
    affine = Geometry.identity((30, 30, 30)).affine.copy()
    affine[:3, 3] = volume.geometry.index_to_world([5.5, 5.5, 5.5]) - 14.5
    target = Geometry((30, 30, 30), affine)
    out = resample_to(volume, target)[0].numpy()
    index = volume.geometry.world_to_index(target.index_to_world(all_indices(target.shape)))
    outside = ((index < -1) | (index > 12)).any(axis=-1)
    assert outside.any()
    np.testing.assert_allclose(out[outside], volume.array.min(), rtol=1e-6)
    assert out[~outside].mean() > volume.array.min() + 20


def test_coverage_is_the_share_of_the_first_grid() -> None:
    first = Geometry.from_spacing((10, 10, 10), (1, 1, 1))
    large = Geometry.from_spacing((50, 50, 50), (1, 1, 1), origin_mm=(-20, -20, -20))
    assert coverage(first, large) == 1.0
    assert coverage(large, first) == pytest.approx((10 / 50) ** 3, rel=0.2)
    assert coverage(first, first.reoriented((2, 0, 1), (True, False, True))) == 1.0


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), parallel=st.booleans())
def test_a_world_ramp_arrives_in_place_on_any_other_grid(seed, parallel) -> None:
    rng = np.random.default_rng(seed)
    source = oblique_geometry(seed, (30, 31, 32), spacing_mm=(2.0, 2.2, 2.4))
    turn = np.eye(3) if parallel else rotation(rng)
    affine = np.eye(4)
    affine[:3, :3] = turn @ source.affine[:3, :3] * rng.uniform(0.5, 1.6, 3)
    centre = source.index_to_world([14.5, 15.0, 15.5])
    affine[:3, 3] = centre - affine[:3, :3] @ [2.0, 2.5, 3.0]
    target = Geometry((5, 6, 7), affine)
    out = resample_to(Volume(world_ramp(source), source), target)
    np.testing.assert_allclose(out[0].numpy(), world_ramp(target), atol=2e-2)
    assert geometry_of(out).same_grid(target, 1e-6)


@pytest.mark.parametrize(("axes", "flips"), TURNS[::5])
def test_a_turned_channel_gives_the_same_values(axes, flips) -> None:
    first, second = noise_volume(0), noise_volume(1)
    turned = second.reoriented(axes, flips)
    channels, _ = assemble_channels({"flair": first, "t1": turned}, TWO)
    np.testing.assert_allclose(channels["t1"][0].numpy(), second.array, rtol=1e-4)


def test_a_finer_channel_is_smoothed_before_it_is_sampled() -> None:
    fine = noise_volume(1, Geometry.from_spacing((60, 60, 60), (1.0, 1.0, 1.0)))
    turns = (np.eye(3), rotation(np.random.default_rng(0)))
    for turn in turns:
        affine = np.eye(4)
        affine[:3, :3] = turn @ Geometry.from_spacing((1, 1, 1), (3, 3, 3)).affine[:3, :3]
        middle = affine[:3, :3] @ [4.5, 4.5, 4.5]
        affine[:3, 3] = fine.geometry.index_to_world([29.5, 29.5, 29.5]) - middle
        out = resample_to(fine, Geometry((10, 10, 10), affine))
        assert out.std() < 0.3 * fine.array.std()

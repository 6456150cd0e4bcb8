"""Intensity transforms against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose
from transform_cases import noise_volume

from medseg.errors import InputRefused
from medseg.transforms.bridge import from_metatensor, to_metatensor
from medseg.transforms.intensity import CTWindowd, ForegroundZScored, SUVScaled


def test_ct_window_clips_then_scales() -> None:
    values = torch.tensor([-1000.0, -200.0, 50.0, 150.0, 300.0, 3000.0]).view(1, 1, 1, 6)
    window = CTWindowd("a", low_hu=-200, high_hu=300, mean_hu=50, std_hu=100)
    out = window({"a": values})["a"]
    assert out.flatten().tolist() == pytest.approx([-2.5, -2.5, 0.0, 1.0, 2.5, 2.5], abs=1e-6)
    assert out.dtype == torch.float32


def test_suv_clips_then_scales_to_one() -> None:
    values = torch.tensor([-0.5, 0.0, 2.5, 10.0, 80.0]).view(1, 1, 1, 5)
    out = SUVScaled("a", high_suv=10.0)({"a": values})["a"]
    assert out.flatten().tolist() == pytest.approx([0.0, 0.0, 0.25, 1.0, 1.0])


def test_z_score_is_that_of_the_clipped_foreground() -> None:
    values = np.zeros(1200)
    values[:1000] = np.arange(1, 1001)
    tensor = torch.from_numpy(values).view(1, 10, 10, 12)
    out = ForegroundZScored("a", low_percentile=10, high_percentile=90)({"a": tensor})["a"]
    clipped = np.clip(np.arange(1, 1001), *np.percentile(np.arange(1, 1001), [10, 90]))
    expected = (clipped - clipped.mean()) / clipped.std()
    np.testing.assert_allclose(out.flatten().numpy()[:1000], expected, atol=1e-5)
    assert out.flatten()[1000:].unique().tolist() == pytest.approx([expected.min()], abs=1e-5)


@pytest.mark.parametrize("gain", [1e-6, 1.0, 112 / 255, 1.7e6 / 255])
@pytest.mark.parametrize("offset", [0.0, -1000.0])
def test_z_score_does_not_depend_on_the_scanners_scale(gain, offset) -> None:
    base = np.random.default_rng(0).gamma(2.0, 40.0, (1, 12, 12, 12))
    base[0, :3] = 0.0
    transform = ForegroundZScored("a")
    expected = transform({"a": torch.from_numpy(base)})["a"]
    out = transform({"a": torch.from_numpy(base * gain + offset * gain)})["a"]
    torch.testing.assert_close(out, expected, atol=2e-4, rtol=0)


def test_one_hot_voxel_does_not_darken_the_rest() -> None:
    values = torch.from_numpy(np.random.default_rng(0).normal(100, 20, (1, 20, 20, 20)))
    spoilt = values.clone()
    spoilt[0, 10, 10, 10] = 1e9
    transform = ForegroundZScored("a")
    plain, hot = (transform({"a": one})["a"] for one in (values, spoilt))
    assert hot.max() < 5
    assert (plain - hot).abs().median() < 0.01


def test_each_channel_has_its_own_statistics() -> None:
    values = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 8, 8, 8)))
    values[1] = values[1] * 1000 + 7
    out = ForegroundZScored("a", low_percentile=0, high_percentile=100)({"a": values})["a"]
    for channel, before in zip(out, values, strict=True):
        inner = channel[before > before.min()]
        assert inner.mean().item() == pytest.approx(0, abs=1e-4)
        assert inner.std(correction=0).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (torch.full((1, 4, 4, 4), 7.0), "constant-image"),
        (torch.full((1, 4, 4, 4), 1.7e6), "constant-image"),
        (torch.arange(64).view(1, 4, 4, 4) > 31, "constant-image"),
        (torch.full((1, 4, 4, 4), float("nan")), "not-finite"),
        (torch.tensor([0.0, float("inf")]).view(1, 1, 1, 2), "not-finite"),
    ],
)
def test_images_without_contrast_are_refused(values, code) -> None:
    with pytest.raises(InputRefused, match=r"channel 'a': .*\[" + code) as caught:
        ForegroundZScored("a")({"a": values})
    assert caught.value.code == code


def test_a_scaled_image_no_longer_claims_hounsfield_units() -> None:
    image = to_metatensor(noise_volume(modality="CT", unit="HU"))
    window = CTWindowd("a", low_hu=-200, high_hu=300, mean_hu=50, std_hu=100)
    out = window({"a": image})["a"]
    assert from_metatensor(out).unit == "arbitrary"
    assert from_metatensor(image).unit == "HU"
    torch.testing.assert_close(out.affine, image.affine)


@pytest.mark.parametrize(
    "transform",
    [
        CTWindowd(["a", "b"], low_hu=0, high_hu=150, mean_hu=50, std_hu=9, allow_missing_keys=True),
        SUVScaled(["a", "b"], high_suv=150, allow_missing_keys=True),
        ForegroundZScored(["a", "b"], allow_missing_keys=True),
    ],
)
def test_they_work_in_anyones_compose(transform) -> None:
    array = noise_volume().array[None]
    original = array.copy()
    out = Compose([transform])({"a": array, "label": "kept"})
    assert isinstance(out["a"], MetaTensor)
    assert (out["label"], "b" in out) == ("kept", False)
    np.testing.assert_array_equal(array, original)
    with pytest.raises(KeyError):
        type(transform)(**_arguments(transform))({"a": array})


def _arguments(transform):
    given = {"keys": ["a", "b"]}
    if isinstance(transform, CTWindowd):
        return given | {"low_hu": 0, "high_hu": 1, "mean_hu": 0, "std_hu": 1}
    return given | ({"high_suv": 1} if isinstance(transform, SUVScaled) else {})


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: CTWindowd("a", low_hu=3, high_hu=3, mean_hu=0, std_hu=1), "low_hu < high_hu"),
        (lambda: CTWindowd("a", low_hu=0, high_hu=3, mean_hu=0, std_hu=0), "std_hu > 0"),
        (lambda: SUVScaled("a", high_suv=0), "high_suv > 0; got 0"),
        (lambda: ForegroundZScored("a", low_percentile=60, high_percentile=50), "60, 50"),
    ],
)
def test_senseless_settings_are_a_bad_call(build, match) -> None:
    with pytest.raises(ValueError, match=match):
        build()

"""Images unlike those of training are called so, by what differs; images like them are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from modelling import bright_is_organ, card

import medseg
from medseg.card import Channel
from medseg.inference.appearance import FEATURES, air_share, appearance
from medseg.inference.domain import CODE, domain_warnings, measured_domain, modality_warnings
from medseg.phantom import touching_lesions
from medseg.types import Geometry, Volume

MR = Channel.model_validate({"name": "mr", "normalisation": {"kind": "z_score"}})
CT = Channel.model_validate(
    {
        "name": "ct",
        "normalisation": {
            "kind": "ct_window",
            "low_hu": -900,
            "high_hu": 400,
            "mean_hu": 0,
            "std_hu": 300,
        },
    }
)
PET = Channel.model_validate({"name": "pet", "normalisation": {"kind": "suv", "high_suv": 20}})
ORGANS = [{"name": "one", "kind": "organ", "label": 1}]


def volume(array: np.ndarray, spacing=(1.0, 1.0, 1.0), axes=(2, 1, 0)) -> Volume:
    """A volume in LPS whose array axes lead along the world axes `axes` (z is 2)."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, (world, mm) in enumerate(zip(axes, spacing, strict=True)):
        affine[world, column] = mm
    return Volume(array.astype(np.float32), Geometry(array.shape, affine))


def mr(seed: int, *, shape=(24, 32, 28), spacing=(1.0, 1.0, 1.0), scale: float = 1.0) -> Volume:
    """A smooth head-like blob with two tissues and noise, 0 outside."""
    rng = np.random.default_rng(seed)
    at = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    radius = np.sqrt((at**2).sum(axis=0)) + 0.02 * rng.normal()
    tissue = np.where(radius < 0.5, 100.0, 60.0) + rng.normal(0, 4, shape)
    return volume(np.where(radius < 0.9, scale * tissue, 0.0), spacing)


def ct(seed: int) -> Volume:
    """Soft tissue with noise in air."""
    body = mr(seed).array
    return volume(np.where(body > 0, body - 30.0, -1000.0))


def in_domain(channel: Channel, images: list[Volume], modality: str = "MR"):
    domain = measured_domain([{channel.name: one} for one in images], [channel])
    dumped = channel.model_dump()
    return card(ORGANS, channels=[dumped], modality=modality, domain=domain)


def reasons(image: Volume, of) -> list[str]:
    found = domain_warnings(image, of)
    assert all(one.code == CODE for one in found)
    return [one.detail.split(":")[0] for one in found]


def test_another_image_of_the_same_kind_is_called_nothing() -> None:
    known = in_domain(MR, [mr(seed) for seed in range(12)])
    assert [reasons(mr(seed, scale=7.0), known) for seed in range(20, 30)] == [[]] * 10


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_training_images_do_not_pass_for_all_the_variety_there_is(count: int) -> None:
    known = in_domain(MR, [mr(seed) for seed in range(count)])
    assert [reasons(mr(seed), known) for seed in range(20, 30)] == [[]] * 10


def test_ct_is_named_for_a_model_of_mr_and_mr_for_one_of_ct() -> None:
    of_mr = in_domain(MR, [mr(seed) for seed in range(6)])
    of_ct = in_domain(CT, [ct(seed) for seed in range(6)], "CT")
    (found, *_) = domain_warnings(ct(9), of_mr)
    assert found.detail.startswith("modality: channel 'mr' is no MR image: ")
    assert "down to -1000, as in CT" in found.detail
    (found, *_) = domain_warnings(mr(9), of_ct)
    assert "no CT image in Hounsfield units: its lowest value is 0" in found.detail
    assert reasons(ct(9), of_ct) == [] and reasons(mr(9), of_mr) == []


def test_without_statistics_the_modality_is_told_all_the_same() -> None:
    plain = card(ORGANS, channels=[MR.model_dump()])
    assert reasons(ct(0), plain) == ["modality"]
    assert reasons(mr(0), plain) == []


def test_a_voxel_size_never_seen_is_named_with_axis_and_range() -> None:
    known = in_domain(MR, [mr(seed) for seed in range(6)])
    (found,) = domain_warnings(mr(9, spacing=(2.0, 1.0, 1.0)), known)
    assert found.detail == "spacing: voxels are 2 mm long in z (in training 1 to 1)"
    assert reasons(mr(9, spacing=(1.2, 1.0, 1.0)), known) == []


def test_an_image_of_a_larger_part_of_the_body_is_named() -> None:
    known = in_domain(MR, [mr(seed) for seed in range(6)])
    found = [one.detail for one in domain_warnings(mr(9, shape=(24, 32, 60)), known)]
    assert "extent: the image is 60 mm long in x (in training 28 to 28)" in found


def test_other_tissue_contrast_is_named_by_what_differs() -> None:
    known = in_domain(MR, [mr(seed) for seed in range(6)])
    noise = volume(np.random.default_rng(0).exponential(10.0, (24, 32, 28)))
    (found,) = domain_warnings(noise, known)
    assert found.detail.startswith("intensities: channel 'mr' looks unlike the training's images: ")
    assert found.detail.count("(in training ") == 2


def test_how_an_image_is_stored_changes_nothing() -> None:
    image = mr(0, spacing=(3.0, 1.0, 1.0))
    known = in_domain(MR, [mr(seed, spacing=(3.0, 1.0, 1.0)) for seed in range(3)])
    turned = image.reoriented((2, 0, 1), (True, False, True))
    assert reasons(turned, known) == []
    assert domain_warnings(mr(5), known) == domain_warnings(
        mr(5).reoriented((1, 2, 0), (False, True, True)), known
    )


def test_pet_in_counts_is_unlike_pet_in_suv() -> None:
    def uptake(seed: int) -> Volume:
        values = np.random.default_rng(seed).gamma(2.0, 0.5, (16, 16, 16))
        return volume(values, (4.0, 4.0, 4.0))

    known = in_domain(PET, [uptake(seed) for seed in range(5)], "PT")
    counts = replace(uptake(9), array=uptake(9).array * 5000)
    assert reasons(uptake(9), known) == []
    assert reasons(counts, known) == ["intensities"]


def test_numbers_of_an_image_are_those_known_from_its_making() -> None:
    ramp = np.arange(101, dtype=float)[None, None].repeat(5, axis=0).repeat(4, axis=1)
    found = appearance(volume(ramp), MR)
    assert found["p50"] == pytest.approx(0.5, abs=0.02)
    assert found["change_x"] == pytest.approx(1 / 89.1, rel=0.01)
    assert found["change_z"] == found["change_y"] == 0.0
    assert found["minimum_share"] == pytest.approx(1 / 101)
    assert set(found) == set(FEATURES["z_score"])
    assert air_share(volume(np.array([[[-1000.0, 0.0, 0.0, 50.0]]]))) == 0.25


def test_a_single_slice_has_no_step_along_its_axis() -> None:
    def slice_of(seed: int) -> Volume:
        return mr(seed).crop((slice(12, 13), slice(0, 32), slice(0, 28)))

    assert "change_z" not in appearance(slice_of(0), MR)
    known = in_domain(MR, [slice_of(seed) for seed in range(3)])
    assert known.domain is not None
    assert "change_z" not in known.domain.channels["mr"].numbers
    assert reasons(slice_of(5), known) == []


def test_an_image_of_one_value_has_no_numbers_of_tissue() -> None:
    assert appearance(volume(np.full((3, 4, 5), 7.0)), MR) == {"minimum_share": 1.0}


def test_no_case_gives_no_statistics_and_a_case_without_its_first_channel_is_a_bad_call() -> None:
    assert measured_domain([], [MR]) is None
    with pytest.raises(ValueError, match="lacks the channel 'mr'"):
        measured_domain([{"other": mr(0)}], [MR])


def test_an_optional_channel_that_is_absent_is_not_compared() -> None:
    second = Channel.model_validate({**MR.model_dump(), "name": "second", "required": False})
    cases = [{"mr": mr(seed), "second": mr(seed + 50)} for seed in range(4)]
    domain = measured_domain(cases, [MR, second])
    both = card(ORGANS, channels=[MR.model_dump(), second.model_dump()], domain=domain)
    assert reasons(mr(9), both) == []
    noise = volume(np.random.default_rng(0).exponential(10.0, (24, 32, 28)))
    (found,) = domain_warnings({"mr": mr(9), "second": noise}, both)
    assert "channel 'second'" in found.detail


def test_segmenting_says_it_in_warnings() -> None:
    model = bright_is_organ()
    image = touching_lesions(3, shape=(24, 24, 24)).volume
    assert not [one for one in medseg.segment(image, model).warnings if one.code == CODE]
    domain = measured_domain([{"mr": image}], model.card.channels)
    wide = replace(image, geometry=Geometry.from_spacing(image.geometry.shape, (4.0, 1.0, 1.0)))
    known = replace(model, card=model.card.model_copy(update={"domain": domain}))
    found = [one.detail for one in medseg.segment(wide, known).warnings if one.code == CODE]
    assert [one.split(":")[0] for one in found] == ["spacing", "extent"]


def test_values_of_air_and_lung_are_told_on_any_part_of_an_image() -> None:
    air = volume(np.linspace(-1000, 0, 4000).reshape(10, 20, 20))
    found = modality_warnings(air, card(ORGANS, channels=[MR.model_dump()]))
    assert [one.code for one in found] == [CODE]
    assert "80% of its values are below -200" in found[0].detail

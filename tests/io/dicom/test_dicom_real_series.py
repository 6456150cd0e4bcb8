"""Forty real series of several vendors: each is read with its own geometry, or refused and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from medseg.errors import InputRefused
from medseg.io.checks import orientation_code
from medseg.io.dicom import describe_dicom, read_dicom, read_dicom_volumes

# Expected from another reader's headers and from SimpleITK and dcm2niix, voxel by voxel.
READ = {
    "brain_tumour_study/flair": ((22, 320, 280), (6.5, 0.6875, 0.6875), "SPL"),
    "brain_tumour_study/t1_post": ((22, 320, 280), (6.5, 0.6875, 0.6875), "SPL"),
    "ge_mr_anatomical": ((4, 256, 256), (1, 1, 1), "RIP"),
    "ge_mr_anatomical_implicit": ((4, 256, 256), (1, 1, 1), "RIP"),
    "hippocampus_crop_study1": ((32, 51, 35), (1, 1, 1), "SPL"),
    "hippocampus_crop_study2": ((35, 48, 36), (1, 1, 1), "SPL"),
    "hippocampus_crop_study3": ((40, 50, 34), (1, 1, 1), "SPL"),
    "hitachi_mr": ((4, 64, 64), (4, 2.344, 2.344), "RIP"),
    "hyperfine_mr_enhanced": ((8, 138, 112), (5, 1.61, 1.59), "SPL"),
    "mr_jpeg2000": ((4, 256, 256), (1, 1, 1), "RIP"),
    "mr_jpeg_lossless_sv1": ((4, 256, 256), (1, 1, 1), "RIP"),
    "mr_jpegls": ((4, 256, 256), (1, 1, 1), "RIP"),
    "mr_rle": ((4, 256, 256), (1, 1, 1), "RIP"),
    "philips_mr_anatomical": ((4, 240, 240), (0.6, 1.042, 1.042), "PIL"),
    "philips_mr_enhanced": ((8, 256, 256), (1.2, 1, 1), "RIP"),
    "pmod_mr_non_isotropic": ((4, 28, 64), (0.5, 4, 6.4), "SPL"),
    "sarcoma_mr_t1_rtstruct": ((25, 55, 75), (3.26996, 0.976562, 0.976562), "SPL"),
    "sarcoma_pet_rtstruct": ((47, 34, 37), (3.27, 3.90625, 3.90625), "SPL"),
    "siemens_mr_anatomical": ((4, 256, 256), (1, 1, 1), "RIP"),
    "siemens_mr_enhanced": ((8, 256, 256), (0.9, 0.9375, 0.9375), "SPL"),
}
REFUSED = {
    "ge_ct_gantry_tilt": ("gantry-tilt", "18.50 degrees"),
    "ge_ct_slice_increment": ("missing-slices", "10.00 mm, the others 5.00 mm"),
    "ge_mr_single_slice": ("too-few-slices", "1 slice position"),
    "mr_rgb": ("sop-class-unsupported", "secondary capture"),
    "philips_ct_scout": ("localizer", "LOCALIZER"),
    "philips_ct_secondary": ("sop-class-unsupported", "secondary capture"),
    "philips_mr_dti": ("too-few-slices", "8 images at 2 slice positions"),
    "philips_mr_fmri": ("too-few-slices", "8 images at 2 slice positions"),
    "philips_mr_mixed_orientation": ("mixed-orientation", "degrees"),
    "siemens_ct_gantry_tilt": ("gantry-tilt", "14.00 degrees"),
    "siemens_ct_not_a_volume": ("too-few-slices", "4 images at 1 slice position"),
    "siemens_mr_mosaic": ("mosaic", "MOSAIC"),
    "siemens_mr_mosaic_epi": ("mosaic", "MOSAIC"),
    "unknown_mr_two_slices": ("too-few-slices", "2 slice positions"),
}
SEVERAL: dict[str, tuple[int, tuple[int, int, int], tuple[float, float, float], str]] = {
    "ge_mr_dti": (2, (4, 128, 128), (2, 2, 2), "InstanceNumber from 76"),
    "ge_mr_fmri": (2, (4, 64, 64), (3.6, 3, 3), "InstanceNumber from 43"),
    "philips_enhanced_epi": (2, (32, 64, 64), (4, 4, 4), "ImageType FIELD_MAP"),
    "philips_mr_enhanced_dti": (4, (8, 128, 128), (2.7, 2.734, 2.734), "DiffusionBValue 1300"),
    "philips_mr_enhanced_fmri": (4, (8, 64, 64), (3.3125,) * 3, "TemporalPositionIdentifier 4"),
    "siemens_xa_enhanced_epi": (4, (6, 64, 64), (2.4, 3.375, 3.375), "TemporalPosition"),
}
SUMS = {"mr_jpeg2000": 33304746, "mr_jpeg_lossless_sv1": 33304746, "mr_jpegls": 33304746}
SUMS |= {"mr_rle": 33304746, "siemens_mr_anatomical": 33281143}


@pytest.fixture(scope="module")
def real(shared_data: Path) -> Path:
    return shared_data / "dicom"


def test_every_real_series_is_expected_to_something(real: Path) -> None:
    folders = {
        path.parent.relative_to(real).as_posix()
        for path in real.rglob("*")
        if path.is_file() and path.parent != real
    }
    assert folders == READ.keys() | REFUSED.keys() | SEVERAL.keys()


@pytest.mark.parametrize("name", sorted(READ))
def test_a_sound_series_is_read_with_its_geometry(real: Path, name: str) -> None:
    shape, spacing, code = READ[name]
    volume = read_dicom(real / name)
    assert volume.geometry.shape == shape
    assert volume.geometry.spacing_mm == pytest.approx(spacing, abs=6e-4)
    assert orientation_code(volume.geometry) == code
    assert volume.acquisition_axis == 0
    if name in SUMS:
        assert int(volume.array.sum(dtype=np.int64)) == SUMS[name]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_an_unsound_series_is_refused_with_its_code(real: Path, name: str) -> None:
    code, detail = REFUSED[name]
    with pytest.raises(InputRefused, match=detail) as caught:
        read_dicom(real / name)
    assert caught.value.code == code


@pytest.mark.parametrize("name", sorted(SEVERAL))
def test_several_volumes_are_listed_and_each_can_be_chosen(real: Path, name: str) -> None:
    count, shape, spacing, label = SEVERAL[name]
    with pytest.raises(InputRefused, match=f"{count} volumes.*{label}") as caught:
        read_dicom(real / name)
    assert caught.value.code == "several-volumes"
    volumes = read_dicom_volumes(real / name)
    assert len(volumes) == count
    for number, volume in enumerate(volumes, start=1):
        assert volume.geometry.shape == shape
        assert volume.geometry.spacing_mm == pytest.approx(spacing, abs=6e-4)
        alone = read_dicom(real / name, volume=number)
        assert np.array_equal(alone.array, volume.array)
    firsts = {volume.array.tobytes() for volume in volumes}
    assert len(firsts) == count


@pytest.mark.parametrize(
    "name", sorted(name for name in READ if not name.endswith("enhanced") and "jpeg" not in name)
)
def test_each_slice_lies_where_its_own_header_puts_it(real: Path, name: str) -> None:
    volume = read_dicom(real / name)
    found = 0
    for path in sorted((real / name).iterdir()):
        ds: Any = dcmread(path, force=True)
        if "PixelData" not in ds:
            continue
        index = volume.geometry.world_to_index([float(v) for v in ds.ImagePositionPatient])
        z = round(float(index[0]))
        assert index == pytest.approx([z, 0, 0], abs=0.03)
        values = ds.pixel_array * float(ds.get("RescaleSlope", 1))
        values = values + float(ds.get("RescaleIntercept", 0))
        assert np.allclose(volume.array[z], values, rtol=1e-6, atol=1e-6)
        found += 1
    assert found == volume.geometry.shape[0]


def test_pet_that_is_already_in_suv_keeps_its_unit_and_its_slopes(real: Path) -> None:
    volume = read_dicom(real / "sarcoma_pet_rtstruct")
    assert (volume.modality, volume.unit) == ("PT", "SUVbw")
    assert volume.array.max() == pytest.approx(6.3759, abs=1e-4)
    assert volume.array.mean() == pytest.approx(0.285, abs=1e-3)


def test_field_map_and_magnitude_have_their_own_rescale(real: Path) -> None:
    volumes = read_dicom_volumes(real / "philips_enhanced_epi")
    found = {
        (round(v.meta["rescale_slope"][0], 4), v.meta["rescale_intercept"][0]) for v in volumes
    }
    assert found == {(1.2799, 0.0), (0.2442, -500.0)}


def test_objects_that_are_no_images_are_set_aside_and_listed(real: Path) -> None:
    reports = describe_dicom(real / "sarcoma_mr_t1_rtstruct")
    assert [(r.status, r.what.split()[0], r.files) for r in reports] == [
        ("read", "series", 25),
        ("skipped", "RTSTRUCT", 1),
    ]
    reports = describe_dicom(real / "philips_ct_scout")
    assert [(r.status, r.code) for r in reports] == [("refused", "localizer"), ("skipped", "")]
    assert reports[1].what == "DICOMDIR files"

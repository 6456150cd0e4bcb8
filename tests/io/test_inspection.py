"""Listings say what lies there and what `read` would refuse, and agree with `read`."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from io_cases import overlapping_instances, random_volume

from medseg.errors import InputRefused
from medseg.io import read, write
from medseg.io.inspection import inspect
from medseg.types import Geometry, Volume


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_a_sound_file_is_described_as_it_is_read(tmp_path, suffix):
    geometry = Geometry.from_spacing((4, 5, 6), (3.0, 0.5, 0.75))
    volume = Volume(random_volume(0).array, geometry).reoriented((2, 0, 1), (True, False, False))
    write(volume, tmp_path / f"a{suffix}")
    (found,) = inspect(tmp_path / f"a{suffix}")
    assert (found.what, found.status, found.code) == (f"a{suffix}", "read", "")
    assert found.shape == (6, 4, 5)
    assert found.spacing_mm == pytest.approx((0.75, 3.0, 0.5))
    assert found.orientation == "RSP"
    assert (found.modality, found.unit) == ("unknown", "unknown")


def test_a_finding_is_json(tmp_path):
    path = tmp_path / "a.nii"
    nibabel.Nifti1Image(np.zeros((2, 3, 4), np.int16), np.eye(4)).to_filename(path)
    (found,) = inspect(path)
    as_dict = json.loads(json.dumps(found.as_dict()))
    assert as_dict["shape"] == [4, 3, 2]
    assert as_dict["warnings"][0]["code"] == "unit-of-length-assumed"
    assert {"what", "status", "spacing_mm", "orientation", "code", "detail", "remedy"} <= set(
        as_dict
    )


def bad_files(folder):
    nan = random_volume(0, dtype="float32")
    nan.array[0, 0, 0] = np.nan
    write(nan, folder / "nan.nrrd")
    write(random_volume(0), folder / "cut.mha")
    raw = (folder / "cut.mha").read_bytes()
    (folder / "cut.mha").write_bytes(raw[:-20])
    for name, shape in (("flat.nii.gz", (5, 6)), ("film.nii.gz", (5, 6, 7, 2))):
        nibabel.Nifti1Image(np.zeros(shape, np.int16), np.eye(4)).to_filename(folder / name)
    return {
        "nan.nrrd": "not-finite",
        "cut.mha": "file-corrupt",
        "flat.nii.gz": "not-3d",
        "film.nii.gz": "not-3d",
    }


def test_a_bad_file_is_refused_with_the_code_of_read(tmp_path):
    for name, code in bad_files(tmp_path).items():
        (found,) = inspect(tmp_path / name)
        with pytest.raises(InputRefused) as caught:
            read(tmp_path / name)
        error = caught.value
        assert (found.status, found.code) == ("refused", code)
        assert (found.code, found.detail, found.remedy) == (error.code, error.detail, error.remedy)


def test_geometry_is_shown_where_only_the_values_are_bad(tmp_path):
    bad_files(tmp_path)
    (found,) = inspect(tmp_path / "nan.nrrd")
    assert found.shape == (4, 5, 6)


def test_a_folder_lists_its_image_files_by_their_headers(tmp_path):
    bad_files(tmp_path)
    (tmp_path / "deeper").mkdir()
    write(random_volume(1), tmp_path / "deeper" / "a.nii.gz")
    (tmp_path / "notes.txt").write_text("hello", encoding="utf-8")
    found = {one.what: (one.status, one.code) for one in inspect(tmp_path)}
    assert found == {
        "nan.nrrd": ("read", ""),
        "cut.mha": ("read", ""),
        "flat.nii.gz": ("refused", "not-3d"),
        "film.nii.gz": ("refused", "not-3d"),
        "deeper/a.nii.gz": ("read", ""),
    }


def test_a_pair_is_listed_once(tmp_path):
    image = nibabel.Nifti1Pair(np.zeros((2, 3, 4), np.int16), np.eye(4))
    image.to_filename(tmp_path / "a.img")
    assert [one.what for one in inspect(tmp_path)] == ["a.hdr"]


def test_a_segmentation_is_listed_with_the_number_of_its_instances(tmp_path):
    write(overlapping_instances(), tmp_path / "a.seg.nrrd")
    (found,) = inspect(tmp_path / "a.seg.nrrd")
    assert (found.status, found.format, found.instances) == ("read", "Segmentation", 6)
    assert found.shape == (9, 10, 11)


@pytest.mark.parametrize("name", ["nothing", "nothing.nii.gz"])
def test_a_missing_path_is_refused(tmp_path, name):
    with pytest.raises(InputRefused, match="path-missing"):
        inspect(tmp_path / name)


def test_a_file_of_no_known_format_is_refused_in_its_finding(tmp_path):
    (tmp_path / "a.nii.gz").write_text("hello " * 200, encoding="utf-8")
    with pytest.raises(InputRefused, match="format-unknown"):
        inspect(tmp_path / "a.nii.gz")


def test_a_dicom_study_is_described_as_it_is_read(shared_data):
    folder = shared_data / "dicom" / "hippocampus_crop_study1"
    found = [one for one in inspect(folder) if one.status == "read"]
    assert len(found) == 1
    volume = read(folder)
    assert found[0].shape == volume.geometry.shape
    assert found[0].spacing_mm == pytest.approx(volume.geometry.spacing_mm)
    assert (found[0].format, found[0].modality) == ("DICOM", "MR")
    assert json.dumps(found[0].as_dict())


def test_one_dicom_file_is_inspected_as_dicom(shared_data):
    folder = shared_data / "dicom" / "hippocampus_crop_study1"
    file = sorted(one for one in folder.rglob("*") if one.suffix == ".dcm")[0]
    found = inspect(file)
    assert [one.status for one in found] == ["refused"]
    assert found[0].code == "too-few-slices"


def test_what_dicom_says_is_not_overruled_by_the_caller(shared_data):
    folder = shared_data / "dicom" / "hippocampus_crop_study1"
    assert read(folder, modality="MR").modality == "MR"
    with pytest.raises(InputRefused, match=r"its modality is MR, not CT .*modality-mismatch"):
        read(folder, modality="CT")

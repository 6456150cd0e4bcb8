"""The real studies that ship: found, readable, licensed, small."""

from __future__ import annotations

import hashlib
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medseg import samples
from medseg.io.dicom import read_dicom


def test_names_are_the_two_studies() -> None:
    assert samples.names() == ("hippocampus_crop_study1", "lung_nodule_crop")


def test_an_unknown_name_is_answered_with_the_list() -> None:
    with pytest.raises(ValueError, match=r"'lung'; there are hippocampus_crop_study1, lung_nodule"):
        samples.path("lung")


def test_a_name_cannot_leave_the_folder_of_samples() -> None:
    with pytest.raises(ValueError, match="no sample is called"):
        samples.path("../models")


def test_the_hippocampus_study_reads_as_its_headers_say() -> None:
    volume = read_dicom(samples.path("hippocampus_crop_study1"))
    assert volume.geometry.shape == (32, 51, 35)
    assert volume.geometry.spacing_mm == (1.0, 1.0, 1.0)
    assert volume.geometry.origin_mm == (0.0, 0.0, 1.0)
    assert volume.modality == "MR"
    assert int(volume.array.sum(dtype=np.int64)) == 3346681


def test_the_nodule_is_one_object_of_its_stated_volume() -> None:
    folder = samples.path("lung_nodule_crop")
    image, label = nibabel.load(folder / "image.nii.gz"), nibabel.load(folder / "label.nii.gz")
    mask = np.asarray(label.dataobj) == 1
    assert image.shape == label.shape == (43, 44, 19)
    assert np.allclose(image.affine, label.affine)
    millilitres = mask.sum() * abs(np.linalg.det(label.affine[:3, :3])) / 1000
    assert millilitres == pytest.approx(0.79, abs=0.005)
    touched = [mask.take(end, axis=axis).any() for axis in range(3) for end in (0, -1)]
    assert not any(touched)


@pytest.mark.parametrize(
    ("name", "licence"),
    [("hippocampus_crop_study1", "CC-BY-SA-4.0"), ("lung_nodule_crop", "CC-BY-3.0")],
)
def test_each_licence_is_named_with_its_spdx_identifier(name: str, licence: str) -> None:
    text = (samples.path(name) / "LICENSE.md").read_text(encoding="utf-8")
    assert f"`{licence}`" in text
    assert "doi.org" in text


def test_all_samples_together_stay_small() -> None:
    sizes = [
        path.stat().st_size
        for name in samples.names()
        for path in samples.path(name).rglob("*")
        if path.is_file()
    ]
    assert sum(sizes) < 500_000


def _digests(folder: Path, pattern: str) -> set[str]:
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob(pattern)}


def test_the_samples_are_the_published_files(shared_data: Path) -> None:
    study = "hippocampus_crop_study1"
    assert _digests(samples.path(study), "*.dcm") == _digests(
        shared_data / "dicom" / study, "*.dcm"
    )
    nodules = _digests(shared_data / "lung_nodule_ct" / "images", "lidc_0807_*.nii.gz")
    assert _digests(samples.path("lung_nodule_crop"), "image.nii.gz") == nodules


def test_no_training_case_of_the_hippocampus_set_is_the_sample(shared_data: Path) -> None:
    volume = read_dicom(samples.path("hippocampus_crop_study1"))
    shape = sorted(volume.geometry.shape)
    values = np.sort(volume.array.astype(np.float64).ravel())
    for path in sorted((shared_data / "hippocampus_mr" / "images").glob("*.nii.gz")):
        case = nibabel.load(path)
        if sorted(case.shape) != shape:
            continue
        others = np.sort(np.asarray(case.dataobj, dtype=np.float64).ravel())
        assert np.corrcoef(values, others)[0, 1] < 0.9999, path.name

"""One job in the child: the same results as `medseg segment`, and nobody's name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from medseg_workflows.ledger import read_records
from medseg_workflows.records import Settings
from medseg_workflows.report.thumbnails import THUMBNAIL
from medseg_workflows.study import segment_study
from medseg_workflows.work import answer
from pydicom import dcmread
from run_cases import CANARY, MODEL, dicom_job, job_of, make_study, request_for

import medseg
from medseg.errors import InputRefused, ModelError
from medseg.inference.results import FILES
from medseg.io.batch_sources import ImageInput
from medseg.phantom import touching_lesions
from medseg.types import Geometry, Volume

CANARY_STUDY = {**CANARY, "StudyDescription": "canary of the study"}
WORDS = (b"canary", b"19510203", b"hidden_folder")
DATED = Settings(formats=("seg", "sr", "rtstruct"), timestamp="2026-01-02T03:04:05")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("hidden_folder") / "series", 3, **CANARY_STUDY)


def words_in(folder: Path) -> list[tuple[str, bytes]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [
        (path.name, word) for path in files for word in WORDS if word in path.read_bytes().lower()
    ]


def test_a_study_is_segmented_as_the_library_does(study: Path, tmp_path: Path) -> None:
    job = dicom_job(study, 1)
    assert segment_study(request_for(job, tmp_path)) == {"stale": False}
    done = tmp_path / "done" / job.key
    assert {path.name for path in done.iterdir()} == {*FILES, "record.json", THUMBNAIL}
    volume = medseg.read(study)
    expected = medseg.segment(volume, medseg.load_model(MODEL))
    assert len(expected.items) > 0
    table = pd.read_csv(done / "instances.csv")
    measured = medseg.measure(expected, volume)
    np.testing.assert_allclose(table["volume_ml"], measured["volume_ml"].astype(float), atol=1e-6)
    assert not list((tmp_path / "tmp").iterdir())


def test_its_record_says_what_was_done(study: Path, tmp_path: Path) -> None:
    job = dicom_job(study, 1)
    segment_study(request_for(job, tmp_path))
    (record,) = read_records(tmp_path)
    assert (record.key, record.study, record.patient) == (job.key, job.study, job.patient)
    assert record.model.weights_sha256 == job.model.weights_sha256
    assert set(record.seconds) == {"load", "read", "segment", "measure", "write"}
    assert record.inputs["mr"]["shape_zyx"] == [16, 24, 24]
    assert 50 < record.peak_memory_mb < 20_000
    assert not words_in(tmp_path / "done")


def test_dicom_results_name_the_patient_of_the_images(study: Path, tmp_path: Path) -> None:
    segment_study(request_for(dicom_job(study, 1, DATED), tmp_path))
    (record,) = read_records(tmp_path)
    for name in ("instances.seg.dcm", "instances.sr.dcm", "instances.rtstruct.dcm"):
        ds = dcmread(tmp_path / "done" / record.key / name)
        assert str(ds.PatientName) == "Canary^Name" and ds.AccessionNumber == "CANARYACC"
    hits = {name for name, _ in words_in(tmp_path / "done")}
    assert hits == {"instances.seg.dcm", "instances.sr.dcm", "instances.rtstruct.dcm"}


def test_pseudonymous_dicom_names_codes_and_refers_to_the_same_images(
    study: Path, tmp_path: Path
) -> None:
    job = dicom_job(study, 1, replace(DATED, pseudonymous_dicom=True))
    segment_study(request_for(job, tmp_path))
    assert not words_in(tmp_path / "done")
    image = dcmread(study / "0001.dcm")
    for name in ("instances.seg.dcm", "instances.sr.dcm", "instances.rtstruct.dcm"):
        ds = dcmread(tmp_path / "done" / job.key / name)
        assert (ds.PatientID, str(ds.PatientName)) == (job.patient, job.patient)
        assert ds.StudyID == job.study and ds.StudyInstanceUID == image.StudyInstanceUID
        assert ds.PatientIdentityRemoved == "YES"


def test_the_same_job_gives_the_same_bytes(study: Path, tmp_path: Path) -> None:
    job = dicom_job(study, 1, DATED)
    for run in ("a", "b"):
        segment_study(request_for(job, tmp_path / run))
    first, second = (
        {
            path.name: path.read_bytes()
            for path in (tmp_path / run / "done" / job.key).iterdir()
            if path.name != "record.json"
        }
        for run in ("a", "b")
    )
    assert first == second and len(first) == 9


def test_an_image_file_needs_its_modality_said(tmp_path: Path) -> None:
    volume = replace(touching_lesions(3, shape=(16, 24, 24)).volume, modality="MR")
    path = tmp_path / "canary_file.nii.gz"
    medseg.write(volume, path)
    image = ImageInput((str(path),))
    job = job_of(image, 1, Settings(modality="MR", unit="arbitrary"))
    segment_study(request_for(job, tmp_path / "out"))
    assert len(read_records(tmp_path / "out")) == 1
    assert not words_in(tmp_path / "out" / "done")


def test_dicom_results_of_a_file_that_is_no_dicom_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.nii.gz"
    medseg.write(touching_lesions(3, shape=(16, 24, 24)).volume, path)
    job = job_of(ImageInput((str(path),)), 1, replace(DATED, modality="MR", unit="arbitrary"))
    with pytest.raises(InputRefused, match="frame-of-reference-missing"):
        segment_study(request_for(job, tmp_path / "out"))


def test_a_study_without_any_object_is_done_with_probabilities_too(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(16, 24, 24)).astype(np.float32)
    grid = Geometry.from_spacing((16, 24, 24), (1.0, 1.0, 1.0))
    folder = tmp_path / "flat"
    from medseg.phantom import write_dicom_series

    write_dicom_series(Volume(noise, grid, "MR", "arbitrary"), folder)
    job = dicom_job(folder, 1, Settings(probabilities=True, timestamp="2026-01-02T03:04:05"))
    segment_study(request_for(job, tmp_path / "out"))
    (record,) = read_records(tmp_path / "out")
    assert sum(one["count"] for one in record.classes.values()) == 0


@pytest.mark.parametrize("kind", ["missing", "damaged", "constant"])
def test_a_refusal_names_no_file_and_no_folder(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "canary_folder"
    folder.mkdir()
    path = folder / "canary_file.nii.gz"
    if kind == "damaged":
        path.write_bytes(b"\x1f\x8bnothing of the kind")
    if kind == "constant":
        flat = np.zeros((16, 24, 24), np.float32)
        medseg.write(Volume(flat, Geometry.from_spacing(flat.shape, (1.0, 1.0, 1.0))), path)
    job = job_of(ImageInput((str(path),)), 1, Settings(modality="MR"))
    said = answer(segment_study, request_for(job, tmp_path / "out"))
    assert set(said) == {"failure"} and "canary" not in json.dumps(said)


def test_a_slice_that_went_missing_is_refused(study: Path, tmp_path: Path) -> None:
    job = dicom_job(study, 1)
    image = job.inputs["mr"]
    gone = replace(image, files=(*image.files, str(study / "9999.dcm")))
    with pytest.raises(InputRefused) as caught:
        segment_study(request_for(replace(job, inputs={"mr": gone}), tmp_path))
    assert caught.value.code == "path-unreadable" and "9999" not in str(caught.value)


def test_a_modality_that_contradicts_the_headers_is_refused(study: Path, tmp_path: Path) -> None:
    job = dicom_job(study, 1, Settings(modality="CT"))
    with pytest.raises(InputRefused, match="modality-mismatch"):
        segment_study(request_for(job, tmp_path))


def test_another_model_than_was_planned_is_refused(study: Path, tmp_path: Path) -> None:
    job = dicom_job(study, 1)
    other = replace(job, model=replace(job.model, weights_sha256="0" * 64))
    with pytest.raises((InputRefused, ModelError), match="changed since the batch was planned"):
        segment_study(request_for(other, tmp_path))


@pytest.mark.parametrize("change", ["removed", "of another run"])
def test_a_job_of_a_run_that_is_over_is_left_alone(
    change: str, study: Path, tmp_path: Path
) -> None:
    request = request_for(dicom_job(study, 1), tmp_path)
    if change == "removed":
        Path(request["job"]).unlink()
    else:
        request["veil"] = "00" * 32
    assert segment_study(request) == {"stale": True}
    assert not list((tmp_path / "done").iterdir())

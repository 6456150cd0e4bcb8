"""Small DICOM studies for batches, and jobs for them without a plan."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medseg_workflows.ledger import make_folders
from medseg_workflows.records import Job, ModelUse, Plan, Settings
from pydicom import dcmread

from medseg.io.batch_sources import ImageInput
from medseg.io.pseudonyms import veiled
from medseg.models import card_of
from medseg.phantom import touching_lesions, write_dicom_series

CANARY = {
    "PatientName": "Canary^Name",
    "PatientID": "CANARYID",
    "PatientBirthDate": "19510203",
    "AccessionNumber": "CANARYACC",
    "InstitutionName": "CANARYINST",
    "ReferringPhysicianName": "Canary^Doctor",
}
"""What says whose a study is: none of it may stand in results."""

MODEL = "phantom-lesions"
VEIL = bytes(range(32))
SHAPE = (16, 24, 24)


def make_study(folder: Path, seed: int, **header: str) -> Path:
    """An MR series of lesions that touch, as DICOM; `header` is set in every file."""
    volume = replace(touching_lesions(seed, shape=SHAPE).volume, modality="MR", unit="arbitrary")
    for path in write_dicom_series(volume, folder, series_number=1):
        ds = dcmread(path)
        ds.PatientName = "Phantom^Seed"
        ds.PatientID = f"P{seed}"
        for keyword, value in header.items():
            setattr(ds, keyword, value)
        ds.save_as(path)
    return folder


def use_of(model: str = MODEL) -> ModelUse:
    card = card_of(model)
    return ModelUse(card.name, card.version, card.weights_sha256, model)


def dicom_job(study: Path, number: int, settings: Settings | None = None) -> Job:
    """A job for the only series in a folder."""
    files = sorted(study.iterdir())
    uid = str(dcmread(files[0], stop_before_pixels=True).SeriesInstanceUID)
    return job_of(ImageInput(tuple(map(str, files)), uid), number, settings)


def job_of(image: ImageInput, number: int, settings: Settings | None = None) -> Job:
    study = f"{number:012x}"
    return Job(
        key=f"{study}-{number:012x}",
        study=study,
        patient=f"{number:012x}",
        model=use_of(),
        inputs={"mr": image},
        settings=settings or Settings(),
    )


def stub_jobs(count: int, settings: Settings | None = None) -> list[Job]:
    """Jobs for work functions that read nothing."""
    return [job_of(ImageInput(("nowhere.nii.gz",)), n, settings) for n in range(count)]


def plan_of(jobs: Sequence[Job]) -> Plan:
    return Plan(tuple(sorted(jobs, key=lambda job: job.key)), ())


def request_for(job: Job, out: Path) -> dict[str, str]:
    """What a child is asked to do a job, whose veiled file is written; `out` gets its folders."""
    make_folders(out)
    path = out / "jobs" / job.key
    path.write_bytes(veiled(json.dumps(job.as_dict()).encode(), VEIL))
    return {"job": str(path), "veil": VEIL.hex(), "out": str(out)}

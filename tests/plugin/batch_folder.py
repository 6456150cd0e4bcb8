"""The OUT of a batch with real images, written by the batch's own ledger; nothing is segmented."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from medseg_workflows.commit import commit, fresh_folder, quarantine
from medseg_workflows.ledger import Ledger, Said
from medseg_workflows.plan_output import write_plan
from medseg_workflows.records import Failure, Job, ModelUse, Plan, Record, Settings
from pydicom import dcmread

import medseg
from medseg.io.batch_sources import ImageInput
from medseg.io.pseudonyms import Pseudonyms, site_secret
from medseg.phantom import touching_lesions, write_dicom_series
from medseg.types import Instances, Volume

CANARY = "CANARY"
MODEL = ModelUse("phantom-lesions", "1.0.0", "ab" * 32, "")
OTHER = ModelUse("shells", "1.0.0", "cd" * 32, "")
TILTED = Failure("gantry-tilt", "the slices are tilted", "resample it first")
SAID = Settings(modality="MR", unit="arbitrary")
"""NIfTI does not say it: the batch was told."""


def phantom(seed: int) -> tuple[Volume, Instances]:
    """An MR image of whole numbers, which DICOM keeps as they are, and its lesions."""
    made = touching_lesions(seed, shape=(16, 24, 24))
    values = np.rint(1000 * made.volume.array).astype(np.int16)
    return replace(made.volume, array=values, modality="MR", unit="arbitrary"), made.truth


def dicom_study(root: Path, seed: int) -> ImageInput:
    """A series whose folder and patient are the canary."""
    folder = root / f"{CANARY}_{seed}"
    files = write_dicom_series(phantom(seed)[0], folder)
    for path in files:
        ds = dcmread(path)
        ds.PatientName = f"{CANARY}^Jane"
        ds.save_as(path)
    return ImageInput(tuple(map(str, files)), str(dcmread(files[0]).SeriesInstanceUID))


def nifti_study(root: Path, seed: int) -> ImageInput:
    path = root / f"{CANARY}_{seed}.nii.gz"
    medseg.write(phantom(seed)[0], path)
    return ImageInput((str(path),))


class Site:
    """A batch of one site; its secret lies in a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.out, self.root, self.secret = folder / "out", folder / "studies", folder / "secret"
        self.root.mkdir()
        self.codes = Pseudonyms(site_secret(self.secret))

    def job(
        self,
        seed: int,
        images: Mapping[str, ImageInput],
        model: ModelUse = MODEL,
        *,
        state: str = "",
    ) -> Job:
        study, patient = self.codes.study(str(seed)), self.codes.patient(str(seed))
        key = f"{study}-{self.codes.job_digest(f'{seed} {model.name} {state}')}"
        return Job(key, study, patient, model, images, SAID)

    def run(self, done: Mapping[int, Job], failed: Sequence[Job] = ()) -> Path:
        """Plan the jobs and finish those of `done`, by the seed of their phantoms."""
        jobs = sorted([*done.values(), *failed], key=lambda job: job.key)
        plan = Plan(tuple(jobs), ())
        with Ledger.open(self.out, self.codes) as ledger:
            ledger.begin(Said("/studies", "", [MODEL], SAID), resume=True)
            write_plan(plan, self.out)
            ledger.plan(plan)
            for seed, job in done.items():
                self._finish(job, phantom(seed)[1])
            for job in failed:
                quarantine(self.out, _names(job), TILTED)
        return self.out

    def _finish(self, job: Job, found: Instances) -> None:
        with fresh_folder(self.out, job.key) as folder:
            medseg.write(found, folder / "instances.seg.nrrd")
            commit(self.out, _record(job), folder)


def _names(job: Job) -> dict[str, str]:
    return {"key": job.key, "study": job.study, "patient": job.patient, "model": job.model.name}


def _record(job: Job) -> Record:
    return Record(
        key=job.key,
        study=job.study,
        patient=job.patient,
        model=job.model,
        settings=job.settings,
        inputs={},
        classes={},
        warnings=[],
        files=["instances.seg.nrrd"],
        versions={},
        seconds={},
        peak_memory_mb=1.0,
    )

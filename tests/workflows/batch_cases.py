"""Folders of batches made by hand: records, tables of objects, failures and a plan."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from medseg_workflows.commit import quarantine
from medseg_workflows.plan_output import write_plan
from medseg_workflows.records import (
    VERSION,
    Failure,
    Job,
    ModelUse,
    Plan,
    PlanRow,
    Record,
    Settings,
)

from medseg.io.batch_sources import ImageInput
from medseg.io.tables import write_table
from medseg.measurement import COLUMNS

LESIONS = ModelUse("spots", "1.2.0", "ab" * 32, "")
ORGANS = ModelUse("organs", "2.0.0", "cd" * 32, "")
_TEXT = {"class_name": "spot", "kind": "lesion", "organ": "liver"}
_EMPTY = {"str": "", "Int64": pd.NA, "boolean": pd.NA}

Object = Mapping[str, Any]


def study_code(n: int) -> str:
    """A code of 12 hexadecimal digits; some are all digits or look like a power of ten."""
    return {1: "000000000001", 2: "12e345678901"}.get(n, f"{n * 2654435761 % 16**12:012x}")


def patient_code(n: int) -> str:
    return f"{n:020x}"


def objects(table: Sequence[Object]) -> pd.DataFrame:
    """A table as `measure` gives it, with what is said of each object."""
    columns = {}
    for one in COLUMNS:
        default = _EMPTY.get(one.dtype, 1)
        values = [row.get(one.name, _TEXT.get(one.name, default)) for row in table]
        columns[one.name] = pd.array(values, dtype=one.dtype)
    return pd.DataFrame(columns)


def spots(*volumes_ml: float) -> list[Object]:
    return [
        {"instance_id": n, "volume_ml": volume, "recist_long_mm": 10.0 * volume}
        for n, volume in enumerate(volumes_ml, start=1)
    ]


def job_of(n: int, model: ModelUse = LESIONS, *, patient: int = 0) -> Job:
    study = study_code(n)
    key = f"{study}-{sum(map(ord, model.name)):012x}"
    image = ImageInput(("/nowhere/image.nii.gz",))
    return Job(key, study, patient_code(patient or n), model, {"image": image}, Settings())


def record_of(
    job: Job, table: pd.DataFrame, *, warnings: Sequence[Mapping[str, str]] = ()
) -> Record:
    classes = {
        name: {
            "kind": rows["kind"].iloc[0],
            "count": len(rows),
            "volume_ml": round(float(rows["volume_ml"].sum()), 6),
        }
        for name, rows in table.groupby("class_name", sort=False)
    }
    facts = {
        "sha256": "0" * 64,
        "shape_zyx": [40, 64, 64],
        "spacing_mm_zyx": [2.5, 0.7, 0.7],
        "modality": "MR",
        "unit": "arbitrary",
    }
    return Record(
        key=job.key,
        study=job.study,
        patient=job.patient,
        model=job.model,
        settings=job.settings,
        inputs={"image": facts},
        classes=classes,
        warnings=list(warnings),
        files=["instances.csv"],
        versions={"medseg": "0.1.0", "torch": "2.8.0"},
        seconds={"read": 1.25, "segment": 3.5},
        peak_memory_mb=512.5,
        series={"image": row_of(job).series},
    )


def finish(
    out: Path,
    job: Job,
    table: pd.DataFrame,
    *,
    warnings: Sequence[Mapping[str, str]] = (),
    leave_out: Sequence[str] = (),
) -> Path:
    """Write `done/<key>/` as a child does, without masks and pictures."""
    folder = out / "done" / job.key
    folder.mkdir(parents=True)
    write_table(table.drop(columns=list(leave_out)), folder / "instances.csv")
    record = record_of(job, table, warnings=warnings)
    (folder / "record.json").write_text(json.dumps(record.as_dict(), indent=2))
    return folder


def fail(out: Path, job: Job, failure: Failure) -> None:
    (out / "quarantine").mkdir(parents=True, exist_ok=True)
    names = {
        "key": job.key,
        "study": job.study,
        "patient": job.patient,
        "model": job.model.name,
    }
    quarantine(out, names, failure)


def row_of(
    job: Job, *, decision: Any = "chosen", reasons: Sequence[str] = ("the only one that fits",)
) -> PlanRow:
    return PlanRow(
        study=job.study,
        patient=job.patient,
        series=f"5e{job.study[2:]}",
        number=1,
        volume=None,
        model=job.model.name,
        rule="default",
        channel="image",
        decision=decision,
        reasons=reasons,
        facts={"modality": "MR", "slices": 40, "spacing_z_mm": 2.5},
    )


def plan(out: Path, jobs: Sequence[Job], unselected: Sequence[PlanRow] = ()) -> None:
    """Write `plan.csv`, `plan.json` and `batch.json`."""
    ordered = tuple(sorted(jobs, key=lambda job: job.key))
    write_plan(Plan(ordered, tuple(map(row_of, jobs)), tuple(unselected)), out)
    (out / "batch.json").write_text(json.dumps({"version": VERSION}))


def batch(out: Path) -> Path:
    """Two models; studies in every state, with warnings, organs and no object at all."""
    out.mkdir()
    jobs = [job_of(n, patient=(n + 1) // 2) for n in range(1, 7)]
    organs = job_of(1, ORGANS, patient=1)
    left = row_of(job_of(9), decision="refused", reasons=("localizer: a localizer, not a volume",))
    plan(out, [*jobs, organs], [left])
    wary = [{"code": "sheared-grid", "detail": "the voxels' axes miss the right angle"}]
    finish(out, jobs[0], objects(spots(1.5, 0.25)))
    finish(out, jobs[1], objects(spots(*(n / 8 for n in range(1, 13)))), warnings=wary)
    finish(out, jobs[2], objects([]))
    liver = [{"instance_id": 1, "class_name": "liver", "kind": "organ", "volume_ml": 1500.0}]
    finish(out, organs, objects(liver))
    fail(out, jobs[3], Failure("timeout", "took longer than 600 s", "give it more time", 1))
    fail(out, jobs[4], Failure("gantry-tilt", "tilted by 18°, <b>not</b> straight", "resample", 1))
    return out

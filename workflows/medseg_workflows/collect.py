"""The tables of a batch, always made anew from what lies in its folder: nothing is appended."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from medseg.errors import InputRefused
from medseg.io.atomic import staged
from medseg.io.tables import write_table
from medseg.refusal_codes import REFUSALS
from medseg_workflows.objects import (
    AGAIN,
    FILES,
    OBJECTS,
    Measured,
    all_columns,
    columns_of_objects,
    write_objects,
)
from medseg_workflows.plan_output import PLAN_JSON
from medseg_workflows.records import VERSION, State

STUDIES, QUARANTINE = "studies.csv", "quarantine.csv"
NOT_IN_ROOT = "not-in-root"
"""The warning of a result that is kept though its study is not in the folder any more."""
TABLES = (*FILES, STUDIES, QUARANTINE)
"""What `collect` writes."""


class StudyRow(NamedTuple):
    """A study with a model, or one that no model takes; None where it is not known.

    `lesion_volume_ml` is that of `summary.json`: voxels that lesions of a class share count once.
    `warnings` are codes joined by ";". Modality, slices and spacing are those of the first channel.
    """

    study: str
    patient: str
    model: str
    model_version: str
    state: State
    code: str
    detail: str
    object_count: int | None
    lesion_count: int | None
    organ_count: int | None
    lesion_volume_ml: float | None
    warnings: str
    modality: str
    slices: int | None
    spacing_z_mm: float | None
    spacing_y_mm: float | None
    spacing_x_mm: float | None
    series: str
    key: str


class QuarantineRow(NamedTuple):
    """Why a study with a model failed, how often it was tried, and what to do.

    Without attempts the plan refused it; without a model it is a file that names no study.
    """

    study: str
    patient: str
    model: str
    code: str
    what_happened: str
    what_to_do: str
    attempts: int
    key: str


STUDY_TYPES: Mapping[str, str] = {
    **dict.fromkeys(StudyRow._fields, "str"),
    **dict.fromkeys(("object_count", "lesion_count", "organ_count", "slices"), "Int64"),
    **dict.fromkeys(
        ("lesion_volume_ml", "spacing_z_mm", "spacing_y_mm", "spacing_x_mm"), "float64"
    ),
}
QUARANTINE_TYPES: Mapping[str, str] = {
    **dict.fromkeys(QuarantineRow._fields, "str"),
    "attempts": "int64",
}


class _Planned(NamedTuple):
    """The jobs of plan.json by study and model, and who has none.

    `models` are those whose studies were looked for in all of the root.
    """

    jobs: Mapping[tuple[str, str], Mapping[str, Any]]
    unselected: Sequence[Mapping[str, Any]]
    models: frozenset[str] = frozenset()

    def key_of(self, pair: tuple[str, str], key: str) -> str:
        """The key of a study and model as planned; `key` where no plan knows them."""
        job = self.jobs.get(pair)
        return key if job is None else str(job["key"])

    def is_gone(self, pair: tuple[str, str]) -> bool:
        """Whether the study of a result was not found any more."""
        return pair[1] in self.models and pair not in self.jobs


def collect(out: Path) -> None:
    """Write `TABLES` of the batch in `out` from its plan, `done/` and `quarantine/`.

    Rows are sorted by patient, study, model and number of the object, and hold no time and no path:
    the same results give the same bytes. A record whose study and model are planned under another
    key is of an older input or setting and counts as not there. Memory grows with the number of
    studies, not of objects.

    Raises InputRefused (`file-corrupt`, `format-unknown`, `table-invalid`) for a damaged record and
    OutputError where a table cannot be written; older tables stay then.
    """
    planned = _planned(out)
    done, columns = _done(out, planned)
    failures = _failures(out, planned, done={(row.study, row.model) for row in done})
    waiting = _waiting(planned, done, failures)
    rows = sorted([*done, *map(_quarantined, failures), *waiting], key=_place)
    jobs = [_measured(row) for row in rows if row.state == "done"]
    refused = sorted(map(_refused, failures), key=_place)
    with staged(out, TABLES) as stage:
        write_objects(out, jobs, columns, stage)
        write_table(_frame(rows, STUDY_TYPES), stage / STUDIES)
        write_table(_frame(refused, QUARANTINE_TYPES), stage / QUARANTINE)


def read_json(path: Path, name: str) -> dict[str, Any]:
    """A JSON object that a batch wrote; `name` stands for it in errors.

    Raises InputRefused (`file-corrupt`, and those of `check_version`).
    """
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputRefused("file-corrupt", name, "cannot be read as JSON", AGAIN) from error
    check_version(said, name)
    return dict(said)


def check_version(said: Mapping[str, Any], name: str) -> None:
    """Raise InputRefused (`format-unknown`) where a document is of another version than ours."""
    found = said.get("version", VERSION)
    if found != VERSION:
        raise InputRefused(
            "format-unknown",
            name,
            f"is of version {found} of what a batch writes, and this medseg reads {VERSION}",
            "take the medseg that wrote it, or begin a new folder",
        )


def _planned(out: Path) -> _Planned:
    """What is planned; nothing where there is no plan yet. The rows of series are passed over."""
    path = out / PLAN_JSON
    jobs: dict[tuple[str, str], dict[str, Any]] = {}
    unselected: list[dict[str, Any]] = []
    if not path.is_file():
        return _Planned(jobs, unselected)
    with path.open(encoding="utf-8") as file:
        head = json.loads(f"{next(file).rstrip().rstrip(',')}}}")
        check_version(head, PLAN_JSON)
        section = ""
        for line in file:  # an entry a line
            text = line.strip().rstrip(",")
            if text.startswith('"'):
                section = text.split('"')[1]
            elif section == "jobs" and text.startswith("{"):
                job = json.loads(text)
                jobs[job["study"], job["model"]] = job
            elif section == "unselected" and text.startswith("{"):
                unselected.append(json.loads(text))
    return _Planned(jobs, unselected, frozenset(head["models"] if head["whole"] else ()))


def _done(out: Path, planned: _Planned) -> tuple[list[StudyRow], list[str]]:
    """The rows of finished jobs, and the columns of their objects."""
    rows, found = [], set()
    for key in _names(out / "done"):
        path, name = out / "done" / key / "record.json", f"done/{key}/record.json"
        record = read_json(path, name) if path.is_file() else {}
        if record.get("key") != key:  # no batch put it there
            continue
        try:
            pair = record["study"], record["model"]["name"]
            row = _finished(record)
        except (LookupError, StopIteration, TypeError, ValueError) as error:
            raise InputRefused("file-corrupt", name, "is no record of a result", AGAIN) from error
        if planned.key_of(pair, key) == key:
            if planned.is_gone(pair):
                row = row._replace(warnings=";".join(filter(None, (row.warnings, NOT_IN_ROOT))))
            rows.append(row)
            found.update(columns_of_objects(out, key))
    return rows, all_columns(found)


def _finished(record: Mapping[str, Any]) -> StudyRow:
    channel, facts = next(iter(record["inputs"].items()))
    counts = dict.fromkeys(OBJECTS, 0)
    volumes_ml = dict.fromkeys(OBJECTS, 0.0)
    for total in record["classes"].values():
        counts[total["kind"]] += total["count"]
        volumes_ml[total["kind"]] += total["volume_ml"]
    z_mm, y_mm, x_mm = facts["spacing_mm_zyx"]
    return StudyRow(
        study=record["study"],
        patient=record["patient"],
        model=record["model"]["name"],
        model_version=record["model"]["version"],
        state="done",
        code="",
        detail="",
        object_count=sum(counts.values()),
        lesion_count=counts["lesion"],
        organ_count=counts["organ"],
        lesion_volume_ml=volumes_ml["lesion"],
        warnings=";".join(dict.fromkeys(one["code"] for one in record["warnings"])),
        modality=facts["modality"],
        slices=facts["shape_zyx"][0],
        spacing_z_mm=z_mm,
        spacing_y_mm=y_mm,
        spacing_x_mm=x_mm,
        series=record.get("series", {}).get(channel, ""),
        key=record["key"],
    )


def _failures(out: Path, planned: _Planned, done: set[tuple[str, str]]) -> list[dict[str, Any]]:
    """What was said of jobs that failed, those aside that are done or planned otherwise by now."""
    found = []
    for name in _names(out / "quarantine"):
        said = read_json(out / "quarantine" / name, f"quarantine/{name}")
        pair = said["study"], said["model"]
        if pair not in done and planned.key_of(pair, said["key"]) == said["key"]:
            found.append(said)
    return found


def _quarantined(said: Mapping[str, Any]) -> StudyRow:
    return _unfinished(said, "quarantined", said["code"], said["detail"])


def _refused(said: Mapping[str, Any]) -> QuarantineRow:
    return QuarantineRow(
        study=said["study"],
        patient=said["patient"],
        model=said["model"],
        code=said["code"],
        what_happened=said["detail"],
        what_to_do=said["remedy"],
        attempts=said["attempts"],
        key=said["key"],
    )


def _measured(row: StudyRow) -> Measured:
    counts = {"lesion": row.lesion_count or 0, "organ": row.organ_count or 0}
    return Measured(row.key, (row.study, row.patient, row.model, row.series), counts)


def _waiting(
    planned: _Planned, done: Sequence[StudyRow], failures: Sequence[Mapping[str, Any]]
) -> Iterator[StudyRow]:
    """Rows of what is planned and not finished, and of studies that no model takes."""
    known = {(row.study, row.model) for row in done}
    known |= {(one["study"], one["model"]) for one in failures}
    for pair, job in planned.jobs.items():
        if pair not in known:
            yield _unfinished(job, "pending", "", "")
    studies = {study for study, _ in known}
    for row in planned.unselected:
        if row["study"] not in studies:
            reasons = list(row["reasons"])
            code = reasons[0].partition(":")[0] if reasons else ""
            code = code if code in REFUSALS else ""
            yield _unfinished(
                {**row, "model": "", "key": ""}, "not-selected", code, "; ".join(reasons)
            )


def _unfinished(said: Mapping[str, Any], state: State, code: str, detail: str) -> StudyRow:
    facts = said.get("facts", {})
    return StudyRow(
        study=said["study"],
        patient=said["patient"],
        model=said["model"],
        model_version="",
        state=state,
        code=code,
        detail=detail,
        object_count=None,
        lesion_count=None,
        organ_count=None,
        lesion_volume_ml=None,
        warnings="",
        modality=facts.get("modality", ""),
        slices=facts.get("slices"),
        spacing_z_mm=facts.get("spacing_z_mm"),
        spacing_y_mm=None,
        spacing_x_mm=None,
        series=said.get("series", ""),
        key=said["key"],
    )


def _place(row: StudyRow | QuarantineRow) -> tuple[str, ...]:
    return row.patient, row.study, row.model, row.key


def _frame(rows: Sequence[tuple[Any, ...]], types: Mapping[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(types)).astype(dict(types))


def _names(folder: Path) -> list[str]:
    """What a folder holds, in order, files half-written aside; nothing where it is not there."""
    if not folder.is_dir():
        return []
    return sorted(one.name for one in os.scandir(folder) if not one.name.startswith("."))

"""What lies under a path, series by series: for listings, never an exception for bad images."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from medseg.errors import InputRefused
from medseg.io.checks import orientation_code
from medseg.io.dicom.check import check
from medseg.io.dicom.classes import SUPPORTED, class_name
from medseg.io.dicom.notes import stack_notes
from medseg.io.dicom.read import choose_stack
from medseg.io.dicom.records import Checked, Series
from medseg.io.dicom.rescale import unit_of
from medseg.io.dicom.scan import scan_tree
from medseg.types import InputWarning, Modality, Shape, Unit

Status = Literal["read", "refused", "skipped"]


@dataclass(frozen=True, slots=True)
class SeriesReport:
    """One line of a listing: a series, or files that were set aside.

    `number` and `pseudonym` choose the series in `read_dicom`; `patient` counts patients from 1.
    Shape and spacing_mm are (z, y, x) of the first volume; `orientation` names where z, y and x
    lead (S superior, I inferior, P posterior, A anterior, L left, R right). `code`, `detail` and
    `remedy` are "" where nothing is wrong.
    """

    what: str
    status: Status
    files: int
    number: int | None = None
    pseudonym: str = ""
    patient: int | None = None
    modality: Modality = "unknown"
    unit: Unit = "unknown"
    shape: Shape | None = None
    spacing_mm: tuple[float, float, float] | None = None
    orientation: str = ""
    volumes: tuple[str, ...] = ()
    code: str = ""
    detail: str = ""
    remedy: str = ""
    warnings: tuple[InputWarning, ...] = ()


def describe_dicom(path: str | os.PathLike[str]) -> list[SeriesReport]:
    """A report for every series under a path and for what was skipped; pixels are not decoded.

    Status "read" means that all headers are sound; `several-volumes` is reported as a refusal,
    since reading needs a choice.

    Raises InputRefused only for the path as a whole (`path-missing`, `path-unreadable`,
    `archive`, `too-large`).
    """
    found = scan_tree(Path(path))
    patients = sorted({patient for one in found.images for patient in one.patients})
    reports = [_report(one, patients) for one in found.series]
    for reason, count in sorted(found.skipped.items()):
        reports.append(SeriesReport(what=f"{reason} files", status="skipped", files=count))
    return reports


def _report(series: Series, patients: list[str]) -> SeriesReport:
    if series.kind == "other":
        kinds = ", ".join(sorted({class_name(one) for one in series.sop_classes}))
        return SeriesReport(kinds, "skipped", series.files, series.number, series.pseudonym)
    if series.kind == "damaged":
        what = "DICOM images with a damaged header"
        return _with_checks(SeriesReport(what, "refused", series.files), series)
    modalities = {SUPPORTED.get(one, "unknown") for one in series.sop_classes}
    mine = [patients.index(one) + 1 for one in sorted(series.patients)]
    report = SeriesReport(
        what=series.subject,
        status="read",
        files=series.files,
        number=series.number,
        pseudonym=series.pseudonym,
        patient=mine[0] if len(mine) == 1 else None,
        modality=modalities.pop() if len(modalities) == 1 else "unknown",
    )
    return _with_checks(report, series)


def _with_checks(report: SeriesReport, series: Series) -> SeriesReport:
    """The report with what checking the series shows, be it sound or not."""
    try:
        checked = check(series)
    except InputRefused as error:
        return _with_refusal(report, error)
    described = _described(report, checked)
    try:
        choose_stack(checked, None)
    except InputRefused as error:
        return _with_refusal(described, error)
    return described


def _with_refusal(report: SeriesReport, error: InputRefused) -> SeriesReport:
    return replace(
        report, status="refused", code=error.code, detail=error.detail, remedy=error.remedy
    )


def _described(report: SeriesReport, checked: Checked) -> SeriesReport:
    sound = [one.geometry for one in checked.stacks if one.geometry is not None]
    first = checked.stacks[0]
    return replace(
        report,
        unit=unit_of(first.frames),
        shape=sound[0].shape if sound else None,
        spacing_mm=sound[0].spacing_mm if sound else None,
        orientation=orientation_code(sound[0]) if sound else "",
        volumes=tuple(one.label for one in checked.stacks if one.label),
        warnings=checked.warnings + stack_notes(first),
    )

"""What lies under a path, series by series: for listings, never an exception for bad images."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from medseg.errors import InputRefused
from medseg.io.checks import orientation_code
from medseg.io.dicom.check import check
from medseg.io.dicom.classes import SUPPORTED, class_name
from medseg.io.dicom.geometry import Fault
from medseg.io.dicom.notes import stack_notes
from medseg.io.dicom.read import choose_stack
from medseg.io.dicom.records import Checked, Scan, Series, Stack
from medseg.io.dicom.refusals import refusal
from medseg.io.dicom.rescale import unit_of
from medseg.io.dicom.scan import scan_tree
from medseg.io.dicom.suv import pet_scale
from medseg.types import InputWarning, Modality, Shape, Unit

Status = Literal["read", "refused", "skipped"]


@dataclass(frozen=True, slots=True)
class VolumeReport:
    """One volume of a series: `number` chooses it, `label` says what sets it apart.

    Shape, spacing_mm and origin_mm are None where the volume is refused; the origin is LPS.
    """

    number: int
    label: str
    slices: int
    shape: Shape | None = None
    spacing_mm: tuple[float, float, float] | None = None
    orientation: str = ""
    origin_mm: tuple[float, float, float] | None = None
    unit: Unit = "unknown"
    code: str = ""
    detail: str = ""
    remedy: str = ""
    warnings: tuple[InputWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class SeriesReport:
    """One line of a listing: a series, or files that were set aside.

    `number` and `pseudonym` choose the series in `read_dicom`; `patient` counts patients from 1,
    `patient_code` and `study` stand for PatientID and StudyInstanceUID; of several they are "".
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
    patient_code: str = ""
    study: str = ""
    modality: Modality = "unknown"
    unit: Unit = "unknown"
    shape: Shape | None = None
    spacing_mm: tuple[float, float, float] | None = None
    orientation: str = ""
    volumes: tuple[str, ...] = ()
    stacks: tuple[VolumeReport, ...] = ()
    code: str = ""
    detail: str = ""
    remedy: str = ""
    warnings: tuple[InputWarning, ...] = ()


def describe_dicom(
    path: str | os.PathLike[str], *, secret: bytes | None = None
) -> list[SeriesReport]:
    """A report for every series under a path and for what was skipped; pixels are not decoded.

    Status "read" means that all headers are sound; `several-volumes` is reported as a refusal,
    since reading needs a choice. Patients are P1, P2, ... or, with the `secret` of a site, sixteen
    hexadecimal digits that are the same in every listing of that site.

    Raises InputRefused only for the path as a whole (`path-missing`, `path-unreadable`,
    `archive`, `too-large`).
    """
    return describe_scan(scan_tree(Path(path)), secret=secret)


def describe_scan(found: Scan, *, secret: bytes | None = None) -> list[SeriesReport]:
    """As `describe_dicom`, of what a scan has found."""
    patients = patient_codes(found.images, secret)
    reports = [describe_series(one, patients) for one in found.series]
    for reason, count in sorted(found.skipped.items()):
        reports.append(SeriesReport(what=f"{reason} files", status="skipped", files=count))
    return reports


def patient_codes(series: Sequence[Series], secret: bytes | None) -> dict[str, str]:
    """The code of each patient by the hash of the PatientID, in the order of the series.

    Without a secret the codes are running numbers: hashes of ids that run on could be guessed back.
    """
    patients = dict.fromkeys(patient for one in series for patient in sorted(one.patients))
    if secret is None:
        return {patient: f"P{n}" for n, patient in enumerate(patients, 1)}
    return {
        patient: hmac.new(secret, patient.encode(), hashlib.sha256).hexdigest()[:16]
        for patient in patients
    }


def describe_series(series: Series, patients: Mapping[str, str]) -> SeriesReport:
    """The report of one series; `patients` are those of `patient_codes`."""
    if series.kind == "other":
        kinds = ", ".join(sorted({class_name(one) for one in series.sop_classes}))
        return SeriesReport(kinds, "skipped", series.files, series.number, series.pseudonym)
    if series.kind == "damaged":
        what = "DICOM images with a damaged header"
        return _with_checks(SeriesReport(what, "refused", series.files), series)
    modalities = {SUPPORTED.get(one, "unknown") for one in series.sop_classes}
    numbered = enumerate(patients.items(), 1)
    mine = [(n, code) for n, (one, code) in numbered if one in series.patients]
    studies = {frame.file.facts["study"] for frame in series.frames}
    report = SeriesReport(
        what=series.subject,
        status="read",
        files=series.files,
        number=series.number,
        pseudonym=series.pseudonym,
        patient=mine[0][0] if len(mine) == 1 else None,
        patient_code=mine[0][1] if len(mine) == 1 else "",
        study=studies.pop() if len(studies) == 1 else "",
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


def describe_stack(checked: Checked, number: int) -> VolumeReport:
    """The report of volume `number` of a series, counted from 1."""
    stack = checked.stacks[number - 1]
    report = VolumeReport(number, stack.label, len(stack.frames), unit=unit_of(stack.frames))
    problem = stack.refused
    if stack.geometry is not None:
        geometry = stack.geometry
        x, y, z = (float(mm) for mm in geometry.affine[:3, 3])
        report = replace(
            report,
            shape=geometry.shape,
            spacing_mm=geometry.spacing_mm,
            orientation=orientation_code(geometry),
            origin_mm=(x, y, z),
            warnings=stack_notes(stack),
        )
    if checked.modality == "PT":
        report, fault = _with_pet(report, stack)
        if fault is not None and problem is None:
            problem = refusal(checked.series, fault.code, fault.detail)
    if problem is None:
        return report
    return replace(report, code=problem.code, detail=problem.detail, remedy=problem.remedy)


def _with_pet(report: VolumeReport, stack: Stack) -> tuple[VolumeReport, Fault | None]:
    """The unit that PET is read in, or why there is none, and a warning where SUV cannot be had."""
    scale = pet_scale(stack.frames, "physical")
    if isinstance(scale, Fault):
        return report, scale
    report = replace(report, unit=scale.unit)
    suv = pet_scale(stack.frames, "SUVbw")
    if isinstance(suv, Fault):
        note = InputWarning(suv.code, suv.detail)
        report = replace(report, warnings=(*report.warnings, note))
    return report, None


def _described(report: SeriesReport, checked: Checked) -> SeriesReport:
    stacks = tuple(describe_stack(checked, n) for n in range(1, len(checked.stacks) + 1))
    sound = [one for one in stacks if one.shape is not None]
    first = stacks[0]
    if len(stacks) == 1 and first.code:
        report = replace(
            report, status="refused", code=first.code, detail=first.detail, remedy=first.remedy
        )
    return replace(
        report,
        unit=first.unit,
        shape=sound[0].shape if sound else None,
        spacing_mm=sound[0].spacing_mm if sound else None,
        orientation=sound[0].orientation if sound else "",
        volumes=tuple(one.label for one in stacks if one.label),
        stacks=stacks,
        warnings=checked.warnings + first.warnings,
    )

"""What lies at a path and what `read` would refuse: for listings, images one by one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from medseg.errors import InputRefused
from medseg.io.checks import orientation_code, require_finite
from medseg.io.formats import IMAGE_SUFFIXES, file_format, has_suffix
from medseg.io.images import is_dicom, open_image
from medseg.io.instances import holds_segments, read_instances
from medseg.types import Geometry, InputWarning, Modality, Shape, Unit

if TYPE_CHECKING:
    from medseg.io.dicom.report import SeriesReport


@dataclass(frozen=True)
class Finding:
    """One image or series at a path, or files that were set aside.

    `shape` and `spacing_mm` are (z, y, x); `orientation` names where z, y and x lead (S superior,
    I inferior, P posterior, A anterior, L left, R right). `code`, `detail` and `remedy` are ""
    where nothing is wrong. `series` is what chooses a DICOM series; `volumes` names the volumes
    in it, in the order of their numbers, which count from 1.
    """

    what: str
    status: Literal["read", "refused", "skipped"]
    format: str
    files: int = 1
    shape: Shape | None = None
    spacing_mm: tuple[float, float, float] | None = None
    orientation: str = ""
    modality: Modality = "unknown"
    unit: Unit = "unknown"
    code: str = ""
    detail: str = ""
    remedy: str = ""
    warnings: tuple[InputWarning, ...] = ()
    series: str = ""
    patient: int | None = None
    volumes: tuple[str, ...] = ()
    instances: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON; warnings as {"code", "detail"}."""
        fields = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        return fields | {"warnings": [one._asdict() for one in self.warnings]}


def inspect(path: str | Path) -> list[Finding]:
    """What is at `path`: one image file, or all series and image files of a folder.

    A single image file is read whole; in a folder, headers alone are read (damaged or infinite
    values show only when a file is read).

    Raises InputRefused only for the path as a whole (`path-missing`, `path-unreadable`,
    `archive`, `format-unknown`, `file-corrupt`).
    """
    place = Path(path)
    if place.is_dir():
        return _folder(place)
    if is_dicom(place):
        return _dicom(place)
    return [_image(place, place.name, whole=True)]


def _folder(folder: Path) -> list[Finding]:
    files = sorted(
        one for one in folder.rglob("*") if has_suffix(one, *IMAGE_SUFFIXES) and one.is_file()
    )
    named = [one for one in files if not _is_second_half(one, files)]
    found = [
        _image(one, one.relative_to(folder).as_posix(), whole=False)
        for one in named
        if not _is_other(one)
    ]
    series = _dicom(folder)
    if found:
        # The image files are among what the scan for DICOM set aside.
        series = [one for one in series if one.status != "skipped" or one.series]
    return series + found


def _is_second_half(path: Path, files: list[Path]) -> bool:
    """Whether this is the .img of a .hdr that is listed itself."""
    stem, _, tail = path.name.lower().partition(".img")
    return (
        tail in ("", ".gz")
        and stem != path.name.lower()
        and any(
            one.parent == path.parent and one.name.lower() in (f"{stem}.hdr", f"{stem}.hdr.gz")
            for one in files
        )
    )


def _is_other(path: Path) -> bool:
    try:
        return file_format(path) == "DICOM"
    except InputRefused:
        return False


def _image(path: Path, what: str, *, whole: bool) -> Finding:
    """One image file: its header, and with `whole` its values too."""
    kind = "unknown"
    geometry: Geometry | None = None
    warnings: tuple[InputWarning, ...] = ()
    instances: int | None = None
    problem: InputRefused | None = None
    try:
        kind = file_format(path)
        if holds_segments(path):
            kind = "Segmentation"
            segmentation = read_instances(path)
            geometry, instances = segmentation.geometry, len(segmentation)
            warnings = segmentation.warnings
        else:
            header = open_image(path)
            geometry, warnings = header.geometry, header.warnings
            if whole:
                require_finite(header.load(), path.name)
    except InputRefused as error:
        problem = error
    found = Finding(
        what,
        "refused" if problem else "read",
        kind,
        warnings=warnings,
        instances=instances,
        code=problem.code if problem else "",
        detail=problem.detail if problem else "",
        remedy=problem.remedy if problem else "",
    )
    if geometry is None:
        return found
    return dataclasses.replace(
        found,
        shape=geometry.shape,
        spacing_mm=geometry.spacing_mm,
        orientation=orientation_code(geometry),
    )


def _dicom(path: Path) -> list[Finding]:
    from medseg.io.dicom import describe_dicom  # pydicom loads here

    return [_of_series(report) for report in describe_dicom(path)]


def _of_series(report: SeriesReport) -> Finding:
    return Finding(
        what=report.what,
        status=report.status,
        format="DICOM" if report.number is not None else "unknown",
        files=report.files,
        shape=report.shape,
        spacing_mm=report.spacing_mm,
        orientation=report.orientation,
        modality=report.modality,
        unit=report.unit,
        code=report.code,
        detail=report.detail,
        remedy=report.remedy,
        warnings=report.warnings,
        series=report.pseudonym,
        patient=report.patient,
        volumes=report.volumes,
    )

"""What lies at a path and what `read` would refuse: for listings and thumbnails."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from medseg.errors import InputRefused
from medseg.io.checks import orientation_code, require_finite
from medseg.io.formats import IMAGE_SUFFIXES, file_format, has_suffix
from medseg.io.images import is_dicom, open_image, read
from medseg.io.instances import holds_segments, read_instances
from medseg.types import Geometry, InputWarning, Modality, Shape, Unit, Volume

if TYPE_CHECKING:
    from medseg.io.dicom.records import Scan
    from medseg.io.dicom.report import SeriesReport, VolumeReport
    from medseg.io.preview_strip import Thumbnail


@dataclass(frozen=True)
class Finding:
    """One image or series at a path, or files that were set aside.

    `shape` and `spacing_mm` are (z, y, x); `orientation` names where z, y and x lead (S superior,
    I inferior, P posterior, A anterior, L left, R right). `code`, `detail` and `remedy` are ""
    where nothing is wrong. `series` is what chooses a DICOM series, `patient` and `study` stand
    for whose and which it is; `volumes` are those of a DICOM series, in the order of their
    numbers, which count from 1.
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
    patient: str = ""
    study: str = ""
    volumes: tuple[VolumeReport, ...] = ()
    instances: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON; warnings as {"code", "detail"}."""
        return _plain(self) | {"volumes": [_plain(one) for one in self.volumes]}


def _plain(what: Finding | VolumeReport) -> dict[str, Any]:
    fields = {one.name: getattr(what, one.name) for one in dataclasses.fields(what)}
    return fields | {"warnings": [one._asdict() for one in what.warnings]}


@dataclass(frozen=True, eq=False)
class Survey:
    """The findings, and for each sound volume a label and what reads it."""

    findings: tuple[Finding, ...]
    volumes: tuple[tuple[str, Callable[[], Volume]], ...]


def inspect(path: str | Path) -> list[Finding]:
    """What is at `path`: one image file, or all series and image files of a folder.

    A single image file is read whole; in a folder, headers alone are read (damaged or infinite
    values show only when a file is read).

    Raises InputRefused only for the path as a whole (`path-missing`, `path-unreadable`,
    `archive`, `format-unknown`, `file-corrupt`).
    """
    return list(survey(path).findings)


def survey(path: str | Path, *, secret: bytes | None = None, index: Path | None = None) -> Survey:
    """As `inspect`, with the means to read what is sound.

    `secret` is as in `describe_dicom`, `index` as in `medseg.io.dicom.scan`.

    Raises InputRefused as `inspect` does.
    """
    place = Path(path)
    if place.is_dir():
        return _folder(place, secret, index)
    if is_dicom(place):
        return _dicom(place, secret, None)
    return _images([(place, _image(place, place.name, whole=True))])


def thumbnails(
    survey: Survey, *, most: int, progress: Callable[[int, int], None]
) -> tuple[list[Thumbnail], list[InputWarning]]:
    """The middle slice of the first `most` sound volumes, and why some of them have none.

    A volume whose header says that text is burned into its pixels is not shown.
    """
    from medseg.io.preview_strip import thumbnail  # matplotlib loads here

    shown, notes = [], []
    wanted = survey.volumes[:most]
    for done, (label, load) in enumerate(wanted, 1):
        try:
            volume = load()
        except InputRefused as error:
            notes.append(InputWarning(error.code, f"{label} is not shown: {error.detail}"))
        else:
            written = [one for one in volume.warnings if one.code == "burned-in-annotation"]
            if written:  # what is written into the pixels may be a name
                notes.append(InputWarning(written[0].code, f"{label} is not shown"))
            else:
                shown.append(thumbnail(volume, label))
        progress(done, len(wanted))
    return shown, notes


def _images(found: list[tuple[Path, Finding]]) -> Survey:
    sound = [
        (one.what, partial(read, path))
        for path, one in found
        if one.status == "read" and one.instances is None
    ]
    return Survey(tuple(one for _, one in found), tuple(sound))


def _folder(folder: Path, secret: bytes | None, index: Path | None) -> Survey:
    files = sorted(
        one for one in folder.rglob("*") if has_suffix(one, *IMAGE_SUFFIXES) and one.is_file()
    )
    named = [one for one in files if not _is_second_half(one, files)]
    images = _images(
        [
            (one, _image(one, one.relative_to(folder).as_posix(), whole=False))
            for one in named
            if not _is_other(one)
        ]
    )
    dicom = _dicom(folder, secret, index)
    series = dicom.findings
    if images.findings:
        # The image files are among what the scan for DICOM set aside.
        series = tuple(one for one in series if one.status != "skipped" or one.series)
    return Survey(series + images.findings, dicom.volumes + images.volumes)


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


def _dicom(path: Path, secret: bytes | None, index: Path | None) -> Survey:
    from medseg.io.dicom.report import describe_scan  # pydicom loads here
    from medseg.io.dicom.scan import scan_tree

    found = scan_tree(path, index=index)
    reports = describe_scan(found, secret=secret)
    return Survey(tuple(_of_series(report) for report in reports), tuple(_readers(found, reports)))


def _readers(
    found: Scan, reports: list[SeriesReport]
) -> Iterator[tuple[str, Callable[[], Volume]]]:
    """A label and what reads it, of each sound volume; PET as it is stored."""
    from medseg.io.dicom import check, read_checked

    for series, report in zip(found.series, reports, strict=False):
        if not any(one.shape for one in report.stacks):
            continue
        checked = check(series)
        for one in report.stacks:
            if one.shape is not None:
                several = f"/{one.number}: {one.label}" if len(report.stacks) > 1 else ""
                label = f"series {series.number}{several or f' ({series.pseudonym})'}"
                yield label, partial(read_checked, checked, one.number, pet="stored")


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
        patient=report.patient_code,
        study=report.study,
        volumes=report.stacks,
    )

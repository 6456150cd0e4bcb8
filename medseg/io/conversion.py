"""Every sound volume of a study as a file of its own, and a report of what became of the rest."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from medseg.errors import InputRefused, OutputError
from medseg.io.atomic import staged
from medseg.io.formats import has_suffix
from medseg.io.images import is_dicom, read, write_volume
from medseg.types import InputWarning, Modality, Unit, Volume

if TYPE_CHECKING:
    from medseg.io.dicom import PetUnits
    from medseg.io.dicom.records import Checked, Series
    from medseg.io.dicom.report import SeriesReport

ImageFormat = Literal["nifti", "nrrd"]
SUFFIXES: dict[ImageFormat, str] = {"nifti": ".nii.gz", "nrrd": ".nrrd"}
REPORT = "report.json"
Status = Literal["read", "refused", "skipped"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class VolumeEntry:
    """What became of one volume of a series; `output` is "" where none was written.

    `shape` and `spacing_mm` are (z, y, x). `suv` says how SUV came about.
    """

    number: int
    label: str
    status: Status
    reason: str = ""
    detail: str = ""
    remedy: str = ""
    output: str = ""
    shape: tuple[int, ...] = ()
    spacing_mm: tuple[float, ...] = ()
    orientation: str = ""
    unit: Unit = "unknown"
    suv: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[InputWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one series: `read` where all its volumes are, `refused` where one is not.

    `reason`, `detail` and `remedy` are those of the first volume that is refused, "" where none
    is. `output` names the files.
    """

    what: str
    status: Status
    files: int = 1
    number: int | None = None
    series: str = ""
    patient: str = ""
    study: str = ""
    modality: Modality = "unknown"
    reason: str = ""
    detail: str = ""
    remedy: str = ""
    output: tuple[str, ...] = ()
    volumes: tuple[VolumeEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """All entries, in the order of the listing, and how many other files were set aside."""

    entries: tuple[Entry, ...]
    set_aside: dict[str, int] = field(default_factory=dict)

    def count(self, status: Status) -> int:
        """How many series ended so."""
        return sum(one.status == status for one in self.entries)

    @property
    def written(self) -> int:
        """How many volumes were written."""
        return sum(len(one.output) for one in self.entries)

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        series = [_as_dict(one) for one in self.entries]
        return {"series": series, "set_aside": dict(self.set_aside)}


def _as_dict(entry: Entry) -> dict[str, Any]:
    fields = dataclasses.asdict(entry)
    for shown, one in zip(fields["volumes"], entry.volumes, strict=True):
        shown["warnings"] = [warning._asdict() for warning in one.warnings]
    return fields


def convert(
    path: str | Path,
    out: Path,
    *,
    image_format: ImageFormat = "nifti",
    pet: PetUnits = "SUVbw",
    secret: bytes | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write each sound volume at `path` into the folder `out`, which is there, and `report.json`.

    All files appear together at the end, or none does. Files are named by the running number and
    the code of their series, and by what sets a volume apart. `progress` is told (done, all)
    images. `pet` says in which unit PET is written, `secret` is as in `describe_dicom`.

    Raises InputRefused for the path as a whole, and OutputError where nothing can be written.
    """
    place, names = Path(path), list[str]()
    told = progress or _nothing
    with staged(out, names) as stage:
        job = _Job(stage, SUFFIXES[image_format], pet, names, out)
        report = _dicom(place, job, secret, told) if is_dicom(place) else _image(place, job)
        text = json.dumps(report.as_dict(), indent=2) + "\n"
        (stage / REPORT).write_text(text, encoding="utf-8")
        names.append(REPORT)
    return report


def _nothing(done: int, total: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class _Job:
    """Where and how volumes are written; `names` grows with each."""

    stage: Path
    suffix: str
    pet: PetUnits
    names: list[str]
    out: Path

    def write(self, volume: Volume, stem: str) -> str:
        name = stem + self.suffix
        write_volume(volume, self.stage / name)
        self.names.append(name)
        return name


def _image(path: Path, job: _Job) -> Report:
    """One image file, under its own name."""
    stem = path.name
    for suffix in (".nii.gz", ".hdr.gz", ".img.gz", path.suffix):
        if has_suffix(path, suffix):
            stem = path.name[: len(path.name) - len(suffix)]
            break
    target = job.out / (stem + job.suffix)
    if target.exists() and target.samefile(path):
        raise OutputError(
            code="same-file",
            subject=path.name,
            detail="would be replaced by its own copy",
            remedy="give another folder or another format",
        )
    try:
        volume = read(path)
    except InputRefused as error:
        return Report((replace(Entry(path.name, "refused"), **_why(error)),))
    entry = _written(volume, VolumeEntry(1, "", "read"), job.write(volume, stem))
    return Report((Entry(path.name, "read", output=(entry.output,), volumes=(entry,)),))


def _written(volume: Volume, entry: VolumeEntry, output: str) -> VolumeEntry:
    from medseg.io.checks import orientation_code

    return replace(
        entry,
        output=output,
        shape=volume.geometry.shape,
        spacing_mm=volume.geometry.spacing_mm,
        orientation=orientation_code(volume.geometry),
        unit=volume.unit,
        suv=dict(volume.meta.get("suv", {})),
        warnings=volume.warnings,
    )


def _why(error: InputRefused) -> dict[str, Any]:
    return {"reason": error.code, "detail": error.detail, "remedy": error.remedy}


def _dicom(path: Path, job: _Job, secret: bytes | None, progress: Progress) -> Report:
    from medseg.io.dicom.report import describe_series, patient_codes
    from medseg.io.dicom.scan import scan_tree

    found = scan_tree(path)
    patients = patient_codes(found.images, secret)
    total = max(1, sum(len(one.frames) for one in found.series))
    done, entries = 0, []
    for series in found.series:
        described = describe_series(series, patients)

        def tell(part: int, start: int = done) -> None:
            progress(min(start + part, total), total)

        entries.append(_series(series, described, job, tell))
        done += len(series.frames)
        progress(done, total)
    return Report(tuple(entries), dict(found.skipped))


def _series(
    series: Series, described: SeriesReport, job: _Job, tell: Callable[[int], None]
) -> Entry:
    from medseg.io.dicom.check import check

    entry = Entry(
        what=described.what,
        status="skipped" if described.status == "skipped" else "refused",
        files=described.files,
        number=described.number,
        series=described.pseudonym,
        patient=described.patient_code,
        study=described.study,
        modality=described.modality,
    )
    if described.status == "skipped":
        return entry
    try:
        checked = check(series)
    except InputRefused as error:
        return replace(entry, **_why(error))
    volumes = tuple(_volumes(checked, job, tell))
    refused = [one for one in volumes if one.status == "refused"]
    first = refused[0] if refused else None
    return replace(
        entry,
        status="refused" if refused else "read",
        reason=first.reason if first else "",
        detail=first.detail if first else "",
        remedy=first.remedy if first else "",
        output=tuple(one.output for one in volumes if one.output),
        volumes=volumes,
    )


def _volumes(checked: Checked, job: _Job, tell: Callable[[int], None]) -> Iterator[VolumeEntry]:
    from medseg.io.dicom.read import read_checked

    done = 0
    for number, stack in enumerate(checked.stacks, 1):
        entry = VolumeEntry(number, stack.label, "read")
        try:
            volume = read_checked(checked, number, pet=job.pet)
        except InputRefused as error:
            yield replace(entry, status="refused", **_why(error))
        else:
            stem = file_stem(checked.series, number, stack.label, len(checked.stacks))
            yield _written(volume, entry, job.write(volume, stem))
        done += len(stack.frames)
        tell(done)


def file_stem(series: Series, number: int, label: str, volumes: int) -> str:
    """How a volume's file is called: numbers, a hash and names of tags, nothing of the patient."""
    stem = f"series-{series.number:03d}-{series.pseudonym}"
    if volumes == 1:
        return stem
    slug = re.sub(r"[^a-z0-9.]+", "-", label.lower())[:40].strip("-.")
    return "-".join(part for part in (stem, f"volume-{number:02d}", slug) if part)

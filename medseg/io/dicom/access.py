"""From a path to volumes: scan, choose a series, check it, read it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from medseg.io.dicom.check import check
from medseg.io.dicom.classes import SUPPORTED, class_name
from medseg.io.dicom.read import read_checked
from medseg.io.dicom.records import Scan, Series
from medseg.io.dicom.refusals import counted, path_refusal
from medseg.io.dicom.scan import scan_files, scan_tree
from medseg.io.dicom.suv import PetUnits
from medseg.types import Volume

PathLike = str | os.PathLike[str]
_MOST_LISTED = 12


def read_dicom(
    path: PathLike,
    *,
    series: str | int | None = None,
    volume: int | None = None,
    pet: PetUnits = "physical",
) -> Volume:
    """The volume of a DICOM folder or file.

    `series` chooses among several: the running number or the code of the listing, or a whole
    SeriesInstanceUID. `volume` chooses among the volumes of one series, counted from 1. `pet` says
    in which unit PET is read.

    Raises InputRefused with one of the codes of DICOM.
    """
    return read_checked(check(choose_series(path, series)), volume, pet=pet)


def choose_series(path: PathLike, series: str | int | None = None) -> Series:
    """The one image series at a path, or the one of that number, code or UID.

    Raises InputRefused (`several-series`, `series-unknown`, `no-image-series`, `file-corrupt`,
    `several-patients`, or what `scan` refuses).
    """
    return _chosen(scan_tree(Path(path)), series)


def series_of_files(paths: Iterable[PathLike]) -> Series:
    """The one image series that the files make up, wherever they lie.

    Raises InputRefused as `choose_series` does, and `file-corrupt` where a file is no image.
    """
    found = scan_files(paths)
    others = sum(one.files for one in found.series if one.kind == "other")
    lost = others + sum(found.skipped.values())
    if lost:
        raise path_refusal("file-corrupt", f"{counted(lost, 'file')} of the series hold no image")
    return _chosen(found, None)


def read_dicom_volumes(path: PathLike, *, pet: PetUnits = "physical") -> list[Volume]:
    """Every volume of every image series under a path, in the order of the listing.

    Raises InputRefused where any series or volume is not sound: none is left out silently.
    """
    found = scan_tree(Path(path))
    _check_scan(found)
    _check_patients(found.images)
    checked = [check(series) for series in found.images]
    return [
        read_checked(one, number, pet=pet)
        for one in checked
        for number in range(1, len(one.stacks) + 1)
    ]


def looks_like_dicom(path: PathLike) -> bool:
    """Whether a single file carries the mark of DICOM (PS3.10 7.1)."""
    with Path(path).open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _check_scan(found: Scan) -> None:
    """There are images, and no file is damaged that may belong to any of them."""
    lost = [one for one in found.series if one.kind == "damaged"]
    if lost:
        files = sum(one.files for one in lost)
        detail = f"{counted(files, 'DICOM image')} with a header that cannot be used"
        raise path_refusal("file-corrupt", detail)
    if not found.images:
        others = sorted({class_name(name) for one in found.series for name in one.sop_classes})
        parts = [f"{count} {reason}" for reason, count in sorted(found.skipped.items())]
        aside = "; ".join([*others, *parts]) or "nothing"
        raise path_refusal("no-image-series", f"no image among the files (found: {aside})")


def _check_patients(images: Sequence[Series]) -> None:
    patients = len(frozenset().union(*(one.patients for one in images)))
    if patients > 1:
        detail = f"{patients} different PatientIDs in {len(images)} series"
        raise path_refusal("several-patients", detail)


def _chosen(found: Scan, series: str | int | None) -> Series:
    _check_scan(found)
    images = found.images
    if series is None:
        _check_patients(images)
        if len(images) > 1:
            raise path_refusal(
                "several-series", f"{len(images)} series, none chosen: {_listing(images)}"
            )
        return images[0]
    wanted = str(series).strip()
    for matches in ("pseudonym", "uid", "number"):
        for one in images:
            if str(getattr(one, matches)) == wanted:
                return one
    raise path_refusal("series-unknown", f"no such series; there are: {_listing(images)}")


def _listing(images: Sequence[Series]) -> str:
    parts = []
    for one in images[:_MOST_LISTED]:
        kinds = "/".join(sorted(SUPPORTED.get(n, class_name(n)) for n in one.sop_classes))
        parts.append(f"{one.number} ({one.pseudonym}) {kinds}, {counted(one.files, 'file')}")
    more = [f"{len(images) - _MOST_LISTED} more"] if len(images) > _MOST_LISTED else []
    return "; ".join([*parts, *more])

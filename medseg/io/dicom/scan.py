"""Step one: which series lie under a path, from headers alone."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pydicom.dataset import Dataset

from medseg.io.dicom.classes import DIRECTORY, NO_IMAGES, SUPPORTED
from medseg.io.dicom.frames import frames_of, image_file
from medseg.io.dicom.gathered import Gathered
from medseg.io.dicom.header import Header, read_header
from medseg.io.dicom.index import Index, Stamp
from medseg.io.dicom.records import Found, Scan, Series
from medseg.io.dicom.refusals import path_refusal
from medseg.io.dicom.tags import PARSE_ERRORS, number, quiet_pydicom, text

MAX_FILES = 200_000
MAX_DEPTH = 24
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
NOT_DICOM = "not DICOM"


def scan(path: str | os.PathLike[str], *, index: Path | None = None) -> tuple[Series, ...]:
    """The series under a folder, or of one file, in a fixed order; headers are all that is read.

    With a folder `index`, what was found is kept there, and files that did not change since are
    not opened again; None keeps and uses nothing.

    Raises InputRefused `path-missing`, `path-unreadable`, `archive`, `too-large` (too many files).
    """
    return scan_tree(Path(path), index=index).series


def scan_tree(path: Path, *, index: Path | None = None) -> Scan:
    """As `scan`, and how many files were set aside for which reason."""
    gathered = Gathered()
    with quiet_pydicom(), Index(path, index) as known:
        for order, file in enumerate(_files(path, gathered.skipped), start=1):
            gathered.add(known_or_read(file, order, known))
    return gathered.scan()


def scan_files(paths: Iterable[str | os.PathLike[str]]) -> Scan:
    """As `scan_tree`, of the files given, whatever folders they lie in; their order is no matter.

    Raises InputRefused `path-unreadable` for a file that is not there or cannot be read.
    """
    gathered = Gathered()
    with quiet_pydicom(), Index(Path(), None) as unknown:
        for order, path in enumerate(sorted(map(Path, paths)), start=1):
            gathered.add(known_or_read(PlacedFile(path, "", path.stat), order, unknown))
    return gathered.scan()


def known_or_read(file: PlacedFile, order: int, known: Index) -> Found | str:
    """What a file is, from the index or its header; else the reason to set it aside.

    Raises InputRefused `path-unreadable`.
    """
    try:
        stamp = Stamp.of(file.stat())
        found = known.find(file.path, file.folder, stamp, order)
        if found is None:
            found = _look_at(file.path, order, stamp.size)
            known.keep(file.path, stamp, found)
    except OSError as error:
        detail = f"file {order} in name order cannot be read ({error.strerror})"
        raise path_refusal("path-unreadable", detail) from error
    return found


class PlacedFile(NamedTuple):
    """A file that a scan came across; `folder` is where it lies, from the root of the scan on."""

    path: Path
    folder: str
    stat: Callable[[], os.stat_result]


def require_there(path: Path) -> None:
    """Refuse a path where nothing is (`path-missing`) or a broken link (`path-unreadable`)."""
    if not path.exists():
        code = "path-unreadable" if path.is_symlink() else "path-missing"
        detail = "a link that leads nowhere" if path.is_symlink() else "there is nothing there"
        raise path_refusal(code, detail)


def _files(path: Path, skipped: Counter[str]) -> Iterator[PlacedFile]:
    """Regular files in name order; links inside a folder are counted and not followed."""
    require_there(path)
    if not path.is_dir():
        _refuse_archive(path.name)
        yield PlacedFile(path, "", path.stat)
        return
    for count, (entry, folder) in enumerate(_entries(path), start=1):
        if count > MAX_FILES:
            raise path_refusal("too-large", f"more than {MAX_FILES} files")
        if entry.is_symlink():
            skipped["link"] += 1
        elif entry.is_file():
            _refuse_archive(entry.name)
            yield PlacedFile(Path(entry.path), folder, entry.stat)
        else:
            skipped[NOT_DICOM] += 1


def _entries(
    folder: str | Path, inside: str = "", depth: int = 0
) -> Iterator[tuple[os.DirEntry[str], str]]:
    """What is no folder, with the folder it lies in, in name order; subfolders come last."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        detail = f"a folder cannot be read ({error.strerror})"
        raise path_refusal("path-unreadable", detail) from error
    folders = []
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            folders.append(entry)
        else:
            yield entry, inside
    if folders and depth >= MAX_DEPTH:
        raise path_refusal("too-large", f"folders nested more than {MAX_DEPTH} deep")
    for one in folders:
        yield from _entries(one.path, f"{inside}{one.name}/", depth + 1)


def is_archive(name: str) -> bool:
    """Whether a file is a packed archive by its name."""
    return name.lower().endswith(_ARCHIVES)


def _refuse_archive(name: str) -> None:
    if is_archive(name):
        raise path_refusal("archive", "a packed archive, whose contents were not looked at")


def _look_at(file: Path, order: int, file_bytes: int) -> Found | str:
    """What a file is, or the reason to set it aside; OSError of the file system is the caller's."""
    header = read_header(file, file_bytes, whole=False)
    if header == NOT_DICOM:
        return NOT_DICOM
    if isinstance(header, str):
        return Found("", "damaged")
    try:
        return _sorted_out(header, file, order, file_bytes)
    except (*PARSE_ERRORS, OSError):
        return Found("", "damaged")


def _sorted_out(header: Header, file: Path, order: int, file_bytes: int) -> Found | str:
    ds = header.tags
    sop_class = text(ds, 0x00080016)
    uid = text(ds, 0x0020000E)
    rows = 0x00280010 in ds and 0x00280011 in ds
    if not sop_class and not rows:
        return _without_class(header.dataset)
    if sop_class in NO_IMAGES or (not rows and sop_class not in SUPPORTED):
        return Found(uid, "other", sop_class)
    if not uid or not text(ds, 0x00080018) or not sop_class or not rows:
        return Found(uid, "damaged", sop_class)
    facts = image_file(header, file, order, file_bytes)
    if min(facts.rows, facts.columns, facts.frames) < 1:
        return Found(uid, "damaged", sop_class)
    series_number = number(ds, 0x00200011)
    known = series_number is not None and abs(series_number) < float("inf")
    return Found(
        uid,
        "image",
        sop_class,
        series_number if known and series_number is not None else float("inf"),
        frames_of(header, facts),
    )


def _without_class(ds: Dataset) -> Found | str:
    """A directory of DICOM, a file cut before its first tags, or none of DICOM's."""
    meta = getattr(ds, "file_meta", None)
    if not meta:
        return NOT_DICOM
    is_directory = str(meta.get("MediaStorageSOPClassUID") or "") == DIRECTORY
    return "DICOMDIR" if is_directory else Found("", "damaged")

"""Step one: which series lie under a path, from headers alone."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pydicom.dataset import Dataset

from medseg.io.dicom.classes import DIRECTORY, NO_IMAGES, SUPPORTED
from medseg.io.dicom.frames import frames_of, image_file
from medseg.io.dicom.header import Header, read_header
from medseg.io.dicom.index import Index, Stamp
from medseg.io.dicom.records import Found, Frame, Scan, Series, SeriesKind
from medseg.io.dicom.refusals import path_refusal
from medseg.io.dicom.tags import PARSE_ERRORS, number, quiet_pydicom, text

MAX_FILES = 200_000
MAX_DEPTH = 24
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
_NOT_DICOM = "not DICOM"


def scan(path: str | os.PathLike[str], *, index: Path | None = None) -> tuple[Series, ...]:
    """The series under a folder, or of one file, in a fixed order; headers are all that is read.

    With a folder `index`, what was found is kept there, and files that did not change since are
    not opened again; None keeps and uses nothing.

    Raises InputRefused `path-missing`, `path-unreadable`, `archive`, `too-large` (too many files).
    """
    return scan_tree(Path(path), index=index).series


def scan_tree(path: Path, *, index: Path | None = None) -> Scan:
    """As `scan`, and how many files were set aside for which reason."""
    groups: dict[tuple[str, SeriesKind], _Group] = defaultdict(_Group)
    skipped: Counter[str] = Counter()
    with quiet_pydicom(), Index(path, index) as known:
        for order, file in enumerate(_files(path, skipped), start=1):
            found = _known_or_read(file, order, known)
            if isinstance(found, str):
                skipped[found] += 1
            else:
                groups[found.uid, found.kind].add(found)
    _merge_damaged(groups)
    return Scan(_numbered(groups), dict(skipped))


def _known_or_read(file: _File, order: int, known: Index) -> Found | str:
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


class _File(NamedTuple):
    """A file that a scan came across; `folder` is where it lies, from the root of the scan on."""

    path: Path
    folder: str
    stat: Callable[[], os.stat_result]


@dataclass(slots=True)
class _Group:
    """The files of one series while a scan runs."""

    files: int = 0
    damaged: int = 0
    series_number: float = float("inf")
    frames: list[Frame] = field(default_factory=list)
    sop_classes: set[str] = field(default_factory=set)

    def add(self, found: Found) -> None:
        self.files += 1
        self.damaged += found.kind == "damaged"
        self.series_number = min(self.series_number, found.series_number)
        self.frames.extend(found.frames)
        if found.sop_class:
            self.sop_classes.add(found.sop_class)


def _merge_damaged(groups: dict[tuple[str, SeriesKind], _Group]) -> None:
    """A damaged file that still names its series counts against that series."""
    for uid, kind in list(groups):
        if kind == "damaged" and (uid, "image") in groups:
            lost = groups.pop((uid, "damaged"))
            groups[uid, "image"].files += lost.files
            groups[uid, "image"].damaged += lost.damaged


def _numbered(groups: dict[tuple[str, SeriesKind], _Group]) -> tuple[Series, ...]:
    """Images first, then by SeriesNumber and UID: an order that no file name decides."""
    kinds: list[SeriesKind] = ["image", "damaged", "other"]
    keys = sorted(groups, key=lambda key: (kinds.index(key[1]), groups[key].series_number, key[0]))
    return tuple(
        Series(
            uid=uid,
            kind=kind,
            number=number,
            files=groups[uid, kind].files,
            damaged=groups[uid, kind].damaged,
            frames=tuple(groups[uid, kind].frames),
            sop_classes=tuple(sorted(groups[uid, kind].sop_classes)),
        )
        for number, (uid, kind) in enumerate(keys, start=1)
    )


def _files(path: Path, skipped: Counter[str]) -> Iterator[_File]:
    """Regular files in name order; links inside a folder are counted and not followed."""
    if not path.exists():
        code = "path-unreadable" if path.is_symlink() else "path-missing"
        detail = "a link that leads nowhere" if path.is_symlink() else "there is nothing there"
        raise path_refusal(code, detail)
    if not path.is_dir():
        _refuse_archive(path.name)
        yield _File(path, "", path.stat)
        return
    for count, (entry, folder) in enumerate(_entries(path), start=1):
        if count > MAX_FILES:
            raise path_refusal("too-large", f"more than {MAX_FILES} files")
        if entry.is_symlink():
            skipped["link"] += 1
        elif entry.is_file():
            _refuse_archive(entry.name)
            yield _File(Path(entry.path), folder, entry.stat)
        else:
            skipped[_NOT_DICOM] += 1


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


def _refuse_archive(name: str) -> None:
    if name.lower().endswith(_ARCHIVES):
        raise path_refusal("archive", "a packed archive, whose contents were not looked at")


def _look_at(file: Path, order: int, file_bytes: int) -> Found | str:
    """What a file is, or the reason to set it aside; OSError of the file system is the caller's."""
    header = read_header(file, file_bytes, whole=False)
    if header == _NOT_DICOM:
        return _NOT_DICOM
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
        return _NOT_DICOM
    is_directory = str(meta.get("MediaStorageSOPClassUID") or "") == DIRECTORY
    return "DICOMDIR" if is_directory else Found("", "damaged")

"""Trees of any size, folder by folder: what cannot be read stops nothing but itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from medseg.errors import InputRefused
from medseg.io.dicom.gathered import Gathered
from medseg.io.dicom.index import Index
from medseg.io.dicom.records import Scan
from medseg.io.dicom.refusals import path_refusal
from medseg.io.dicom.scan import (
    MAX_DEPTH,
    NOT_DICOM,
    PlacedFile,
    is_archive,
    known_or_read,
    require_there,
)
from medseg.io.dicom.tags import quiet_pydicom

MOST_TOGETHER = 20_000
"""Files of one folder that are looked at together: memory stays that of so many headers."""


@dataclass(frozen=True, slots=True)
class FolderScan:
    """What lies in one folder itself, or in a part of it where it holds very many files.

    `folder` leads there from the root of the tree, "" or with a slash at its end. `not_dicom` are
    the files that are no DICOM. `passed_over` says of files and folders that could not be looked
    at where they lie, from the root on, and why.
    """

    folder: str = field(repr=False)
    scan: Scan
    not_dicom: tuple[Path, ...] = field(default=(), repr=False)
    passed_over: tuple[tuple[str, InputRefused], ...] = field(default=(), repr=False)


def scan_folders(
    root: Path,
    *,
    index: Path | None = None,
    leave_out: Callable[[Set[str]], bool] = lambda _: False,
    only: Set[str] | None = None,
    most: int = MOST_TOGETHER,
) -> Iterator[FolderScan]:
    """Scan every folder under `root` by itself, in a fixed order; links are not followed.

    A series whose files lie in several folders, or in a folder of more than `most` files, comes in
    parts: `scan_files` puts them together. `leave_out` says by the names of all that lies in a
    folder whether it and what is under it are passed by; `only` names the folders of the root to
    look into, "" its own files. `index` is as in `scan`. An archive, or
    what may not be read, is passed over and said.

    Raises InputRefused `path-missing`, `path-unreadable` for the root itself alone.
    """
    require_there(root)
    with Index(root, index) as known:
        if not root.is_dir():
            yield _looked_at("", [PlacedFile(root, "", root.stat)], 1, known)
            return
        for folder, entries in _folders(root, leave_out, only):
            if isinstance(entries, InputRefused):
                if not folder:
                    raise entries
                yield FolderScan(folder, Scan((), {}), passed_over=((folder, entries),))
                continue
            for start in range(0, len(entries), most):
                files = [
                    PlacedFile(Path(one.path), folder, one.stat)
                    if not one.is_symlink() and one.is_file()
                    else "link"
                    if one.is_symlink()
                    else NOT_DICOM
                    for one in entries[start : start + most]
                ]
                yield _looked_at(folder, files, start + 1, known)


def _looked_at(
    folder: str, files: Sequence[PlacedFile | str], first: int, known: Index
) -> FolderScan:
    """A scan of the files; what is no file stands for the reason to set it aside."""
    gathered = Gathered()
    not_dicom, passed_over = [], []
    with quiet_pydicom():
        for order, file in enumerate(files, start=first):
            if isinstance(file, str):
                gathered.add(file)
                continue
            try:
                if is_archive(file.path.name):
                    raise path_refusal("archive", "a packed archive, which was passed over")
                found = known_or_read(file, order, known)
            except InputRefused as error:
                passed_over.append((f"{folder}{file.path.name}", error))
                continue
            gathered.add(found)
            if found == NOT_DICOM:
                not_dicom.append(file.path)
    return FolderScan(folder, gathered.scan(), tuple(not_dicom), tuple(passed_over))


def _folders(
    root: Path, leave_out: Callable[[Set[str]], bool], only: Set[str] | None
) -> Iterator[tuple[str, Sequence[os.DirEntry[str]] | InputRefused]]:
    """Every folder and what lies in it but folders, in name order; or why it is passed over."""
    waiting: list[tuple[str, str, int]] = [(str(root), "", 0)]
    while waiting:
        place, inside, depth = waiting.pop()
        if depth > MAX_DEPTH:
            yield inside, path_refusal("too-large", f"folders nested more than {MAX_DEPTH} deep")
            continue
        try:
            with os.scandir(place) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            detail = f"a folder cannot be read ({error.strerror})"
            yield inside, path_refusal("path-unreadable", detail)
            continue
        if leave_out({one.name for one in entries}):
            continue
        folders = [one for one in entries if one.is_dir(follow_symlinks=False)]
        if inside or only is None or "" in only:
            yield inside, [one for one in entries if not one.is_dir(follow_symlinks=False)]
        if not inside and only is not None:
            folders = [one for one in folders if one.name in only]
        waiting.extend((one.path, f"{inside}{one.name}/", depth + 1) for one in reversed(folders))

"""Copies of files that were cut short on their way: what they lack, a whole copy has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from medseg.io.dicom.header import DEFLATED
from medseg.io.dicom.records import UNDEFINED_LENGTH, ImageFile, Series

_END_OF_SEQUENCE = b"\xfe\xff\xdd\xe0\0\0\0\0"
"""Ends compressed pixel data (PS3.5 A.4), and then the file."""


def without_cut_copies(series: Series) -> tuple[Series, tuple[Path, ...]]:
    """The series without copies that were cut short, and the files that those are.

    Such a file bears the SOPInstanceUID of a whole one, ends within its pixel data or before, and
    is byte for byte the beginning of it. So nothing is chosen between copies that differ in what
    they say: those stay, for `check` to refuse.
    """
    same_uid: dict[str, dict[Path, ImageFile]] = defaultdict(dict)
    for frame in series.frames:
        same_uid[frame.file.instance_uid][frame.file.path] = frame.file
    try:
        cut = {
            path
            for files in same_uid.values()
            if len(files) > 1
            for path in _cut(list(files.values()))
        }
    except OSError:  # `check` says which file cannot be read
        return series, ()
    kept = tuple(frame for frame in series.frames if frame.file.path not in cut)
    return replace(series, frames=kept, files=series.files - len(cut)), tuple(sorted(cut))


def _cut(files: Sequence[ImageFile]) -> Iterable[Path]:
    whole = next((one for one in files if _is_whole(one)), None)
    if whole is None:
        return
    content = whole.path.read_bytes()
    for one in files:
        if not _is_whole(one) and content.startswith(one.path.read_bytes()):
            yield one.path


def _is_whole(file: ImageFile) -> bool:
    """Whether all of the pixel data is there; of a deflated file that is not known, and not no."""
    if file.syntax == DEFLATED:
        return True
    if file.pixel_offset is None:
        return False
    if file.pixel_length != UNDEFINED_LENGTH:
        return file.pixel_offset + file.pixel_length <= file.file_bytes
    with file.path.open("rb") as opened:
        opened.seek(max(0, file.file_bytes - len(_END_OF_SEQUENCE)))
        return opened.read() == _END_OF_SEQUENCE

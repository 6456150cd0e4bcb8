"""What a scan found in the files of one folder, as text and back.

Slices of a series share most of what their headers say: that is written once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from medseg.io.dicom.records import Found, Frame, ImageFile

_FILE = [one for one in fields(ImageFile) if one.name not in ("path", "order")]
_FRAME = [one for one in fields(Frame) if one.name != "file"]
FIELDS = [(one.name, str(one.type)) for one in (*_FILE, *_FRAME)]
"""What an entry holds: where it changes, older text cannot be understood."""

_OWN = frozenset(
    (
        *("instance_uid", "pixel_offset", "pixel_length", "file_bytes", "changed_ns"),
        *("position", "instance_number"),
    )
)
"""What differs from slice to slice."""

_FILE_OWN = [n for n, one in enumerate(_FILE) if one.name in _OWN]
_FRAME_OWN = [n for n, one in enumerate(_FRAME) if one.name in _OWN]
_file_values = attrgetter(*(one.name for one in _FILE))
_frame_values = attrgetter(*(one.name for one in _FRAME))
Decode = Callable[[Path, int], Found | str]


def folder_text(found: Mapping[str, tuple[str, Found | str]], starts: Mapping[str, str]) -> str:
    """The stamp of each file, by name, and what was found in it; `starts` are kept as they are."""
    shared: dict[str, int] = {}
    files = [[name, stamp, _entry(one, shared)] for name, (stamp, one) in found.items()]
    content = {"shared": list(map(json.loads, shared)), "files": files, "starts": dict(starts)}
    return json.dumps(content)


def _entry(found: Found | str, shared: dict[str, int]) -> Any:
    if isinstance(found, str):
        return found
    head = [found.uid, found.kind, found.sop_class, found.series_number]
    if not found.frames:
        return [_place(head, shared)]
    file = _parted(_file_values(found.frames[0].file), _FILE_OWN, shared)
    frames = [_parted(_frame_values(one), _FRAME_OWN, shared) for one in found.frames]
    return [_place(head, shared), file, *frames]


def _parted(values: tuple[Any, ...], own: list[int], shared: dict[str, int]) -> list[Any]:
    """Where the values stand that others have as well, and those of its own."""
    common = [None if n in own else value for n, value in enumerate(values)]
    return [_place(common, shared), *(values[n] for n in own)]


def _place(values: list[Any], shared: dict[str, int]) -> int:
    return shared.setdefault(json.dumps(values, default=dict), len(shared))


def folder_entries(text: str) -> tuple[dict[str, tuple[str, Decode]], dict[str, str]]:
    """The stamp of each file, by name, and what gives what was found in it; the starts.

    That needs the file's path and its place in name order, which may have changed.
    """
    content = json.loads(text)
    shared = content["shared"]
    for values in shared:
        _to_tuples(values)
    found: dict[str, tuple[str, Decode]] = {
        name: (stamp, partial(_found, entry, shared)) for name, stamp, entry in content["files"]
    }
    return found, dict(content["starts"])


def _to_tuples(values: list[Any]) -> None:
    """JSON has lists where the records have tuples."""
    for n, value in enumerate(values):
        if isinstance(value, list):
            values[n] = tuple(value)
        elif isinstance(value, dict):
            values[n] = {
                name: tuple(one) if isinstance(one, list) else one for name, one in value.items()
            }


def _found(entry: Any, shared: list[list[Any]], path: Path, order: int) -> Found | str:
    if isinstance(entry, str):
        return entry
    uid, kind, sop_class, series_number = shared[entry[0]]
    if len(entry) == 1:
        return Found(uid, kind, sop_class, series_number)
    file = ImageFile(path, order, *_whole(entry[1], _FILE_OWN, shared))
    frames = tuple(Frame(file, *_whole(one, _FRAME_OWN, shared)) for one in entry[2:])
    return Found(uid, kind, sop_class, series_number, frames)


def _whole(parted: list[Any], own: list[int], shared: list[list[Any]]) -> list[Any]:
    values = shared[parted[0]].copy()
    for n, value in zip(own, parted[1:], strict=True):
        values[n] = tuple(value) if isinstance(value, list) else value
    return values

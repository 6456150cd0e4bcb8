"""The edit log: JSON lines from which the masks are rebuilt out of the model's output.

The first line says what the log belongs to: the grid, and a digest of the output's masks. Each
line after it is one step, an undo, a redo or a new class, with the time (UTC) and the reader. A
step holds the masks that it gave: the box, and bits in C order, zlib-compressed, as base64.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from medseg.errors import InputRefused
from medseg.io.checks import require_same_grid, unreadable
from medseg.types import Geometry, InputWarning, InstanceClass, Instances
from medseg_napari.session.document import Document
from medseg_napari.session.history import Entry
from medseg_napari.session.packing import DAMAGE, PackedInstance
from medseg_napari.session.review import Review

FORMAT, VERSION = "medseg-edits", 1
TORN_LINE = "log-line-torn"
"""The code of the warning that the last line was cut off, as by a crash, and is left out."""

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Log:
    """The lines of a log after its head, how many bytes of it are whole, and what was left out."""

    head: Record
    records: tuple[Record, ...]
    whole_bytes: int
    warnings: tuple[InputWarning, ...]


def rebuild(model_output: Instances, log: Path) -> Instances:
    """The instances that the steps of a log leave of a model's output.

    Raises InputRefused: `path-missing` or `path-unreadable`; `file-corrupt` for a damaged log, and
    for one of another output (a last line that was cut off is left out); `grid-mismatch`.
    """
    document, found = Document(model_output), read_log(log)
    replay(document, found, log.name)
    rebuilt = document.instances
    return replace(rebuilt, warnings=(*rebuilt.warnings, *found.warnings))


def read_log(path: Path) -> Log:
    """The lines of a log; a last one that was cut off is left out with a warning.

    Raises InputRefused (`path-missing`, `path-unreadable`, `file-corrupt`).
    """
    raw = _raw(path)
    *lines, rest = raw.split(b"\n")
    found = [_parsed(line) for line in lines]
    warnings: tuple[InputWarning, ...] = ()
    whole = len(raw) - len(rest)
    if rest or (found and found[-1] is None):
        if not rest:
            whole -= len(lines[-1]) + 1
            del found[-1]
        warnings = (InputWarning(TORN_LINE, "the last line was cut off and is left out"),)
    records = [record for record in found if record is not None]
    if len(records) != len(found) or not records:
        raise damaged(path.name, f"line {_first_bad(found)} is no line of a log")
    head, *others = records
    _require_head(head, path.name)
    numbers = [record.get("n") for record in others]
    if numbers != list(range(1, len(others) + 1)):
        raise damaged(path.name, "lines are missing or in another order")
    return Log(head, tuple(others), whole, warnings)


def peek_log(path: Path) -> tuple[Record, Record, bool]:
    """The head, the last whole line (it may be the head), and whether more was cut off.

    Raises InputRefused as `read_log` does, but looks at no other line.
    """
    raw = _raw(path)
    end = raw.rfind(b"\n") + 1
    torn = end < len(raw)
    head, last = _parsed(raw[: raw.find(b"\n") + 1]), None
    while last is None and end > 0:
        start = raw.rfind(b"\n", 0, end - 1) + 1
        last = _parsed(raw[start:end])
        torn, end = torn or last is None, start
    if head is None or last is None or "time" not in head or "time" not in last:
        raise damaged(path.name, "its first or last line is no line of a log")
    _require_head(head, path.name)
    return head, last, torn


def replay(document: Document, log: Log, name: str) -> None:
    """Take every step of a log on the output that it belongs to, and count its ids as used.

    Raises InputRefused: `file-corrupt`, `grid-mismatch`.
    """
    _require_output(document.start, log.head, name)
    for record in log.records:
        try:
            _take(document, record)
        except DAMAGE as error:
            detail = f"line {record['n']} after the first cannot be followed: {error}"
            raise damaged(name, detail) from error


def head_of(output: Instances, reader: str, time: str) -> dict[str, Any]:
    """The first line of a log over a model's output."""
    from medseg import __version__

    geometry = output.geometry
    return {
        "format": FORMAT,
        "version": VERSION,
        "medseg": __version__,
        "time": time,
        "reader": reader,
        "shape": list(geometry.shape),
        "affine": geometry.affine.tolist(),
        "masks_sha256": masks_digest(output),
    }


def entry_record(entry: Entry) -> dict[str, Any]:
    """The line of a step, but for its number."""
    return {
        "time": entry.time,
        "reader": entry.reader,
        "do": "edit",
        "name": entry.name,
        "operation": entry.operation,
        "arguments": dict(entry.arguments),
        "after": {
            str(number): None if item is None else item.as_json(entry.before[number])
            for number, item in entry.after.items()
        },
        "reviews": {str(number): said.as_json() for number, said in entry.reviews_after.items()},
    }


def move_record(do: str, entry: Entry, reader: str, time: str) -> dict[str, Any]:
    """The line of an undo or a redo of a step, but for its number."""
    return {"time": time, "reader": reader, "do": do, "name": entry.name}


def class_record(one: InstanceClass, reader: str, time: str) -> dict[str, Any]:
    """The line of a new class, but for its number."""
    return {"time": time, "reader": reader, "do": "class", "class": asdict(one)}


def as_line(record: Record) -> bytes:
    """A record as a line; ValueError where something in it is no JSON."""
    try:
        text = json.dumps(record, allow_nan=False, separators=(",", ":"), default=_plain)
    except TypeError as error:
        msg = f"an argument of the edit cannot be written as JSON: {error}"
        raise ValueError(msg) from error
    return text.encode("ascii") + b"\n"


def masks_digest(instances: Instances) -> str:
    """SHA-256 over ids, boxes and masks, whatever their order; classes and scores left out."""
    digest = hashlib.sha256(repr(instances.geometry.shape).encode())
    for item in sorted(instances.items, key=lambda one: one.id):
        ends = [end for part in item.box for end in (part.start, part.stop)]
        digest.update(np.asarray([item.id, *ends], dtype="<i8").tobytes())
        digest.update(np.packbits(item.mask, axis=None).tobytes())
    return digest.hexdigest()


def damaged(name: str, detail: str) -> InputRefused:
    """A file of a session that cannot be followed."""
    remedy = "begin a new session on the model's output, or bring an undamaged copy"
    return InputRefused("file-corrupt", name, detail, remedy)


def _take(document: Document, record: Record) -> None:
    do = record["do"]
    if do == "edit":
        document.do(_entry(document, record))
    elif do == "undo":
        document.undo()
    elif do == "redo":
        document.redo()
    elif do == "class":
        said = record["class"]
        color = said["color"]
        known = {**said, "color": None if color is None else tuple(color)}
        document.add_class(InstanceClass(**known))
    else:
        msg = f"nobody knows how to do {do!r}"
        raise ValueError(msg)


def _entry(document: Document, record: Record) -> Entry:
    after: dict[int, PackedInstance | None] = {}
    before: dict[int, PackedInstance | None] = {}
    for key, said in record["after"].items():
        number = int(key)
        was = before[number] = document.packed(number)
        if was is None and (said is None or number < document.next_id):
            msg = f"instance {number} is not there, or its id was used before"
            raise ValueError(msg)
        item = None if said is None else PackedInstance.from_json(number, said, was)
        if item is not None:
            document.require_fitting(item)
        after[number] = item
    reviews = {int(key): Review.from_json(said) for key, said in record["reviews"].items()}
    return Entry(
        record["name"],
        record["operation"],
        record["arguments"],
        record["reader"],
        record["time"],
        before,
        after,
        {number: document.review(number) for number in reviews},
        reviews,
    )


def _require_output(output: Instances, head: Record, name: str) -> None:
    try:
        made_on = Geometry(head["shape"], head["affine"])
        digest = str(head["masks_sha256"])
    except DAMAGE as error:
        raise damaged(name, f"its first line is damaged: {error}") from error
    require_same_grid(made_on, output.geometry, name, other="the model's output")
    if digest != masks_digest(output):
        raise damaged(name, "belongs to another output: the masks it began with are not these")


def _raw(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        detail, remedy = "there is no such file", "check the path"
        raise InputRefused("path-missing", path.name, detail, remedy) from error
    except OSError as error:
        raise unreadable(path.name, error) from error


def _require_head(head: Record, name: str) -> None:
    if head.get("format") != FORMAT or head.get("version") != VERSION:
        raise damaged(name, f"does not begin as a log of version {VERSION}")


def _parsed(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _first_bad(found: list[Record | None]) -> int:
    return next((n for n, record in enumerate(found, start=1) if record is None), 1)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    msg = f"{type(value).__name__} is no JSON"
    raise TypeError(msg)

"""A session on disk, beside the model's output: nothing half-written, at most one edit lost.

A folder holds `output.npz` (what the model gave), `edits.jsonl` (every step, flushed to the disk
before it counts), `session.json` (who, when, what was open, and the view), and `lock`, which the
system frees when a process dies.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from medseg.errors import InputRefused, OutputError
from medseg.io.atomic import atomic_path, output_error, writable_folder
from medseg.types import Instances
from medseg_napari.session.document import Document
from medseg_napari.session.lock import Lock
from medseg_napari.session.log import (
    Log,
    Record,
    as_line,
    damaged,
    head_of,
    peek_log,
    read_log,
    replay,
)
from medseg_napari.session.packing import DAMAGE
from medseg_napari.session.review import utc_now
from medseg_napari.session.snapshot import read_snapshot, write_snapshot

OUTPUT, EDITS, STATE = "output.npz", "edits.jsonl", "session.json"
VERSION = 1


@dataclass(frozen=True)
class Saved:
    """What `session.json` says: small, and no part of what the masks are rebuilt from.

    `reader` is who began, whoever goes on: each step of the log has the initials of who took it.
    `source` is what finds the image again (JSON-able), `view` whatever the panels want back, and
    `image_sum` the `source.image_sum` of the image (None: there was none).
    `closed` is False from the opening on until the session was closed: after a crash it still is.
    """

    reader: str
    opened: str
    source: Mapping[str, Any] = field(default_factory=dict)
    view: Mapping[str, Any] = field(default_factory=dict)
    closed: bool = False
    image_sum: int | None = None


@dataclass(frozen=True)
class Found:
    """What lies in a folder, for the question whether to go on with it.

    `steps` are the lines of the log, `last_time` (UTC) is that of the last one, or of the head.
    `torn` says that a crash cut off one more. Lines between are looked at when it is opened.
    """

    saved: Saved
    steps: int
    last_time: str
    in_use: bool
    torn: bool

    @property
    def crashed(self) -> bool:
        """Whether it was left without being closed, and nobody has it open now."""
        return not self.saved.closed and not self.in_use


class SessionStore:
    """The files of one session, open for writing by this process alone; made by its two methods."""

    def __init__(self, folder: Path, lock: Lock, saved: Saved, log: Log) -> None:
        self.folder, self.saved, self.log = folder, saved, log
        self._lock = lock
        self._steps = len(log.records)
        self._whole_bytes = log.whole_bytes
        self._file: int | None = os.open(folder / EDITS, os.O_RDWR | getattr(os, "O_BINARY", 0))

    @classmethod
    def create(
        cls,
        folder: Path,
        output: Instances,
        reader: str,
        *,
        source: Mapping[str, Any] | None = None,
        image_sum: int | None = None,
    ) -> Self:
        """A new session on a model's output; the folder is made if it is missing.

        Raises OutputError (`session-there` where it holds one, `in-use`, and what writing raises).
        """
        writable_folder(folder)
        lock = Lock.taken(folder, reader)
        try:
            if (folder / EDITS).exists():
                raise OutputError(
                    code="session-there",
                    subject=folder.name,
                    detail="holds a session already",
                    remedy="go on with it, or choose another folder",
                )
            now = utc_now()
            write_snapshot(output, folder / OUTPUT)
            saved = Saved(reader, now, dict(source or {}), image_sum=image_sum)
            _write_state(folder, saved)
            with atomic_path(folder / EDITS) as temporary:
                temporary.write_bytes(as_line(head_of(output, reader, now)))
            return cls(folder, lock, saved, read_log(folder / EDITS))
        except BaseException:
            lock.free()
            raise

    @classmethod
    def open(cls, folder: Path, reader: str) -> tuple[Self, Instances]:
        """The session of a folder to go on with, and the model's output that it began with.

        A last line of the log that a crash cut off is taken away; `log.warnings` then says so.
        `reader` has it open now; whose work it is stays as it was.

        Raises InputRefused (`path-missing`, `path-unreadable`, `file-corrupt`), OutputError
        (`in-use`, and what writing raises).
        """
        log = read_log(folder / EDITS)
        lock = Lock.taken(folder, reader)
        try:
            log = read_log(folder / EDITS)  # nobody writes to it from here on
            output = read_snapshot(folder / OUTPUT)
            _clean(folder, log)
            saved = replace(_read_state(folder, log.head), opened=utc_now(), closed=False)
            _write_state(folder, saved)
            return cls(folder, lock, saved, log), output
        except BaseException:
            lock.free()
            raise

    @property
    def steps(self) -> int:
        """Lines of the log after its head."""
        return self._steps

    def append(self, record: Record) -> None:
        """Write one step and flush it to the disk; where that fails the log stays as it was.

        Raises OutputError (`disk-full`, `write-failed`, ...), ValueError for what is no JSON and
        after closing.
        """
        if self._file is None:
            msg = "this session is closed"
            raise ValueError(msg)
        line = as_line({"n": self._steps + 1, **record})
        try:
            os.lseek(self._file, self._whole_bytes, os.SEEK_SET)
            _write_all(self._file, line)
            os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, self._whole_bytes)
            raise output_error(error, self.folder / EDITS) from error
        self._steps += 1
        self._whole_bytes += len(line)

    def keep(
        self, *, view: Mapping[str, Any] | None = None, source: Mapping[str, Any] | None = None
    ) -> None:
        """Write what the panels want back; what is None stays. Raises OutputError."""
        view = self.saved.view if view is None else dict(view)
        source = self.saved.source if source is None else dict(source)
        saved = replace(self.saved, view=view, source=source)
        _write_state(self.folder, saved)
        self.saved = saved

    def close(self) -> None:
        """Say that the work was ended as it should be, and let others in; once is enough."""
        if self._file is None:
            return
        try:
            self.saved = replace(self.saved, closed=True)
            _write_state(self.folder, self.saved)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let others in, and say nothing of how the work ended."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            self._lock.free()


def find_session(folder: Path) -> Found | None:
    """What lies in a folder, changing nothing; None where it holds no session.

    Raises InputRefused (`path-unreadable`, `file-corrupt`).
    """
    try:
        if not (folder / EDITS).is_file():
            return None
    except OSError as error:
        detail = f"cannot be read ({error.strerror})"
        raise InputRefused("path-unreadable", folder.name, detail, "check permissions") from error
    head, last, torn = peek_log(folder / EDITS)
    saved = _read_state(folder, head)
    in_use = Lock.is_held(folder)
    return Found(saved, int(last.get("n", 0)), str(last["time"]), in_use, torn=torn and not in_use)


def read_document(folder: Path) -> Document:
    """The work in a folder as far as its log goes, changing nothing; another may have it open.

    Raises InputRefused (`path-missing`, `path-unreadable`, `file-corrupt`).
    """
    log = read_log(folder / EDITS)
    document = Document(read_snapshot(folder / OUTPUT))
    replay(document, log, EDITS)
    return document


def _write_all(file: int, line: bytes) -> None:
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(file, rest) :]


def _write_state(folder: Path, saved: Saved) -> None:
    said = {"version": VERSION, **vars(saved)}
    text = json.dumps(said, indent=2, allow_nan=False) + "\n"
    with atomic_path(folder / STATE) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _read_state(folder: Path, head: Record) -> Saved:
    """What was saved; of a session that was killed while it was made, what its log says."""
    try:
        said = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if said.pop("version") != VERSION:
            raise damaged(STATE, f"is not of version {VERSION}")
        return Saved(**said)
    except FileNotFoundError:
        return Saved(str(head["reader"]), str(head["time"]))
    except DAMAGE as error:
        raise damaged(STATE, f"cannot be read: {error}") from error
    except OSError as error:
        detail = f"cannot be read ({error.strerror})"
        raise InputRefused("path-unreadable", STATE, detail, "check its permissions") from error


def _clean(folder: Path, log: Log) -> None:
    """Take away what a crash left: the end of a line, files under temporary names."""
    for stray in folder.glob(".*.partial.*"):
        with suppress(OSError):
            stray.unlink()
    try:
        with (folder / EDITS).open("rb+") as file:
            file.truncate(log.whole_bytes)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise output_error(error, folder / EDITS) from error

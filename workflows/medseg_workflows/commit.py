"""What a worker writes into OUT: attempts, finished jobs, failures; each whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from medseg.io.atomic import atomic_path, output_error
from medseg_workflows.records import Failure, Record

RECORD = "record.json"


def is_done(out: Path, key: str) -> bool:
    """Whether the job is finished."""
    return (out / "done" / key / RECORD).is_file()


def is_quarantined(out: Path, key: str) -> bool:
    """Whether the job failed."""
    return failure_path(out, key).is_file()


def failure_path(out: Path, key: str) -> Path:
    """Where the failure of a job is told."""
    return out / "quarantine" / f"{key}.json"


def count_attempt(out: Path, key: str) -> int:
    """Write down that a job begins; which attempt it is, from 1.

    Raises OutputError.
    """
    path = out / "attempts" / key
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(handle, b".")
            return os.fstat(handle).st_size
        finally:
            os.close(handle)
    except OSError as error:
        raise output_error(error, path) from error


@contextmanager
def fresh_folder(out: Path, key: str) -> Iterator[Path]:
    """A new folder on the file system of OUT, for the files of a job; removed if it is left.

    Raises OutputError where it cannot be made.
    """
    folder = out / "tmp" / f"{key}.{secrets.token_hex(8)}"
    try:
        folder.mkdir()
    except OSError as error:
        raise output_error(error, folder) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def commit(out: Path, record: Record, folder: Path) -> bool:
    """Make `folder` the result of its job, with its record; whether it was the first to.

    All bytes are on the disk before the name is. The loser of two goes: its folder stays for the
    caller to remove.

    Raises OutputError.
    """
    try:
        text = json.dumps(record.as_dict(), indent=2) + "\n"
        (folder / RECORD).write_text(text, encoding="utf-8")
        for path in folder.iterdir():
            if path.is_file():
                _flush(path, os.O_RDWR)
        _flush_folder(folder)
        return _renamed(folder, out / "done" / record.key)
    except OSError as error:
        raise output_error(error, out) from error


def quarantine(out: Path, names: Mapping[str, str], failure: Failure) -> None:
    """Tell why a job failed; `names` are its key, study, patient and model.

    Raises OutputError.
    """
    said: dict[str, Any] = {**names, **asdict(failure)}
    with atomic_path(failure_path(out, names["key"])) as temporary:
        temporary.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def has_room(out: Path, length: int = 2**20) -> bool:
    """Whether that many bytes can be written in OUT."""
    probe = out / "tmp" / f"room.{secrets.token_hex(8)}"
    try:
        with probe.open("wb") as file:
            file.write(bytes(length))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        return False
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
    return True


def _renamed(folder: Path, place: Path) -> bool:
    try:
        folder.rename(place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) and not (place / RECORD).is_file():
            raise
        return False
    _flush_folder(place.parent)
    return True


def _flush(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _flush_folder(folder: Path) -> None:
    """Make names last; Windows has no such thing for folders."""
    if os.name == "posix":
        _flush(folder, os.O_RDONLY)

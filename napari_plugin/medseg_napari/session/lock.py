"""One process at a time in a session's folder; the system frees the lock when a process dies."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from medseg.errors import OutputError
from medseg.io.atomic import output_error
from medseg_napari.session.review import utc_now

NAME = "lock"
_BYTE = 2**20  # Windows forbids others to read what is locked: one byte far behind the text is
_TRIES, _PAUSE_S = 3, 0.02
"""Whoever asks whether a folder is in use holds its lock for a moment."""


class Lock:
    """The lock of a folder, held until `free` or the end of the process."""

    def __init__(self, file: int) -> None:
        self._file: int | None = file

    @classmethod
    def taken(cls, folder: Path, reader: str) -> Self:
        """Lock a folder, and write down who did.

        Raises OutputError: `in-use` where another session holds it, `not-writable`, ...
        """
        path = folder / NAME
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise output_error(error, path) from error
        if not _lock_patiently(file):
            os.close(file)
            raise OutputError(
                code="in-use",
                subject=folder.name,
                detail=f"another session has it open{_by_whom(path)}",
                remedy="close it there first",
            )
        text = json.dumps({"reader": reader, "host": socket.gethostname(), "time": utc_now()})
        with suppress(OSError):  # for people only
            os.ftruncate(file, 0)
            os.write(file, text.encode())
        return cls(file)

    @staticmethod
    def is_held(folder: Path) -> bool:
        """Whether a session has the folder open now."""
        try:
            file = os.open(folder / NAME, os.O_RDWR | getattr(os, "O_BINARY", 0))
        except OSError:
            return False
        try:
            if not _lock(file):
                return True
            _unlock(file)
            return False
        finally:
            os.close(file)

    def free(self) -> None:
        """Let others in; a second call does nothing."""
        if self._file is not None:
            _unlock(self._file)
            os.close(self._file)
            self._file = None


def _by_whom(path: Path) -> str:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return f" ({said['reader']} on {said['host']} since {said['time']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _lock_patiently(file: int) -> bool:
    for _ in range(_TRIES):
        if _lock(file):
            return True
        time.sleep(_PAUSE_S)
    return False


def _lock(file: int) -> bool:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(file, 0, os.SEEK_SET)
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # some network drives know no locks: work goes on without one
    return True


def _unlock(file: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, _BYTE, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)
        return
    import fcntl

    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_UN)

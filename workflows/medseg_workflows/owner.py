"""One run at a time in a folder: a lock that the system frees, and who holds it."""

from __future__ import annotations

import json
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from medseg.errors import OutputError
from medseg.io.atomic import atomic_path, output_error

LOCK, OWNER = ".lock", ".owner"
BEAT_S = 30.0
FRESH_S = 300.0
"""On another host the lock may not be seen: its owner counts as alive for so long after a beat."""


@contextmanager
def owned(out: Path) -> Iterator[None]:
    """Hold the folder `out` for this process.

    The system frees the lock when the process ends, however it does; the file `.owner` says who
    holds it, and on network folders that do not lock keeps other hosts out.

    Raises OutputError `out-owned` where another run holds it, and what `output_error` says.
    """
    path = out / LOCK
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise output_error(error, path) from error
    try:
        if not _locked(handle) or _held_elsewhere(out):
            raise _in_use(out)
        with _beating(out):
            yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    """Whether the lock is ours now; on POSIX until the handle is closed."""
    try:
        import fcntl
    except ImportError:  # Windows
        return _locked_on_windows(handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: `.owner` alone decides
        return True
    return True


def _locked_on_windows(handle: int) -> bool:
    import msvcrt

    locking: Any = getattr(msvcrt, "locking", None)
    try:
        locking(handle, getattr(msvcrt, "LK_NBLCK", 2), 1)
    except OSError:
        return False
    return True


def _held_elsewhere(out: Path) -> bool:
    """Whether a run on another host gave a sign of life lately, by the clock of the folder."""
    said = _said(out)
    if said is None or said.get("host") == platform.node():
        return False
    try:
        os.utime(out / LOCK)
        now_s = (out / LOCK).stat().st_mtime
        return now_s - (out / OWNER).stat().st_mtime < FRESH_S
    except FileNotFoundError:
        return False
    except OSError as error:
        raise output_error(error, out / OWNER) from error


def _said(out: Path) -> dict[str, Any] | None:
    try:
        said = json.loads((out / OWNER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) else None


def _in_use(out: Path) -> OutputError:
    said = _said(out) or {}
    process, host = said.get("pid", "unknown"), said.get("host", "an unknown host")
    return OutputError(
        "out-owned",
        "OUT",
        f"another run works in it: process {process} on {host}, since {said.get('started', '?')}",
        "wait until it ends, or give another folder",
    )


@contextmanager
def _beating(out: Path) -> Iterator[None]:
    """Say who holds the folder, and again every 30 s that it is still so."""
    said = {
        "host": platform.node(),
        "pid": os.getpid(),
        "started": datetime.now().isoformat(timespec="seconds"),
    }
    with atomic_path(out / OWNER) as temporary:
        temporary.write_text(json.dumps(said) + "\n", encoding="utf-8")
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_S):
            with suppress(OSError):  # a full disk is told by those who write results
                os.utime(out / OWNER)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with suppress(OSError):
            (out / OWNER).unlink()

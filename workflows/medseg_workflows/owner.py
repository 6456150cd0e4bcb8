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
from typing import Any, NamedTuple

from medseg.errors import OutputError
from medseg.io.atomic import atomic_path, output_error

LOCK, OWNER = ".lock", ".owner"
WATCH_LOCK, WATCH_OWNER = ".watch.lock", ".watch.owner"
"""Of a watch, which holds the folder between its runs too."""
BEAT_S = 30.0
FRESH_S = 300.0
"""On another host the lock may not be seen: its owner counts as alive for so long after a beat."""


class _Held(NamedTuple):
    """The two files of a hold."""

    lock: Path
    owner: Path


@contextmanager
def owned(out: Path, lock: str = LOCK, owner: str = OWNER) -> Iterator[None]:
    """Hold the folder `out` for this process, or the part of it that these two files stand for.

    The system frees the lock when the process ends, however it does; the file `.owner` says who
    holds it, and on network folders that do not lock keeps other hosts out.

    Raises OutputError `out-owned` where another run holds it, and what `output_error` says.
    """
    held = _Held(out / lock, out / owner)
    try:
        handle = os.open(held.lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise output_error(error, held.lock) from error
    try:
        if not _locked(handle) or not _is_there(handle, held.lock) or _held_elsewhere(held):
            raise _in_use(held)
        with _beating(held):
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


def _is_there(handle: int, lock: Path) -> bool:
    """Whether what was locked is still the folder's: a run that never began removes it."""
    try:
        return os.path.samestat(os.fstat(handle), lock.stat())
    except OSError:
        return False


def _held_elsewhere(held: _Held) -> bool:
    """Whether a run on another host gave a sign of life lately, by the clock of the folder."""
    said = _said(held)
    if said is None or said.get("host") == platform.node():
        return False
    try:
        os.utime(held.lock)
        now_s = held.lock.stat().st_mtime
        return now_s - held.owner.stat().st_mtime < FRESH_S
    except FileNotFoundError:
        return False
    except OSError as error:
        raise output_error(error, held.owner) from error


def _said(held: _Held) -> dict[str, Any] | None:
    try:
        said = json.loads(held.owner.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) else None


def _in_use(held: _Held) -> OutputError:
    said = _said(held) or {}
    process, host = said.get("pid", "unknown"), said.get("host", "an unknown host")
    return OutputError(
        "out-owned",
        "OUT",
        f"another run works in it: process {process} on {host}, since {said.get('started', '?')}",
        "wait until it ends, or give another folder",
    )


@contextmanager
def _beating(held: _Held) -> Iterator[None]:
    """Say who holds the folder, and again every 30 s that it is still so."""
    said = {
        "host": platform.node(),
        "pid": os.getpid(),
        "started": datetime.now().isoformat(timespec="seconds"),
    }
    with atomic_path(held.owner) as temporary:
        temporary.write_text(json.dumps(said) + "\n", encoding="utf-8")
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_S):
            with suppress(OSError):  # a full disk is told by those who write results
                os.utime(held.owner)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with suppress(OSError):
            held.owner.unlink()

"""Which studies of an inbox have come to rest: only silence says that one is complete."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import NamedTuple


class Look(NamedTuple):
    """What an entry of the inbox looked like: files, bytes, and the newest change."""

    files: int
    file_bytes: int
    newest_ns: int


class Arrivals:
    """Watches the entries of `inbox`, its folders and its own files taken together, by polling.

    An entry is quiet once it has not changed for `quiet_s` seconds of `clock`. Polled and not
    notified: network file systems tell nothing of what another machine writes.
    """

    def __init__(
        self, inbox: Path, quiet_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._inbox, self._quiet_s, self._clock = inbox, quiet_s, clock
        self._seen: dict[Path, tuple[Look, float]] = {}
        self._taken: dict[Path, Look] = {}

    def look(self, unfinished: Set[Path] = frozenset()) -> set[Path]:
        """The entries that are quiet now; those in `unfinished` are not.

        OSError where the inbox itself cannot be read.
        """
        now = self._clock()
        there = dict(_entries(self._inbox))
        self._seen = {
            place: self._seen[place]
            if place in self._seen and self._seen[place][0] == found
            else (found, now)
            for place, found in there.items()
        }
        return {
            place
            for place, (found, since) in self._seen.items()
            if now - since >= self._quiet_s and found.files and place not in unfinished
        }

    def is_news(self, quiet: Set[Path]) -> bool:
        """Whether any of them is not as it was when last taken."""
        return any(self._taken.get(place) != self._seen[place][0] for place in quiet)

    def take(self, quiet: Set[Path]) -> None:
        """Remember that these were taken as they are."""
        self._taken.update((place, self._seen[place][0]) for place in quiet)

    def waiting(self, quiet: Set[Path]) -> int:
        """How many entries are still changing."""
        return len(self._seen) - len(quiet)


def _entries(inbox: Path) -> Iterator[tuple[Path, Look]]:
    """Each folder of the inbox, and under the inbox's own name the files that lie in it."""
    own = Look(0, 0, 0)
    with os.scandir(inbox) as found:
        for entry in sorted(found, key=lambda one: one.name):
            if entry.is_dir(follow_symlinks=False):
                yield Path(entry.path), _look(entry.path)
            elif entry.is_file(follow_symlinks=False):
                own = _with(own, entry)
    if own.files:
        yield inbox, own


def _look(folder: str) -> Look:
    total, folders = Look(0, 0, 0), [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as found:
                for entry in found:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        total = _with(total, entry)
        except OSError:  # moved away meanwhile, or not for us: another look will tell
            continue
    return total


def _with(total: Look, entry: os.DirEntry[str]) -> Look:
    try:
        stat = entry.stat(follow_symlinks=False)
    except OSError:
        return total
    newest = max(total.newest_ns, stat.st_mtime_ns)
    return Look(total.files + 1, total.file_bytes + stat.st_size, newest)

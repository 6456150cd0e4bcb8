"""What a scan found in each file, kept so that files that did not change are not opened again.

One SQLite file for each scanned tree, in a folder of the user's that is never inside the tree. A
file counts as unchanged while its path, size and times of change stay, and as long as the first
kilobytes of three files of its folder do: discs that take turns in one drive may have all else in
common, since not every system of files keeps a time that nobody can set. Names of folders are
hashes, and what was found in them is veiled with a key made from the whole path, so that the index
says little of anybody without the tree at hand. An index that is damaged, locked or of another
version is no error: it is made again, or the scan runs without it.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from medseg import __version__
from medseg.io.dicom.entries import FIELDS, Decode, folder_entries, folder_text
from medseg.io.dicom.records import Found
from medseg.io.dicom.store import Store

FORMAT = 3
SETTLED_S = 2.0
"""Files that changed less than this before the scan are not kept: they may change once more within
the same tick of a clock."""

_VERSION = repr((FORMAT, __version__, FIELDS))
_NAME_BYTES = 16
_CHECK_BYTES = 16
_START_BYTES = 4096


class Stamp(NamedTuple):
    """What tells that a file is the same as before; `status_ns` is its creation on Windows."""

    size: int
    changed_ns: int
    status_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """The stamp of what `stat` says."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    @property
    def text(self) -> str:
        """The three numbers, as they are kept."""
        return f"{self.size} {self.changed_ns} {self.status_ns}"


class Index:
    """The entries of the tree `root`, in `folder`; it is written when the `with` block ends well.

    Files are asked for folder by folder. Without a folder, or where there can be no index, it
    holds nothing and keeps nothing.
    """

    def __init__(self, root: Path, folder: Path | None) -> None:
        self._store, self._root_key = _opened(os.path.realpath(root), folder)
        self._settled_ns = time.time_ns() - int(SETTLED_S * 1e9)
        self._folder: str | None = None
        self._place = root
        self._then: Mapping[str, tuple[str, Decode]] = {}
        self._now: dict[str, tuple[str, Found | str]] = {}
        self._changed = False
        self._seen: set[bytes] = set()

    def find(self, path: Path, folder: str, stamp: Stamp, order: int) -> Found | str | None:
        """What was found when the file was as it is now, else None.

        `folder` is where it lies, from the root on.
        """
        if self._store is None:
            return None
        if folder != self._folder:
            self._leave(self._store)
            self._enter(self._store, folder, path.parent)
        name = path.name
        text, found = self._then.get(name, ("", None))
        if found is None or text != stamp.text:
            return None
        now = found(path, order)
        self._now[name] = (text, now)
        return now

    def keep(self, path: Path, stamp: Stamp, found: Found | str) -> None:
        """Keep what was found in the file asked for last, unless it has changed only now."""
        if self._store is not None and max(stamp.changed_ns, stamp.status_ns) < self._settled_ns:
            self._now[path.name] = (stamp.text, found)
            self._changed = True

    def _enter(self, store: Store, folder: str, place: Path) -> None:
        self._folder, self._place = folder, place
        self._then, self._now, self._changed = {}, {}, False
        name, veil = self._keys(folder)
        self._seen.add(name)
        data = _veiled(store.get(name), veil)
        check, text = data[:_CHECK_BYTES], data[_CHECK_BYTES:]
        if check == _check(text):
            then, starts = folder_entries(text.decode())
            if _is_same(place, then, starts):
                self._then = then

    def _leave(self, store: Store) -> None:
        """Keep the folder that files were asked of, if it is not as it was."""
        if self._folder is None or (not self._changed and self._now.keys() == self._then.keys()):
            return
        name, veil = self._keys(self._folder)
        starts = {one: _start(self._place / one) for one in _witnesses(self._now)}
        text = folder_text(self._now, starts).encode()
        store.put(name, _veiled(_check(text) + text, veil))

    def _keys(self, folder: str) -> tuple[bytes, bytes]:
        encoded = os.fsencode(folder)
        digest = hashlib.blake2b(encoded, key=self._root_key, digest_size=2 * _NAME_BYTES).digest()
        return digest[:_NAME_BYTES], digest[_NAME_BYTES:]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._store is not None:
            if error is None:
                self._leave(self._store)
                self._store.finish(self._seen)
            self._store.close()


def _opened(root: str, folder: Path | None) -> tuple[Store | None, bytes]:
    """The store of a tree and the key of its names; None where there can be none."""
    if folder is None or Path(os.path.realpath(folder)).is_relative_to(root):
        return None, b""
    name = os.fsencode(root)
    store = Store(folder / f"dicom-{hashlib.sha256(name).hexdigest()[:32]}.sqlite", _VERSION)
    if store.salt is None:
        return None, b""
    return store, hashlib.blake2b(name, key=store.salt, digest_size=32).digest()


def _witnesses(found: Mapping[str, tuple[str, Found | str]]) -> Sequence[str]:
    """The first, the middle and the last file of a folder; images, if there are any."""
    images = [name for name, (_, one) in found.items() if isinstance(one, Found) and one.frames]
    names = sorted(images or found)
    return sorted({names[0], names[len(names) // 2], names[-1]}) if names else ()


def _is_same(
    place: Path, then: Mapping[str, tuple[str, Decode]], starts: Mapping[str, str]
) -> bool:
    """Whether at least one of the witnesses is as it was, and none only seems so."""
    there = 0
    for name, start in starts.items():
        try:
            stamp = Stamp.of((place / name).stat())
        except OSError:  # it is gone, which says nothing of the others
            continue
        if stamp.text != then[name][0]:
            continue
        if not start or _start(place / name) != start:
            return False
        there += 1
    return there > 0


def _start(file: Path) -> str:
    """What the first bytes of a file are told by, "" where it cannot be read.

    Among those of an image are its UIDs, which no other image has.
    """
    try:
        with file.open("rb") as source:
            return _check(source.read(_START_BYTES)).hex()
    except OSError:
        return ""


def _check(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_CHECK_BYTES).digest()


def _veiled(data: bytes, key: bytes) -> bytes:
    """The data with a key stream over it; the same again takes it off."""
    stream = hashlib.shake_256(key).digest(len(data))
    mixed = int.from_bytes(data, "little") ^ int.from_bytes(stream, "little")
    return mixed.to_bytes(len(data), "little")

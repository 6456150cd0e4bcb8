"""Pieces of bytes by name in one SQLite file that may be damaged, locked or gone at any time."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Set
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import sqlite3

_TABLES = """
CREATE TABLE about (version TEXT NOT NULL, salt BLOB NOT NULL);
CREATE TABLE pieces (name BLOB PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID;
"""
_DAMAGE = frozenset({1, 11, 26})  # SQLITE_ERROR (no such table), SQLITE_CORRUPT, SQLITE_NOTADB

_Answer = TypeVar("_Answer")


class Store:
    """The pieces in a file, which is made, for its user alone, where it is missing or unusable.

    Nothing raises: after an error `salt` is None, what is asked for is absent, and nothing is kept.
    A damaged file, or one of another version, is removed, so that the next store is sound.
    """

    def __init__(self, file: Path, version: str) -> None:
        self.salt: bytes | None = None
        self._file = file
        self._connection: sqlite3.Connection | None = None
        for _ in range(2):  # once more after a damaged file was removed
            self.salt = self._safely(lambda: self._opened(version), None)
            if self.salt is not None:
                break

    def get(self, name: bytes) -> bytes:
        """The piece of that name, b"" where there is none."""

        def found(store: sqlite3.Connection) -> bytes:
            query = "SELECT content FROM pieces WHERE name = ?"
            row = store.execute(query, (name,)).fetchone()
            return bytes(row[0]) if row else b""

        return self._asked(found, b"")

    def put(self, name: bytes, content: bytes) -> None:
        """Keep a piece, once `finish` is called."""
        query = "INSERT OR REPLACE INTO pieces VALUES (?, ?)"
        self._asked(lambda store: store.execute(query, (name, content)), None)

    def finish(self, wanted: Set[bytes]) -> None:
        """Write all that was put, and drop every piece of another name than those wanted."""

        def finished(store: sqlite3.Connection) -> None:
            names = {row[0] for row in store.execute("SELECT name FROM pieces")}
            gone = [(name,) for name in names - wanted]
            store.executemany("DELETE FROM pieces WHERE name = ?", gone)
            store.commit()

        self._asked(finished, None)

    def close(self) -> None:
        """Let go of the file; what was put and not finished is lost."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _asked(self, question: Callable[[sqlite3.Connection], _Answer], absent: _Answer) -> _Answer:
        store = self._connection
        return absent if store is None else self._safely(lambda: question(store), absent)

    def _opened(self, version: str) -> bytes:
        """Open the file, with tables where it is new; its salt."""
        import sqlite3

        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._file, os.O_CREAT | os.O_RDWR, 0o600))
        self._connection = store = sqlite3.connect(self._file, timeout=1)
        store.execute("PRAGMA synchronous = OFF")  # damage is found out, and the file made again
        if not store.execute("SELECT name FROM sqlite_master").fetchall():
            store.executescript(_TABLES)
            with store:
                row = (version, secrets.token_bytes(16))
                store.execute("INSERT INTO about VALUES (?, ?)", row)
        ((found, salt),) = store.execute("SELECT version, salt FROM about").fetchall()
        if found != version:
            msg = "a store of another version"
            raise ValueError(msg)
        return bytes(salt)

    def _safely(self, work: Callable[[], _Answer], absent: _Answer) -> _Answer:
        """What the work gives; after an error the store is closed, and removed if it is damaged."""
        try:
            import sqlite3
        except ImportError:  # some builds of Python are without it
            return absent
        damaged = False
        try:
            return work()
        except sqlite3.Error as error:
            damaged = getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE
        except OSError:
            damaged = False
        except (TypeError, ValueError):  # tables that are not those of this version
            damaged = True
        self.salt = None
        with suppress(sqlite3.Error):
            self.close()
        if damaged:
            with suppress(OSError):
                self._file.unlink()
        return absent

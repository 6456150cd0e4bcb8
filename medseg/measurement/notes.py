"""Why a value is missing, row by row: short, and in one order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Measured = tuple[Mapping[str, Any], "Notes"]
"""The columns of a group by name, each (N,), and what its notes say."""


class Notes:
    """Notes of N rows. A sentence that holds for all rows is kept once."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._parts: list[str | dict[int, str]] = []

    def for_all(self, text: str) -> None:
        """Say `text` in every row; nothing where it is empty."""
        if text:
            self._parts.append(text)

    def where(self, rows: NDArray[np.bool_], text: str) -> None:
        """Say `text` in the rows that are true in `rows` (N,)."""
        found = np.flatnonzero(rows)
        if found.size == self._rows:
            self.for_all(text)
        elif found.size:
            self._parts.append(dict.fromkeys(found.tolist(), text))

    def each(self, texts: Mapping[int, str]) -> None:
        """Say another text in some rows, by their number from 0."""
        if texts:
            self._parts.append(dict(texts))

    def extend(self, other: Notes) -> None:
        """Say what `other` says, after what is said here."""
        self._parts.extend(other._parts)

    def texts(self) -> Sequence[str]:
        """The notes of each row, (N,), parted by semicolons; "" where there is nothing to say."""
        if all(isinstance(part, str) for part in self._parts):
            return ["; ".join(part for part in self._parts if isinstance(part, str))] * self._rows
        return [
            "; ".join(
                part if isinstance(part, str) else part[row]
                for part in self._parts
                if isinstance(part, str) or row in part
            )
            for row in range(self._rows)
        ]

"""Which rows of the lesion table are shown, in which order, and which of them is looked at.

Plain arrays in, ids out: hidden rows are never deleted. Works on 20,000 rows without a wait.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Marked = Literal["accept", "reject", "unsure", ""]
"""A decision, or "" for none yet."""

NO_ORGAN = ""
"""In `Filter.organs`: lesions of which no organ is known."""


@dataclass(frozen=True)
class Filter:
    """What is shown; None: whatever it is. Ranges hold both ends."""

    classes: frozenset[str] | None = None
    kinds: frozenset[str] | None = None
    organs: frozenset[str] | None = None
    marks: frozenset[Marked] | None = None
    score: tuple[float, float] | None = None
    volume_ml: tuple[float, float] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the table that it looks at."""
        asked = {
            "class_name": self.classes,
            "kind": self.kinds,
            "organ": self.organs,
            "mark": self.marks,
            "score": self.score,
            "volume_ml": self.volume_ml,
        }
        return tuple(name for name, wanted in asked.items() if wanted is not None)


@dataclass(frozen=True)
class Order:
    """By which column rows are sorted; rows without a value come last either way."""

    column: str = "instance_id"
    descending: bool = False


def shown(table: pd.DataFrame, wanted: Filter) -> NDArray[np.bool_]:
    """Which rows (N,) of a table pass a filter; it needs the columns `wanted.columns`."""
    passes = np.ones(len(table), dtype=np.bool_)
    among: Iterable[tuple[str, Collection[str] | None]] = (
        ("class_name", wanted.classes),
        ("kind", wanted.kinds),
        ("organ", wanted.organs),
        ("mark", wanted.marks),
    )
    for name, values in among:
        if values is not None:
            passes &= table[name].fillna("").isin(list(values)).to_numpy(dtype=np.bool_)
    for name, ends in (("score", wanted.score), ("volume_ml", wanted.volume_ml)):
        if ends is not None:
            found = table[name].to_numpy(dtype=np.float64)
            passes &= (found >= ends[0]) & (found <= ends[1])
    return passes


def sorted_ids(table: pd.DataFrame, order: Order) -> NDArray[np.int64]:
    """All ids (N,) sorted by a column, equal ones by id; needs that column and `instance_id`."""
    ids = table["instance_id"].to_numpy(dtype=np.int64)
    by_id = np.argsort(ids, kind="stable")
    if order.column == "instance_id":
        return ids[by_id[::-1] if order.descending else by_id]
    keys, missing = _keys(table[order.column].iloc[by_id])
    place = np.lexsort((-keys if order.descending else keys, missing))
    return ids[by_id][place]


class Selection:
    """The rows on display, the current one, and those that are chosen for a step of work.

    It knows ids alone; the session tells it of every change.
    """

    def __init__(self) -> None:
        self.filter = Filter()
        self.order = Order()
        self.current: int | None = None
        self._chosen: tuple[int, ...] = ()
        self._sorted: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._visible: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids on display, in their order."""
        return self._sorted[self._visible]

    @property
    def chosen(self) -> tuple[int, ...]:
        """The ids that are chosen, each once; the current one alone where none is."""
        if self._chosen:
            return self._chosen
        return () if self.current is None else (self.current,)

    def choose(self, ids: Iterable[int]) -> None:
        """Choose ids, such as rows marked in the table; the last is the current one.

        Raises ValueError where one is not there.
        """
        wanted = tuple(dict.fromkeys(int(number) for number in ids))
        there = set(self._sorted.tolist())
        unknown = [number for number in wanted if number not in there]
        if unknown:
            msg = f"there is no instance {unknown[0]}"
            raise ValueError(msg)
        self._chosen = wanted
        if wanted:
            self.current = wanted[-1]

    def step(self, by: Literal[1, -1]) -> int | None:
        """Make the next (1) or previous (-1) row on display the current one.

        From none it is the first or the last one. At the end it stays, and None is returned.
        """
        places = np.flatnonzero(self._visible)
        if self.current is not None:
            here = np.flatnonzero(self._sorted == self.current)
            if here.size:
                places = places[places > here[0]] if by > 0 else places[places < here[0]]
        if not places.size:
            return None
        self.current = int(self._sorted[places[0 if by > 0 else -1]])
        self._chosen = ()
        return self.current

    def show(self, table: pd.DataFrame) -> None:
        """Take over a changed table, filter or order.

        Where the current row is gone, the last chosen one that is left is the current one; where
        none is left, the one after it in the old order, or else the one before it. Hidden rows
        stay current and chosen.
        """
        old = self._sorted
        self._sorted = sorted_ids(table, self.order)
        passing = table["instance_id"].to_numpy(dtype=np.int64)[shown(table, self.filter)]
        self._visible = np.isin(self._sorted, passing)
        there = set(self._sorted.tolist())
        self._chosen = tuple(number for number in self._chosen if number in there)
        if self.current is not None and self.current not in there:
            left = self._chosen
            self.current = left[-1] if left else self._beside(old, set(self.ids.tolist()))

    def _beside(self, old: NDArray[np.int64], there: set[int]) -> int | None:
        here = np.flatnonzero(old == self.current)
        place = int(here[0]) if here.size else 0
        candidates = [*old[place + 1 :].tolist(), *old[:place][::-1].tolist()]
        return next((number for number in candidates if number in there), None)


def _keys(values: pd.Series[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Numbers that sort as the values do (N,), and which values are missing (N,)."""
    missing = values.isna().to_numpy(dtype=np.bool_)
    if pd.api.types.is_numeric_dtype(values.dtype):
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        codes, _ = pd.factorize(values.fillna(""), sort=True)
        numbers = codes.astype(np.float64)
    return np.where(missing, 0.0, numbers), missing

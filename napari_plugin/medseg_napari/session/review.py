"""What a reader says of a lesion: a decision, a comment, and diameters that were drawn by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, Self, get_args

Decision = Literal["accept", "reject", "unsure"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)

Which = Literal["long", "short"]
Point = tuple[float, float, float]
"""LPS millimetres (x, y, z)."""


def utc_now() -> str:
    """The time in UTC to a millisecond, as ISO 8601 writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Mark(NamedTuple):
    """A decision with the initials of who made it, when (UTC), and a sum of the mask he saw."""

    decision: Decision
    reader: str
    time: str
    mask_sum: int


class Line(NamedTuple):
    """A diameter between two points of the world, LPS millimetres (x, y, z).

    `mask_sum` is of the mask that it was drawn on, None for a diameter that no reader drew.
    """

    start_lps_mm: Point
    stop_lps_mm: Point
    mask_sum: int | None = None

    @property
    def length_mm(self) -> float:
        """The distance between its ends."""
        return math.dist(self.start_lps_mm, self.stop_lps_mm)

    @classmethod
    def of(cls, start: Any, stop: Any, mask_sum: Any = None) -> Self:
        """A line of two points of three finite numbers each; ValueError for anything else."""
        return cls(_point(start), _point(stop), mask_sum)


@dataclass(frozen=True)
class Review:
    """All that was said of one lesion; lines are None where the diameters are the mask's."""

    mark: Mark | None = None
    comment: str = ""
    long: Line | None = None
    short: Line | None = None

    @property
    def decision(self) -> Decision | None:
        """The decision alone."""
        return None if self.mark is None else self.mark.decision

    @property
    def lines(self) -> tuple[Line, ...]:
        """The diameters that the reader drew."""
        return tuple(line for line in (self.long, self.short) if line is not None)

    def as_json(self) -> dict[str, Any]:
        """Only what was said."""
        found: dict[str, Any] = {}
        if self.mark is not None:
            found["mark"] = list(self.mark)
        if self.comment:
            found["comment"] = self.comment
        for which, line in (("long", self.long), ("short", self.short)):
            if line is not None:
                found[which] = [list(line.start_lps_mm), list(line.stop_lps_mm), line.mask_sum]
        return found

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """What `as_json` gave; ValueError, KeyError or TypeError where it is something else."""
        mark = Mark(*said["mark"]) if "mark" in said else None
        if mark is not None and mark.decision not in DECISIONS:
            msg = f"a decision is one of {', '.join(DECISIONS)}; got {mark.decision!r}"
            raise ValueError(msg)
        long, short = (Line.of(*said[which]) if which in said else None for which in _LINES)
        return cls(mark, str(said.get("comment", "")), long, short)


_LINES: tuple[Which, ...] = get_args(Which)
NOTHING_SAID = Review()


def _point(values: Any) -> Point:
    x, y, z = (float(value) for value in values)
    if not all(math.isfinite(value) for value in (x, y, z)):
        msg = f"a point has three finite numbers; got {(x, y, z)}"
        raise ValueError(msg)
    return x, y, z

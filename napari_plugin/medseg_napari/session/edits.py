"""One step of work on a study: which instances and reviews it touches, before and after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from medseg.types import Box, Instance, union_box
from medseg_napari.session.review import Review


@dataclass(frozen=True, eq=False)
class Edit:
    """A step with a name for people, and exactly what it touches, by id.

    `operation` and `arguments` (JSON-able) are for the log. None stands for "is not there". The
    two maps of a pair have the same ids; an id is either's or both.

    Raises ValueError where ids do not fit, and where nothing is touched.
    """

    name: str
    operation: str
    arguments: Mapping[str, Any]
    before: Mapping[int, Instance | None]
    after: Mapping[int, Instance | None]
    reviews_before: Mapping[int, Review] = field(default_factory=dict)
    reviews_after: Mapping[int, Review] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name or not self.operation:
            msg = "an edit has a name and an operation"
            raise ValueError(msg)
        if self.before.keys() != self.after.keys():
            msg = f"{self.name}: before and after are of the same ids"
            raise ValueError(msg)
        if self.reviews_before.keys() != self.reviews_after.keys():
            msg = f"{self.name}: reviews before and after are of the same ids"
            raise ValueError(msg)
        if not self.before and not self.reviews_before:
            msg = f"{self.name}: nothing is touched"
            raise ValueError(msg)
        for number in self.before:
            one, other = self.before[number], self.after[number]
            if one is None and other is None:
                msg = f"{self.name}: {number} is there neither before nor after"
                raise ValueError(msg)
            if {number} != {item.id for item in (one, other) if item is not None}:
                msg = f"{self.name}: an instance stands under another id than {number}"
                raise ValueError(msg)

    @property
    def ids(self) -> tuple[int, ...]:
        """The instances that it touches."""
        return tuple(self.before)

    @property
    def box(self) -> Box | None:
        """The smallest box around all masks before and after; None where it touches no mask."""
        items = (*self.before.values(), *self.after.values())
        boxes = [item.box for item in items if item is not None]
        return union_box(boxes) if boxes else None


@dataclass(frozen=True)
class Change:
    """What a step, its undo or its redo did: whose masks or classes, whose reviews, and where.

    `boxes` are disjoint and hold all masks before and after; none where no instance was touched.
    """

    name: str
    operation: str
    ids: tuple[int, ...]
    review_ids: tuple[int, ...]
    boxes: tuple[Box, ...]


def named(verb: str, items: Iterable[Instance]) -> str:
    """A name such as "Delete lesion 7" or "Delete 3 lesions"; objects where kinds differ."""
    touched = list(items)
    kinds = {item.kind for item in touched}
    word = kinds.pop() if len(kinds) == 1 else "object"
    if len(touched) == 1:
        return f"{verb} {word} {touched[0].id}"
    return f"{verb} {len(touched)} {word}s"

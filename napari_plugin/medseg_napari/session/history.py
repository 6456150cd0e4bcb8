"""The steps of a session in their order, with a cursor between what is done and what was undone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medseg_napari.session.packing import PackedInstance
from medseg_napari.session.review import Review


@dataclass(frozen=True, eq=False)
class Entry:
    """A step as it is kept: an `Edit` with packed masks, and who did it when (UTC)."""

    name: str
    operation: str
    arguments: Mapping[str, Any]
    reader: str
    time: str
    before: Mapping[int, PackedInstance | None]
    after: Mapping[int, PackedInstance | None]
    reviews_before: Mapping[int, Review]
    reviews_after: Mapping[int, Review]


class History:
    """Steps that were done, and after a cursor those that were undone and can be done again."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._done = 0

    @property
    def done(self) -> tuple[Entry, ...]:
        """The steps that hold, in their order."""
        return tuple(self._entries[: self._done])

    @property
    def undone(self) -> tuple[Entry, ...]:
        """The steps that a redo would do again, the next one first."""
        return tuple(self._entries[self._done :])

    def push(self, entry: Entry) -> None:
        """A new step; what was undone is forgotten."""
        del self._entries[self._done :]
        self._entries.append(entry)
        self._done += 1

    def to_undo(self) -> Entry | None:
        """The step that `step_back` gives; None at the start."""
        return self._entries[self._done - 1] if self._done else None

    def to_redo(self) -> Entry | None:
        """The step that `step_forward` gives; None where nothing was undone."""
        return self._entries[self._done] if self._done < len(self._entries) else None

    def step_back(self) -> Entry:
        """Move the cursor before the last step done and give it; ValueError where there is none."""
        entry = self.to_undo()
        if entry is None:
            msg = "there is nothing to undo"
            raise ValueError(msg)
        self._done -= 1
        return entry

    def step_forward(self) -> Entry:
        """Move the cursor behind the next step undone and give it; ValueError if there is none."""
        entry = self.to_redo()
        if entry is None:
            msg = "there is nothing to redo"
            raise ValueError(msg)
        self._done += 1
        return entry

"""The state of a study under work: instances and reviews, and every step that led there.

Session and `rebuild` share it, so that what a log gives is what the reader saw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from medseg.types import Instance, InstanceClass, Instances, check_box, item_boxes
from medseg_napari.session.edits import Change, Edit
from medseg_napari.session.history import Entry, History
from medseg_napari.session.packing import PackedInstance
from medseg_napari.session.review import NOTHING_SAID, Review


class Document:
    """Instances, reviews and history over a model's output, which stays as it is.

    Items keep the output's order; new ones follow by id. Ids are never given twice, not even those
    of steps that were undone.
    """

    def __init__(self, start: Instances) -> None:
        self.start = start
        self.classes = start.classes
        self.items: dict[int, Instance] = {item.id: item for item in start.items}
        self.reviews: dict[int, Review] = {}
        self.history = History()
        self._rank = {item.id: n for n, item in enumerate(start.items)}
        self._highest = max(self.items, default=0)
        self._packed: dict[int, PackedInstance] = {}
        self._instances: Instances | None = start

    @property
    def instances(self) -> Instances:
        """The objects as they are now."""
        if self._instances is None:
            last = len(self._rank)
            rank = {number: self._rank.get(number, last) for number in self.items}
            ordered = sorted(self.items.values(), key=lambda one: (rank[one.id], one.id))
            self._instances = replace(self.start, items=ordered, classes=self.classes)
        return self._instances

    @property
    def next_id(self) -> int:
        """The first id that was never used."""
        return self._highest + 1

    def review(self, number: int) -> Review:
        """What was said of an id; nothing by default."""
        return self.reviews.get(number, NOTHING_SAID)

    def check_class(self, one: InstanceClass) -> None:
        """ValueError where the name or the label of a class is taken."""
        if any(one.name == known.name or one.label == known.label for known in self.classes):
            msg = f"a class of the name {one.name!r} or the label {one.label} is there already"
            raise ValueError(msg)

    def add_class(self, one: InstanceClass) -> None:
        """Know one more class; ValueError where its name or its label is taken."""
        self.check_class(one)
        self.classes = (*self.classes, one)
        self._instances = None

    def entry_of(
        self, edit: Edit, reader: str, time: str
    ) -> tuple[Entry, dict[int, Instance | None]]:
        """The step to keep for an edit of this state, and the instances that it leaves.

        A probability belongs to the mask that it came with: one whose mask changes loses it.

        Raises ValueError where the edit was made on another state, takes a used id for a new
        instance, or leaves one that does not fit the grid or the classes.
        """
        self._require_current(edit)
        left = {number: self._fitting(number, item) for number, item in edit.after.items()}
        entry = Entry(
            edit.name,
            edit.operation,
            dict(edit.arguments),
            reader,
            time,
            {number: self._pack(number, self.items.get(number)) for number in left},
            {
                number: None if item is None else PackedInstance.of(item)
                for number, item in left.items()
            },
            dict(edit.reviews_before),
            dict(edit.reviews_after),
        )
        return entry, left

    def do(self, entry: Entry, left: Mapping[int, Instance | None] | None = None) -> Change:
        """Take a step; `left` are its instances after it, for who has them unpacked."""
        self.history.push(entry)
        self._highest = max(self._highest, *entry.after, 0)
        return self._move(entry, entry.after, entry.reviews_after, left)

    def undo(self) -> Change:
        """Go one step back; ValueError at the start."""
        entry = self.history.step_back()
        return self._move(entry, entry.before, entry.reviews_before, None)

    def redo(self) -> Change:
        """Go one step forward again; ValueError where nothing was undone."""
        entry = self.history.step_forward()
        return self._move(entry, entry.after, entry.reviews_after, None)

    def packed(self, number: int) -> PackedInstance | None:
        """An instance as it is now, packed; None where there is none of that id."""
        return self._pack(number, self.items.get(number))

    def require_fitting(self, item: Instance | PackedInstance) -> None:
        """ValueError where an instance leaves the grid, or is of a class that is not known."""
        check_box(item.box, self.start.geometry.shape)
        if not any(one.name == item.class_name and one.kind == item.kind for one in self.classes):
            msg = f"instance {item.id}: no {item.kind} class is named {item.class_name!r}"
            raise ValueError(msg)

    def _move(
        self,
        entry: Entry,
        wanted: Mapping[int, PackedInstance | None],
        reviews: Mapping[int, Review],
        left: Mapping[int, Instance | None] | None,
    ) -> Change:
        was = [self.items.get(number) for number in wanted]
        for number, packed in wanted.items():
            self._put(number, packed, None if left is None else left[number])
        for number, said in reviews.items():
            if said == NOTHING_SAID:
                self.reviews.pop(number, None)
            else:
                self.reviews[number] = said
        now = [self.items.get(number) for number in wanted]
        if wanted:
            self._instances = None
        boxes = item_boxes(item for item in (*was, *now) if item is not None)
        return Change(entry.name, entry.operation, tuple(wanted), tuple(reviews), tuple(boxes))

    def _put(self, number: int, packed: PackedInstance | None, ready: Instance | None) -> None:
        if packed is None:
            self.items.pop(number, None)
            self._packed.pop(number, None)
        else:
            self.items[number] = packed.unpacked() if ready is None else ready
            self._packed[number] = packed

    def _pack(self, number: int, item: Instance | None) -> PackedInstance | None:
        if item is None:
            return None
        known = self._packed.get(number)
        if known is None:
            known = self._packed[number] = PackedInstance.of(item)
        return known

    def _require_current(self, edit: Edit) -> None:
        for number, item in edit.before.items():
            if not _same(item, self.items.get(number)):
                msg = f"{edit.name}: instance {number} is not what it was when the edit was made"
                raise ValueError(msg)
            if item is None and number <= self._highest:
                msg = f"{edit.name}: the id {number} was used before; the next is {self.next_id}"
                raise ValueError(msg)
        for number, said in edit.reviews_before.items():
            if said != self.review(number):
                msg = f"{edit.name}: the review of {number} is not what it was"
                raise ValueError(msg)

    def _fitting(self, number: int, item: Instance | None) -> Instance | None:
        if item is None:
            return None
        self.require_fitting(item)
        was = self.items.get(number)
        if was is not None and same_mask(was, item):
            return replace(was, class_name=item.class_name, kind=item.kind, score=item.score)
        return replace(item, mask=item.mask.copy(), probability=None)  # the caller may draw on his


def same_mask(one: Instance, other: Instance) -> bool:
    """Whether two instances cover the same voxels."""
    return one.box == other.box and (one.mask is other.mask or np.array_equal(one.mask, other.mask))


def _same(one: Instance | None, other: Instance | None) -> bool:
    if one is None or other is None:
        return one is other
    if one is other:
        return True
    facts = [(item.class_name, item.kind, item.score) for item in (one, other)]
    return facts[0] == facts[1] and same_mask(one, other)

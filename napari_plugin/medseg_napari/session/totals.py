"""Count and total volume of each class, kept through edits by looking only where they were made.

The volume is that of the union, as in `medseg.measurement.summarise`: a voxel that two objects of
a class share counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.measurement.pairs import common_part
from medseg.measurement.size import union_voxels
from medseg.types import Box, Instance, Instances, Kind, item_boxes
from medseg_napari.session.packing import lengths

_MANY = 500
"""Of a step that touches more, the whole is counted anew: that is then quicker."""


@dataclass(frozen=True)
class ClassCount:
    """The objects of one class; `kept_` leaves out those that the reader rejected."""

    kind: Kind
    count: int
    volume_ml: float
    kept_count: int
    kept_volume_ml: float


class UnionCounter:
    """Objects and voxels of the union, by class; each class is counted when it is first asked for.

    A step changes the union only inside the boxes of what it touched, so only what reaches into
    them is looked at again.
    """

    def __init__(self, items: Iterable[Instance]) -> None:
        self._members: dict[str, dict[int, Instance]] = {}
        self._voxels: dict[str, int] = {}
        self._near: dict[str, _Near] = {}
        for item in items:
            self._members.setdefault(item.class_name, {})[item.id] = item

    def count(self, class_name: str) -> int:
        """How many objects the class has."""
        return len(self._members.get(class_name, ()))

    def voxels(self, class_name: str) -> int:
        """How many voxels at least one object of the class holds."""
        if class_name not in self._voxels:
            self._voxels[class_name] = union_voxels(self._members.get(class_name, {}).values())
        return self._voxels[class_name]

    def update(self, touched: Mapping[int, tuple[Instance | None, Instance | None]]) -> None:
        """Put for each id the second instance in the first one's place; None is no instance."""
        pairs = [one for pair in touched.values() for one in pair if one is not None]
        for name in {one.class_name for one in pairs}:
            members = self._members.setdefault(name, {})
            if len(touched) > _MANY:
                self._voxels.pop(name, None)
                self._near.pop(name, None)  # it is not told of these boxes
            if name in self._voxels:
                near = self._near.setdefault(name, _Near())
                near.add(members.values() if near.is_new else ())
                near.add(one for one in pairs if one.class_name == name)
            for number, (before, after) in touched.items():
                mine = before if before is not None and before.class_name == name else None
                theirs = after if after is not None and after.class_name == name else None
                self._swap(name, number, mine, theirs)

    def _swap(
        self, name: str, number: int, before: Instance | None, after: Instance | None
    ) -> None:
        members = self._members[name]
        if before is not None:
            del members[number]
        if name in self._voxels:
            for box in item_boxes(item for item in (before, after) if item is not None):
                others = [members[other] for other in self._near[name].ids(box) if other in members]
                base = _covered(others, box)
                self._voxels[name] += _added(base, after, box) - _added(base, before, box)
        if after is not None:
            members[number] = after


class _Near:
    """Which of many instances reach, or once reached, into a box; more are added as they come."""

    def __init__(self) -> None:
        self._ends = np.zeros((0, 6), dtype=np.int64)
        self._ids = np.zeros(0, dtype=np.int64)

    @property
    def is_new(self) -> bool:
        """Whether nothing was added yet."""
        return not len(self._ids)

    def add(self, items: Iterable[Instance]) -> None:
        """Know these too, beside what was known of the same ids."""
        added = list(items)
        ends = [[end for part in item.box for end in (part.start, part.stop)] for item in added]
        boxes = np.asarray(ends, dtype=np.int64).reshape(-1, 6)
        self._ends = np.concatenate([self._ends, boxes])
        self._ids = np.concatenate([self._ids, [item.id for item in added]]).astype(np.int64)

    def ids(self, box: Box) -> list[int]:
        """The ids, each once, whose boxes meet a box."""
        starts = np.asarray([part.start for part in box])
        stops = np.asarray([part.stop for part in box])
        meets = (self._ends[:, 0::2] < stops) & (self._ends[:, 1::2] > starts)
        return [int(number) for number in np.unique(self._ids[meets.all(axis=1)])]


def class_counts(
    instances: Instances, everyone: UnionCounter, kept: UnionCounter
) -> dict[str, ClassCount]:
    """The totals of every class, in the order of `classes`, those without an object with 0."""
    voxel_ml = instances.geometry.voxel_ml
    return {
        one.name: ClassCount(
            one.kind,
            everyone.count(one.name),
            everyone.voxels(one.name) * voxel_ml,
            kept.count(one.name),
            kept.voxels(one.name) * voxel_ml,
        )
        for one in instances.classes
    }


def _covered(items: list[Instance], box: Box) -> NDArray[np.bool_]:
    """The voxels of a box that at least one of the items holds."""
    covered = np.zeros(lengths(box), dtype=np.bool_)
    for item in items:
        own, inside = common_part(item.box, box)
        covered[inside] |= item.mask[own]
    return covered


def _added(base: NDArray[np.bool_], item: Instance | None, box: Box) -> int:
    """Voxels of an item that lie in the box and that nothing else covers."""
    if item is None:
        return 0
    own, inside = common_part(item.box, box)
    return int(np.count_nonzero(item.mask[own] & ~base[inside]))

"""What a change of a label map, painted in a viewer, does to the objects that it shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.editing.regions import Mask, corner, lengths, placed, with_mask
from medseg.types import Box, Instance, InstanceClass, as_labels, box_inside, union_box


def label_changes(
    items: Iterable[Instance],
    box: Box,
    old: NDArray[Any],
    new: NDArray[Any],
    *,
    only: int | None = None,
    of: InstanceClass | None = None,
) -> dict[int, Instance | None]:
    """The objects that a change of a label map changed, by id; None for those that are gone.

    Shapes: `old` and `new` are the label map's values, ids or 0, inside `box`, before and after.
    An object gains the voxels that now have its id and loses those that had it and now have
    another. With `only` nothing but the object with that id changes: a lesion painted over an
    organ takes nothing from it. What an object holds hidden under others stays as it is. An id
    that `items` lacks becomes a new object of the class `of`, score 1.

    Raises ValueError where shapes differ, a new id has no class, or an object lacks voxels that
    `old` says it has: then the label map shows other objects than these.
    """
    before, after = as_labels(old), as_labels(new)
    if not before.shape == after.shape == lengths(box):
        msg = f"a region of shape {lengths(box)} is wanted twice; got {old.shape} and {new.shape}"
        raise ValueError(msg)
    changed = before != after
    ids = np.union1d(before[changed], after[changed]).tolist()
    known = {item.id: item for item in items}
    found: dict[int, Instance | None] = {}
    for number in ids if only is None else [number for number in ids if number == only]:
        if not number:
            continue
        gained, lost = changed & (after == number), changed & (before == number)
        if number not in known:
            if lost.any():
                raise _stale(number)
            found[number] = _new(number, gained, box, of)
            continue
        item = known[number]
        altered = _altered(item, gained, lost, box)
        if altered is not item:
            found[number] = altered
    return found


def _altered(item: Instance, gained: Mask, lost: Mask, box: Box) -> Instance | None:
    whole = union_box([item.box, box])
    mask = placed([item], whole)
    region = mask[box_inside(box, whole)]  # a view: what is written to it is in `mask`
    if (lost & ~region).any():
        raise _stale(item.id)
    region |= gained
    region &= ~lost
    return with_mask(item, mask, whole)


def _new(number: int, gained: Mask, box: Box, of: InstanceClass | None) -> Instance | None:
    if of is None:
        msg = f"the label map has {number}, which no object has: say the class of the new object"
        raise ValueError(msg)
    return Instance.from_mask(
        gained, id=number, class_name=of.name, kind=of.kind, offset=corner(box)
    )


def _stale(number: int) -> ValueError:
    return ValueError(
        f"the label map shows voxels of object {number} that it does not have: draw it anew"
    )

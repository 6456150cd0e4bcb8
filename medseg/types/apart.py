"""Boxes around what lies far apart, so that no work goes through the room between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from medseg.types.boxes import box_outside, meeting, union_box
from medseg.types.geometry import Box
from medseg.types.instances import Instance

_SMALL = 2**16
"""To go through fewer voxels is as quick as to look for empty planes among them."""

_FEW = 16
"""So many planes tell whether a large mask is solid, in a hundredth of the time of all."""

_MANY = 64
"""Of more boxes the room between is no longer what costs."""


def boxes_apart(mask: NDArray[np.bool_], *, planes: int = 1) -> list[Box]:
    """Disjoint boxes that together hold every true voxel of `mask` (z, y, x); none where none is.

    Between two of them lie `planes` or more planes across an axis that are empty in both: so no
    voxel of one is a neighbour of the other's. Small masks are not parted, nor is what is solid
    but for a corner.
    """
    z, y, x = mask.shape
    whole = slice(0, z), slice(0, y), slice(0, x)
    if mask.size < _SMALL:
        return [whole] if mask.any() else []
    return list(_parted(mask, whole, planes))


def item_boxes(items: Iterable[Instance]) -> list[Box]:
    """Disjoint boxes of the image that together hold every voxel of the items; one for very many.

    Many boxes would each be held against all others here, and against all objects by who draws.
    """
    left = [box_outside(part, item.box) for item in items for part in boxes_apart(item.mask)]
    if len(left) > _MANY:
        return [union_box(left)]
    found: list[Box] = []
    while left:
        box = left.pop()
        met = next((n for n, other in enumerate(left) if meeting(box, other)), None)
        if met is None:
            found.append(box)
        else:
            left[met] = union_box([box, left[met]])
    return found


def _parted(mask: NDArray[np.bool_], box: Box, planes: int) -> Iterator[Box]:
    crop = mask[box]
    places = np.flatnonzero(np.any(crop, axis=(1, 2)))
    if not places.size:
        return
    if places.size == len(crop) and _is_solid(crop):
        yield box
        return
    across_z = np.any(crop if places.size == len(crop) else crop[places], axis=0)
    y, x = (np.flatnonzero(np.any(across_z, axis=axis)) for axis in (1, 0))
    runs = [_runs(one, planes) for one in (places, y, x)]
    ends = [slice(one[0].start, one[-1].stop) for one in runs]
    empty = [1 - sum(map(_length, one)) / _length(end) for one, end in zip(runs, ends, strict=True)]
    axis = int(np.argmax(empty))
    if not empty[axis] or crop.size < _SMALL:
        yield box_outside(ends, box)
        return
    for run in runs[axis]:
        ends[axis] = run
        yield from _parted(mask, box_outside(ends, box), planes)


def _is_solid(crop: NDArray[np.bool_]) -> bool:
    """Whether a few planes across z fill most rows and columns without a gap, as an organ does."""
    few = np.any(crop[:: max(1, len(crop) // _FEW)], axis=0)
    for axis, length in enumerate(few.shape):
        places = np.flatnonzero(np.any(few, axis=1 - axis))
        if 2 * places.size < length or np.ptp(places) >= places.size:
            return False
    return True


def _runs(places: NDArray[np.int64], planes: int) -> list[slice]:
    """Rising places, at least one, parted where `planes` or more in a row are missing."""
    last = np.flatnonzero(np.diff(places) > planes)
    starts = places[np.append(0, last + 1)].tolist()
    stops = places[np.append(last, len(places) - 1)].tolist()
    return [slice(start, stop + 1) for start, stop in zip(starts, stops, strict=True)]


def _length(part: slice) -> int:
    return int(part.stop - part.start)

"""Which masks share voxels, looked at only where their boxes meet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medseg.compiled import compiled
from medseg.types import Box, Instance

Boxes = NDArray[np.int64]
"""(N, 6): z start, z stop, y start, y stop, x start, x stop."""


def meeting_boxes(boxes: Boxes, others: Boxes) -> NDArray[np.int64]:
    """Positions (K, 2) in `boxes` and `others` of each two that share a voxel, in rising order."""
    order = np.argsort(others[:, 0], kind="stable")
    ordered = others[order]
    last = np.searchsorted(ordered[:, 0], boxes[:, 1])
    reached = np.maximum.accumulate(ordered[:, 1]) if len(others) else ordered[:, 1]
    pairs = np.empty((2 * len(boxes), 2), dtype=np.int64)
    count = _meet(boxes, ordered, last, reached, pairs)
    if count > len(pairs):  # now the number is known
        pairs = np.empty((count, 2), dtype=np.int64)
        _meet(boxes, ordered, last, reached, pairs)
    pairs = pairs[:count]
    pairs[:, 1] = order[pairs[:, 1]]
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


@compiled
def _meet(
    boxes: Boxes,
    others: Boxes,
    last: NDArray[np.int64],
    reached: NDArray[np.int64],
    pairs: NDArray[np.int64],
) -> int:  # pragma: no cover - compiled
    """How many meet; as many as there is room for go into `pairs`.

    `others` are by their start in z, `last` (N,) is the first of them that starts beyond a box,
    `reached` (M,) the furthest stop up to a place in them.
    """
    count = 0
    for n in range(boxes.shape[0]):
        for m in range(last[n] - 1, -1, -1):
            if reached[m] <= boxes[n, 0]:
                break
            meet = others[m, 1] > boxes[n, 0]
            meet &= others[m, 2] < boxes[n, 3] and boxes[n, 2] < others[m, 3]
            meet &= others[m, 4] < boxes[n, 5] and boxes[n, 4] < others[m, 5]
            if meet:
                if count < pairs.shape[0]:
                    pairs[count, 0], pairs[count, 1] = n, m
                count += 1
    return count


def common_part(box: Box, other: Box) -> tuple[Box, Box]:
    """What two boxes share, as slices of the crop of each; empty where they share nothing."""
    inner, other_inner = [], []
    for part, their in zip(box, other, strict=True):
        start = max(part.start, their.start)
        stop = max(min(part.stop, their.stop), start)
        inner.append(slice(start - part.start, stop - part.start))
        other_inner.append(slice(start - their.start, stop - their.start))
    (z, y, x), (their_z, their_y, their_x) = inner, other_inner
    return (z, y, x), (their_z, their_y, their_x)


def share_a_voxel(one: Instance, other: Instance) -> bool:
    """Whether a voxel lies in both masks."""
    inner, other_inner = common_part(one.box, other.box)
    return bool((one.mask[inner] & other.mask[other_inner]).any())

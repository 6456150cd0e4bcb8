"""How well two windows agree on an object, over many pairs at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medseg.compiled import compiled

Ends = NDArray[np.int64]
"""(N, 6): z start, z stop, y start, y stop, x start, x stop."""


@compiled
def depth(
    index: int, start: int, stop: int, length: int, full: float
) -> float:  # pragma: no cover - compiled
    """How far inside a window a voxel lies along one axis, from 0 to 1 at a depth of `full` voxels.

    Where the window ends with the volume, of `length` voxels, nothing is cut and all counts.
    """
    inside = full
    if start > 0:
        inside = min(inside, index - start + 0.5)
    if stop < length:
        inside = min(inside, stop - index - 0.5)
    return inside / full


class Packed(NamedTuple):
    """Objects side by side: box and window (N, 6) of each, and their masks in a row.

    `masks` holds all masks one after the other, that of object n from `firsts[n]` on.
    """

    boxes: Ends
    windows: Ends
    masks: NDArray[np.uint8]
    firsts: NDArray[np.int64]


@compiled
def agreements(
    pairs: NDArray[np.int64],
    packed: Packed,
    shape: NDArray[np.int64],
    share: float,
    out: NDArray[np.float64],
) -> None:  # pragma: no cover - compiled
    """Weighted IoU (K,) of the masks of each pair (K, 2) over the region that both windows see.

    A voxel weighs as its least `depth` along an axis in one window times that in the other, in
    full from `share` of a window's length on.
    """
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for k in range(pairs.shape[0]):
        one, other = pairs[k, 0], pairs[k, 1]
        _region(packed, one, other, low, high)
        longest = max(high[0] - low[0], high[1] - low[1], high[2] - low[2])
        weights = np.ones((2, 3, longest))
        for seen, n in enumerate((one, other)):
            for axis in range(3):
                start, stop = packed.windows[n, 2 * axis], packed.windows[n, 2 * axis + 1]
                full = share * (stop - start)
                for i in range(low[axis], high[axis]):
                    weights[seen, axis, i - low[axis]] = depth(i, start, stop, shape[axis], full)
        out[k] = _weighted_iou(packed, one, other, low, high, weights)


@compiled
def _region(
    packed: Packed, one: int, other: int, low: NDArray[np.int64], high: NDArray[np.int64]
) -> None:  # pragma: no cover - compiled
    """Around both boxes, inside both windows."""
    boxes, windows = packed.boxes, packed.windows
    for axis in range(3):
        a, b = 2 * axis, 2 * axis + 1
        start, stop = min(boxes[one, a], boxes[other, a]), max(boxes[one, b], boxes[other, b])
        low[axis] = max(start, windows[one, a], windows[other, a])
        high[axis] = max(min(stop, windows[one, b], windows[other, b]), low[axis])


@compiled
def _weighted_iou(
    packed: Packed,
    one: int,
    other: int,
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> float:  # pragma: no cover - compiled
    both = either = 0.0
    for z in range(low[0], high[0]):
        for y in range(low[1], high[1]):
            row = min(weights[0, 0, z - low[0]], weights[0, 1, y - low[1]])
            other_row = min(weights[1, 0, z - low[0]], weights[1, 1, y - low[1]])
            for x in range(low[2], high[2]):
                first, second = _holds(packed, one, z, y, x), _holds(packed, other, z, y, x)
                weight = min(row, weights[0, 2, x - low[2]])
                weight *= min(other_row, weights[1, 2, x - low[2]])
                both += weight * (first & second)
                either += weight * (first | second)
    return both / either if either > 0 else 0.0


@compiled
def _holds(packed: Packed, n: int, z: int, y: int, x: int) -> bool:  # pragma: no cover - compiled
    boxes = packed.boxes
    if z < boxes[n, 0] or z >= boxes[n, 1] or y < boxes[n, 2] or y >= boxes[n, 3]:
        return False
    if x < boxes[n, 4] or x >= boxes[n, 5]:
        return False
    height, width = boxes[n, 3] - boxes[n, 2], boxes[n, 5] - boxes[n, 4]
    place = ((z - boxes[n, 0]) * height + y - boxes[n, 2]) * width + x - boxes[n, 4]
    return bool(packed.masks[packed.firsts[n] + place] > 0)

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
    both = 0.0
    inner_low, inner_high = np.empty(3, np.int64), np.empty(3, np.int64)
    for axis in range(3):
        a, b = 2 * axis, 2 * axis + 1
        inner_low[axis] = max(low[axis], packed.boxes[one, a], packed.boxes[other, a])
        inner_high[axis] = min(high[axis], packed.boxes[one, b], packed.boxes[other, b])
    for z in range(inner_low[0], inner_high[0]):
        for y in range(inner_low[1], inner_high[1]):
            first, second = _row(packed, one, z, y), _row(packed, other, z, y)
            for x in range(inner_low[2], inner_high[2]):
                if packed.masks[first + x] and packed.masks[second + x]:
                    both += _weight(weights, z - low[0], y - low[1], x - low[2])
    if both == 0.0:
        return 0.0
    either = (
        _mass(packed, one, low, high, weights) + _mass(packed, other, low, high, weights) - both
    )
    return both / either


@compiled
def _mass(
    packed: Packed,
    n: int,
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> float:  # pragma: no cover - compiled
    """The weight of the object's voxels in the region."""
    boxes, total = packed.boxes, 0.0
    for z in range(max(low[0], boxes[n, 0]), min(high[0], boxes[n, 1])):
        for y in range(max(low[1], boxes[n, 2]), min(high[1], boxes[n, 3])):
            row = _row(packed, n, z, y)
            for x in range(max(low[2], boxes[n, 4]), min(high[2], boxes[n, 5])):
                if packed.masks[row + x]:
                    total += _weight(weights, z - low[0], y - low[1], x - low[2])
    return total


@compiled
def _weight(
    weights: NDArray[np.float64], z: int, y: int, x: int
) -> float:  # pragma: no cover - compiled
    """Of a voxel of the region: its least depth in one window times that in the other."""
    one = min(weights[0, 0, z], weights[0, 1, y], weights[0, 2, x])
    return float(one * min(weights[1, 0, z], weights[1, 1, y], weights[1, 2, x]))


@compiled
def _row(packed: Packed, n: int, z: int, y: int) -> int:  # pragma: no cover - compiled
    """Where in `masks` the object's row (z, y) would hold x = 0."""
    boxes = packed.boxes
    height, width = boxes[n, 3] - boxes[n, 2], boxes[n, 5] - boxes[n, 4]
    rows = (z - boxes[n, 0]) * height + y - boxes[n, 2]
    return int(packed.firsts[n] + rows * width - boxes[n, 4])

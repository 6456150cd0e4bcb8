"""Masks compared by pairs, compiled: which are those of better ones again."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medseg.compiled import compiled


class Masks(NamedTuple):
    """Crops of N masks in a row.

    Shapes: boxes (N, 6) z start, z stop, y start, y stop, x start, x stop; voxels (N,) how many
    each holds; crops (M,) 0 or 1; firsts (N,) where in `crops` each begins.
    """

    boxes: NDArray[np.int64]
    voxels: NDArray[np.int64]
    crops: NDArray[np.uint8]
    firsts: NDArray[np.int64]


@compiled
def drop_worse(
    pairs: NDArray[np.int64],
    most_iou: NDArray[np.float64],
    most_shared: NDArray[np.float64],
    masks: Masks,
    dropped: NDArray[np.bool_],
) -> None:  # pragma: no cover - compiled
    """Go through the pairs (K, 2) of a better and a worse, and mark in `dropped` (N,) the worse.

    It is dropped where neither is yet and they meet at an IoU above `most_iou` (K,), or share more
    voxels than `most_shared` (K,).
    """
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for k in range(len(pairs)):
        one, other = pairs[k]
        if dropped[one] or dropped[other]:
            continue
        common = 1
        for axis in range(3):
            a, b = 2 * axis, 2 * axis + 1
            low[axis] = max(masks.boxes[one, a], masks.boxes[other, a])
            high[axis] = min(masks.boxes[one, b], masks.boxes[other, b])
            common *= max(high[axis] - low[axis], 0)
        voxels = masks.voxels[one] + masks.voxels[other]
        # No more than that is shared; most pairs need no look.
        both = min(common, masks.voxels[one], masks.voxels[other])
        if _too_much(both, voxels, most_iou[k], most_shared[k]):
            both = _shared(masks, one, other, low, high)
            dropped[other] = _too_much(both, voxels, most_iou[k], most_shared[k])


@compiled
def _too_much(
    both: int, voxels: int, most_iou: float, most_shared: float
) -> bool:  # pragma: no cover - compiled
    return both > 0 and (both > most_shared or both / (voxels - both) > most_iou)


@compiled
def _shared(
    masks: Masks, one: int, other: int, low: NDArray[np.int64], high: NDArray[np.int64]
) -> int:  # pragma: no cover - compiled
    both = 0
    for z in range(low[0], high[0]):
        for y in range(low[1], high[1]):
            first, second = _row(masks, one, z, y), _row(masks, other, z, y)
            for x in range(low[2], high[2]):
                both += masks.crops[first + x] & masks.crops[second + x]
    return both


@compiled
def _row(masks: Masks, n: int, z: int, y: int) -> int:  # pragma: no cover - compiled
    """Where in `crops` the mask's row (z, y) would hold x = 0."""
    boxes = masks.boxes
    height, width = boxes[n, 3] - boxes[n, 2], boxes[n, 5] - boxes[n, 4]
    rows = (z - boxes[n, 0]) * height + y - boxes[n, 2]
    return int(masks.firsts[n] + rows * width - boxes[n, 4])

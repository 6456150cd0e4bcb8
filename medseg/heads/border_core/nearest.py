"""Which seed is nearest to each voxel of a mask, on a way that stays inside."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medseg.compiled import compiled

UNIT_MM = 1e-3
"""Lengths of ways are whole numbers of this, so that two of the same length are exactly so."""

OUTSIDE, UNSEEN = -1, 0


def spread(
    owner: NDArray[np.int32], spacing_mm: Sequence[float] | NDArray[np.float64]
) -> NDArray[np.int32]:
    """Give every voxel of a mask to the seed that it reaches on the shortest way inside it.

    `owner` (z, y, x) holds -1 outside the mask, a seed's number from 1, and 0 for voxels to be
    given away; 0 is kept where no seed is reached. Ways go from a voxel to any of its 26
    neighbours and are as long, in mm, as the lines between their middles; of seeds equally near
    the lower number wins (Dijkstra 1959).
    """
    padded = np.pad(np.asarray(owner, dtype=np.int32), 1, constant_values=OUTSIDE)
    moves = np.array([move for move in np.ndindex(3, 3, 3) if move != (1, 1, 1)]) - 1
    lengths_mm = np.linalg.norm(moves * np.asarray(spacing_mm, dtype=np.float64), axis=1)
    depth_step, row_step = padded.shape[1] * padded.shape[2], padded.shape[2]
    steps = moves @ np.array([depth_step, row_step, 1])
    flat = padded.ravel()
    _spread(flat, steps.astype(np.int64), np.rint(lengths_mm / UNIT_MM).astype(np.int64))
    return flat.reshape(padded.shape)[1:-1, 1:-1, 1:-1]


@compiled
def _spread(
    owner: NDArray[np.int32], steps: NDArray[np.int64], lengths: NDArray[np.int64]
) -> None:  # pragma: no cover - compiled
    """Fill `owner` in place; `steps` lead to a voxel's neighbours, `lengths` far away."""
    farthest = np.iinfo(np.int64).max
    shortest = np.full(owner.size, farthest, dtype=np.int64)
    ways = [(np.int64(0), np.int64(0), np.int64(0)) for _ in range(0)]
    for start in range(owner.size):
        if owner[start] > 0:
            shortest[start] = 0
            for step in steps:
                # A seed's inner voxels lead nowhere: to start from all would fill the memory.
                if owner[start + step] == 0:
                    ways.append((np.int64(0), np.int64(owner[start]), np.int64(start)))
                    break
    heapq.heapify(ways)
    while len(ways) > 0:
        length, seed, place = heapq.heappop(ways)
        if length != shortest[place] or seed != owner[place]:
            continue  # a better way was found since
        for n in range(steps.size):
            other = place + steps[n]
            if owner[other] < 0:
                continue
            there = length + lengths[n]
            better = there < shortest[other]
            if better or (there == shortest[other] and seed < owner[other]):
                shortest[other] = there
                owner[other] = seed
                heapq.heappush(ways, (there, seed, other))

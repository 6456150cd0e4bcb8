"""A volume full of lesions that touch each other: what windows must neither split nor merge."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from medseg.types import Shape

REACH = 0.62
"""Radius of a lesion over the distance of two middles: above a half, so that they touch."""

JITTER = 1 / 6
"""How far a middle may lie from its place in the lattice, over that distance, along each axis."""


def packed_lesions(shape: Shape, pitch: int, seed: int = 0) -> NDArray[np.int32]:
    """A label map of `shape` (z, y, x): balls on a jittered lattice of `pitch` voxels, touching.

    A voxel that two balls share belongs to the nearer middle. The same seed gives the same map.
    """
    rng = np.random.default_rng(seed)
    starts = [np.arange(pitch // 2, length, pitch) for length in shape]
    middles = np.array(list(product(*starts)), dtype=np.float64)
    middles += rng.uniform(-JITTER * pitch, JITTER * pitch, middles.shape)
    labels = np.zeros(shape, dtype=np.int32)
    nearest = np.full(shape, np.inf)
    for label, middle in enumerate(middles, start=1):
        low = np.maximum(np.floor(middle).astype(int) - pitch, 0)
        high = np.minimum(np.ceil(middle).astype(int) + pitch + 1, shape)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        z, y, x = np.ogrid[box]
        squared = (z - middle[0]) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2
        own = (squared < nearest[box]) & (squared < (REACH * pitch) ** 2)
        labels[box][own] = label
        nearest[box][own] = squared[own]
    return labels

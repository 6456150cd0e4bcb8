"""Steps from voxel to voxel, measured in the world: right for oblique and sheared grids."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medseg.types import Geometry

_SAME = 1e-9
"""Lengths that differ by less than this part are taken as equal: they differ by rounding."""


def steps_within(geometry: Geometry, radius_mm: float) -> NDArray[np.int64]:
    """Index steps (K, 3) as (z, y, x) of at most `radius_mm` in the world, in array order.

    The step (0, 0, 0) is one of them.
    """
    axes = geometry.affine[:3, :3]
    reach = np.floor(radius_mm * np.linalg.norm(np.linalg.inv(axes), axis=1) + _SAME)
    ranges = [np.arange(-n, n + 1) for n in reach.astype(np.int64)]
    steps = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    near: NDArray[np.bool_] = np.linalg.norm(steps @ axes.T, axis=1) <= radius_mm
    return np.asarray(steps[near], dtype=np.int64)


def facing_steps(geometry: Geometry) -> NDArray[np.int64]:
    """Steps (F, 3) to the neighbours of a voxel that decide whether others lie nearer to a point.

    From a voxel to any other voxel one of them leads nearer, so the voxel of a set nearest to a
    place outside the set misses at least one of these neighbours. On a grid with square axes they
    are the six neighbours by a face, on a sheared one up to fourteen, not always next to it.

    Source: Voronoi-relevant vectors (Conway and Sloane, Sphere Packings, Lattices and Groups,
    chapter 21): the shortest step of each of the seven kinds of odd and even steps, where only it
    and its opposite are that short.
    """
    gram = geometry.affine[:3, :3].T @ geometry.affine[:3, :3]
    own = np.diag(gram)
    faces = np.concatenate([-np.eye(3, dtype=np.int64), np.eye(3, dtype=np.int64)])
    if (2 * (np.abs(gram).sum(axis=1) - own) < own).all():
        return faces  # along the longest part of any step a face neighbour leads nearer
    steps = steps_within(geometry, sum(geometry.spacing_mm))  # none of them is longer
    length = np.einsum("ki,ij,kj->k", steps, gram, steps)
    kind = (steps & 1) @ np.array([4, 2, 1])
    kept = []
    for odd in range(1, 8):
        of_kind = kind == odd
        shortest = of_kind & (length <= length[of_kind].min() * (1 + _SAME))
        if np.count_nonzero(shortest) == 2:
            kept.append(steps[shortest])
    return np.concatenate(kept)

"""How contours on one slice lie to each other: copies, holes, and ones that cross."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medseg.io.rtstruct.rasterise import UNITS, Rings, areas_voxels, fill

_Ints = NDArray[np.int64]


class Nesting(NamedTuple):
    """The area inside an odd number of rings, in voxel faces, and voxels in two that cross."""

    area_voxels: float
    crossing_voxels: int


def nesting(rings: Rings) -> Nesting:
    """Sum the areas, of rings inside an odd number of others with a minus: those are holes.

    Two rings cross where they share some voxels but not all of the smaller one. No ring: 0, 0.
    """
    areas = areas_voxels(rings)
    depth = np.zeros(len(areas), dtype=np.int64)
    crossing = 0
    for one, other in _meeting(rings):
        small, large = (one, other) if areas[one] < areas[other] else (other, one)
        own, shared = _voxels(rings, small, large)
        if 0 < shared < own:
            crossing += shared
        if 2 * shared > own:
            depth[small] += 1
    return Nesting(float(np.sum(np.where(depth % 2, -areas, areas))), crossing)


def repeated(rings: Rings) -> _Ints:
    """The numbers of rings that have the points of an earlier one on the same slice."""
    if len(rings.ends) < 2:
        return np.empty(0, dtype=np.int64)
    starts = np.concatenate([[0], rings.ends[:-1]])
    y, x = rings.points.T
    sums = [np.add.reduceat(part, starts) for part in (y, x, x * y, y * y)]
    keys = np.stack([rings.planes, np.diff(rings.ends, prepend=0), *sums], axis=1)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    alike = np.flatnonzero(first[inverse] != np.arange(len(keys)))
    copies = [n for n in alike if _same_points(rings, int(n), int(first[inverse[n]]))]
    return np.array(copies, dtype=np.int64)


def without_area(rings: Rings) -> _Ints:
    """The numbers of rings whose points all lie on one line."""
    flat = np.flatnonzero(areas_voxels(rings) == 0)
    return np.array([n for n in flat if _on_a_line(rings.ring(int(n)))], dtype=np.int64)


def _same_points(rings: Rings, one: int, other: int) -> bool:
    mine, theirs = (part[np.lexsort(part.T)] for part in (rings.ring(one), rings.ring(other)))
    return np.array_equal(mine, theirs)


def _on_a_line(points: _Ints) -> bool:
    """Not for what encloses as much to the left as to the right, as an 8 does."""
    from_first = points - points[0]
    farthest = from_first[np.abs(from_first).sum(axis=1).argmax()]
    return not np.any(from_first[:, 0] * farthest[1] - from_first[:, 1] * farthest[0])


def _meeting(rings: Rings) -> Iterator[tuple[int, int]]:
    """Pairs of rings on one slice whose boxes overlap."""
    if len(np.unique(rings.planes)) == len(rings.planes):
        return
    starts = np.concatenate([[0], rings.ends[:-1]])
    low = np.minimum.reduceat(rings.points, starts)
    high = np.maximum.reduceat(rings.points, starts)
    order = np.argsort(rings.planes, kind="stable")
    for numbers in np.split(order, np.flatnonzero(np.diff(rings.planes[order])) + 1):
        for place, one in enumerate(numbers[:-1]):
            later = numbers[place + 1 :]
            meets = (low[one] < high[later]).all(axis=1) & (low[later] < high[one]).all(axis=1)
            for other in later[meets]:
                yield int(one), int(other)


def _voxels(rings: Rings, small: int, large: int) -> tuple[int, int]:
    """Voxels in the smaller ring, and in both."""
    points = rings.ring(small)
    low = -(-points.min(axis=0) // UNITS)
    rows, columns = -(-points.max(axis=0) // UNITS) - low
    corner = (int(rings.planes[small]), int(low[0]), int(low[1]))
    shape = (1, int(rows), int(columns))
    inner, outer = (fill(rings.chosen(np.array([n])), shape, corner) for n in (small, large))
    return int(np.count_nonzero(inner)), int(np.count_nonzero(inner & outer))

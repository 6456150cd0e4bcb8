"""From closed contours to voxels: exact, in whole numbers.

Points are taken to the nearest 1/256 of a voxel. A voxel belongs to a contour if its centre lies
inside; a centre on the contour itself belongs to the side towards which rows and columns grow. So
of two regions that share an edge, one has the centres on it, never both or neither, and a contour
that runs along voxel edges gives back its voxels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medseg.compiled import compiled
from medseg.types import Shape

UNITS = 256
"""Steps a voxel: fine enough for 0.002 voxels of error at most, coarse enough that a centre
written with three decimals is met again."""

FARTHEST_VOXELS = 1 << 20
"""Points at up to so many voxels from the first keep every product below 2**63."""

_Ints = NDArray[np.int64]


class Rings(NamedTuple):
    """Closed contours of one object on the slices of a grid.

    Shapes: points (P, 2) int64, row and column in 1/256 voxels, all rings one after another; ends
    (R,) int64, where the next ring begins; planes (R,) int64, the slice of each ring.
    """

    points: _Ints
    ends: _Ints
    planes: _Ints

    def ring(self, number: int) -> _Ints:
        """The points (P, 2) of one ring."""
        start = self.ends[number - 1] if number else 0
        return self.points[start : self.ends[number]]

    def chosen(self, numbers: _Ints) -> Rings:
        """Some of the rings, in the order of `numbers`."""
        parts = [self.ring(int(number)) for number in numbers]
        points = np.concatenate(parts) if parts else np.empty((0, 2), dtype=np.int64)
        lengths = np.array([len(part) for part in parts], dtype=np.int64)
        return Rings(points, np.cumsum(lengths, dtype=np.int64), self.planes[numbers])


def to_units(points: NDArray[np.float64]) -> _Ints:
    """Rows and columns in voxels as whole numbers of 1/256 voxel.

    Raises ValueError for points that are more than 2**20 voxels away.
    """
    if points.size and not np.abs(points).max() < FARTHEST_VOXELS:  # NaN as well
        msg = f"points lie more than {FARTHEST_VOXELS} voxels away"
        raise ValueError(msg)
    return np.rint(points * UNITS).astype(np.int64)


def fill(rings: Rings, shape: Shape, corner: Shape = (0, 0, 0)) -> NDArray[np.bool_]:
    """The voxels of a box whose centres lie inside an odd number of rings of their slice.

    Shapes: the result is (z, y, x) of `shape`; its first voxel has the index `corner`. What lies
    outside the box is left out. No ring gives no voxel.
    """
    out = np.zeros(shape, dtype=np.uint8)
    _toggle(
        np.ascontiguousarray(rings.points),
        np.ascontiguousarray(rings.ends),
        rings.planes - corner[0],
        np.array(corner[1:], dtype=np.int64),
        out,
    )
    _accumulate(out)
    return out.view(np.bool_)


def areas_voxels(rings: Rings) -> NDArray[np.float64]:
    """The area that each ring encloses, in voxel faces, (R,), by the shoelace formula."""
    if not len(rings.ends):
        return np.empty(0)
    starts = np.concatenate([[0], rings.ends[:-1]])
    following = np.arange(1, len(rings.points) + 1)
    following[rings.ends - 1] = starts
    y, x = (rings.points / UNITS).T
    twice = x * y[following] - x[following] * y
    return np.abs(np.add.reduceat(twice, starts)) / 2


@compiled
def _toggle(
    points: _Ints, ends: _Ints, planes: _Ints, corner: _Ints, out: NDArray[np.uint8]
) -> None:  # pragma: no cover - compiled
    """Mark, on each row, the first voxel at or after each crossing with an edge."""
    start = 0
    for ring in range(len(ends)):
        if 0 <= planes[ring] < out.shape[0]:
            plane = out[planes[ring]]
            before = ends[ring] - 1
            for k in range(start, ends[ring]):
                y0, x0 = points[before, 0], points[before, 1]
                y1, x1 = points[k, 0], points[k, 1]
                if y0 < y1:
                    _cross(y0, x0, y1, x1, corner, plane)
                elif y1 < y0:  # always from the lower end: a shared edge is crossed at one place
                    _cross(y1, x1, y0, x0, corner, plane)
                before = k
        start = ends[ring]


@compiled
def _cross(
    y0: int, x0: int, y1: int, x1: int, corner: _Ints, plane: NDArray[np.uint8]
) -> None:  # pragma: no cover - compiled
    """Rows from y0 on and below y1 are crossed; whole numbers, so that no rounding decides."""
    rows, columns = plane.shape
    first, stop = max(-(-y0 // UNITS), corner[0]), min(-(-y1 // UNITS), corner[0] + rows)
    height, width = y1 - y0, x1 - x0
    for row in range(first, stop):
        crossing = x0 * height + (row * UNITS - y0) * width  # times height: no division yet
        column = max(-(-crossing // (UNITS * height)) - corner[1], 0)
        if column < columns:
            plane[row - corner[0], column] ^= 1


@compiled
def _accumulate(out: NDArray[np.uint8]) -> None:  # pragma: no cover - compiled
    """Turn marks into voxels: inside from one mark of a row up to the next."""
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            inside = np.uint8(0)
            for x in range(out.shape[2]):
                inside ^= out[z, y, x]
                out[z, y, x] = inside

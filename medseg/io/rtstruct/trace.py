"""From voxels to the closed rings of voxel edges around them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medseg.compiled import compiled
from medseg.io.rtstruct.rasterise import UNITS, Rings
from medseg.types import Shape

_Ints = NDArray[np.int64]
_Bytes = NDArray[np.uint8]


def trace(mask: NDArray[np.bool_], corner: Shape = (0, 0, 0)) -> Rings:
    """The rings around the voxels of each slice of `mask` (z, y, x): outer ones and holes.

    Every edge between a voxel and none lies on one ring, so that filling by parity gives the mask
    back. Voxels that meet in a corner only are kept in rings of their own. Points stand where a
    ring turns; outer rings turn clockwise as rows and columns are drawn, holes the other way.
    `corner` is the index of the first voxel. An empty mask gives no ring.
    """
    padded = np.pad(mask.view(np.uint8), ((0, 0), (1, 1), (1, 1)))
    corners = int(_count_corners(padded))
    points = np.empty((corners, 2), dtype=np.int64)
    ends = np.empty((corners // 4, 2), dtype=np.int64)
    rings = int(_trace(padded, points, ends))
    offset = np.array(corner[1:], dtype=np.int64) * UNITS - (UNITS + UNITS // 2)
    return Rings(points * UNITS + offset, ends[:rings, 0].copy(), ends[:rings, 1] + corner[0])


@compiled
def _count_corners(padded: _Bytes) -> int:  # pragma: no cover - compiled
    """How often rings turn: once where one or three of four voxels are set, twice at diagonals."""
    corners = 0
    for z in range(padded.shape[0]):
        for y in range(1, padded.shape[1]):
            for x in range(1, padded.shape[2]):
                northwest, southeast = padded[z, y - 1, x - 1], padded[z, y, x]
                some = northwest + padded[z, y - 1, x] + padded[z, y, x - 1] + southeast
                if some in (1, 3):
                    corners += 1
                elif some == 2 and northwest == southeast:
                    corners += 2
    return corners


@compiled
def _trace(padded: _Bytes, points: _Ints, ends: _Ints) -> int:  # pragma: no cover - compiled
    """Walk each ring once, from its first edge above a voxel in the order of rows; their number."""
    depth, height, width = padded.shape
    seen = np.zeros((height, width), dtype=np.int64)  # the slice, from 1, where last walked
    used, rings = 0, 0
    for z in range(depth):
        for y in range(1, height):
            for x in range(1, width):
                above = padded[z, y, x] != 0 and padded[z, y - 1, x] == 0
                if above and seen[y, x] != z + 1:
                    used = _walk(padded[z], y, x, seen, z + 1, points, used)
                    ends[rings, 0], ends[rings, 1] = used, z
                    rings += 1
    return rings


@compiled
def _walk(
    plane: _Bytes, y: int, x: int, seen: _Ints, mark: int, points: _Ints, used: int
) -> int:  # pragma: no cover - compiled
    """Follow one ring with its voxels to the right; how many points are used then.

    Headings 0 to 3 are east, south, west, north. (y, x) is the voxel south-east of a corner.
    """
    start_y, start_x, heading = y, x, 0
    points[used, 0], points[used, 1] = y, x
    used += 1
    while True:
        if heading == 0:
            seen[y, x] = mark
            x += 1
            right, left = plane[y, x], plane[y - 1, x]
        elif heading == 1:
            y += 1
            right, left = plane[y, x - 1], plane[y, x]
        elif heading == 2:
            x -= 1
            right, left = plane[y - 1, x - 1], plane[y, x - 1]
        else:
            y -= 1
            right, left = plane[y - 1, x], plane[y - 1, x - 1]
        turn = 0
        if right == 0:
            turn = 1
        elif left != 0:
            turn = 3
        heading = (heading + turn) % 4
        if y == start_y and x == start_x and heading == 0:
            return used
        if turn != 0:
            points[used, 0], points[used, 1] = y, x
            used += 1

"""The surface between voxels inside and outside, looked up for each cell of eight neighbours.

A cell has a voxel centre at each of its corners. Which corners are inside makes its code, a bit
a corner: 4 dz + 2 dy + dx. The surface is that of marching cubes at 0.5 (Lorensen and Cline,
SIGGRAPH 1987): it runs through the middles of the edges between inside and outside. It is closed:
where a face has two inside corners across from each other, both its cells join them.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations, product

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Edge = tuple[int, int]  # the codes' bits of its two corners, the lower one first

_CORNERS = np.array(list(product((0, 1), repeat=3)), dtype=np.float64)  # (8, 3) as (z, y, x)


def cell_areas_mm2(linear: ArrayLike) -> NDArray[np.float64]:
    """Area of the surface in a cell for each of the 256 codes, read-only.

    `linear` (3, 3) takes index steps (z, y, x) to millimetres, a column each: an affine's upper
    left part, or a diagonal matrix of spacings.
    """
    matrix = np.asarray(linear, dtype=np.float64)
    codes, normals, _ = _triangles()
    cofactors = np.linalg.det(matrix) * np.linalg.inv(matrix)
    areas = np.bincount(codes, np.linalg.norm(normals @ cofactors, axis=1), minlength=256)
    areas.setflags(write=False)
    return np.asarray(areas, dtype=np.float64)


def cell_excess() -> NDArray[np.float64]:
    """What the surface encloses of a cell beyond an eighth a corner inside, (256,), read-only.

    In parts of a cell's volume: an object's mesh encloses as many of them as the object has voxels,
    and the sum of this over all cells.
    """
    return _triangles()[2]


@lru_cache(maxsize=1)
def _triangles() -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Code and vector area (z, y, x) of all triangles of unit cells, and the excess of volume.

    A loop whose vertices lie in no plane can be filled in several ways. The one of largest area
    is taken, which is what the usual tables do; where several are largest each counts in equal
    shares, so that a turned or mirrored mask has the same surface.
    """
    codes, normals, excess = [], [], np.zeros(256)
    for code in range(256):
        excess[code] = sum(_inside(code, face) for face in _far_faces()) / 3
        excess[code] -= code.bit_count() / 8
        for loop in _loops(code):
            middles = np.array([_CORNERS[list(edge)].mean(axis=0) for edge in loop])
            triangles, areas, shares = _filled(middles)
            shared = areas[shares > 0] * shares[shares > 0, None]
            codes += [code] * len(shared)
            normals.append(shared)
            excess[code] += (middles[triangles[shares > 0, 0]] * shared).sum() / 3
    excess.setflags(write=False)
    return np.array(codes), np.concatenate(normals), excess


def _faces() -> list[tuple[int, int, int, int]]:
    """The corners of each face, counter-clockwise as seen from outside; every second is far."""
    faces = []
    for axis in range(3):
        steps = [1 << (2 - other % 3) for other in (axis, axis + 1, axis + 2)]
        ring = (0, steps[1], steps[1] + steps[2], steps[2])
        faces.append((ring[3], ring[2], ring[1], ring[0]))
        a, b, c, d = (corner + steps[0] for corner in ring)
        faces.append((a, b, c, d))
    return faces


def _far_faces() -> list[tuple[int, int, int, int]]:
    return _faces()[1::2]


def _inside(code: int, face: tuple[int, int, int, int]) -> float:
    """Area of a unit face that lies inside."""
    inside = [code >> corner & 1 for corner in face]
    across = inside in ([1, 0, 1, 0], [0, 1, 0, 1])
    return 6 / 8 if across else (0.0, 1 / 8, 4 / 8, 7 / 8, 1.0)[sum(inside)]


def _loops(code: int) -> list[list[_Edge]]:
    """The closed lines along which the surface meets the faces, by the edges they cross."""
    follows: dict[_Edge, _Edge] = {}
    for face in _faces():
        edges = [(face[n], face[(n + 1) % 4]) for n in range(4)]
        inside = [(code >> a & 1, code >> b & 1) for a, b in edges]
        for n, sides in enumerate(inside):
            if sides == (1, 0):  # the line goes around the outside corners to the way back in
                back = next(m % 4 for m in range(n + 1, n + 4) if inside[m % 4] == (0, 1))
                start, stop = sorted(edges[n]), sorted(edges[back])
                follows[stop[0], stop[1]] = start[0], start[1]
    loops = []
    while follows:
        edge = next(iter(follows))
        loop = []
        while edge in follows:
            loop.append(edge)
            edge = follows.pop(edge)
        loops.append(loop)
    return loops


def _filled(
    loop: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Triangles (T, 3) of the ways of largest area to fill a loop (n, 3), vector areas, shares."""
    triangles, ways = _ways(len(loop))
    first, second, third = loop[triangles.T]
    normals = np.cross(second - first, third - first) / 2
    areas = np.linalg.norm(normals, axis=1)[ways].sum(axis=1)
    largest = ways[areas > areas.max() - 1e-9]
    shares = np.bincount(largest.ravel(), minlength=len(triangles)) / len(largest)
    return triangles, normals, shares


@lru_cache(maxsize=16)
def _ways(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Triangles (T, 3) of a polygon's corners, and the ways (W, count - 2) to cut it into such."""

    def cut(first: int, last: int) -> list[list[tuple[int, int, int]]]:
        if last - first < 2:
            return [[]]
        return [
            [*left, (first, middle, last), *right]
            for middle in range(first + 1, last)
            for left in cut(first, middle)
            for right in cut(middle, last)
        ]

    triangles = list(combinations(range(count), 3))
    place = {one: n for n, one in enumerate(triangles)}
    ways = [[place[one] for one in way] for way in cut(0, count - 1)]
    return np.array(triangles), np.array(ways)

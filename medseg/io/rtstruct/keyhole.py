"""Holes joined to the ring around them by a cut of no width, as CLOSED_PLANAR wants it.

PS3.3 C.8.8.6.3: rings of one region are united, and an inner contour is reached through a keyhole.
Readers that count parity get the same voxels, as the cut is passed once in each direction.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medseg.compiled import compiled
from medseg.io.rtstruct.rasterise import Rings

_Ints = NDArray[np.int64]


def with_keyholes(rings: Rings) -> Rings:
    """Rings of `trace` with each hole made part of the ring around it; outer rings stay.

    The cut runs from the leftmost, uppermost corner of the hole along its row to the next edge on
    the left, so through voxels of the region only.
    """
    if not len(rings.ends):
        return rings
    following = _following(rings)
    y, x = rings.points.T
    starts = np.concatenate([[0], rings.ends[:-1]])
    twice = np.add.reduceat(x * y[following] - x[following] * y, starts)
    holes = np.flatnonzero(twice < 0)
    if not len(holes):
        return rings
    corners = np.array([_first_corner(rings, starts, int(hole)) for hole in holes])
    edges = _edges_to_the_left(rings, following, holes, corners)
    points, chain = _spliced(rings.points, following, corners, edges)
    outer = np.flatnonzero(twice > 0)
    order, ends = np.empty(len(points), dtype=np.int64), np.empty(len(outer), dtype=np.int64)
    used = _follow(chain, starts[outer], order, ends)
    return Rings(points[order[:used]], ends, rings.planes[outer])


def _following(rings: Rings) -> _Ints:
    """The point after each point of its ring."""
    following = np.arange(1, len(rings.points) + 1)
    following[rings.ends - 1] = np.concatenate([[0], rings.ends[:-1]])
    return following


def _first_corner(rings: Rings, starts: _Ints, hole: int) -> int:
    y, x = rings.ring(hole).T
    return int(starts[hole] + np.lexsort((y, x))[0])


def _edges_to_the_left(rings: Rings, following: _Ints, holes: _Ints, corners: _Ints) -> _Ints:
    """For each hole the point at which the next edge to the left of its corner begins."""
    y, x = rings.points.T
    upright = np.flatnonzero(x == x[following])
    low, high = np.minimum(y, y[following])[upright], np.maximum(y, y[following])[upright]
    planes = np.repeat(rings.planes, np.diff(rings.ends, prepend=0))[upright]
    firsts, lasts = (
        np.searchsorted(planes, rings.planes[holes], side=side) for side in ("left", "right")
    )
    found = np.empty(len(holes), dtype=np.int64)
    for n, (corner, first, last) in enumerate(zip(corners, firsts, lasts, strict=True)):
        here = slice(first, last)  # edges of the same slice: rings come slice by slice
        meets = (low[here] <= y[corner]) & (y[corner] <= high[here])
        meets &= x[upright[here]] < x[corner]
        candidates = upright[here][meets]
        found[n] = candidates[np.argmax(x[candidates])]
    return found


def _spliced(points: _Ints, following: _Ints, corners: _Ints, edges: _Ints) -> tuple[_Ints, _Ints]:
    """All points, with two on the edge and a second corner for each hole, and their new order."""
    count, holes = len(points), len(corners)
    meeting = np.stack([points[corners, 0], points[edges, 1]], axis=1)
    grown = np.concatenate([points, meeting, points[corners], meeting])
    there, again, back = (count + n * holes + np.arange(holes) for n in range(3))
    chain = np.concatenate([following, corners, back, np.zeros(holes, dtype=np.int64)])
    last = np.arange(count)  # the last point before the end of the edge that begins here
    down = np.sign(points[following[edges], 0] - points[edges, 0])
    for n in np.lexsort((points[corners, 0] * down, edges)):  # along each edge
        chain[last[edges[n]]] = there[n]
        last[edges[n]] = back[n]
        chain[back[n]] = following[edges[n]]
    before = np.empty(count, dtype=np.int64)
    before[following] = np.arange(count)
    chain[last[before[corners]]] = again  # the hole is left at its corner, back to the edge
    return grown, chain


@compiled
def _follow(
    chain: _Ints, starts: _Ints, order: _Ints, ends: _Ints
) -> int:  # pragma: no cover - compiled
    """Write down the points of each ring in their order; how many there are."""
    used = 0
    for ring in range(len(starts)):
        point = starts[ring]
        while True:
            order[used] = point
            used += 1
            point = chain[point]
            if point == starts[ring]:
                break
        ends[ring] = used
    return used

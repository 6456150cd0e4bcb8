"""The compiled search for the RECIST pair of one object; `recist` says what it is.

A slice is a plane of voxels (i, j); voxel n reaches from corner n to corner n + 1, so corners are
whole numbers, and what is convex or faces each other is decided on them exactly. Millimetres
come in by the products of the slice's two axes, `gram`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medseg.compiled import compiled

SLICE, LONG, SHORT, LENGTH, FIELDS = 0, 1, 5, 9, 10
"""Places in a row of results: slice, two corners (i, j), two chord ends (i, j), chord in mm."""

_TIE = 1e-9
"""Lengths that differ by less, relatively, are equal."""
_TOUCH = 1e-6
"""A line that misses a voxel by less, in voxels, touches it."""

_NONE = np.int64(0)
"""Where counting begins: given a bare 0, numba compiles what is called with it once more."""

_Floats = NDArray[np.float64]
_Whole = NDArray[np.int64]
_Turn = tuple[float, float, float, float]
"""From corner (i, j) to mm along a diameter (first two) and across it (last two)."""


@compiled
def search(
    mask: NDArray[np.uint8], gram: _Floats, out: _Floats
) -> None:  # pragma: no cover - compiled
    """Fill `out` (the fields above) for `mask` (slice, i, j), which has a voxel."""
    slices = mask.shape[0]
    ends = _row_ends(mask)
    reach2, longest2 = np.zeros(slices, np.float64), np.zeros(slices, np.float64)
    room = 2 * mask.shape[1] + 2
    hull, pairs = np.empty((room, 2), np.int64), np.empty((4 * room, 4), np.int64)
    first, best2 = 0, 0.0
    for k in range(slices):
        reach2[k] = _reach2(ends[k], gram)
        if reach2[k] > reach2[first]:
            first = k  # most often the slice: others that cannot beat it are passed over
    for step in range(slices + 1):
        k = first if step == 0 else step - 1
        if longest2[k] == 0.0 and reach2[k] > 0.0 and reach2[k] >= best2 * (1 - 2 * _TIE):
            count = _hull(ends[k], hull)
            best2, kept = _longest(hull, count, gram, best2, pairs)
            longest2[k] = best2 if kept > 0 else 0.0
    out[LENGTH] = -1.0
    for k in range(slices):
        if longest2[k] >= best2 * (1 - 2 * _TIE):
            count = _hull(ends[k], hull)
            kept = _longest(hull, count, gram, best2, pairs)[1]
            outlines = _outline(mask[k]), _outline_of_hull(hull[:count])
            _offer(outlines, pairs[:kept], k, gram, out)


@compiled
def _row_ends(mask: NDArray[np.uint8]) -> NDArray[np.int32]:  # pragma: no cover - compiled
    """First and one past the last voxel of each row, (slice, i, 2); equal where it is empty."""
    slices, rows, length = mask.shape
    ends = np.empty((slices, rows, 2), np.int32)
    for k in range(slices):
        for i in range(rows):
            row = mask[k, i]
            first, last = 0, length
            while first < length and row[first] == 0:
                first += 1
            while last > first and row[last - 1] == 0:
                last -= 1
            ends[k, i, 0], ends[k, i, 1] = first, last
    return ends


@compiled
def _reach2(ends: NDArray[np.int32], gram: _Floats) -> float:  # pragma: no cover - compiled
    """Squared longer diagonal of the parallelogram around a slice; 0 where it is empty."""
    top, bottom, left, right = -1, 0, 0, 0
    for i in range(ends.shape[0]):
        if ends[i, 0] < ends[i, 1]:
            if top < 0:
                top, left, right = i, ends[i, 0], ends[i, 1]
            bottom, left, right = i + 1, min(left, ends[i, 0]), max(right, ends[i, 1])
    if top < 0:
        return 0.0
    di, dj = float(bottom - top), float(right - left)
    reach2: float = gram[0] * di * di + 2 * abs(gram[1]) * di * dj + gram[2] * dj * dj
    return reach2


@compiled
def _hull(ends: NDArray[np.int32], hull: _Whole) -> int:  # pragma: no cover - compiled
    """Write the corners (i, j) of a slice's convex hull, turning from i to j; how many there are.

    No three lie on one line. `hull` has room for two a row and two more.
    """
    rows = ends.shape[0]
    count = 0
    for step in range(2 * rows + 2):  # along the left ends, then back along the right ones
        side = step // (rows + 1)
        i = step if side == 0 else 2 * rows + 1 - step
        j = -1
        for row in range(max(i - 1, 0), min(i + 1, rows)):
            if ends[row, 0] < ends[row, 1]:
                end = ends[row, side]
                j = end if j < 0 or (end > j) == (side == 1) else j
        if j < 0:
            continue
        while count >= 2:
            i0, j0 = hull[count - 2, 0], hull[count - 2, 1]
            if (hull[count - 1, 0] - i0) * (j - j0) > (hull[count - 1, 1] - j0) * (i - i0):
                break  # it turns, the way all corners do
            count -= 1
        hull[count, 0], hull[count, 1] = i, j
        count += 1
    return count


@compiled
def _longest(
    hull: _Whole, count: int, gram: _Floats, floor2: float, pairs: _Whole
) -> tuple[float, int]:  # pragma: no cover - compiled
    """Greatest squared distance of two corners, at least `floor2`; writes the pairs (n, 4) of it.

    Rotating callipers; which corners face each other is a matter of whole numbers, for parallels
    stay parallel in the world.
    """
    best2, kept, far = floor2, int(_NONE), int(_NONE) + 1
    for near in range(count):
        after = near + 1 if near + 1 < count else 0
        i, j = hull[after, 0] - hull[near, 0], hull[after, 1] - hull[near, 1]
        beyond, away = far, 1
        while away > 0:  # as long as the next corner lies farther from this edge
            far, beyond = beyond, beyond + 1 if beyond + 1 < count else 0
            away = i * (hull[beyond, 1] - hull[far, 1]) - j * (hull[beyond, 0] - hull[far, 0])
        # Of two parallel edges the first end is enough: their diagonals are longer than what joins
        # them at the sides, and the other diagonal comes with the edges that follow.
        for a in (near, after):
            di, dj = float(hull[far, 0] - hull[a, 0]), float(hull[far, 1] - hull[a, 1])
            long2 = gram[0] * di * di + 2 * gram[1] * di * dj + gram[2] * dj * dj
            if long2 > best2 * (1 + 2 * _TIE):
                kept = int(_NONE)
            if long2 >= best2 * (1 - 2 * _TIE):
                kept = _keep(pairs, kept, hull, a, far)
            best2 = max(best2, long2)
    return best2, kept


@compiled
def _keep(
    pairs: _Whole, kept: int, hull: _Whole, a: int, b: int
) -> int:  # pragma: no cover - compiled
    """Add the pair, its first corner in index order first, unless it is there; the new number."""
    if hull[b, 0] < hull[a, 0] or (hull[b, 0] == hull[a, 0] and hull[b, 1] < hull[a, 1]):
        a, b = b, a
    pairs[kept, 0], pairs[kept, 1] = hull[a, 0], hull[a, 1]
    pairs[kept, 2], pairs[kept, 3] = hull[b, 0], hull[b, 1]
    for n in range(kept):
        same = 0
        for m in range(4):
            same += pairs[n, m] == pairs[kept, m]
        if same == 4:
            return kept
    return kept + 1


@compiled
def _outline(mask: NDArray[np.uint8]) -> _Floats:  # pragma: no cover - compiled
    """Straight pieces (n, 4) of a slice's outline, along i or j, from corner (i, j) to (i, j)."""
    rows, length = mask.shape
    framed = np.zeros((rows + 2, length + 2), np.uint8)
    for i in range(rows):
        for j in range(length):
            framed[i + 1, j + 1] = mask[i, j]
    pieces = np.empty(((rows + 1) * (length + 1), 4), np.float64)
    begun = np.empty(length + 1, np.int64)
    begun[:] = -1
    count = int(_NONE)
    for i in range(rows + 1):
        start = int(_NONE) - 1
        for j in range(length + 1):
            above, below, left = framed[i, j + 1], framed[i + 1, j + 1], framed[i + 1, j]
            if above != below:
                start = j if start < 0 else start
            elif start >= 0:
                count, start = _add(pieces, count, (i, start, i, j)), int(_NONE) - 1
            if left != below:
                begun[j] = i if begun[j] < 0 else begun[j]
            elif begun[j] >= 0:
                count, begun[j] = _add(pieces, count, (begun[j], j, i, j)), -1
    return pieces[:count]


@compiled
def _outline_of_hull(hull: _Whole) -> _Floats:  # pragma: no cover - compiled
    """The edges (n, 4) of a hull, from corner (i, j) to (i, j)."""
    count = hull.shape[0]
    pieces = np.empty((count, 4), np.float64)
    for n in range(count):
        after = n + 1 if n + 1 < count else 0
        _add(pieces, n, (hull[n, 0], hull[n, 1], hull[after, 0], hull[after, 1]))
    return pieces


@compiled
def _add(
    pieces: _Floats, count: int, piece: tuple[int, int, int, int]
) -> int:  # pragma: no cover - compiled
    """Write a piece at the end; the new number."""
    pieces[count, 0], pieces[count, 1], pieces[count, 2], pieces[count, 3] = piece
    return count + 1


@compiled
def _offer(
    outlines: tuple[_Floats, _Floats], pairs: _Whole, k: int, gram: _Floats, out: _Floats
) -> None:  # pragma: no cover - compiled
    """Put the best of the diameters `pairs` of slice `k` into `out` where it goes before that.

    `outlines` are those of the object and of its hull.
    """
    area = np.sqrt(gram[0] * gram[2] - gram[1] * gram[1])
    row = np.empty(FIELDS, np.float64)
    row[SLICE] = k
    for n in range(pairs.shape[0]):
        for m in range(4):
            row[LONG + m] = pairs[n, m]
        i, j = row[LONG + 2] - row[LONG], row[LONG + 3] - row[LONG + 1]
        along_i, along_j = gram[0] * i + gram[1] * j, gram[1] * i + gram[2] * j
        mm = np.sqrt(along_i * i + along_j * j)
        turn = (along_i / mm, along_j / mm, -j * area / mm, i * area / mm)
        _chords(outlines[0], outlines[1], turn, row, out)


@compiled
def _chords(
    outline: _Floats, around: _Floats, turn: _Turn, row: _Floats, out: _Floats
) -> None:  # pragma: no cover - compiled
    """Put the longest chord square to `row`'s diameter into `out` where it goes before that.

    Between two corners a chord's length is convex in its place along the diameter, so the longest
    goes through a corner. The chord of the hull bounds it, and spares most corners the search.
    """
    room = 2 * outline.shape[0]
    places, bounds = np.empty(room, np.float64), np.empty(room, np.float64)
    count, first = 0, 0
    for n in range(outline.shape[0]):
        if outline[n, 0] != outline[n, 2]:
            continue  # each corner ends a piece along j too
        for end in (1, 3):
            places[count] = turn[0] * outline[n, 0] + turn[1] * outline[n, end]
            bounds[count] = _span(around, turn, places[count])[0]
            first = count if bounds[count] > bounds[first] else first
            count += 1
    for step in range(count + 1):
        n = first if step == 0 else step - 1
        if bounds[n] < out[LENGTH] * (1 - _TIE):
            continue
        length, low, high = _span(outline, turn, places[n])
        if _before(high, low):
            low, high = high, low
        row[SHORT], row[SHORT + 1], row[SHORT + 2], row[SHORT + 3] = low + high
        row[LENGTH] = length
        if length >= out[LENGTH] * (1 - _TIE) and (
            length > out[LENGTH] * (1 + _TIE) or _earlier(row, out)
        ):
            for m in range(FIELDS):
                out[m] = row[m]


@compiled
def _span(
    pieces: _Floats, turn: _Turn, place: float
) -> tuple[float, tuple[float, float], tuple[float, float]]:  # pragma: no cover - compiled
    """Length in mm and ends (i, j) of the chord at `place` mm along the diameter."""
    near = _TOUCH * 0.5 * (abs(turn[0]) + abs(turn[1]))
    least, most = np.inf, -np.inf
    low = high = (0.0, 0.0)
    for n in range(pieces.shape[0]):
        i, j, end_i, end_j = pieces[n, 0], pieces[n, 1], pieces[n, 2], pieces[n, 3]
        before = place - (turn[0] * i + turn[1] * j)
        after = turn[0] * end_i + turn[1] * end_j - place
        if not ((before > -near and after > -near) or (before < near and after < near)):
            continue
        run = before + after
        if abs(run) <= near:
            continue  # it lies on the line, and its ends are ends of other pieces too
        part = before / run
        part = 0.0 if part < 0.0 else (1.0 if part > 1.0 else part)
        point = (i + part * (end_i - i), j + part * (end_j - j))
        across = turn[2] * point[0] + turn[3] * point[1]
        if across < least:
            least, low = across, point
        if across > most:
            most, high = across, point
    return most - least, low, high


@compiled
def _before(
    one: tuple[float, float], other: tuple[float, float]
) -> bool:  # pragma: no cover - compiled
    """Whether a point comes first in index order; nearly equal coordinates are equal."""
    if abs(one[0] - other[0]) > _TIE:
        return one[0] < other[0]
    return one[1] < other[1] - _TIE


@compiled
def _earlier(row: _Floats, other: _Floats) -> bool:  # pragma: no cover - compiled
    """Whether slice, diameter and chord of `row` come first in index order."""
    for n in range(LENGTH):
        if abs(row[n] - other[n]) > _TIE:
            return bool(row[n] < other[n])
    return False

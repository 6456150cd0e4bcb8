"""What the shape of a mask needs of its voxels, compiled.

A row of voxels is kept as bits, 63 new ones to a word: bit j of word k stands for voxel
63 k + j - 1, so bit 63 comes again as bit 0 of the next word and neighbours along x always share
a word. Around the mask lies a frame of zeros: what is outside the array is outside the object.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from medseg.compiled import compiled

_Words = NDArray[np.uint64]
_Floats = NDArray[np.float64]
_Whole = NDArray[np.int64]
_Point = tuple[float, float, float]

_NONE = np.int64(0)
"""Where counting begins: given a bare 0, numba compiles what is called with it once more."""
_ONE = np.uint64(1)
_TOP = np.uint64(58)
_NEW = np.uint64(2**63 - 1)
"""The bits of a word that no other word stands for."""

_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
"""Times a power of two, its six highest bits tell which (Leiserson, Prokop, Randall, MIT 1998)."""

_PLACES = np.zeros(64, dtype=np.int64)
for _place in range(64):
    _PLACES[(int(_DE_BRUIJN) << _place) % 2**64 >> 58] = _place

COUNT, COVARIANCE, AREA, VOLUME, DIAMETER = 0, slice(1, 7), 7, 8, 9
"""Where a row holds what: covariance is zz, zy, zx, yy, yx, xx of voxel indices, divided by N."""
ROW_LENGTH = 10


@compiled
def measure_mask(
    mask: NDArray[np.uint8], linear: _Floats, areas: _Floats, excess: _Floats, row: _Floats
) -> None:  # pragma: no cover - compiled
    """Write a row for one mask (z, y, x) that holds a voxel; `linear` (3, 3) gives millimetres.

    `areas` and `excess` (256,) are those of the mesh in a cell. Volume is in voxels.
    """
    words = _packed(mask)
    _moments(words, row)
    counts = np.zeros(256, dtype=np.int64)
    _count_cells(words, counts)
    row[AREA] = 0.0
    row[VOLUME] = row[COUNT]  # an eighth for each of the eight cells that a voxel is a corner of
    for code in range(1, 255):
        row[AREA] += counts[code] * areas[code]
        row[VOLUME] += counts[code] * excess[code]
    row[DIAMETER] = _farthest_mm(_vertices(words, linear))


@compiled
def _packed(mask: NDArray[np.uint8]) -> _Words:  # pragma: no cover - compiled
    depth, height, width = mask.shape
    words = np.zeros((depth + 2, height + 2, (width + 63) // 63), dtype=np.uint64)
    for z in range(depth):
        for y in range(height):
            row = mask[z, y]
            for k in range(words.shape[2]):
                base = 63 * k - 1
                word = np.uint64(0)
                for x in range(max(base, 0), min(base + 64, width)):
                    word |= np.uint64(row[x]) << np.uint64(x - base)
                words[z + 1, y + 1, k] = word
    return words


@compiled
def _lowest(word: np.uint64) -> int:  # pragma: no cover - compiled
    place: int = _PLACES[((word & (~word + _ONE)) * _DE_BRUIJN) >> _TOP]
    return place


@compiled
def _highest(word: np.uint64) -> int:  # pragma: no cover - compiled
    for shift in (1, 2, 4, 8, 16, 32):
        word |= word >> np.uint64(shift)
    place: int = _PLACES[((word - (word >> _ONE)) * _DE_BRUIJN) >> _TOP]
    return place


@compiled
def _moments(words: _Words, row: _Floats) -> None:  # pragma: no cover - compiled
    """Number of voxels and covariance of their indices; exact but for the last division."""
    sums = np.zeros(10, dtype=np.int64)
    for z in range(1, words.shape[0] - 1):
        for y in range(1, words.shape[1] - 1):
            n, x, xx = _row_sums(words[z, y])
            sums[0] += n
            sums[1] += n * z
            sums[2] += n * y
            sums[3] += x
            sums[4] += n * z * z
            sums[5] += n * z * y
            sums[6] += x * z
            sums[7] += n * y * y
            sums[8] += x * y
            sums[9] += xx
    n = sums[0]
    row[COUNT] = n
    place = 4
    for a in range(1, 4):
        for b in range(a, 4):
            near_a, near_b = sums[a] // n, sums[b] // n  # whole numbers near the mean: exact
            about = sums[place] - near_a * sums[b] - near_b * sums[a] + n * near_a * near_b
            rest = (sums[a] - n * near_a) / n * ((sums[b] - n * near_b) / n)
            row[place - 3] = about / n - rest
            place += 1


@compiled
def _row_sums(row: _Words) -> tuple[int, int, int]:  # pragma: no cover - compiled
    """Number of voxels, sum of their x and of x squared, run by run."""
    n, total, squares = 0, 0, 0
    for k in range(row.size):
        word = row[k] & _NEW
        while word != 0:
            start = _lowest(word)
            stop = start + _lowest(~(word >> np.uint64(start)))
            word = (word >> np.uint64(stop)) << np.uint64(stop)
            first, last = 63 * k - 1 + start, 63 * k - 2 + stop
            n += stop - start
            total += (stop - start) * (first + last) // 2
            squares += last * (last + 1) * (2 * last + 1) // 6
            squares -= (first - 1) * first * (2 * first - 1) // 6
    return n, total, squares


@compiled
def _count_cells(words: _Words, counts: _Whole) -> None:  # pragma: no cover - compiled
    """Cells of each code that the surface runs through: those neither empty nor full."""
    three = np.uint64(3)
    for z in range(words.shape[0] - 1):
        for y in range(words.shape[1] - 1):
            for k in range(words.shape[2]):
                a, b = words[z, y, k], words[z, y + 1, k]
                c, d = words[z + 1, y, k], words[z + 1, y + 1, k]
                some, every = a | b | c | d, a & b & c & d
                mixed = (some | some >> _ONE) & ~(every & every >> _ONE) & _NEW
                while mixed != 0:
                    place = np.uint64(_lowest(mixed))
                    mixed &= mixed - _ONE
                    code = (
                        (a >> place & three)
                        | (b >> place & three) << np.uint64(2)
                        | (c >> place & three) << np.uint64(4)
                        | (d >> place & three) << np.uint64(6)
                    )
                    counts[code] += 1


@compiled
def _vertices(words: _Words, linear: _Floats) -> _Floats:  # pragma: no cover - compiled
    """The mesh's vertices in millimetres (M, 3) that the corners of its convex hull are among.

    Of the vertices of a layer of one z those on the hull of the layer, of a line along x the ends.
    """
    depth, height = words.shape[0] - 2, words.shape[1] - 2
    found = np.empty((2 * (2 * height + 1) * depth + 2 * height * (depth + 1), 3), dtype=np.int32)
    chains = np.empty((2, 2 * height + 1, 2), dtype=np.int64)
    tops = np.zeros(2, dtype=np.int64)
    n = int(_NONE)
    for z in range(depth + 1):
        for y in range(1, height + 1):
            first, last = _ends(words[z, y], words[z + 1, y])
            _push(chains, tops, 2 * y, (2 * first, 2 * last))
        n = _take(chains, tops, 2 * z + 1, found, n)
        for y in range(height + 1):
            first, last = _ends(words[z, y], words[z, y + 1])
            _push(chains, tops, 2 * y + 1, (2 * first, 2 * last))
            first, last = _ends(words[z, y + 1], words[0, 0])
            _push(chains, tops, 2 * y + 2, (2 * first - 1, 2 * last + 1))
        n = _take(chains, tops, 2 * z, found, n)
    points = np.empty((n, 3), dtype=np.float64)
    for i in range(n):
        for axis in range(3):
            points[i, axis] = (
                linear[axis, 0] * found[i, 0]
                + linear[axis, 1] * found[i, 1]
                + linear[axis, 2] * found[i, 2]
            ) / 2
    return points


@compiled
def _ends(row: _Words, other: _Words) -> tuple[int, int]:  # pragma: no cover - compiled
    """First and last x where two rows differ; (-2, -2) where they do not."""
    first, last = -2, -2
    for k in range(row.size):
        word = (row[k] ^ other[k]) & _NEW
        if word != 0:
            if first < 0:
                first = 63 * k - 1 + _lowest(word)
            last = 63 * k - 1 + _highest(word)
    return first, last


@compiled
def _push(
    chains: _Whole, tops: _Whole, y: int, ends: tuple[int, int]
) -> None:  # pragma: no cover - compiled
    """Add a line's two ends to the left and right side of a layer's hull (Andrew 1979)."""
    if ends[1] < 0:
        return
    for side in range(2):
        x = ends[0] if side == 0 else -ends[1]
        chain, top = chains[side], tops[side]
        while top > 1:
            along = (chain[top - 1, 1] - chain[top - 2, 1]) * (y - chain[top - 2, 0])
            if along < (x - chain[top - 2, 1]) * (chain[top - 1, 0] - chain[top - 2, 0]):
                break
            top -= 1
        chain[top, 0], chain[top, 1] = y, x
        tops[side] = top + 1


@compiled
def _take(
    chains: _Whole, tops: _Whole, z: int, found: NDArray[np.int32], n: int
) -> int:  # pragma: no cover - compiled
    """Move the corners of a layer's hull to `found`, which holds n; the new n."""
    for side in range(2):
        for i in range(tops[side]):
            found[n, 0], found[n, 1] = z, chains[side, i, 0]
            found[n, 2] = chains[side, i, 1] * (1 - 2 * side)
            n += 1
        tops[side] = 0
    return n


@compiled
def _farthest_mm(points: _Floats) -> float:  # pragma: no cover - compiled
    """The largest distance between two points (M, 3).

    Two points that lie far apart give a ball around their middle; a point nearer to it than the
    best distance less the ball's radius belongs to no better pair.
    """
    one, other, best = 0, 0, -1.0
    while True:
        there = (points[other, 0], points[other, 1], points[other, 2])
        place, reach = _far_from(points, there)
        if reach <= best:
            break
        one, other, best = other, place, reach
    centre = (
        (points[one, 0] + points[other, 0]) / 2,
        (points[one, 1] + points[other, 1]) / 2,
        (points[one, 2] + points[other, 2]) / 2,
    )
    _, radius = _far_from(points, centre)
    least = max(math.sqrt(best) - math.sqrt(radius), 0.0) ** 2 * (1 - 1e-12)
    n = 0
    for i in range(len(points)):
        if _apart(points, i, centre) >= least:
            for axis in range(3):
                points[n, axis] = points[i, axis]
            n += 1
    return math.sqrt(_best_pair(points[:n], best))


@compiled
def _apart(points: _Floats, i: int, place: _Point) -> float:  # pragma: no cover - compiled
    """Squared distance of a point from a place."""
    z, y, x = points[i, 0] - place[0], points[i, 1] - place[1], points[i, 2] - place[2]
    return float(z * z + y * y + x * x)


@compiled
def _far_from(points: _Floats, place: _Point) -> tuple[int, float]:  # pragma: no cover - compiled
    """The point farthest from a place and its squared distance."""
    far, reach = 0, -1.0
    for i in range(len(points)):
        apart = _apart(points, i, place)
        if apart > reach:
            far, reach = i, apart
    return far, reach


@compiled
def _best_pair(points: _Floats, best: float) -> float:  # pragma: no cover - compiled
    """The largest squared distance of two of `points` (M, 3), `best` where none is larger.

    Points are sorted into boxes; a pair of boxes that holds no larger distance is passed over.
    """
    parts = int(0.55 * len(points) ** (1 / 3)) + 1
    ordered = np.empty((len(points), 3), dtype=np.float64)
    starts = _sort_into_boxes(points, parts, ordered)
    bounds = np.empty((len(starts) - 1, 6), dtype=np.float64)
    for box in range(len(bounds)):
        _bound(ordered[starts[box] : starts[box + 1]], bounds[box])
    for a in range(len(bounds)):
        for b in range(a, len(bounds)):
            if _most_apart(bounds[a, :3], bounds[a, 3:], bounds[b]) <= best:
                continue
            for i in range(starts[a], starts[a + 1]):
                if _most_apart(ordered[i], ordered[i], bounds[b]) > best:
                    place = (ordered[i, 0], ordered[i, 1], ordered[i, 2])
                    for j in range(max(starts[b], i + 1), starts[b + 1]):
                        best = max(best, _apart(ordered, j, place))
    return best


@compiled
def _most_apart(low: _Floats, high: _Floats, box: _Floats) -> float:  # pragma: no cover - compiled
    """Squared distance that no point from `low` to `high` (3,) exceeds to a point in a box (6,)."""
    most = 0.0
    for axis in range(3):
        most += max(high[axis] - box[axis], box[axis + 3] - low[axis]) ** 2
    return most


@compiled
def _bound(points: _Floats, bounds: _Floats) -> None:  # pragma: no cover - compiled
    """Least (3) and largest (3) coordinates of points (M, 3)."""
    for axis in range(3):
        low, high = np.inf, -np.inf
        for i in range(len(points)):
            low, high = min(low, points[i, axis]), max(high, points[i, axis])
        bounds[axis], bounds[axis + 3] = low, high


@compiled
def _sort_into_boxes(
    points: _Floats, parts: int, ordered: _Floats
) -> _Whole:  # pragma: no cover - compiled
    """Order points (M, 3) by their box in a grid; where each filled box starts, (B + 1,)."""
    bounds = np.empty(6, dtype=np.float64)
    _bound(points, bounds)
    boxes = np.zeros(len(points), dtype=np.int64)
    places = np.zeros(parts**3 + 1, dtype=np.int64)
    for i in range(len(points)):
        for axis in range(3):
            along = points[i, axis] - bounds[axis]
            part = int(parts * along / max(bounds[axis + 3] - bounds[axis], 1e-300))
            boxes[i] = boxes[i] * parts + min(part, parts - 1)
        places[boxes[i] + 1] += 1
    starts = np.zeros(len(places), dtype=np.int64)
    filled = 0
    for box in range(1, len(places)):
        if places[box] > 0:
            filled += 1
            starts[filled] = starts[filled - 1] + places[box]
        places[box] += places[box - 1]
    for i in range(len(points)):
        for axis in range(3):
            ordered[places[boxes[i]], axis] = points[i, axis]
        places[boxes[i]] += 1
    return starts[: filled + 1]

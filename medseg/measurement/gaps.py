"""How far apart sets of voxels lie: exact distances between the nearest voxel centres.

Only voxels on a set's border can be nearest to something outside it. They are kept in small
blocks of near ones, each with its box, so that most of them are passed over unseen. Coordinates
are the world's, turned so that the axes of a square grid lie along them and boxes are tight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medseg.compiled import compiled
from medseg.measurement.lattice import facing_steps
from medseg.types import Geometry, Instance, boxes_apart

SAME = 1e-9
"""Squared distances that differ by less than this part of them are equal: the lowest id counts."""

_CELL = 4  # voxels along an edge of the cells that part a border into blocks


class Borders(NamedTuple):
    """The border voxels of N sets, in millimetres, in blocks.

    Shapes: points (P, 3); blocks (B + 1,) first point of each block; block_low, block_high (B, 3)
    the boxes of the blocks; sets (N + 1,) first block of each set; low, high (N, 3).
    """

    points: NDArray[np.float64]
    blocks: NDArray[np.int64]
    block_low: NDArray[np.float64]
    block_high: NDArray[np.float64]
    sets: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def borders(items: Sequence[Instance], geometry: Geometry) -> Borders:
    """The borders of the masks of `items`, at least one, on the grid `geometry`."""
    steps = facing_steps(geometry)
    found = [_border_of(item, steps) for item in items]
    index = np.concatenate(found)
    owner = np.repeat(np.arange(len(found)), [len(one) for one in found])
    cell = index // _CELL
    depth, height, width = (length // _CELL + 1 for length in geometry.shape)
    key = ((owner * depth + cell[:, 0]) * height + cell[:, 1]) * width + cell[:, 2]
    order = np.argsort(key, kind="stable")
    key = key[order]
    first = np.flatnonzero(np.diff(key, prepend=-1))
    points = index[order] @ _straight(geometry)
    blocks = np.append(first, len(points))
    block_low = np.minimum.reduceat(points, first, axis=0)
    block_high = np.maximum.reduceat(points, first, axis=0)
    sets = np.searchsorted(owner[order][first], np.arange(len(found) + 1))
    low = np.minimum.reduceat(block_low, sets[:-1], axis=0)
    high = np.maximum.reduceat(block_high, sets[:-1], axis=0)
    return Borders(points, blocks, block_low, block_high, sets, low, high)


def nearest_among(
    found: Borders, squared_mm2: NDArray[np.float64], nearest: NDArray[np.int64]
) -> None:
    """Fill for each of N sets the squared distance to the nearest other, and which; lowest first.

    Shapes: squared_mm2 (N,), infinite, or 0 where `nearest` (N,) is known already; elsewhere
    `nearest` is -1, and stays so where there is no other set.
    """
    spread = np.ptp(found.low + found.high, axis=0)
    axis = int(spread.argmax())
    order = np.argsort(found.low[:, axis], kind="stable")
    reached = np.maximum.accumulate(found.high[order, axis])
    _sweep(found, axis, order, reached, squared_mm2, nearest)


def nearest_of(
    found: Borders, others: Sequence[Instance], geometry: Geometry
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Squared distance (N,) from each set of `found` to the nearest of `others`, and which (N,).

    Both lie on the grid `geometry`; of equally near ones the first counts. Infinite and -1 where
    there are none. The borders of one of the others at a time are held in memory, and of those
    alone whose box is near enough.
    """
    squared_mm2 = np.full(len(found.low), np.inf)
    nearest = np.full(len(found.low), -1, dtype=np.int64)
    around = [_around(other, geometry) for other in others]
    for low, high in around:  # no further than the far ends of two boxes: many need no look
        far = np.maximum(high - found.low, found.high - low)
        squared_mm2 = np.minimum(squared_mm2, np.square(far).sum(axis=1))
    for m, (low, high) in enumerate(around):
        apart = np.maximum(np.maximum(low - found.high, found.low - high), 0.0)
        near = np.flatnonzero(np.square(apart).sum(axis=1) <= squared_mm2 * (1 + SAME))
        if near.size:
            _compare(found, near, borders([others[m]], geometry), m, squared_mm2, nearest)
    return squared_mm2, nearest


def _around(item: Instance, geometry: Geometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Low and high corner (3,) of a box that holds the voxel centres of the item's crop."""
    ends = [(part.start, part.stop - 1) for part in item.box]
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
    points = corners @ _straight(geometry)
    return points.min(axis=0), points.max(axis=0)


def _straight(geometry: Geometry) -> NDArray[np.float64]:
    """(3, 3): index (z, y, x) @ this has the world's lengths, and square axes on a square grid."""
    axes = geometry.affine[:3, :3]
    return np.asarray(np.linalg.cholesky(axes.T @ axes), dtype=np.float64)


def _border_of(item: Instance, steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices (n, 3) in the grid of the mask's voxels that miss a neighbour at one of `steps`."""
    margin = int(np.abs(steps).max())
    first_z, first_y, first_x = (part.start - margin for part in item.box)
    found = []
    for z, y, x in boxes_apart(item.mask, planes=margin):
        corner = np.array([first_z + z.start, first_y + y.start, first_x + x.start])
        found.append(_border_in(item.mask[z, y, x], steps, margin, corner))
    return found[0] if len(found) == 1 else np.concatenate(found)


def _border_in(
    mask: NDArray[np.bool_], steps: NDArray[np.int64], margin: int, corner: NDArray[np.int64]
) -> NDArray[np.int64]:
    depth, height, width = (length + 2 * margin for length in mask.shape)
    padded = np.zeros((depth, height, width), dtype=np.uint8)  # np.pad takes ten times as long
    padded[margin:-margin, margin:-margin, margin:-margin] = mask
    offsets = steps @ np.array([height * width, width, 1])
    return _border(padded, offsets, margin, corner)


@compiled
def _keep_inner(
    flat: NDArray[np.uint8], start: int, offsets: NDArray[np.int64], inner: NDArray[np.uint8]
) -> None:  # pragma: no cover - compiled
    """Set `inner` to 1 at the voxels of a row whose neighbours at `offsets` are all 1, else 0.

    A whole row at a time and no question asked of a voxel: so many are done by one instruction.
    """
    width = inner.shape[0]
    row = flat[start : start + width]
    for x in range(width):
        inner[x] = row[x]
    for n in range(offsets.shape[0]):
        beside = flat[start + offsets[n] : start + offsets[n] + width]
        for x in range(width):
            inner[x] &= beside[x]


@compiled
def _border(
    padded: NDArray[np.uint8], offsets: NDArray[np.int64], margin: int, corner: NDArray[np.int64]
) -> NDArray[np.int64]:  # pragma: no cover - compiled
    """Indices (n, 3) of the voxels that miss a neighbour at one of `offsets`, `corner` added.

    `padded` has as many empty voxels around the mask as the offsets reach. Rows are looked at
    twice, first to count: kept marks would take as much memory as the mask.
    """
    depth, height, line = padded.shape
    flat, width = padded.reshape(-1), line - 2 * margin
    inner = np.empty(width, np.uint8)
    counts = np.zeros((depth, height), np.int64)
    for z in range(margin, depth - margin):
        for y in range(margin, height - margin):
            start = (z * height + y) * line + margin
            _keep_inner(flat, start, offsets, inner)
            row, count = flat[start : start + width], 0
            for x in range(width):
                count += row[x] ^ inner[x]
            counts[z, y] = count
    found, n = np.empty((counts.sum(), 3), np.int64), 0
    for z in range(margin, depth - margin):
        for y in range(margin, height - margin):
            if counts[z, y] == 0:
                continue
            start = (z * height + y) * line + margin
            _keep_inner(flat, start, offsets, inner)
            for x in range(width):
                if flat[start + x] != inner[x]:
                    found[n, 0], found[n, 1] = z + corner[0], y + corner[1]
                    found[n, 2] = x + margin + corner[2]
                    n += 1
    return found


@compiled
def _box_gap(
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    n: int,
    other_low: NDArray[np.float64],
    other_high: NDArray[np.float64],
    m: int,
) -> float:  # pragma: no cover - compiled
    """Squared distance between two boxes: no point of one is nearer to a point of the other."""
    total = 0.0
    for axis in range(3):
        gap = max(other_low[m, axis] - high[n, axis], low[n, axis] - other_high[m, axis], 0.0)
        total += gap * gap
    return total


@compiled
def _block_gap(
    one: Borders, block: int, other: Borders, other_block: int
) -> float:  # pragma: no cover - compiled
    """Least squared distance between the points of two blocks."""
    least = np.inf
    for p in range(one.blocks[block], one.blocks[block + 1]):
        for q in range(other.blocks[other_block], other.blocks[other_block + 1]):
            z = one.points[p, 0] - other.points[q, 0]
            y = one.points[p, 1] - other.points[q, 1]
            x = one.points[p, 2] - other.points[q, 2]
            least = min(least, z * z + y * y + x * x)
    return least


@compiled
def _nearest_block(
    one: Borders, n: int, low: NDArray[np.float64], high: NDArray[np.float64], m: int
) -> int:  # pragma: no cover - compiled
    """The block of set `n` whose box is nearest to box `m`."""
    found, nearest = one.sets[n], np.inf
    for block in range(one.sets[n], one.sets[n + 1]):
        gap = _box_gap(one.block_low, one.block_high, block, low, high, m)
        if gap < nearest:
            found, nearest = block, gap
    return int(found)


@compiled
def _set_gap(
    one: Borders, n: int, other: Borders, m: int, limit: float
) -> float:  # pragma: no cover - compiled
    """Squared distance between two sets, if it is at most `limit`; else something above it."""
    start = _nearest_block(one, n, other.low, other.high, m)
    there = _nearest_block(other, m, one.block_low, one.block_high, start)
    least = _block_gap(one, start, other, there)
    bound = min(least, limit)
    near = np.empty(other.sets[m + 1] - other.sets[m], np.int64)
    count = 0
    for block in range(other.sets[m], other.sets[m + 1]):
        if _box_gap(other.block_low, other.block_high, block, one.low, one.high, n) <= bound:
            near[count] = block
            count += 1
    for block in range(one.sets[n], one.sets[n + 1]):
        if _box_gap(one.block_low, one.block_high, block, other.low, other.high, m) > bound:
            continue
        for place in range(count):
            gap = _box_gap(
                one.block_low,
                one.block_high,
                block,
                other.block_low,
                other.block_high,
                near[place],
            )
            if gap <= bound:
                least = min(least, _block_gap(one, block, other, near[place]))
                bound = min(least, limit)
    return least


@compiled
def _keep_nearer(
    squared: NDArray[np.float64], nearest: NDArray[np.int64], n: int, m: int, gap: float
) -> None:  # pragma: no cover - compiled
    """Note that set `m` is `gap` from set `n`, if that is nearer, or as near and `m` is lower."""
    if nearest[n] < 0 or gap < squared[n] * (1 - SAME):
        squared[n], nearest[n] = gap, m
    elif gap <= squared[n] * (1 + SAME):
        squared[n], nearest[n] = min(squared[n], gap), min(nearest[n], m)


@compiled
def _visit(
    found: Borders,
    n: int,
    m: int,
    squared: NDArray[np.float64],
    nearest: NDArray[np.int64],
) -> None:  # pragma: no cover - compiled
    """Note how far two sets are apart, if that is as near as what is known of `n`."""
    limit = squared[n] * (1 + SAME)
    gap = _set_gap(found, n, found, m, limit)
    if gap <= limit:
        _keep_nearer(squared, nearest, n, m, gap)
        _keep_nearer(squared, nearest, m, n, gap)


@compiled
def _sweep(
    found: Borders,
    axis: int,
    order: NDArray[np.int64],
    reached: NDArray[np.float64],
    squared: NDArray[np.float64],
    nearest: NDArray[np.int64],
) -> None:  # pragma: no cover - compiled
    """From each set to both sides along `axis`, until what lies beyond cannot be nearer.

    `order` is by the sets' low ends, `reached` the highest end of the sets up to a place in it.
    """
    low, high = found.low, found.high
    for place in range(order.size):
        n = order[place]
        if squared[n] == 0.0:
            continue
        for above in range(place + 1, order.size):
            m = order[above]
            if max(low[m, axis] - high[n, axis], 0.0) ** 2 > squared[n] * (1 + SAME):
                break
            if nearest[n] != m and _box_gap(low, high, n, low, high, m) <= squared[n] * (1 + SAME):
                _visit(found, n, m, squared, nearest)
        for below in range(place - 1, -1, -1):
            m = order[below]
            if max(low[n, axis] - reached[below], 0.0) ** 2 > squared[n] * (1 + SAME):
                break
            if nearest[n] != m and _box_gap(low, high, n, low, high, m) <= squared[n] * (1 + SAME):
                _visit(found, n, m, squared, nearest)


@compiled
def _compare(
    found: Borders,
    near: NDArray[np.int64],
    other: Borders,
    m: int,
    squared: NDArray[np.float64],
    nearest: NDArray[np.int64],
) -> None:  # pragma: no cover - compiled
    """Note how far the one set of `other`, known as `m`, is from the sets `near` of `found`."""
    only = other.sets[0]  # 0, but a literal number would compile everything again
    for n in near:
        limit = squared[n] * (1 + SAME)
        gap = _set_gap(found, n, other, only, limit)
        if gap <= limit:
            _keep_nearer(squared, nearest, n, m, gap)

"""Faces between the voxels of a label map, counted by value in one pass; compiled.

Voxels are read in words of eight bytes. Most words equal the one a voxel further along any axis,
and there nothing is to be counted. Functions that take arrays are called for rows and planes only,
as a call of one costs more than a voxel does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medseg.compiled import compiled

_Words = NDArray[np.uint64]
_Whole = NDArray[np.int64]
_Part = tuple[int, int, int, int]
"""Voxels from a place to another, how many places before each its neighbour lies, and 1 along x."""

_ONES = np.uint64(2**64 - 1)
_ONE = np.uint64(1)
_LAST = np.uint64(63)
"""The shift that, after one by 1, leaves nothing; a shift by 64 is undefined."""


@compiled
def face_counts(
    words: _Words, bits: int, shape: tuple[int, int, int], ranks: _Whole, seen: _Whole
) -> _Whole:  # pragma: no cover - compiled
    """Faces of each value of a label map, (K + 1, 6), a row a rank, 0 the background.

    Columns: voxels; runs, those along z, y and x together; faces to other values that are `seen`,
    and those of them to the next rank; faces to the background, and to rank 1. A face between two
    values stands in the rows of both.

    `words` (n,) are the bytes of the label map (z, y, x) in C order, `bits` to a voxel; `ranks` the
    rank of each value, `seen` (K + 1,) 1 for ranks whose faces to others count, else 0.
    """
    table = np.zeros((len(seen), 6), dtype=np.int64)
    width, plane = shape[2], shape[1] * shape[2]
    hits = np.empty(plane * bits // 64 + 1, dtype=np.int64)
    for z in range(shape[0]):
        begin = z * plane
        end = begin + plane
        for row in range(begin, end, width):
            _ends(words, bits, (row, row + width), ranks, table)
            _compare(words, bits, (row + 1, row + width, 1, 1), hits, (ranks, seen), table)
        _begin(words, bits, (begin, begin + width), ranks, table)
        _compare(words, bits, (begin + width, end, width, 0), hits, (ranks, seen), table)
        if z == 0:
            _begin(words, bits, (begin, end), ranks, table)
        else:
            _compare(words, bits, (begin, end, plane, 0), hits, (ranks, seen), table)
    return table


@compiled
def _ends(
    words: _Words, bits: int, part: tuple[int, int], ranks: _Whole, table: _Whole
) -> None:  # pragma: no cover - compiled
    """Take in that a row begins and ends: a run from x on that ends before x' has x' - x voxels."""
    begin, end = part
    _begin(words, bits, (begin, begin + 1), ranks, table)
    mask = _ONES >> np.uint64(64 - bits)
    for place, of, sign in ((begin, begin, -1), (end - 1, end, 1)):
        value = words[place * bits >> 6] >> np.uint64(place * bits & 63) & mask
        table[ranks[value], 0] += sign * of


@compiled
def _begin(
    words: _Words, bits: int, part: tuple[int, int], ranks: _Whole, table: _Whole
) -> None:  # pragma: no cover - compiled
    """Take in voxels that have none before them: each begins a run."""
    mask = _ONES >> np.uint64(64 - bits)
    for place in range(part[0], part[1]):
        value = words[place * bits >> 6] >> np.uint64(place * bits & 63) & mask
        table[ranks[value], 1] += 1


@compiled
def _compare(
    words: _Words, bits: int, part: _Part, hits: _Whole, known: tuple[_Whole, _Whole], table: _Whole
) -> None:  # pragma: no cover - compiled
    """Take in the faces between the voxels of a part and their neighbours."""
    found = _differing(words, bits, part, hits)
    if found > 0:
        _count(words, bits, part, hits[:found], known, table)


@compiled
def _differing(
    words: _Words, bits: int, part: _Part, hits: _Whole
) -> int:  # pragma: no cover - compiled
    """Write down where eight bytes begin that differ from their neighbours; how many do.

    What is left at the end of the part counts as different.
    """
    begin, end, back, _ = part
    lanes = 64 // bits
    full = (end - begin) // lanes
    if (begin * bits >> 6) + full >= len(words):
        full = max(full - 1, 0)
    first, other = begin * bits, (begin - back) * bits
    shift, other_shift = np.uint64(first & 63), np.uint64(other & 63)
    here = words[first >> 6 : (first >> 6) + full + 1]
    there = words[other >> 6 : (other >> 6) + full + 1]
    found = 0
    for k in range(full):
        one = here[k] >> shift | here[k + 1] << _ONE << (_LAST - shift)
        if one != there[k] >> other_shift | there[k + 1] << _ONE << (_LAST - other_shift):
            hits[found] = begin + k * lanes
            found += 1
    for place in range(begin + full * lanes, end, lanes):
        hits[found] = place
        found += 1
    return found


@compiled
def _count(
    words: _Words, bits: int, part: _Part, hits: _Whole, known: tuple[_Whole, _Whole], table: _Whole
) -> None:  # pragma: no cover - compiled
    """Take in the faces of the voxels in these words, along x their number as well."""
    _, end, back, along = part
    ranks, seen = known
    mask = _ONES >> np.uint64(64 - bits)
    for first in hits:
        for place in range(first, min(first + 64 // bits, end)):
            bit, other_bit = place * bits, (place - back) * bits
            value = words[bit >> 6] >> np.uint64(bit & 63) & mask
            before = words[other_bit >> 6] >> np.uint64(other_bit & 63) & mask
            if value == before:
                continue
            one, other = ranks[value], ranks[before]
            table[one, 1] += 1
            table[one, 0] -= along * place
            table[other, 0] += along * place
            if one == 0 or other == 0:
                table[one + other, 4] += 1
                continue
            near = int(abs(one - other) == 1)
            for rank, met in ((one, other), (other, one)):
                table[rank, 2] += seen[met]
                table[rank, 3] += seen[met] * near
                table[rank, 5] += int(met == 1)

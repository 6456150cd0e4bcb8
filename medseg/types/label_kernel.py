"""Where each label of a label map lies, in one pass over its memory; compiled.

Most of a label map is background, so it is read in words of eight bytes, and rows of words that
are all zero are passed over: one compiled version serves all integer types.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medseg.compiled import compiled

_Words = NDArray[np.uint64]
_Table = NDArray[np.int64]
"""By hash, (a power of two, 8): the label, 0 where the place is free; its first z, y, x and its
last z, y, x. The last column of the first row counts the labels."""

_NONE = np.int64(0)
"""Where counting begins: given a bare 0, numba compiles what is called with it once more."""
_ONES = np.uint64(2**64 - 1)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""The golden ratio in 64 bits: spreads labels over the table (Knuth, volume 3, 6.4)."""


@compiled
def label_ends(
    words: _Words, bits: int, shape: tuple[int, int, int]
) -> NDArray[np.int64]:  # pragma: no cover - compiled
    """The labels other than 0, in no order, with their first and last z, y, x, (N, 7).

    `words` (n,) are the bytes of a label map (z, y, x) in C order, little end first, `bits` to a
    voxel, filled up with zeros. A label above 2^63 - 1 comes out as that less 2^64.
    """
    places = 64
    while places < 4 * shape[2]:
        places *= 2
    table = np.zeros((places, 8), dtype=np.int64)
    row = _read(words, int(_NONE), bits, shape, table)
    while row < shape[0] * shape[1]:
        table = _larger(table)
        row = _read(words, row, bits, shape, table)
    found = np.empty((table[0, 7], 7), dtype=np.int64)
    n = 0
    for place in range(len(table)):
        if table[place, 0] != 0:
            for column in range(7):
                found[n, column] = table[place, column]
            n += 1
    return found


@compiled
def _read(
    words: _Words, row: int, bits: int, shape: tuple[int, int, int], table: _Table
) -> int:  # pragma: no cover - compiled
    """Take in rows along x from number `row` on; the row before which the table might be full."""
    lanes, width = 64 // bits, shape[2]
    for number in range(row, shape[0] * shape[1]):
        begin = number * width // lanes
        part = words[begin : ((number + 1) * width - 1) // lanes + 1]
        some = np.uint64(0)
        for k in range(len(part)):
            some |= part[k]
        if some == 0:
            continue
        if 2 * (table[0, 7] + width) > len(table):
            return number
        place = (number // shape[1], number % shape[1], begin * lanes - number * width, width)
        _read_row(part, bits, place, table)
    return shape[0] * shape[1]


@compiled
def _read_row(
    words: _Words, bits: int, place: tuple[int, int, int, int], table: _Table
) -> None:  # pragma: no cover - compiled
    """Take in the runs of a row; `place` is its z, its y, the x of the first word, its width."""
    z, y, x, width = place
    voxel = _ONES >> np.uint64(64 - bits)
    repeat = _ONES // voxel
    held, start = np.uint64(0), int(_NONE)
    for k in range(len(words)):
        word = words[k]
        if word == held * repeat:
            x += 64 // bits  # background or one object goes on
            continue
        for shift in range(0, 64, bits):
            label = word >> np.uint64(shift) & voxel
            if label != held and 0 <= x < width:
                if held != 0:
                    _add(held, (z, y, start, x - 1), table)
                held, start = label, x
            x += 1
    if held != 0:
        _add(held, (z, y, start, width - 1), table)


@compiled
def _add(
    label: np.uint64, run: tuple[int, int, int, int], table: _Table
) -> None:  # pragma: no cover - compiled
    """Widen the ends of a label by a run: its z, its y, its first and its last x."""
    z, y, start, last = run
    place = _place(label, table)
    if table[place, 0] == 0:
        table[0, 7] += 1
        table[place, 0] = np.int64(label)
        table[place, 1], table[place, 2], table[place, 3] = z, y, start
        table[place, 5], table[place, 6] = y, last
    table[place, 4] = z  # rows come in rising order of z
    table[place, 2], table[place, 5] = min(table[place, 2], y), max(table[place, 5], y)
    table[place, 3], table[place, 6] = min(table[place, 3], start), max(table[place, 6], last)


@compiled
def _place(label: np.uint64, table: _Table) -> int:  # pragma: no cover - compiled
    """The row of the table that holds a label, else the free one where it belongs."""
    last = len(table) - 1
    place = int((label * _MULTIPLIER) >> np.uint64(32)) & last
    while table[place, 0] != 0 and table[place, 0] != np.int64(label):
        place = (place + 1) & last
    return place


@compiled
def _larger(table: _Table) -> _Table:  # pragma: no cover - compiled
    """The same table with four times the places."""
    more = np.zeros((4 * len(table), 8), dtype=np.int64)
    for old in range(len(table)):
        if table[old, 0] != 0:
            place = _place(np.uint64(table[old, 0]), more)
            for column in range(7):
                more[place, column] = table[old, column]
    more[0, 7] = table[0, 7]
    return more

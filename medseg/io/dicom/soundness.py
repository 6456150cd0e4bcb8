"""Whether a compressed frame is built as its standard has it, told without decoding it.

A decoder of C sees a frame that is not only in a process of its own: see `child`. The entropy coded
values inside a sound frame may still be damaged; decoders take those for other values, or refuse.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from medseg.io.dicom.streams import Kind

_SEGMENTS = {  # of a JPEG header: APPn, comment, Huffman tables, restart interval, ...
    "jpeg": frozenset({*range(0xE0, 0xF0), 0xFE, 0xC4, 0xDB, 0xDD}),
    "jpeg-ls": frozenset({*range(0xE0, 0xF0), 0xFE, 0xDD, 0xF8}),
}
_FRAME_HEADERS = {"jpeg": frozenset({0xC0, 0xC1, 0xC3}), "jpeg-ls": frozenset({0xF7})}
_MAIN_SEGMENTS = frozenset({0x50, *range(0x52, 0x65)})  # COD to COM of JPEG 2000, CAP
_MOST_TILES = 1024
_MOST_LEVELS = 32
_LARGEST_BLOCK = 8  # exponents of a code block's sides, each less 2, together


def _jpeg(frame: bytes, kind: Kind) -> bool:
    """Segments in a row, one frame header, one scan, no marker in it but those that may be."""
    place, headers = 2, 0
    while frame[place : place + 1] == b"\xff" and place + 4 <= len(frame):
        marker = frame[place + 1]
        length = int(struct.unpack_from(">H", frame, place + 2)[0])
        place += 2 + length
        if length < 2 or place > len(frame):
            return False
        if marker == 0xDA:
            return headers == 1 and _jpeg_scan(frame[place:].rstrip(b"\0"), kind)
        if marker in _FRAME_HEADERS[kind]:
            headers += 1
        elif marker not in _SEGMENTS[kind]:
            return False
    return False


def _jpeg_scan(scan: bytes, kind: Kind) -> bool:
    values = np.frombuffer(scan, dtype=np.uint8)
    after = values[np.flatnonzero(values[:-1] == 0xFF) + 1]
    if after.size == 0 or scan[-2:] != b"\xff\xd9":
        return False
    restarts = (after[:-1] >= 0xD0) & (after[:-1] <= 0xD7)
    stuffed = after[:-1] < 0x80 if kind == "jpeg-ls" else after[:-1] == 0
    return bool((restarts | stuffed).all())


def _jpeg_2000(frame: bytes, _: Kind) -> bool:
    """SIZ, known segments up to the first tile, tile parts that chain up to the end (T.800 A)."""
    if frame[:4] != b"\xff\x4f\xff\x51" or struct.unpack_from(">H", frame, 4)[0] != 41:
        return False
    tiles = _tiles(frame)
    place = 45
    coded = False
    while frame[place : place + 2] != b"\xff\x90":
        marker, number, length = struct.unpack_from(">BBH", frame, place)
        if marker != 0xFF or number not in _MAIN_SEGMENTS or length < 2:
            return False
        if number == 0x52:
            coded = _coding_style(frame[place + 2 : place + 2 + length])
        place += 2 + length
    return coded and 0 < tiles <= _MOST_TILES and _tile_parts(frame.rstrip(b"\0"), place, tiles)


def _tiles(frame: bytes) -> int:
    """How many tiles the SIZ segment announces, 0 where it makes no sense."""
    width, height, left, top, across, down, first_x, first_y = struct.unpack_from(">8I", frame, 8)
    if min(across, down) == 0 or first_x > left or first_y > top:
        return 0
    if left >= width or top >= height:
        return 0
    return int(-(-(width - first_x) // across) * -(-(height - first_y) // down))


def _coding_style(segment: bytes) -> bool:
    layers, _, levels, width, height = struct.unpack_from(">HBBBB", segment, 4)
    return bool(layers > 0 and levels <= _MOST_LEVELS and width + height <= _LARGEST_BLOCK)


def _tile_parts(frame: bytes, place: int, tiles: int) -> bool:
    while frame[place : place + 2] == b"\xff\x90":
        length, tile, part = struct.unpack_from(">HHI", frame, place + 2)
        if length != 10 or tile >= tiles:
            return False
        place = len(frame) - 2 if part == 0 else place + part
    return place == len(frame) - 2 and frame[place:] == b"\xff\xd9"


_TESTS: Mapping[Kind, Callable[[bytes, Kind], bool]] = MappingProxyType(
    {"jpeg": _jpeg, "jpeg-ls": _jpeg, "jpeg-2000": _jpeg_2000}
)


def is_sound(frame: bytes, kind: Kind) -> bool:
    """Whether the frame's markers and lengths fit together; RLE is checked where it is decoded."""
    if kind == "rle":
        return True
    try:
        return frame[:1] == b"\xff" and _TESTS[kind](frame, kind)
    except struct.error:
        return False

"""Compressed frames to stored values: RLE and the JPEG family (PS3.5 section 8 and annexes A, G).

Every frame's own header is compared with Rows and Columns before a decoder sees it, and a frame
that lacks its end is refused: decoders fill what is missing without a word. Nothing but NumPy and
imagecodecs is imported: `decoder_process` loads this file alone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray

Stored = NDArray[Any]
Size = tuple[int, int]
Kind = Literal["rle", "jpeg", "jpeg-ls", "jpeg-2000"]

DECODE_ERRORS = (
    ArithmeticError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
"""What the decoders raise on damaged frames; the errors of imagecodecs are RuntimeErrors."""

_RLE_HEADER_BYTES = 64
_START_OF_FRAME = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xF7})
_ALONE = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})
_START_OF_SCAN = 0xDA
_END = b"\xff\xd9"


def rle(frame: bytes, size: Size, bytes_each: int) -> Stored:
    """One RLE frame of one sample a pixel: a segment for each byte plane, highest byte first."""
    header = struct.unpack_from("<16I", frame)
    if header[0] != bytes_each:
        msg = f"{header[0]} segments, {bytes_each} expected"
        raise ValueError(msg)
    ends = [*header[1 : bytes_each + 1], len(frame)]
    pixels = size[0] * size[1]
    planes = np.empty((pixels, bytes_each), dtype=np.uint8)
    for plane in range(bytes_each):
        start, stop = ends[plane], ends[plane + 1]
        if not _RLE_HEADER_BYTES <= start <= stop <= len(frame):
            msg = "a segment lies outside its frame"
            raise ValueError(msg)
        values = imagecodecs.packbits_decode(frame[start:stop])
        if not pixels <= len(values) <= pixels + 1:
            msg = f"a segment holds {len(values)} of {pixels} values"
            raise ValueError(msg)
        planes[:, bytes_each - 1 - plane] = np.frombuffer(values, dtype=np.uint8, count=pixels)
    return planes.reshape(-1).view(f"<u{bytes_each}").reshape(size)


def _jpeg_size(frame: bytes) -> Size:
    """Rows and columns from a JPEG or JPEG-LS frame header, of one component."""
    place = 2
    while frame[:2] == b"\xff\xd8" and place + 4 <= len(frame) and frame[place] == 0xFF:
        marker = frame[place + 1]
        if marker in _START_OF_FRAME and place + 10 <= len(frame):
            rows, columns, components = struct.unpack_from(">HHB", frame, place + 5)
            return (rows, columns) if components == 1 else (0, 0)
        if marker == _START_OF_SCAN:
            break
        if marker == 0xFF:
            place += 1
        elif marker in _ALONE:
            place += 2
        else:
            place += 2 + int(struct.unpack_from(">H", frame, place + 2)[0])
    return 0, 0


def _jpeg2000_size(frame: bytes) -> Size:
    """Rows and columns from the SIZ segment that follows the start of a code stream."""
    if frame[:4] != b"\xff\x4f\xff\x51":
        return 0, 0
    width, height, left, top = struct.unpack_from(">4I", frame, 8)
    (components,) = struct.unpack_from(">H", frame, 40)
    return (height - top, width - left) if components == 1 else (0, 0)


def _checked(
    read_size: Callable[[bytes], Size], decode: Callable[[bytes], Any]
) -> Callable[[bytes, Size, int], Stored]:
    def run(frame: bytes, size: Size, bytes_each: int) -> Stored:
        found = read_size(frame)
        if found != size:
            msg = f"the frame announces {found}, the header {size}"
            raise ValueError(msg)
        if not frame.rstrip(b"\0").endswith(_END):
            msg = "the frame has no end"
            raise ValueError(msg)
        values = np.asarray(decode(frame))
        if values.shape != size or values.dtype.kind not in "iu":
            msg = f"decoded to {values.shape} {values.dtype}"
            raise ValueError(msg)
        if values.dtype.itemsize > bytes_each:
            msg = f"{values.dtype.itemsize} bytes a pixel, {bytes_each} expected"
            raise ValueError(msg)
        return values

    return run


DECODERS: Mapping[Kind, Callable[[bytes, Size, int], Stored]] = MappingProxyType(
    {
        "rle": rle,
        "jpeg": _checked(_jpeg_size, imagecodecs.jpeg8_decode),
        "jpeg-ls": _checked(_jpeg_size, imagecodecs.jpegls_decode),
        # OpenJPEG decodes high throughput too; the decoder made for it (OpenJPH) hides its errors.
        "jpeg-2000": _checked(_jpeg2000_size, imagecodecs.jpeg2k_decode),
    }
)
"""What decodes one frame of each kind of compression."""

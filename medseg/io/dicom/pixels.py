"""Stored values of a file's frames, after the header's promises were held against its bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRBigEndian

from medseg.io.dicom.classes import CLASSIC
from medseg.io.dicom.codecs import DECODE_ERRORS, DECODERS, NATIVE, Stored
from medseg.io.dicom.geometry import Fault
from medseg.io.dicom.header import DEFLATED, inflate
from medseg.io.dicom.records import UNDEFINED_LENGTH, Frame, ImageFile

_ITEM = 0xFFFEE000
_END = 0xFFFEE0DD


class PixelError(Exception):
    """Pixel data that cannot be used; the text holds numbers only."""


def files_of(frames: Sequence[Frame]) -> tuple[ImageFile, ...]:
    """Each file of the frames once, in the order of the frames."""
    return tuple({frame.file.order: frame.file for frame in frames}.values())


def format_fault(frames: Sequence[Frame]) -> Fault | None:
    """What the headers already show to be wrong with the pixel data of any frame's file."""
    files = files_of(frames)
    for test in (_bits_fault, _syntax_fault, _length_fault):
        for file in files:
            if (fault := test(file)) is not None:
                return fault
    return None


def _bits_fault(file: ImageFile) -> Fault | None:
    allocated, stored, high = file.bits
    sound = allocated in (8, 16, 32) and 1 <= stored <= high + 1 <= allocated
    if file.float_pixels or not sound or file.signed not in (0, 1):
        kind = "floating point" if file.float_pixels else f"bits {allocated}/{stored}/{high}"
        detail = f"pixel data of {kind} (allocated/stored/high), PixelRepresentation {file.signed}"
        return Fault("pixel-format-unsupported", detail)
    return None


def _syntax_fault(file: ImageFile) -> Fault | None:
    if file.syntax in NATIVE or file.syntax in DECODERS:
        return None
    return Fault("transfer-syntax-unsupported", "there is no decoder for this transfer syntax")


def _length_fault(file: ImageFile) -> Fault | None:
    if file.groups != file.frames or (file.sop_class in CLASSIC and file.frames != 1):
        detail = f"NumberOfFrames is {file.frames}, and {file.groups} are described"
        return Fault("pixel-data-corrupt", detail)
    if file.pixel_offset is None:
        return Fault("pixel-data-corrupt", "a file has no PixelData")
    packed = file.pixel_length == UNDEFINED_LENGTH
    if packed != (file.syntax in DECODERS):
        detail = "PixelData is encapsulated or plain, unlike its transfer syntax"
        return Fault("pixel-data-corrupt", detail)
    if packed:
        return None
    wanted = frame_bytes(file) * file.frames
    there = file.pixel_length
    if file.syntax != DEFLATED:
        there = min(there, file.file_bytes - file.pixel_offset)
    if wanted <= there <= wanted + 1:
        return None
    detail = f"PixelData of file {file.order} in name order has {there} bytes, {wanted} expected"
    return Fault("pixel-data-corrupt", detail)


def frame_bytes(file: ImageFile) -> int:
    """Bytes of one frame of plain values."""
    return file.rows * file.columns * file.bits[0] // 8


def stored_frames(file: ImageFile, wanted: Sequence[int]) -> Iterator[Stored]:
    """The stored values of the wanted frames, (Y, X) each, whole numbers with their sign.

    Raises PixelError.
    """
    try:
        if file.syntax in DECODERS:
            yield from _decoded(file, wanted)
        else:
            yield from _plain(file, wanted)
    except (*DECODE_ERRORS, zlib.error) as error:
        msg = f"file {file.order} in name order cannot be decoded"
        raise PixelError(msg) from error


def _plain(file: ImageFile, wanted: Sequence[int]) -> Iterator[Stored]:
    offset, each = file.pixel_offset or 0, frame_bytes(file)
    order = ">" if file.syntax == str(ExplicitVRBigEndian) else "<"
    dtype = np.dtype(f"{order}u{file.bits[0] // 8}")
    if file.syntax == DEFLATED:
        whole = inflate(file.path, offset + each * file.frames)
        for index in wanted:
            yield _values(
                file, np.frombuffer(whole, dtype, each // dtype.itemsize, offset + index * each)
            )
        return
    with file.path.open("rb") as source:
        for index in wanted:
            source.seek(offset + index * each)
            yield _values(file, np.frombuffer(source.read(each), dtype))


def _decoded(file: ImageFile, wanted: Sequence[int]) -> Iterator[Stored]:
    with file.path.open("rb") as source:
        source.seek(file.pixel_offset or 0)
        packed = source.read()
    _check_fragments(packed)
    frames = list(generate_frames(packed, number_of_frames=file.frames))
    if len(frames) != file.frames:
        msg = f"file {file.order} in name order holds {len(frames)} of {file.frames} frames"
        raise PixelError(msg)
    decode = DECODERS[file.syntax]
    for index in wanted:
        yield _values(file, decode(frames[index], (file.rows, file.columns), file.bits[0] // 8))


def _check_fragments(packed: bytes) -> None:
    """Every item of encapsulated pixel data lies inside it, and the delimiter ends it."""
    place = 0
    while True:
        group, element, length = struct.unpack_from("<HHI", packed, place)
        tag = group << 16 | element
        place += 8
        if tag == _END:
            return
        if tag != _ITEM or place + length > len(packed):
            msg = "a fragment is cut"
            raise ValueError(msg)
        place += length


def _values(file: ImageFile, raw: Stored) -> Stored:
    """Bits above the high bit taken away and the sign carried up (PS3.5 8.1.1)."""
    shaped = raw.reshape(file.rows, file.columns)
    allocated, stored, high = file.bits
    if shaped.dtype.kind == "i":  # the decoder knew the sign
        return shaped if file.signed else shaped.view(shaped.dtype.str.replace("i", "u"))
    bits = shaped.astype(f"=u{allocated // 8}", copy=False)
    if stored == allocated:
        return bits.view(f"=i{allocated // 8}") if file.signed else bits
    bits = np.left_shift(bits, allocated - 1 - high)
    if file.signed:
        bits = bits.view(f"=i{allocated // 8}")
    moved: Stored = np.right_shift(bits, allocated - stored)
    return moved


def padding_mask(file: ImageFile, values: Stored) -> NDArray[np.bool_] | None:
    """Where PixelPaddingValue, or the range it opens, marks voxels as outside; None without it."""
    if file.padding is None:
        return None
    bits = np.asarray(file.padding, dtype=np.uint16)
    if file.bits[0] != 16:
        bits = bits.astype(f"=u{file.bits[0] // 8}")
    ends = bits.view(f"=i{bits.dtype.itemsize}") if file.signed else bits
    low, high = int(ends.min()), int(ends.max())
    return np.asarray((values >= low) & (values <= high))

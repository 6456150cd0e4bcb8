"""Stored values of a file's frames, after the header's promises were held against its bytes."""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import FileIO
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from medseg.io.dicom.child import Child
from medseg.io.dicom.classes import CLASSIC
from medseg.io.dicom.codecs import COMPRESSED, NATIVE
from medseg.io.dicom.geometry import Fault
from medseg.io.dicom.header import DEFLATED, inflate
from medseg.io.dicom.records import UNDEFINED_LENGTH, Frame, ImageFile
from medseg.io.dicom.soundness import is_sound
from medseg.io.dicom.streams import DECODE_ERRORS, DECODERS, Kind, Stored

ALLOCATED = (8, 16, 32)
"""Bits a pixel that whole numbers are read from."""

LARGEST_HERE_BYTES = 256 * 1024**2
"""Compressed frames that announce more are decoded under a limit of memory."""

_PIXEL_GROUP = 0x7FE0
_ITEM = 0xFFFEE000
_END = 0xFFFEE0DD

_Decode = Callable[[], Stored]
_Found = TypeVar("_Found")


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
    sound = allocated in ALLOCATED and 1 <= stored <= high + 1 <= allocated
    if file.float_pixels or not sound or file.signed not in (0, 1):
        kind = "floating point" if file.float_pixels else f"bits {allocated}/{stored}/{high}"
        detail = f"pixel data of {kind} (allocated/stored/high), PixelRepresentation {file.signed}"
        return Fault("pixel-format-unsupported", detail)
    return None


def _syntax_fault(file: ImageFile) -> Fault | None:
    if file.syntax in NATIVE or file.syntax in COMPRESSED:
        return None
    return Fault("transfer-syntax-unsupported", "there is no decoder for this transfer syntax")


def _length_fault(file: ImageFile) -> Fault | None:
    if file.groups != file.frames or (file.sop_class in CLASSIC and file.frames != 1):
        detail = f"NumberOfFrames is {file.frames}, and {file.groups} are described"
        return Fault("pixel-data-corrupt", detail)
    if file.pixel_offset is None:
        return Fault("pixel-data-corrupt", "a file has no PixelData")
    packed = file.pixel_length == UNDEFINED_LENGTH
    if packed != (file.syntax in COMPRESSED):
        detail = "PixelData is encapsulated or plain, unlike its transfer syntax"
        return Fault("pixel-data-corrupt", detail)
    if packed:
        return None
    wanted = frame_bytes(file) * file.frames
    there = file.pixel_length
    if file.syntax != DEFLATED:
        there = min(there, file.file_bytes - file.pixel_offset)
    if not wanted <= there <= wanted + 1:
        detail = (
            f"PixelData of file {file.order} in name order has {there} bytes, {wanted} expected"
        )
        return Fault("pixel-data-corrupt", detail)
    rest = file.file_bytes - (file.pixel_offset + file.pixel_length)
    if file.syntax == DEFLATED or rest <= 0 or _ends_well(file):
        return None
    detail = f"PixelData of file {file.order} in name order is followed by what is no element"
    return Fault("pixel-data-corrupt", detail)


def _ends_well(file: ImageFile) -> bool:
    """Whether another element or padding follows the pixels: else bytes were put into the file."""
    try:
        with file.path.open("rb") as source:
            source.seek((file.pixel_offset or 0) + file.pixel_length)
            after = source.read(8)
    except OSError:
        return False
    if not any(after):
        return True
    order: Literal["big", "little"] = "little"
    if file.syntax == str(ExplicitVRBigEndian):
        order = "big"
    group = int.from_bytes(after[:2], order)
    if file.syntax == str(ImplicitVRLittleEndian):
        left = file.file_bytes - (file.pixel_offset or 0) - file.pixel_length - 8
        plausible = int.from_bytes(after[4:], order) <= left
    else:
        plausible = after[4:6].isalpha() and after[4:6].isupper()
    return len(after) == 8 and group >= _PIXEL_GROUP and plausible


def frame_bytes(file: ImageFile) -> int:
    """Bytes of one frame of plain values."""
    return file.rows * file.columns * file.bits[0] // 8


class Wanted(NamedTuple):
    """A frame by its place in its file, and the array (Y, X) that its real values are for."""

    place: int
    out: NDArray[Any]


def stored_frames(wanted: Iterable[tuple[ImageFile, Sequence[Wanted]]]) -> Iterator[Stored]:
    """The stored values of the wanted frames of each file, (Y, X), whole numbers with their sign.

    Plain values of the same size are read straight into `out`; what is given is a view of it then.

    Frames of the JPEG family are decoded a few at a time, where they are built as their standard
    has it; others one by one in a process of their own.

    Raises PixelError.
    """
    waiting: deque[tuple[ImageFile, _Decode]] = deque()
    threads = _threads()
    pool = ThreadPoolExecutor(threads)
    try:
        with Child() as child:
            for file, frames in wanted:
                if file.syntax not in COMPRESSED:
                    while waiting:
                        yield _taken(*waiting.popleft())
                    yield from _told(file, _plain(file, frames))
                    continue
                for decode in _told(
                    file, _decoding(file, [one.place for one in frames], pool, child)
                ):
                    waiting.append((file, decode))
                    if len(waiting) > 2 * threads:
                        yield _taken(*waiting.popleft())
            while waiting:
                yield _taken(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _threads() -> int:
    """How many frames are decoded at a time; more than four gain little."""
    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable is not None else os.cpu_count() or 1
    return min(cores, 4)


def _taken(file: ImageFile, decode: _Decode) -> Stored:
    return next(_told(file, (decode() for _ in range(1))))


def _told(file: ImageFile, found: Iterator[_Found]) -> Iterator[_Found]:
    """What the iterator gives; its errors name the file."""
    try:
        yield from found
    except (*DECODE_ERRORS, zlib.error) as error:
        msg = f"file {file.order} in name order cannot be decoded"
        raise PixelError(msg) from error


def _plain(file: ImageFile, wanted: Sequence[Wanted]) -> Iterator[Stored]:
    offset, each = file.pixel_offset or 0, frame_bytes(file)
    order = ">" if file.syntax == str(ExplicitVRBigEndian) else "<"
    dtype = np.dtype(f"{order}u{file.bits[0] // 8}")
    if file.syntax == DEFLATED:
        whole = inflate(file.path, offset + each * file.frames)
        _require_same(file, file.path.stat())
        for one in wanted:
            start = offset + one.place * each
            yield _values(file, np.frombuffer(whole, dtype, each // dtype.itemsize, start))
        return
    with file.path.open("rb", buffering=0) as source:
        for one in wanted:
            fits = one.out.flags.c_contiguous and one.out.dtype.itemsize == dtype.itemsize
            raw = one.out.view(dtype) if fits else np.empty(one.out.shape, dtype)
            source.seek(offset + one.place * each)
            if _read_into(source, raw) != each:
                msg = f"file {file.order} in name order is shorter than it was"
                raise PixelError(msg)
            yield _values(file, raw)
        _require_same(file, os.fstat(source.fileno()))


def _require_same(file: ImageFile, now: os.stat_result) -> None:
    """The pixels are those of the header that was scanned, and of no file that took its place."""
    if (now.st_size, now.st_mtime_ns) != (file.file_bytes, file.changed_ns):
        msg = f"file {file.order} in name order has changed since its header was read"
        raise PixelError(msg)


def _read_into(source: FileIO, array: NDArray[Any]) -> int:
    """Fill the array with what follows in the file; the number of bytes that there were."""
    view, place = array.data.cast("B"), 0
    while place < len(view) and (count := source.readinto(view[place:])):
        place += count
    return place


def _decoding(
    file: ImageFile, wanted: Sequence[int], pool: ThreadPoolExecutor, child: Child
) -> Iterator[_Decode]:
    """How to get the values of each wanted frame of a compressed file."""
    with file.path.open("rb") as source:
        source.seek(file.pixel_offset or 0)
        packed = source.read()
        _require_same(file, os.fstat(source.fileno()))
    _check_fragments(packed)
    frames = list(generate_frames(packed, number_of_frames=file.frames))
    if len(frames) != file.frames:
        msg = f"file {file.order} in name order holds {len(frames)} of {file.frames} frames"
        raise PixelError(msg)
    kind = COMPRESSED[file.syntax]
    for index in wanted:
        work = (file, kind, frames[index])
        if kind == "rle":
            yield partial(_decoded, *work)
        elif is_sound(frames[index], kind) and frame_bytes(file) <= LARGEST_HERE_BYTES:
            yield pool.submit(_decoded, *work).result
        else:
            yield partial(_decoded_apart, child, *work)


def _decoded(file: ImageFile, kind: Kind, frame: bytes) -> Stored:
    size = (file.rows, file.columns)
    return _values(file, DECODERS[kind](frame, size, file.bits[0] // 8))


def _decoded_apart(child: Child, file: ImageFile, kind: Kind, frame: bytes) -> Stored:
    size = (file.rows, file.columns)
    return _values(file, child.decode(frame, kind, size, file.bits[0] // 8))


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
    signed = bits.view(f"=i{allocated // 8}") if file.signed else bits
    if stored == allocated:
        return signed
    if not bits.flags.writeable:
        bits = bits.copy()
        signed = bits.view(signed.dtype)
    np.left_shift(bits, allocated - 1 - high, out=bits)
    np.right_shift(signed, allocated - stored, out=signed)
    return signed


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

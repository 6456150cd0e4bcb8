"""One file's header, from the bytes up to its pixel data."""

from __future__ import annotations

import io
import os
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_file_meta_info
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from medseg.io.dicom.classes import CLASS_PREFIX
from medseg.io.dicom.codecs import COMPRESSED
from medseg.io.dicom.tags import PARSE_ERRORS, Elements

DEFLATED = str(DeflatedExplicitVRLittleEndian)
HEADER_BYTES = 32 * 1024 * 1024
_AT_ONCE_BYTES = 16384
_START_BYTES = 4096
_LONG = frozenset({b"OB", b"OW", b"OF", b"OD", b"UN"})
_GROUP_2 = b"\x02\0"
_MARK_AND_LENGTH = b"DICM\x02\0\0\0UL\x04\0"
_SYNTAX = b"\x02\0\x10\0UI"
_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_ENCODINGS = {  # implicit, little endian
    str(ImplicitVRLittleEndian): (True, True),
    str(ExplicitVRBigEndian): (False, False),
    **dict.fromkeys((str(ExplicitVRLittleEndian), *COMPRESSED), (False, True)),
}
_MOST_META_BYTES = 65536
_FIRST_TAGS = frozenset({0x0002, 0x0008})


@dataclass(frozen=True, slots=True)
class Header:
    """A parsed data set without its pixel data, and where that lies.

    `tags` are its elements for look-up. `pixel_tag` is the element of group 7FE0 that holds the
    pixels, None where there is none. `changed_ns` is when the file had last been written to.
    """

    dataset: Dataset
    tags: Elements
    syntax: str
    pixel_tag: int | None
    pixel_offset: int | None
    pixel_length: int
    changed_ns: int = 0


Unread = Literal["not DICOM", "damaged"]


def read_header(path: Path, file_bytes: int, *, whole: bool = True) -> Header | Unread:
    """The header of a file, or why there is none.

    A file without the preamble is tried where it starts with a tag of group 2 or 8. Where not
    `whole`, the data set may lack the file meta information, which takes longest to read. OSError
    of the file system is left to the caller.
    """
    with path.open("rb") as file:
        changed_ns = os.fstat(file.fileno()).st_mtime_ns
        start = file.read(_AT_ONCE_BYTES)
        marked = start[128:132] == b"DICM"
        if not marked and not _may_be_bare(start):
            return "not DICOM"
        try:
            header = None if whole else _without_meta(file, start, file_bytes)
            if header is None:
                file.seek(0)
                header = _parse(path, file, file_bytes)
        except OSError as error:
            if error.errno is not None:
                raise  # of the file system; pydicom raises others on damaged sequences
            return _unread(start, marked=marked)
        except (*PARSE_ERRORS, zlib.error):
            return _unread(start, marked=marked)
    return replace(header, changed_ns=changed_ns)


def _unread(start: bytes, *, marked: bool) -> Unread:
    """A file that starts as DICOM does and cannot be parsed may be a lost slice."""
    begun = start[132:134] == _GROUP_2 or CLASS_PREFIX in start[:_START_BYTES]
    return "damaged" if marked and begun else "not DICOM"


def _may_be_bare(start: bytes) -> bool:
    return len(start) >= 132 and struct.unpack_from("<H", start)[0] in _FIRST_TAGS


def _without_meta(file: BinaryIO, start: bytes, file_bytes: int) -> Header | None:
    """The header without group 2; None where that is not as short and plain as it should be."""
    if start[128:140] != _MARK_AND_LENGTH or len(start) < 144:
        return None
    stop = 144 + int(struct.unpack_from("<I", start, 140)[0])
    place = start.find(_SYNTAX, 144, stop)
    if stop > _START_BYTES or stop > len(start) or place < 0:
        return None
    length = int(struct.unpack_from("<H", start, place + 6)[0])
    syntax = start[place + 8 : place + 8 + length].rstrip(b"\0 ").decode("latin-1")
    if syntax not in _ENCODINGS:
        return None
    header = _in_start(start, stop, syntax, file_bytes)
    if header is None:
        file.seek(stop)
        header = _from(file, syntax, file_bytes)
    return header if 0x00080016 in header.tags else None


def _in_start(start: bytes, place: int, syntax: str, file_bytes: int) -> Header | None:
    """The header, where all of it up to the pixel data stands in the start of its file.

    From memory it takes three quarters of the time; what ends in any other way is read again.
    """
    stream = io.BytesIO(start)
    stream.seek(place)
    try:
        header = _from(stream, syntax, file_bytes)
    except (*PARSE_ERRORS, OSError, zlib.error):
        return None
    inside = header.pixel_offset is not None and header.pixel_offset <= len(start)
    return header if inside and header.pixel_tag in _PIXELS else None


def _from(stream: BinaryIO, syntax: str, file_bytes: int) -> Header:
    dataset = read_dataset(stream, *_ENCODINGS[syntax], stop_when=_at_pixels, defer_size=file_bytes)
    return _header(dataset, syntax, stream)


def _at_pixels(tag: int, _vr: str | None, _length: int) -> bool:
    return tag in _PIXELS


def _parse(path: Path, file: BinaryIO, file_bytes: int) -> Header:
    deflated = DEFLATED.encode() in file.read(_MOST_META_BYTES)
    file.seek(0)
    if deflated and _declared(read_file_meta_info(path)) == DEFLATED:
        stream: BinaryIO = io.BytesIO(inflate(path, HEADER_BYTES))
        dataset = dcmread(stream, stop_before_pixels=True, force=True)
        return _header(dataset, DEFLATED, stream)
    # An element longer than the whole file is passed over, not allocated.
    dataset = dcmread(file, defer_size=file_bytes, stop_before_pixels=True, force=True)
    return _header(dataset, _declared(dataset.file_meta) or _guessed(dataset), file)


def _declared(meta: FileMetaDataset) -> str:
    return str(meta.get("TransferSyntaxUID") or "")


def _guessed(dataset: FileDataset) -> str:
    implicit, little = dataset.original_encoding
    if implicit:
        return str(ImplicitVRLittleEndian)
    return str(ExplicitVRLittleEndian if little else ExplicitVRBigEndian)


def _header(dataset: Dataset, syntax: str, stream: BinaryIO) -> Header:
    """Adds the element that reading stopped at: its tag, and where and how long its value is."""
    tags = Elements(dataset)
    offset = stream.tell()
    element = stream.read(12)
    order = ">" if syntax == str(ExplicitVRBigEndian) else "<"
    if len(element) < 8:
        return Header(dataset, tags, syntax, None, None, 0)
    group, number = struct.unpack_from(f"{order}HH", element)
    if element[4:6] not in _LONG:  # implicit: these two bytes belong to an even length
        (length,) = struct.unpack_from(f"{order}I", element, 4)
        return Header(dataset, tags, syntax, group << 16 | number, offset + 8, length)
    (length,) = struct.unpack_from(f"{order}I", element.ljust(12, b"\0"), 8)
    return Header(dataset, tags, syntax, group << 16 | number, offset + 12, length)


def inflate(path: Path, limit: int) -> bytes:
    """The first `limit` bytes of a deflated file's data set, inflated (PS3.5 A.5).

    Raises zlib.error on damaged data and ValueError where the file has no group 2 length.
    """
    with path.open("rb") as file:
        file.seek(132)
        group = file.read(12)
        if group[:8] != b"\x02\0\0\0UL\x04\0":
            msg = "the file meta information does not state its length"
            raise ValueError(msg)
        file.seek(struct.unpack_from("<I", group, 8)[0], io.SEEK_CUR)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        parts: list[bytes] = []
        size = 0
        while size < limit and not inflater.eof:
            packed = inflater.unconsumed_tail or file.read(1 << 20)
            if not packed:
                break
            parts.append(inflater.decompress(packed, limit - size))
            size += len(parts[-1])
    return b"".join(parts)

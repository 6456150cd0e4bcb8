"""The values behind an image's header: read whole, or refused as damaged."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np
from numpy.typing import NDArray

from medseg.errors import InputRefused
from medseg.io.checks import corrupt
from medseg.types import Geometry, InputWarning

Encoding = Literal["raw", "gzip", "zlib", "bzip2"]

_CHUNK_BYTES = 1 << 16
_DEFLATE_LIMIT = 1032
"""DEFLATE shrinks nothing to less than 1/1032 of its size (zlib technical details)."""


@dataclass(frozen=True)
class ImageHeader:
    """What a file says of its image; `load` reads the values, (z, y, x), C-ordered and writable."""

    format: str
    files: tuple[Path, ...]
    geometry: Geometry
    warnings: tuple[InputWarning, ...]
    load: Callable[[], NDArray[Any]]


@dataclass(frozen=True)
class Payload:
    """Where the values lie: `start` bytes into the file a stream begins, whose first `skip` bytes
    are something else. `shape` is C-ordered, `dtype` as in the file.
    """  # noqa: D205 - one sentence and a half

    path: Path
    encoding: Encoding
    start: int
    skip: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of all values."""
        total = self.dtype.itemsize
        for length in self.shape:
            total *= length
        return total


def read_payload(payload: Payload, subject: str) -> NDArray[Any]:
    """All values in the machine's byte order.

    Raises InputRefused: `file-corrupt` where bytes are missing or a checksum is wrong,
    `too-large` where they do not fit into memory.
    """
    _check_room(payload, subject)
    try:
        array = np.empty(payload.shape, dtype=payload.dtype)
        got = _fill(array, payload)
    except MemoryError as error:
        raise InputRefused(
            code="too-large",
            subject=subject,
            detail=f"its {payload.size_bytes / 1e9:.1f} GB do not fit into memory",
            remedy="use a machine with more memory, or crop the image",
        ) from error
    except (EOFError, zlib.error, OSError) as error:
        raise corrupt(subject, "its compressed values are damaged or cut short") from error
    if got < payload.size_bytes:
        raise corrupt(subject, f"holds {got} of the {payload.size_bytes} bytes of its values")
    return array.astype(payload.dtype.newbyteorder("="), copy=False)


def sha256_of(files: Iterable[Path]) -> str:
    """One hash over the bytes of the files, in their order."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def first_bytes(path: Path, count: int) -> bytes:
    """Up to `count` bytes of the content, decompressed where the file is gzip."""
    with path.open("rb") as file:
        head = file.read(count)
        if not head.startswith(b"\x1f\x8b"):
            return head
        file.seek(0)
        found = b""
        try:
            for chunk in _decoded(file, "gzip"):
                found += chunk
                if len(found) >= count:
                    break
        except (EOFError, zlib.error, OSError):
            return found
        return found[:count]


def _check_room(payload: Payload, subject: str) -> None:
    """Refuse a header that promises more than the file can hold, before memory is taken for it."""
    stored = payload.path.stat().st_size - payload.start
    if payload.encoding == "raw":
        stored = max(0, stored - payload.skip)
        most = stored
    elif payload.encoding == "bzip2":
        return
    else:
        most = stored * _DEFLATE_LIMIT
    if most < payload.size_bytes:
        raise corrupt(
            subject, f"{stored} bytes cannot hold the {payload.size_bytes} bytes of its values"
        )


def _fill(array: NDArray[Any], payload: Payload) -> int:
    """Copy the stream into `array`; how many bytes came."""
    target = memoryview(cast("Any", array.reshape(-1).view(np.uint8)))
    skip, got = payload.skip, 0
    with payload.path.open("rb") as file:
        file.seek(payload.start)
        if payload.encoding == "raw":
            file.seek(skip, 1)
            return cast("int", cast("Any", file).readinto(target))
        # The stream is read to its end, beyond the last value, because its checksum is there.
        for chunk in _decoded(file, payload.encoding):
            part = chunk[skip:] if skip else chunk
            skip -= len(chunk) - len(part)
            part = part[: len(target) - got]
            target[got : got + len(part)] = part
            got += len(part)
    return got


def _decoded(file: BinaryIO, encoding: Encoding) -> Iterator[bytes]:
    if encoding == "gzip":
        with gzip.GzipFile(fileobj=file) as stream:
            yield from iter(lambda: stream.read(16 * _CHUNK_BYTES), b"")
    elif encoding == "bzip2":
        with bz2.BZ2File(file) as packed:
            yield from iter(lambda: packed.read(16 * _CHUNK_BYTES), b"")
    else:
        inflate = zlib.decompressobj()
        for chunk in iter(lambda: file.read(_CHUNK_BYTES), b""):
            yield inflate.decompress(chunk)
        if not inflate.eof:
            raise EOFError

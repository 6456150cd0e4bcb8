"""Header values straight from the bytes: strict numbers, no conversion that guesses or warns."""

from __future__ import annotations

import logging
import math
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue

PARSE_ERRORS = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
"""What pydicom raises on a damaged header, as found by mutating files."""

MAX_VALUE_BYTES = 65536
_SHORT_BYTES = 64
_PADDING = " \0\r\n\t"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_BINARY = {"FD": "d", "FL": "f", "SL": "i", "SS": "h", "UL": "I", "US": "H", "US or SS": "H"}


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom's warnings and log lines to itself: they quote values of the header."""
    logger = logging.getLogger("pydicom")
    silence = logging.Filter("medseg.io.dicom")  # passes records of that name, so none of pydicom
    logger.addFilter(silence)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeFilter(silence)


class Elements:
    """The elements of a data set by tag, taken out once: pydicom's own look-up is slow."""

    __slots__ = ("dataset", "raw")

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.raw = {int(tag): element for tag, element in dataset.items()}

    def __contains__(self, tag: int) -> bool:
        return tag in self.raw


Tags = Dataset | Elements


def raw_bytes(tags: Tags, tag: int) -> tuple[bytes, str, bool] | None:
    """Value bytes, value representation and whether little endian; None where absent or empty."""
    element = (
        tags.raw.get(tag) if isinstance(tags, Elements) else tags.get_item(tag, keep_deferred=True)
    )
    if element is None or element.value is None or element.value in ("", b""):
        return None
    if not isinstance(element, RawDataElement):
        return _written(element)
    if len(element.value) > MAX_VALUE_BYTES:
        return None
    vr = element.VR
    if vr in (None, "UN"):
        try:
            vr = dictionary_VR(tag)
        except KeyError:
            vr = "UN"
    return bytes(element.value), str(vr), element.is_little_endian


def _written(element: DataElement) -> tuple[bytes, str, bool]:
    """The value of an element that pydicom has converted for its own use, as text again."""
    many = element.value if isinstance(element.value, MultiValue) else [element.value]
    return "\\".join(map(str, many)).encode("latin-1", "replace"), "UT", True


def texts(tags: Tags, tag: int) -> tuple[str, ...]:
    """The values of a text tag without padding; () where absent or empty."""
    found = raw_bytes(tags, tag)
    return () if found is None else _words(found[0])


def _words(value: bytes) -> tuple[str, ...]:
    words = value.decode("latin-1").strip(_PADDING)
    return tuple(word.strip(_PADDING) for word in words.split("\\")) if words else ()


def text(tags: Tags, tag: int) -> str:
    """The first value of a text tag, or ""."""
    values = texts(tags, tag)
    return values[0] if values else ""


def numbers(tags: Tags, tag: int) -> tuple[float, ...] | None:
    """The values of a number tag; None where absent or empty, NaN for what is no number.

    A decimal comma, a unit or an empty place among others is no number (PS3.5 6.2, DS and IS).
    """
    found = raw_bytes(tags, tag)
    if found is None:
        return None
    return _known_numbers(found) if len(found[0]) <= _SHORT_BYTES else _numbers(found)


def _numbers(found: tuple[bytes, str, bool]) -> tuple[float, ...] | None:
    value, vr, little = found
    code = _BINARY.get(vr)
    if code is not None:
        count = len(value) // struct.calcsize(code)
        order = "<" if little else ">"
        return tuple(map(float, struct.unpack_from(f"{order}{count}{code}", value))) or None
    return tuple(map(_number, _words(value))) or None


_known_numbers = lru_cache(maxsize=4096)(_numbers)  # most are the same in all slices of a series


def _number(word: str) -> float:
    return float(word) if _NUMBER.fullmatch(word) else math.nan


def number(tags: Tags, tag: int) -> float | None:
    """The first value of a number tag; None where absent, NaN where it is no number."""
    values = numbers(tags, tag)
    return values[0] if values else None


def whole(tags: Tags, tag: int, absent: int = 0) -> int:
    """The first value of a tag of counts; `absent` where it is absent, -1 where it is none."""
    value = number(tags, tag)
    if value is None:
        return absent
    return int(value) if math.isfinite(value) and value == int(value) else -1


def items(tags: Tags, tag: int) -> tuple[Dataset, ...]:
    """The items of a sequence; () where it is absent, empty or no sequence."""
    if tag not in tags:
        return ()
    dataset = tags.dataset if isinstance(tags, Elements) else tags
    value = dataset[tag].value
    return tuple(part for part in value or () if isinstance(part, Dataset))


def first_item(tags: Tags, tag: int) -> Dataset | None:
    """The first item of a sequence, if there is one."""
    found = items(tags, tag)
    return found[0] if found else None

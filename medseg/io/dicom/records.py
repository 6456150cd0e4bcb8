"""What a scan finds: files, frames and series, as plain values taken from headers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from medseg.errors import InputRefused
from medseg.types import Geometry, InputWarning, Modality

SeriesKind = Literal["image", "other", "damaged"]
SplitValue = tuple[float, ...] | tuple[str, ...]
UNDEFINED_LENGTH = 0xFFFFFFFF


def short_hash(text: str) -> str:
    """Twelve hexadecimal digits that stand for an identifier in lists, tables and results."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class ImageFile:
    """The facts of one file's header that all its frames share.

    `pixel_offset` is where the values of the pixel data start, in the file or, for a deflated
    one, in its inflated data set; None where there is none. `pixel_length` is its length as the
    header says, which may be `UNDEFINED_LENGTH`. `file_bytes` and `changed_ns` tell whether the
    file is still the one whose header this is. `bits` are allocated, stored and high bit.
    `padding` holds raw stored values. `announced_slices` and `announced_images` are how many of a
    volume and of the acquisition the header expects, None where it does not say. `groups` is how
    many frames the header describes; `order` is the file's place in name order, from 1.
    """

    path: Path = field(repr=False)
    order: int
    instance_uid: str = field(repr=False)
    sop_class: str
    syntax: str
    patient: str = field(repr=False)
    frame_of_reference: str
    image_type: tuple[str, ...]
    rows: int
    columns: int
    frames: int
    groups: int
    samples: int
    photometric: str
    bits: tuple[int, int, int]
    signed: int
    float_pixels: bool
    pixel_offset: int | None
    pixel_length: int
    file_bytes: int
    changed_ns: int
    padding: tuple[int, int] | None
    facts: Mapping[str, str]
    announced_slices: float | None
    announced_images: float | None


@dataclass(frozen=True, slots=True)
class Frame:
    """One 2D image: where it lies and how its stored values become real ones.

    A tag that is absent is None; a value that is no number is NaN. `position` is LPS millimetres,
    `spacing` is (between rows, between columns). `split` holds the tags that may set volumes of
    one series apart.
    """

    file: ImageFile
    index: int
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    slope: float | None
    intercept: float | None
    modality_lut: bool
    rescale_type: str
    thickness: float | None
    spacing_between: float | None
    frame_type: tuple[str, ...]
    instance_number: float | None
    split: Mapping[str, SplitValue]


@dataclass(frozen=True, slots=True)
class Found:
    """What one DICOM file turned out to be."""

    uid: str = field(repr=False)
    kind: SeriesKind
    sop_class: str = ""
    series_number: float = 0.0
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class Series:
    """All files of one SeriesInstanceUID: images, other objects, or files that are damaged.

    `number` is the running number in the listing. `damaged` counts files whose header says that
    they belong here but which cannot be used.
    """

    uid: str = field(repr=False)
    kind: SeriesKind
    number: int
    files: int
    damaged: int
    frames: tuple[Frame, ...] = field(repr=False)
    sop_classes: tuple[str, ...]

    @property
    def pseudonym(self) -> str:
        """Stands for the SeriesInstanceUID wherever the series is named."""
        return short_hash(self.uid)

    @property
    def subject(self) -> str:
        """How errors name the series."""
        return f"series {self.number} ({self.pseudonym})" if self.uid else f"series {self.number}"

    @property
    def patients(self) -> frozenset[str]:
        """Hashes of the PatientIDs in it."""
        return frozenset(frame.file.patient for frame in self.frames)


@dataclass(frozen=True, slots=True)
class Scan:
    """Every series under a path, and how many files were set aside, by reason."""

    series: tuple[Series, ...]
    skipped: Mapping[str, int]

    @property
    def images(self) -> tuple[Series, ...]:
        """The series that hold images."""
        return tuple(one for one in self.series if one.kind == "image")


@dataclass(frozen=True, slots=True)
class Stack:
    """One volume of a series: its frames in order along the normal, and its grid.

    `label` says what sets it apart, "" where it is the only one. `refused` is why it cannot be
    read; `geometry` is None then.
    """

    label: str
    frames: tuple[Frame, ...]
    geometry: Geometry | None
    off_mm: float
    refused: InputRefused | None


@dataclass(frozen=True, slots=True)
class Checked:
    """A series that holds together, and the volumes in it."""

    series: Series
    modality: Modality
    stacks: tuple[Stack, ...]
    warnings: tuple[InputWarning, ...]

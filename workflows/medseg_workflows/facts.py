"""What rules may ask of an image, from headers alone: a series of DICOM, or an image file."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medseg.errors import InputRefused
from medseg.io.dicom.check import check
from medseg.io.dicom.classes import SUPPORTED
from medseg.io.dicom.frames import code_text
from medseg.io.dicom.geometry import Fault
from medseg.io.dicom.header import Header, read_header
from medseg.io.dicom.records import Checked, Frame, ImageFile, Series, Stack
from medseg.io.dicom.refusals import path_refusal, refusal
from medseg.io.dicom.suv import PetUnits, pet_scale
from medseg.io.dicom.tags import PARSE_ERRORS, items, number, quiet_pydicom, text, texts
from medseg.io.images import open_image
from medseg.io.instances import holds_segments
from medseg.refusal_codes import REFUSALS
from medseg.types import Geometry
from medseg_workflows.copies import without_cut_copies

Facts = Mapping[str, Any]
"""A value by the name of the fact; None where nothing says it."""

ORDER = (
    "modality",
    "image_type",
    "orientation",
    "slices",
    "spacing_z_mm",
    "spacing_xy_mm",
    "cover_mm",
    "longest_mm",
    "matrix",
    "kernel",
    "contrast",
    "body_part",
    "manufacturer",
    "volume_label",
    "channel",
    "description",
)
"""The names of all facts, in the order of tables."""

HIDDEN = frozenset({"description"})
"""Facts that may hold a name: rules see them, and nothing writes them."""

_STRAIGHT = np.cos(np.radians(30.0))
_PLANES = ("sagittal", "coronal", "axial")
_UNITS = ("units", "suv_type")
_NO_AGENT = frozenset({"NO", "NONE", "N", "0", "WITHOUT", "NO CONTRAST", "UNENHANCED"})


@dataclass(frozen=True, slots=True)
class VolumeFacts:
    """One volume that a batch may choose; `number` counts from 1, None where there is one.

    `refused` is why it cannot be read, "" where its headers are sound.
    """

    number: int | None
    facts: Facts = field(repr=False)
    refused: str = ""


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """A DICOM series or an image file, and what is in it; `uid` of a file is where it lies.

    `content` is a hash of what tells the images of one state from those of another: of DICOM their
    UIDs and what gives their values a place and a scale, of a file its size and time of change.
    `packed` are the paths of its files, see `pack`; `copies` those of files that are there again,
    `cut` of them cut short.
    """

    uid: str = field(repr=False)
    study_uid: str = field(repr=False)
    patient_id: str = field(repr=False)
    number: float
    packed: bytes = field(repr=False)
    content: str
    volumes: tuple[VolumeFacts, ...]
    copies: tuple[str, ...] = field(default=(), repr=False)
    cut: int = 0
    is_dicom: bool = True

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of its files, each image once."""
        return tuple(zlib.decompress(self.packed).decode("utf-8", "surrogateescape").split("\0"))


def pack(paths: Iterable[str]) -> bytes:
    """Paths in a twentieth of their room: most share all but a number, and studies are many."""
    return zlib.compress("\0".join(paths).encode("utf-8", "surrogateescape"))


def series_facts(series: Series, *, pet: PetUnits = "physical") -> SeriesFacts:
    """The facts of a series of images; its first file is read again for what a scan leaves out.

    A series that reading would refuse has one volume, which says why. `pet` is as in `read`. Copies
    that were cut short are left aside, see `without_cut_copies`.

    Raises InputRefused where no file says whose it is: `geometry-missing` for objects without
    frames, `path-unreadable` and `file-corrupt` for a file that is not as it was.
    """
    series, cut = without_cut_copies(series)
    checked, problem = None, None
    try:
        checked = check(series)
    except InputRefused as error:
        if not series.frames:
            raise
        problem = error
    files = _once(series.frames)
    first = checked.stacks[0].frames[0] if checked else _least(series.frames)
    with quiet_pydicom():
        header = _header_of(first.file)
        try:
            common = _common(header, first)
        except PARSE_ERRORS as error:
            raise path_refusal("file-corrupt", "a damaged DICOM file") from error
        tags = header.tags
        return SeriesFacts(
            uid=series.uid,
            study_uid=text(tags, 0x0020000D),
            patient_id="\\".join(texts(tags, 0x00100020)),
            number=_finite(number(tags, 0x00200011)),
            packed=pack(str(one.path) for one in files),
            content=_hash(sorted({_state(one) for one in series.frames})),
            volumes=_refused(common, problem, len(series.frames))
            if checked is None
            else _volumes(checked, common, pet),
            copies=_others(series.frames, files, cut),
            cut=len(cut),
        )


def file_facts(path: Path, where: str, *, modality: str = "") -> SeriesFacts:
    """The facts of an image file that is no DICOM and lies at `where` from a root on.

    Such a file does not say its modality: it is that given, or unknown. Its name serves as its
    description. What is refused is said by the meaning of its code, since details may quote a file.
    """
    said = {"modality": modality or None, "description": path.name}
    common: dict[str, Any] = dict.fromkeys(ORDER) | said
    refused, stamp = "", ""
    try:
        status = path.stat()
        stamp = f"{status.st_size} {status.st_mtime_ns}"
        facts = common | _place(open_image(path).geometry)
    except InputRefused as error:
        facts, refused = common, f"{error.code}: {REFUSALS[error.code].meaning}"
    except OSError as error:
        facts, refused = common, f"path-unreadable: {error.strerror}"
    return SeriesFacts(
        uid=where,
        study_uid="",
        patient_id="",
        number=0.0,
        packed=pack([str(path)]),
        content=_hash([where, stamp]),
        volumes=(VolumeFacts(None, facts, refused),),
        is_dicom=False,
    )


def is_segmentation(path: Path) -> bool:
    """Whether an image file names its objects, and so is a result and no image."""
    try:
        return holds_segments(path)
    except (InputRefused, OSError):
        return False


def _volumes(checked: Checked, common: Facts, pet: PetUnits) -> tuple[VolumeFacts, ...]:
    several = len(checked.stacks) > 1
    found = []
    for n, stack in enumerate(checked.stacks, start=1):
        problem = stack.refused or _pet_problem(checked, stack, pet)
        facts = {
            **common,
            "image_type": _image_type(stack.frames[0]),
            "kernel": _kernel(stack.frames[0]) or common["kernel"],
            "slices": len(stack.frames),
            "volume_label": stack.label or None,
        }
        if stack.geometry is not None:
            facts |= _place(stack.geometry)
        found.append(VolumeFacts(n if several else None, facts, _said(problem)))
    return tuple(found)


def _refused(common: Facts, problem: InputRefused | None, frames: int) -> tuple[VolumeFacts, ...]:
    return (VolumeFacts(None, {**common, "slices": frames}, _said(problem)),)


def _said(problem: InputRefused | None) -> str:
    return "" if problem is None else f"{problem.code}: {problem.detail}"


def _pet_problem(checked: Checked, stack: Stack, pet: PetUnits) -> InputRefused | None:
    if checked.modality != "PT":
        return None
    scale = pet_scale(stack.frames, pet)
    return refusal(checked.series, scale.code, scale.detail) if isinstance(scale, Fault) else None


def _place(geometry: Geometry) -> dict[str, Any]:
    """What the grid says: slices are counted, and planes named, along its first axis."""
    slices, rows, columns = geometry.shape
    z, y, x = (float(mm) for mm in geometry.spacing_mm)
    return {
        "orientation": plane_of(geometry),
        "slices": slices,
        "spacing_z_mm": round(z, 4),
        "spacing_xy_mm": round(max(y, x), 4),
        "cover_mm": round(z * slices, 2),
        "longest_mm": round(max(z * slices, y * rows, x * columns), 2),
        "matrix": min(rows, columns),
    }


def plane_of(geometry: Geometry) -> str:
    """The plane of the slices: of the body where they lie within 30 degrees of it, else oblique."""
    normal = np.abs(np.cross(geometry.direction[:, 1], geometry.direction[:, 2]))
    nearest = int(np.argmax(normal))
    return _PLANES[nearest] if normal[nearest] >= _STRAIGHT else "oblique"


def _common(header: Header, first: Frame) -> dict[str, Any]:
    """What one file says for the whole series."""
    file = first.file
    facts: dict[str, Any] = dict.fromkeys(ORDER)
    facts |= {
        "modality": SUPPORTED.get(file.sop_class),
        "image_type": _image_type(first),
        "kernel": _kernel(first) or text(header.tags, 0x00181210) or None,
        "contrast": _contrast(header),
        "body_part": file.facts["body_part"] or None,
        "manufacturer": file.facts["manufacturer"] or None,
        "description": text(header.tags, 0x0008103E) or None,
    }
    return facts


def _contrast(header: Header) -> bool | None:
    """Whether an agent is stated; absent or empty says nothing (PS3.3 C.7.6.4)."""
    if items(header.tags, 0x00180012):
        return True
    agent = text(header.tags, 0x00180010).upper()
    return agent not in _NO_AGENT if agent else None


def _image_type(frame: Frame) -> tuple[str, ...] | None:
    values = frame.frame_type or frame.file.image_type
    return tuple(word for one in values if (word := code_text(one.upper()))) or None


def _kernel(frame: Frame) -> str | None:
    return "/".join(str(one) for one in frame.split.get("ConvolutionKernel", ())) or None


def _header_of(file: ImageFile) -> Header:
    detail = f"file {file.order} in name order cannot be read"
    try:
        header = read_header(file.path, file.file_bytes, whole=False)
    except (OSError, *PARSE_ERRORS) as error:
        raise path_refusal("path-unreadable", detail) from error
    if isinstance(header, str):
        raise path_refusal("path-unreadable", f"{detail} any more")
    return header


def _once(frames: Sequence[Frame]) -> tuple[ImageFile, ...]:
    """Each image's file, in the order of their UIDs; of copies the first by path."""
    files = sorted({str(one.file.path): one.file for one in frames}.items(), reverse=True)
    by_uid = {file.instance_uid: file for _, file in files}
    return tuple(by_uid[uid] for uid in sorted(by_uid))


def _others(
    frames: Sequence[Frame], files: Sequence[ImageFile], cut: Sequence[Path]
) -> tuple[str, ...]:
    """The paths of all copies of the files."""
    paths = {one.file.path for one in frames} - {one.path for one in files}
    return tuple(sorted(map(str, paths.union(cut))))


def _state(frame: Frame) -> str:
    """What of a frame's header decides its voxels, and the file's size; a copy has the same."""
    file = frame.file
    pixels = (file.rows, file.columns, file.bits, file.signed, file.padding, file.pixel_length)
    place = (frame.position, frame.orientation, frame.spacing, frame.slope, frame.intercept)
    units = sorted(
        one for one in file.facts.items() if one[0].startswith("pet_") or one[0] in _UNITS
    )
    return repr((file.instance_uid, frame.index, *pixels, *place, file.file_bytes, *units))


def _least(frames: Sequence[Frame]) -> Frame:
    return min(frames, key=lambda one: (one.file.instance_uid, str(one.file.path), one.index))


def _finite(value: float | None) -> float:
    return value if value is not None and abs(value) < float("inf") else float("inf")


def _hash(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()

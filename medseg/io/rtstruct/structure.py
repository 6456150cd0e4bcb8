"""What an RTSTRUCT file says, as plain values: regions of interest and their contours in mm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import RTStructureSetStorage

from medseg.errors import InputRefused
from medseg.io.checks import must_exist, unreadable
from medseg.io.dicom.header import read_header
from medseg.io.dicom.records import short_hash
from medseg.io.dicom.tags import PARSE_ERRORS, quiet_pydicom

MOST_BYTES = 1 << 30
CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
"""Both are read by parity: nearly all files write holes as CLOSED_PLANAR too."""

_NUMBER_BYTES = b"0123456789+-.eE\\ "
_LEAST_SECRET = 4
"""Words of a patient's name or id that are shorter may stand in a name of an organ by chance."""


@dataclass(frozen=True, eq=False, repr=False)
class Contour:
    """One closed contour: points (P, 3) in LPS mm, and what else the file says of it."""

    points_lps_mm: NDArray[np.float64]
    item: Dataset

    @property
    def images(self) -> tuple[str, ...]:
        """SOPInstanceUIDs of the images that it names; parsed when asked for, seldom is."""
        try:
            with quiet_pydicom():
                named = self.item.get("ContourImageSequence") or []
                return tuple(str(one.get("ReferencedSOPInstanceUID", "")) for one in named)
        except (*PARSE_ERRORS, OSError):  # pydicom raises OSError on a cut sequence
            return ()


@dataclass(frozen=True, eq=False, repr=False)
class Roi:
    """One region of interest; `number` is what messages name it by.

    `left_out` counts contours that enclose nothing, by why. `frame` is its frame of reference, ""
    where the file says none.
    """

    number: int
    name: str
    description: str
    interpreted_type: str
    color: tuple[int, int, int] | None
    frame: str
    contours: tuple[Contour, ...]
    left_out: Mapping[str, int]


@dataclass(frozen=True, eq=False, repr=False)
class StructureSet:
    """A parsed file; `subject` names it in messages. `patient_id` is for comparing only."""

    subject: str
    patient_id: str
    rois: tuple[Roi, ...]
    hidden_names: tuple[int, ...] = field(default=())


def read_structure_set(path: Path) -> StructureSet:
    """Parse an RTSTRUCT file.

    Raises InputRefused: `path-missing`, `path-unreadable`, `too-large`, `file-corrupt`,
    `sop-class-unsupported`, `geometry-invalid` where a coordinate is no finite number.
    """
    ds = _dataset(path)
    subject = "RTSTRUCT file"  # its name may be a patient's
    try:
        with quiet_pydicom():
            subject = f"structure set {short_hash(_ascii(ds, 'SOPInstanceUID'))}"
            kind = _ascii(ds, "SOPClassUID")
            if kind == RTStructureSetStorage:
                return _parsed(ds, subject)
    except (*PARSE_ERRORS, OSError):  # pydicom raises OSError on a cut sequence
        # Without its cause: pydicom's errors quote values of the header.
        raise _corrupt(subject, "its regions of interest cannot be parsed") from None
    raise InputRefused(
        code="sop-class-unsupported",
        subject=subject,
        detail="is a DICOM object of another kind than RTSTRUCT",
        remedy="give the RTSTRUCT file",
    )


def _dataset(path: Path) -> Dataset:
    subject = "RTSTRUCT file"  # its name may be a patient's
    must_exist(path)
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise InputRefused(
                code="too-large",
                subject=subject,
                detail=f"{size / 1e9:.1f} GB, more than the limit of {MOST_BYTES / 1e9:.1f} GB",
                remedy="export fewer regions of interest",
            )
        with quiet_pydicom():
            header = read_header(path, size)
    except OSError as error:
        raise unreadable(subject, error) from error
    if isinstance(header, str):
        raise _corrupt(subject, f"its content is {header}")
    return header.dataset


def _parsed(ds: Dataset, subject: str) -> StructureSet:
    stated = _by_number(ds.get("StructureSetROISequence") or [], "ROINumber")
    numbers = [number for number, _ in stated]
    if len(set(numbers)) != len(numbers):
        raise _corrupt(subject, "two regions of interest have the same number")
    drawn: dict[int, list[Dataset]] = {}
    for number, item in _by_number(ds.get("ROIContourSequence") or [], "ReferencedROINumber"):
        drawn.setdefault(number, []).append(item)
    unknown = sorted(drawn.keys() - set(numbers))
    if unknown:
        raise _corrupt(subject, f"contours belong to ROI {unknown[0]}, which is not listed")
    seen = dict(_by_number(ds.get("RTROIObservationsSequence") or [], "ReferencedROINumber"))
    frame, secrets = _common_frame(ds), _secrets(ds)
    rois, hidden = [], []
    for number, item in stated:
        name = _line(item, "ROIName") or f"ROI {number}"
        if any(word in name.casefold() for word in secrets):
            name = f"ROI {number}"
            hidden.append(number)
        interpreted = _line(seen.get(number, Dataset()), "RTROIInterpretedType").upper()
        own = _line(item, "ReferencedFrameOfReferenceUID") or frame
        rois.append(_roi(number, (name, interpreted, own), item, drawn.get(number, []), subject))
    return StructureSet(subject, _line(ds, "PatientID"), tuple(rois), tuple(hidden))


def _roi(
    number: int,
    words: tuple[str, str, str],
    item: Dataset,
    drawn: Sequence[Dataset],
    subject: str,
) -> Roi:
    contours: list[Contour] = []
    left_out: Counter[str] = Counter()
    for owner in drawn:
        for one in owner.get("ContourSequence") or []:
            kind = _ascii(one, "ContourGeometricType").upper()
            if kind not in CLOSED:
                left_out["points or open"] += 1
                continue
            points = _points(one, number, subject)
            if len(points) < 3:
                left_out["of fewer than 3 points"] += 1
                continue
            contours.append(Contour(points, one))
    name, interpreted, frame = words
    return Roi(
        number=number,
        name=name,
        description=_line(item, "ROIDescription"),
        interpreted_type=interpreted,
        color=next((color for one in drawn if (color := _color(one))), None),
        frame=frame,
        contours=tuple(contours),
        left_out=dict(left_out),
    )


def _points(contour: Dataset, number: int, subject: str) -> NDArray[np.float64]:
    """Points (P, 3), each coordinate a finite decimal; the bytes are parsed all at once."""
    text = _raw(contour, "ContourData")
    if not text:
        return np.empty((0, 3))
    try:
        strange = text.translate(None, _NUMBER_BYTES)
        values = np.array([] if strange else text.split(b"\\"), dtype=np.bytes_).astype(float)
    except ValueError:
        values = np.empty(0)
    if not values.size or not np.isfinite(values).all():
        raise InputRefused(
            code="geometry-invalid",
            subject=subject,
            detail=f"a coordinate of ROI {number} is no finite number",
            remedy="export the structure set again",
        )
    said = _raw(contour, "NumberOfContourPoints")
    if values.size % 3 or (said and int(said) != values.size // 3):
        raise _corrupt(
            subject, f"a contour of ROI {number} holds another number of points than it says"
        )
    return values.reshape(-1, 3)


def _raw(ds: Dataset, keyword: str) -> bytes:
    """The bytes of a text without padding: not converted, which takes most of the time."""
    element = ds.get_item(keyword)
    value = None if element is None else element.value
    if value is None:
        return b""
    if not isinstance(value, bytes):  # a data set that was made in memory
        many = value if isinstance(value, MultiValue | list | tuple) else [value]
        value = "\\".join(map(str, many)).encode("ascii", "replace")
    return value.strip(b" \0\r\n\t")


def _ascii(ds: Dataset, keyword: str) -> str:
    return _raw(ds, keyword).decode("ascii", "replace")


def _by_number(items: Sequence[Dataset], keyword: str) -> list[tuple[int, Dataset]]:
    return [(int(item[keyword].value), item) for item in items]


def _common_frame(ds: Dataset) -> str:
    """The one frame of reference of the whole file, "" where there is none or several."""
    frames = {
        _line(item, "FrameOfReferenceUID")
        for item in ds.get("ReferencedFrameOfReferenceSequence") or []
    } - {""}
    if not frames:
        return _line(ds, "FrameOfReferenceUID")
    return frames.pop() if len(frames) == 1 else ""


def _secrets(ds: Dataset) -> frozenset[str]:
    """Words of the patient's name, and the id, as they must not stand in the name of a class."""
    parts = _line(ds, "PatientName").replace("^", " ").replace("=", " ").split()
    parts.append(_line(ds, "PatientID"))
    return frozenset(part.casefold() for part in parts if len(part) >= _LEAST_SECRET)


def _line(ds: Dataset, keyword: str) -> str:
    """A text as one line without padding; "" where it is absent."""
    value = ds.get(keyword)
    return "" if value is None else " ".join(str(value).replace("\0", " ").split())


def _color(item: Dataset) -> tuple[int, int, int] | None:
    value = item.get("ROIDisplayColor")
    if not isinstance(value, MultiValue) or len(value) != 3:
        return None
    red, green, blue = (min(255, max(0, int(channel))) for channel in value)
    return red, green, blue


def _corrupt(subject: str, detail: str) -> InputRefused:
    return InputRefused(
        code="file-corrupt", subject=subject, detail=detail, remedy="export it again"
    )

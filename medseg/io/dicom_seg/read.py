"""The file itself: its header checked, its frames decoded, its segments cropped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import SegmentationStorage

from medseg.errors import InputRefused
from medseg.io.checks import corrupt, unreadable
from medseg.io.dicom.classes import LABEL_MAP
from medseg.io.dicom.records import short_hash
from medseg.io.dicom.tags import PARSE_ERRORS, quiet_pydicom
from medseg.io.dicom_seg.planes import Planes, planes_of
from medseg.io.dicom_seg.segments import Segment, classes_of, ids_of, segment_of
from medseg.types import Geometry, InputWarning, Instance, InstanceClass, Instances, Kind

SEG_CLASSES = frozenset({str(SegmentationStorage), LABEL_MAP})
_HALF = 0.5
_OURS = "medseg"


class _Crop(NamedTuple):
    """The part of a slice that a segment covers; `rows` and `columns` are where its corner is."""

    z: int
    row: int
    column: int
    mask: NDArray[np.bool_]


def read_dicom_seg(path: Path, kind: Kind = "lesion", images: Geometry | None = None) -> Instances:
    """The segments of a SEG, overlaps and all, on the grid of its slices.

    The grid reaches from the first used slice to the last: a SEG does not hold the empty ones of
    its images (`medseg.io.grids.on_grid` puts instances on the grid of an image). Where `images`
    is given its slices are as far apart as theirs, else as the SEG says. An id is the one that
    medseg gave, else the segment's number. Segments whose labels differ in a number at the end
    alone and whose codes are equal are of one class; else the label is the class. `kind` is that
    of segments whose category is neither anatomy nor an abnormal structure. Fractional values
    count from one half. Scores are 1: they stand in the report. Segments without a voxel are left
    out, with a warning.

    Raises InputRefused (`sop-class-unsupported`, `file-corrupt`, `geometry-missing`,
    `geometry-invalid`, `mixed-orientation`, `uneven-spacing`, `too-large`,
    `pixel-data-corrupt`, `path-unreadable`).
    """
    with quiet_pydicom():
        ds = _dataset(path)
        subject = f"SEG {short_hash(str(ds.get('SOPInstanceUID', '')))}"
        try:
            segments = [segment_of(item) for item in ds.SegmentSequence]
            planes = planes_of(ds, subject, images)
        except PARSE_ERRORS as error:
            detail = "its segments or frames are not described as they must be"
            raise corrupt(subject, detail) from error
        if len({one.number for one in segments}) < len(segments):
            raise corrupt(subject, "two segments have one number")
        crops = _crops(ds, planes, segments, subject)
        frame_of_reference = str(ds.get("FrameOfReferenceUID") or "")
    found = _instances(segments, crops, kind, ours=ds.get("Manufacturer") == _OURS)
    items, classes, warnings = found
    meta = {
        "format": "DICOM SEG",
        "frame_of_reference": frame_of_reference or None,
        "slice_distance_sure": planes.step_is_sure,
    }
    return Instances(planes.geometry, items, classes, warnings, meta)


def sop_class_of(path: Path) -> str:
    """The SOP class of a DICOM file, "" where none can be read."""
    try:
        with quiet_pydicom():
            ds = pydicom.dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True)
            return str(ds.get("SOPClassUID") or "")
    except (*PARSE_ERRORS, OSError):
        return ""


def _dataset(path: Path) -> Dataset:
    try:
        ds = pydicom.dcmread(path)
        ds.decode()
    except OSError as error:
        raise unreadable("SEG", error) from error
    except PARSE_ERRORS as error:
        raise corrupt("SEG", "its header is damaged or cut short") from error
    if str(ds.get("SOPClassUID")) not in SEG_CLASSES:
        remedy = "give a SEG, an RTSTRUCT or a label map"
        raise InputRefused("sop-class-unsupported", "DICOM input", "is no SEG", remedy)
    return ds


def _crops(
    ds: Dataset, planes: Planes, segments: Sequence[Segment], subject: str
) -> dict[int, list[_Crop]]:
    """The covered part of every slice of each segment; no array is larger than a slice."""
    _, rows, columns = planes.geometry.shape
    least = None
    if str(ds.get("SegmentationType")) == "FRACTIONAL":
        least = _HALF * float(ds.get("MaximumFractionalValue") or 1)
    found: dict[int, list[_Crop]] = {one.number: [] for one in segments}
    try:
        for z, number, frame in zip(planes.slices, planes.segments, _frames(ds), strict=True):
            plane = np.asarray(frame).reshape(rows, columns)
            for one, mask in _covered(plane, number, least):
                if one not in found:
                    raise corrupt(subject, f"a frame is of segment {one}, which is not described")
                found[one].append(_cropped(z, mask))
    except (*PARSE_ERRORS, OSError) as error:
        detail = "its frames cannot be decoded, or are fewer than described"
        remedy = "export the SEG again"
        raise InputRefused("pixel-data-corrupt", subject, detail, remedy) from error
    return found


def _frames(ds: Dataset) -> Iterator[NDArray[Any]]:
    """The values of each frame; ValueError where there are too few bytes.

    Bits are unpacked here: pydicom 3.0 takes bits of a neighbour where a frame does not fill its
    last byte.
    """
    if ds.BitsAllocated != 1 or ds.file_meta.TransferSyntaxUID.is_encapsulated:
        yield from iter_pixels(ds, raw=True)
        return
    packed = np.frombuffer(ds.PixelData, dtype=np.uint8)
    size = int(ds.Rows) * int(ds.Columns)
    count = int(ds.NumberOfFrames)
    if packed.size * 8 < size * count:
        msg = f"{packed.size} bytes cannot hold {count} frames of {size} bits"
        raise ValueError(msg)
    for number in range(count):
        start = number * size
        part = packed[start // 8 : -(-(start + size) // 8)]
        yield np.unpackbits(part, bitorder="little")[start % 8 :][:size]


def _covered(
    plane: NDArray[Any], number: int, least: float | None
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Each segment of a frame with its voxels; `number` 0 says that values are segments."""
    if number == 0:
        for one in np.unique(plane[plane > 0]).tolist():
            yield int(one), plane == one
        return
    mask = plane > 0 if least is None else plane >= least
    if mask.any():
        yield number, mask


def _cropped(z: int, mask: NDArray[np.bool_]) -> _Crop:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    row, column = int(rows[0]), int(columns[0])
    return _Crop(z, row, column, mask[row : rows[-1] + 1, column : columns[-1] + 1].copy())


def _instances(
    segments: Sequence[Segment],
    crops: Mapping[int, Sequence[_Crop]],
    kind: Kind,
    *,
    ours: bool,
) -> tuple[list[Instance], tuple[InstanceClass, ...], tuple[InputWarning, ...]]:
    ids = ids_of(segments, ours=ours)
    names, classes = classes_of(segments, kind, ours=ours)
    kinds = {one.name: one.kind for one in classes}
    items, empty = [], []
    for segment, number, name in zip(segments, ids, names, strict=True):
        parts = crops[segment.number]
        if not parts:
            empty.append(number)
            continue
        items.append(_whole(parts, number, name, kinds[name]))
    if not empty:
        return items, classes, ()
    detail = f"segments without a voxel were left out: {', '.join(map(str, empty[:5]))}"
    return items, classes, (InputWarning("empty-segment", detail),)


def _whole(parts: Sequence[_Crop], number: int, name: str, kind: Kind) -> Instance:
    """The instance of the slices' crops."""
    ends = [
        (min(low), max(high))
        for low, high in (
            ([one.z for one in parts], [one.z + 1 for one in parts]),
            ([one.row for one in parts], [one.row + one.mask.shape[0] for one in parts]),
            ([one.column for one in parts], [one.column + one.mask.shape[1] for one in parts]),
        )
    ]
    z, y, x = (slice(low, high) for low, high in ends)
    mask = np.zeros([high - low for low, high in ends], dtype=bool)
    for one in parts:
        height, width = one.mask.shape
        row, column = one.row - y.start, one.column - x.start
        mask[one.z - z.start, row : row + height, column : column + width] |= one.mask
    return Instance(number, name, kind, 1.0, (z, y, x), mask)

"""Structure sets made in code, and the series that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage

from medseg.io.dicom_out.codes import codes_for
from medseg.io.dicom_out.identity import algorithm_of
from medseg.io.dicom_out.source import Source, read_source
from medseg.io.rtstruct import rtstruct_dataset
from medseg.io.rtstruct.rasterise import UNITS, Rings
from medseg.phantom.dicom import write_dicom_series
from medseg.types import Geometry, Instance, InstanceClass, Instances, Volume

FRAME = "1.2.3.4"
CANARY = "Canary^Yellow"
CANARY_ID = "CANARY-4711"
MOMENT = datetime(2020, 5, 17, 12, 30)
Points = Sequence[Sequence[float]]


@dataclass
class Drawn:
    """A region of a file: contours are points (x, y, z) in mm."""

    number: int = 1
    name: str = "GTV"
    contours: Sequence[Points] = ()
    kind: str = "CLOSED_PLANAR"
    frame: str = FRAME
    interpreted: str = ""
    images: Sequence[str] = ()
    extra: dict[str, object] = field(default_factory=dict)


def square(low: float, high: float, z_mm: float) -> Points:
    """A square in the axial plane."""
    return [(low, low, z_mm), (high, low, z_mm), (high, high, z_mm), (low, high, z_mm)]


def structure_set(*regions: Drawn) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = RTStructureSetStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.3"
    ds.Modality = "RTSTRUCT"
    ds.PatientName, ds.PatientID = CANARY, CANARY_ID
    ds.StructureSetROISequence, ds.ROIContourSequence = [], []
    ds.RTROIObservationsSequence = []
    for region in regions:
        roi, drawn, seen = Dataset(), Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = region.number, region.name
        roi.ReferencedFrameOfReferenceUID = region.frame
        drawn.ReferencedROINumber = seen.ReferencedROINumber = region.number
        seen.RTROIInterpretedType = region.interpreted
        drawn.ContourSequence = [_contour(points, region) for points in region.contours]
        ds.StructureSetROISequence.append(roi)
        ds.ROIContourSequence.append(drawn)
        ds.RTROIObservationsSequence.append(seen)
    return ds


def _contour(points: Points, region: Drawn) -> Dataset:
    item = Dataset()
    item.ContourGeometricType = region.kind
    item.NumberOfContourPoints = len(points)
    item.ContourData = [f"{value:.4f}" for point in points for value in point]
    if region.images:
        item.ContourImageSequence = []
        for uid in region.images:
            image = Dataset()
            image.ReferencedSOPInstanceUID = uid
            item.ContourImageSequence.append(image)
    return item


def saved(ds: Dataset, path: Path) -> Path:
    ds.save_as(path, enforce_file_format=True)
    return path


def series(folder: Path, geometry: Geometry) -> Source:
    """A small MR series on a grid, as the source of a structure set."""
    values = np.arange(np.prod(geometry.shape), dtype=np.int16).reshape(geometry.shape)
    write_dicom_series(Volume(values, geometry, "MR", "arbitrary"), folder)
    return read_source(folder)


def written(instances: Instances, source: Source, path: Path) -> Path:
    ds = rtstruct_dataset(
        instances,
        source,
        codes=codes_for(instances.classes)[0],
        algorithm=algorithm_of(instances),
        moment=MOMENT,
    )
    return saved(ds, path)


def instances_of(masks: Sequence[NDArray[np.bool_]], geometry: Geometry) -> Instances:
    """Each mask as a lesion; the first also as an organ."""
    classes = (InstanceClass("liver", "organ", 1), InstanceClass("liver metastasis", "lesion", 2))
    items = []
    for number, mask in enumerate(masks, start=1):
        owner = classes[number > 1]
        item = Instance.from_mask(
            mask, id=3 * number, class_name=owner.name, kind=owner.kind, score=1 / number
        )
        if item is not None:
            items.append(item)
    return Instances(geometry, items, classes)


def same_instances(one: Instances, other: Instances) -> bool:
    return len(one) == len(other) and all(
        (a.id, a.class_name, a.kind, a.score, a.box) == (b.id, b.class_name, b.kind, b.score, b.box)
        and np.array_equal(a.mask, b.mask)
        for a, b in zip(one, other, strict=True)
    )


def rings(*parts: Sequence[tuple[float, float]], planes: Sequence[int] | None = None) -> Rings:
    """Rings of (row, column) points in voxels, all on slice 0 unless told otherwise."""
    points = np.array([p for part in parts for p in part], dtype=float).reshape(-1, 2)
    ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
    where = np.zeros(len(parts), dtype=np.int64) if planes is None else np.array(planes)
    return Rings(np.rint(points * UNITS).astype(np.int64), ends, where)


def inside(polygon: Sequence[tuple[float, float]], row: int, column: int) -> bool:
    """By fractions: an odd number of edges crossed towards smaller columns, this point included."""
    odd = False
    ends = [(Fraction(y), Fraction(x)) for y, x in polygon]
    for (y0, x0), (y1, x1) in zip(ends, ends[1:] + ends[:1], strict=True):
        if (y0 <= row) != (y1 <= row):
            odd ^= x0 + (row - y0) * (x1 - x0) / (y1 - y0) <= column
    return odd

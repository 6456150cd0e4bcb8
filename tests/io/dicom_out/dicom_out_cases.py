"""Series and objects that the tests of DICOM out share."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from medseg.io.dicom_out import Source, read_source
from medseg.phantom.dicom import write_dicom_series
from medseg.types import Geometry, Instance, InstanceClass, Instances, Modality, Volume

MOMENT = datetime(2026, 1, 2, 3, 4, 5)
GRID = Geometry.from_spacing((6, 11, 13), (3.0, 0.8, 1.25), (-20.0, 31.0, 400.0))
LIVER = InstanceClass("liver", "organ", 1)
NODULE = InstanceClass("lung nodule", "lesion", 2)
MODEL = {"model": {"name": "finder", "version": "2.1"}}


def write_series(
    folder: Path, geometry: Geometry = GRID, modality: Modality = "CT", **header: object
) -> Path:
    """A series of random values; `header` is set in every file."""
    values = np.random.default_rng(1).integers(0, 900, geometry.shape).astype(np.int16)
    unit = "HU" if modality == "CT" else "arbitrary"
    volume = Volume(values, geometry, modality, unit, slice_thickness_mm=geometry.spacing_mm[0])
    for path in write_dicom_series(volume, folder):
        ds = dcmread(path)
        ds.PatientName = "Phantom^"  # one part alone makes highdicom warn
        for keyword, value in header.items():
            if value is None:
                delattr(ds, keyword)
            else:
                setattr(ds, keyword, value)
        ds.save_as(path)
    return folder


def series(folder: Path, geometry: Geometry = GRID, **header: object) -> Source:
    return read_source(write_series(folder, geometry, **header))


def box_mask(shape: tuple[int, ...], *ends: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(*pair) for pair in ends)] = True
    return mask


def instance(mask: NDArray[np.bool_], number: int, owner: InstanceClass) -> Instance:
    made = Instance.from_mask(
        mask, id=number, class_name=owner.name, kind=owner.kind, score=0.1 * number
    )
    assert made is not None
    return made


def overlapping(geometry: Geometry = GRID) -> Instances:
    """A liver, a nodule that overlaps it, one voxel in the first corner, and two ends of a line."""
    ends = np.zeros(geometry.shape, dtype=bool)
    ends[[0, -1], [-1, 0], [0, -1]] = True
    items = [
        instance(box_mask(geometry.shape, (1, 4), (2, 9), (1, 8)), 7, LIVER),
        instance(box_mask(geometry.shape, (3, 5), (6, 11), (5, 13)), 3, NODULE),
        instance(box_mask(geometry.shape, (0, 1), (0, 1), (0, 1)), 9, NODULE),
        instance(ends, 4, NODULE),
    ]
    return Instances(geometry, items, (LIVER, NODULE), (), MODEL)


def apart(geometry: Geometry = GRID) -> Instances:
    items = [
        instance(box_mask(geometry.shape, (1, 4), (2, 5), (1, 8)), 2, LIVER),
        instance(box_mask(geometry.shape, (2, 5), (6, 9), (2, 7)), 1, NODULE),
    ]
    return Instances(geometry, items, (LIVER, NODULE), (), MODEL)


def same_objects(found: Instances, wanted: Instances) -> bool:
    """Whether ids, classes, kinds, boxes and masks are equal, in the same order."""
    pairs = zip(found.items, wanted.items, strict=True)
    return found.geometry.same_grid(wanted.geometry) and all(
        (one.id, one.class_name, one.kind, one.box)
        == (other.id, other.class_name, other.kind, other.box)
        and np.array_equal(one.mask, other.mask)
        for one, other in pairs
    )


def texts(ds: Dataset) -> dict[str, str]:
    """The measures of a report's groups: tracking id and code to the digits."""
    found: dict[str, str] = {}
    groups = next(
        one
        for one in ds.ContentSequence
        if one.ConceptNameCodeSequence[0].CodeValue == "126010"  # Imaging Measurements
    )
    for group in groups.ContentSequence:
        name = next(
            one.TextValue
            for one in group.ContentSequence
            if one.ConceptNameCodeSequence[0].CodeValue == "112039"  # Tracking Identifier
        )
        for one in group.ContentSequence:
            if one.ValueType == "NUM":
                derived = [
                    part.ConceptCodeSequence[0].CodeMeaning
                    for part in one.get("ContentSequence", ())
                    if part.ConceptNameCodeSequence[0].CodeValue == "121401"  # Derivation
                ]
                key = "/".join([name, one.ConceptNameCodeSequence[0].CodeMeaning, *derived])
                found[key] = str(one.MeasuredValueSequence[0].NumericValue.original_string)
    return found

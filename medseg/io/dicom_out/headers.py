"""What an object takes over from its source: patient, study, and the places of slices."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)
from pydicom.valuerep import format_number_as_ds

from medseg.io.dicom.notes import is_lossy
from medseg.io.dicom_out.identity import uid
from medseg.io.dicom_out.source import UTF_8, SliceReference, Source

_STORAGE = {
    "CT": CTImageStorage,
    "MR": MRImageStorage,
    "PT": PositronEmissionTomographyImageStorage,
}
_TAKEN_OVER = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "StudyInstanceUID",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Patient and study are equal in all objects of a study (PS3.3 A.1.2); copied as they stand."""
_EMPTY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_EQUIPMENT = (
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
    "DeviceSerialNumber",
    "InstitutionName",
)
ON_SLICE_MM = 1e-6
"""A slice so near to its place on the grid is there; its position is then copied as it stands."""


def take_over(ds: Dataset, source: Source) -> None:
    """Give an object the patient and the study of its source, whatever their values are.

    What the source lacks is removed, unless it is of type 2: then it stays empty.
    """
    header = source.datasets[0]
    ds.SpecificCharacterSet = UTF_8
    for keyword in _TAKEN_OVER:
        if keyword in header:
            ds[keyword] = deepcopy(header[keyword])
        elif keyword in ds:
            del ds[keyword]


def plain_header(source: Source) -> Dataset:
    """Study and equipment of a source without its patient, for libraries that check values."""
    header = source.datasets[0]
    ds = Dataset()
    ds.SpecificCharacterSet = UTF_8
    for keyword in _EMPTY:
        setattr(ds, keyword, None if keyword == "PatientSex" else "")
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        ds[keyword] = deepcopy(header[keyword])
    for keyword in _EQUIPMENT:
        if header.get(keyword):
            ds[keyword] = deepcopy(header[keyword])
    ds.PositionReferenceIndicator = str(header.get("PositionReferenceIndicator") or "")
    ds.SeriesInstanceUID = source.series_uid
    ds.Modality = source.modality
    ds.SOPClassUID = _STORAGE[source.modality]
    return ds


def evidence_of(source: Source) -> list[Dataset]:
    """One plain header for each file, which says no more than which object it is."""
    found = []
    for header in source.datasets:
        ds = plain_header(source)
        ds.SOPClassUID, ds.SOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
        found.append(ds)
    return found


def slice_headers(source: Source) -> tuple[list[Dataset], dict[UID, SliceReference]]:
    """One image a slice on the exact grid of the source, z by z, and which images they stand for.

    Their SOPInstanceUIDs are stand-ins, so that frames of one file can be told apart; `refer`
    puts the true ones into what was made of them.
    """
    z_mm, y_mm, x_mm = source.geometry.spacing_mm
    common = plain_header(source)
    _, common.Rows, common.Columns = source.geometry.shape
    common.PixelSpacing = ds_values((y_mm, x_mm))
    common.SliceThickness = common.SpacingBetweenSlices = ds_values((z_mm,))[0]
    direction = source.geometry.direction
    common.ImageOrientationPatient = ds_values((*direction[:, 2], *direction[:, 1]))
    common.update(_loss_of(source))
    headers, stands_for = [], {}
    for z, (slice_, position) in enumerate(zip(source.slices, positions(source), strict=True)):
        ds = Dataset()
        ds.update(common)
        ds.SOPInstanceUID = uid("slice", slice_.sop_instance_uid, str(slice_.frame))
        ds.InstanceNumber = z + 1
        ds.ImagePositionPatient = ds_values(position)
        headers.append(ds)
        stands_for[ds.SOPInstanceUID] = slice_
    return headers, stands_for


def _loss_of(source: Source) -> Dataset:
    """What the images say of loss in compression, which all that is made of them says too.

    Once "01", LossyImageCompression is never reset (PS3.3 C.7.6.1.1.5).
    """
    ds = Dataset()
    if not any(map(is_lossy, source.stack.frames)):
        return ds
    ds.LossyImageCompression = "01"
    lossy = [one for one in source.datasets if one.get("LossyImageCompression") == "01"]
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if lossy and keyword in lossy[0]:
            ds[keyword] = deepcopy(lossy[0][keyword])
    return ds


def positions(source: Source) -> list[tuple[float, ...]]:
    """Where the first voxel of each slice lies in LPS millimetres, as the source states it.

    A slice off its place on the even grid gets its place there, so that a reader finds the grid.
    """
    found = []
    for z, frame in enumerate(source.stack.frames):
        place = source.geometry.index_to_world((z, 0, 0))
        stated = frame.position
        near = stated is not None and np.abs(np.subtract(stated, place)).max() < ON_SLICE_MM
        found.append(tuple(map(float, stated if near and stated is not None else place)))
    return found


def refer(ds: Dataset, stands_for: dict[UID, SliceReference]) -> None:
    """Put the true images in the place of stand-ins, in every sequence that refers to images."""
    for keyword in ("SourceImageSequence", "ReferencedInstanceSequence"):
        if keyword in ds:
            setattr(ds, keyword, _referred(ds[keyword].value, stands_for))
    for keyword in ("DerivationImageSequence", "ReferencedSeriesSequence"):
        for item in ds.get(keyword) or ():
            refer(item, stands_for)


def _referred(items: Iterable[Dataset], stands_for: dict[UID, SliceReference]) -> list[Dataset]:
    """One item an image; frames of the same file are named together."""
    found: dict[str, Dataset] = {}
    frames: dict[str, list[int]] = {}
    for item in items:
        slice_ = stands_for[item.ReferencedSOPInstanceUID]
        one = found.setdefault(slice_.sop_instance_uid, deepcopy(item))
        one.ReferencedSOPClassUID = slice_.sop_class_uid
        one.ReferencedSOPInstanceUID = slice_.sop_instance_uid
        if slice_.frame is not None:
            frames.setdefault(slice_.sop_instance_uid, []).append(slice_.frame)
    for number, listed in frames.items():
        found[number].ReferencedFrameNumber = listed if len(listed) > 1 else listed[0]
    return list(found.values())


def ds_values(values: Iterable[float]) -> list[str]:
    """Decimal strings of at most 16 characters (PS3.5 6.2)."""
    return [str(format_number_as_ds(float(value) + 0.0)) for value in values]

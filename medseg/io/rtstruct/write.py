"""Instances as an RTSTRUCT: one region each, drawn along the edges of its voxels (PS3.3 A.19)."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from pydicom.charset import default_encoding
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage

from medseg.io.colors import class_colors
from medseg.io.dicom.tags import quiet_pydicom
from medseg.io.dicom_out.codes import ClassCodes, Term
from medseg.io.dicom_out.headers import ds_values, take_over
from medseg.io.dicom_out.identity import PLACEHOLDER, Algorithm, identify, is_stated
from medseg.io.dicom_out.source import SliceReference, Source
from medseg.io.rtstruct.keyhole import with_keyholes
from medseg.io.rtstruct.labels import roi_description, roi_name
from medseg.io.rtstruct.rasterise import UNITS
from medseg.io.rtstruct.trace import trace
from medseg.types import Instance, Instances

RTSTRUCT_NUMBER = 903
MANUFACTURER = "medseg"
MOST_NUMBER = 2**31 - 1
"""The largest integer string (PS3.5 6.2)."""

_DECIMALS = 6
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management: retired, and still what PS3.3 C.8.8.5 wants a study to be called."""
_CONTOURS = Tag(0x3006, 0x0040)
_LONG_TEXT = 64


def rtstruct_dataset(
    instances: Instances,
    source: Source,
    *,
    codes: Mapping[str, ClassCodes],
    algorithm: Algorithm,
    moment: datetime,
) -> Dataset:
    """An RTSTRUCT of instances on the grid of `source`; the ROI number is the instance's id.

    Contours are CLOSED_PLANAR along voxel edges, on the plane of the image that they name; a hole
    is joined to its ring by a keyhole, so that readers which count parity (XOR) and readers which
    unite contours find the same voxels, as `read_rtstruct` does. `codes` has every class. Written
    with implicit value representations: others cannot hold a contour of more than 64 kB.

    Raises ValueError where there is no instance, or one that lies on another grid.
    """
    if not instances.items:
        msg = "an RTSTRUCT holds at least one region"
        raise ValueError(msg)
    if not instances.geometry.same_grid(source.geometry):
        msg = "the instances do not lie on the grid of the source"
        raise ValueError(msg)
    with quiet_pydicom():
        ds = _header(source, algorithm)
        _add_regions(ds, instances, source, codes, algorithm)
        identify(ds, "RTSTRUCT", moment)
    return ds


def _header(source: Source, algorithm: Algorithm) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = RTStructureSetStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = PLACEHOLDER
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    take_over(ds, source)
    ds.Modality = "RTSTRUCT"
    ds.SeriesInstanceUID = PLACEHOLDER
    ds.SeriesNumber = RTSTRUCT_NUMBER
    ds.InstanceNumber = 1
    ds.OperatorsName = ""
    name = f"{algorithm.name} {algorithm.version}" if is_stated(algorithm) else "segmentation"
    ds.SeriesDescription = f"{MANUFACTURER}: {name}"[:_LONG_TEXT]
    ds.Manufacturer = ds.ManufacturerModelName = MANUFACTURER
    ds.SoftwareVersions = version("medseg")
    ds.FrameOfReferenceUID = source.frame_of_reference_uid
    ds.PositionReferenceIndicator = str(source.datasets[0].get("PositionReferenceIndicator") or "")
    ds.StructureSetLabel = "MEDSEG"
    ds.StructureSetDate = ds.StructureSetTime = ""  # `identify` sets them
    ds.ReferencedFrameOfReferenceSequence = [_frame(source)]
    ds.ApprovalStatus = "UNAPPROVED"
    return ds


def _frame(source: Source) -> Dataset:
    series, study, frame = Dataset(), Dataset(), Dataset()
    files: dict[str, list[SliceReference]] = {}
    for one in source.slices:
        files.setdefault(one.sop_instance_uid, []).append(one)
    series.SeriesInstanceUID = source.series_uid
    series.ContourImageSequence = [_image(*slices) for slices in files.values()]
    study.ReferencedSOPClassUID = _STUDY_CLASS
    study.ReferencedSOPInstanceUID = source.study_uid
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = source.frame_of_reference_uid
    frame.RTReferencedStudySequence = [study]
    return frame


def _image(*slices: SliceReference) -> Dataset:
    """A reference to one file, and to frames of it where it has several."""
    item = Dataset()
    item.ReferencedSOPClassUID = slices[0].sop_class_uid
    item.ReferencedSOPInstanceUID = slices[0].sop_instance_uid
    frames = [one.frame for one in slices if one.frame is not None]
    if frames:
        item.ReferencedFrameNumber = frames if len(frames) > 1 else frames[0]
    return item


def _add_regions(
    ds: Dataset,
    instances: Instances,
    source: Source,
    codes: Mapping[str, ClassCodes],
    algorithm: Algorithm,
) -> None:
    colors = class_colors(instances.classes)
    classes = {one.name: one for one in instances.classes}
    corners = _corners(source)
    images = [_encoded(_image(one)) for one in source.slices]
    regions, drawn, observed = [], [], []
    numbered = all(item.id <= MOST_NUMBER for item in instances.items)
    for place, item in enumerate(instances.items, start=1):
        number = item.id if numbered else place
        region = _region(item, number, source, algorithm)
        region.ROIDescription = roi_description(item, classes[item.class_name])
        regions.append(region)
        one = Dataset()
        one.ROIDisplayColor = list(colors[item.class_name])
        raw = _contours(item, source, corners, images)
        one[_CONTOURS] = RawDataElement(
            _CONTOURS, "SQ", len(raw), raw, 0, is_implicit_VR=True, is_little_endian=True
        )
        # So that the bytes are written as they stand, not parsed first.
        one.set_original_encoding(
            is_implicit_vr=True, is_little_endian=True, character_encoding=default_encoding
        )
        one.ReferencedROINumber = number
        drawn.append(one)
        observed.append(_observation(item, number, place, codes[item.class_name]))
    ds.StructureSetROISequence = regions
    ds.ROIContourSequence = drawn
    ds.RTROIObservationsSequence = observed


def _region(item: Instance, number: int, source: Source, algorithm: Algorithm) -> Dataset:
    region = Dataset()
    region.ROINumber = number
    region.ReferencedFrameOfReferenceUID = source.frame_of_reference_uid
    region.ROIName = roi_name(item.class_name, item.id)
    region.ROIVolume = ds_values([item.voxel_count * source.geometry.voxel_ml])[0]
    region.ROIGenerationAlgorithm = algorithm.type
    if is_stated(algorithm):
        region.ROIGenerationDescription = f"{algorithm.name} {algorithm.version}"[:_LONG_TEXT]
    return region


def _observation(item: Instance, number: int, place: int, codes: ClassCodes) -> Dataset:
    """What the region is, in codes. An organ is called so; of a lesion a reader has to judge."""
    seen, kind = Dataset(), _code(codes.type)
    if codes.modifiers:
        kind.SegmentedPropertyTypeModifierCodeSequence = list(map(_code, codes.modifiers))
    seen.ObservationNumber = place
    seen.ReferencedROINumber = number
    seen.SegmentedPropertyCategoryCodeSequence = [_code(codes.category)]
    seen.RTROIIdentificationCodeSequence = [kind]
    seen.RTROIInterpretedType = "ORGAN" if item.kind == "organ" else ""
    seen.ROIInterpreter = ""
    return seen


def _code(term: Term) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = term.value, term.scheme
    item.CodeMeaning = term.meaning
    return item


def _corners(source: Source) -> NDArray[np.float64]:
    """Where the first voxel of each slice lies, (Z, 3) in LPS mm, as its image states it."""
    found = source.geometry.index_to_world([(z, 0, 0) for z in range(len(source.slices))])
    for z, frame in enumerate(source.stack.frames):
        if frame.position is not None:
            found[z] = frame.position
    return found


def _contours(
    item: Instance, source: Source, corners: NDArray[np.float64], images: Sequence[bytes]
) -> bytes:
    """The items of a ContourSequence, encoded: pydicom takes a hundred times as long for them."""
    z, y, x = item.box
    rings = with_keyholes(trace(item.mask, (z.start, y.start, x.start)))
    lengths = np.diff(rings.ends, prepend=0)
    in_plane = source.geometry.affine[:3, 1:3]
    points = corners[np.repeat(rings.planes, lengths)] + rings.points / UNITS @ in_plane.T
    texts = [*map(repr, (np.round(points, _DECIMALS) + 0.0).ravel().tolist())]
    contours = []
    for number, (end, length) in enumerate(zip(rings.ends, lengths, strict=True), start=1):
        parts = (
            _element(0x0016, images[rings.planes[number - 1]]),
            _element(0x0042, b"CLOSED_PLANAR"),
            _element(0x0046, str(length).encode()),
            _element(0x0048, str(number).encode()),
            _element(0x0050, "\\".join(texts[3 * (end - length) : 3 * end]).encode()),
        )
        contours.append(_item(b"".join(parts)))
    return b"".join(contours)


def _element(number: int, value: bytes) -> bytes:
    """An element of group 3006 with implicit value representation, padded to an even length."""
    padded = value + b" " * (len(value) % 2)
    return struct.pack("<HHI", 0x3006, number, len(padded)) + padded


def _item(content: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def _encoded(ds: Dataset) -> bytes:
    """One item of a sequence in bytes."""
    file = DicomBytesIO()
    file.is_implicit_VR = file.is_little_endian = True
    write_dataset(file, ds)
    return _item(file.getvalue())

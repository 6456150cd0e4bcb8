"""DICOM series for the benchmarks: slices of a noisy body, plain or compressed; bare headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from medseg.phantom import write_dicom_series
from medseg.types import Geometry, Volume

Encode = Callable[[NDArray[np.uint16]], bytes]

SYNTAXES: Mapping[str, UID] = MappingProxyType(
    {
        "raw": ExplicitVRLittleEndian,
        "RLE": RLELossless,
        "JPEG-LS": JPEGLSLossless,
        "JPEG 2000": JPEG2000Lossless,
        "JPEG lossless": JPEGLosslessSV1,
    }
)
_ENCODE: Mapping[UID, Encode] = MappingProxyType(
    {
        JPEGLSLossless: lambda values: bytes(imagecodecs.jpegls_encode(values)),
        JPEG2000Lossless: lambda values: bytes(
            imagecodecs.jpeg2k_encode(values, codecformat="j2k", reversible=True, level=0)
        ),
        JPEGLosslessSV1: lambda values: bytes(
            imagecodecs.jpeg8_encode(values, lossless=True, bitspersample=16)
        ),
    }
)


def body(slices: int, size: int, seed: int = 0) -> Volume:
    """A CT of an ellipse of soft tissue with waves and noise of 12 HU, in air."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    inside = (y / 0.39) ** 2 + (x / 0.47) ** 2 < 1
    array = np.empty((slices, size, size), dtype=np.int16)
    for k in range(slices):
        waves = 40 * np.sin(17 * x + k / 9) + 30 * np.cos(25 * y)
        noise = rng.normal(0, 12, (size, size))
        array[k] = np.clip(np.where(inside, waves, -1000) + noise, -1024, 3071)
    geometry = Geometry.from_spacing(array.shape, (2.5, 0.8, 0.7))
    return Volume(array, geometry, modality="CT", unit="HU")


def write_series(volume: Volume, folder: Path, syntax: UID) -> list[Path]:
    """Write a CT as one file a slice in a transfer syntax; the files in slice order.

    Values are stored as scanners do: 12 bits without a sign, 1024 above HU.
    """
    files = write_dicom_series(volume, folder)
    for file in files:
        ds = dcmread(file)
        values = np.frombuffer(ds.PixelData, dtype="<i2").reshape(ds.Rows, ds.Columns)
        ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 12, 11, 0
        ds.RescaleIntercept = "-1024"
        _store(ds, (values + np.int16(1024)).astype("<u2"), syntax)
        ds.save_as(file, enforce_file_format=True)
    return files


def _store(ds: FileDataset, values: NDArray[np.uint16], syntax: UID) -> None:
    ds.PixelData = values.tobytes()
    if syntax == RLELossless:
        ds.compress(RLELossless, generate_instance_uid=False)
    elif syntax != ExplicitVRLittleEndian:
        ds.PixelData = encapsulate([_ENCODE[syntax](values)])
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = syntax


_FILLED = (
    "AccessionNumber",
    "AcquisitionDate",
    "AcquisitionNumber",
    "AcquisitionTime",
    "BodyPartExamined",
    "ContentDate",
    "ContentTime",
    "ContrastBolusAgent",
    "ConvolutionKernel",
    "DataCollectionDiameter",
    "DateOfLastCalibration",
    "DeviceSerialNumber",
    "DistanceSourceToDetector",
    "DistanceSourceToPatient",
    "Exposure",
    "ExposureTime",
    "FilterType",
    "FocalSpots",
    "GantryDetectorTilt",
    "GeneratorPower",
    "InstanceCreationDate",
    "InstanceCreationTime",
    "InstitutionAddress",
    "InstitutionName",
    "InstitutionalDepartmentName",
    "KVP",
    "ManufacturerModelName",
    "OperatorsName",
    "OtherPatientIDs",
    "PatientAge",
    "PatientComments",
    "PatientPosition",
    "PatientWeight",
    "PerformedProcedureStepDescription",
    "PerformedProcedureStepID",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "PerformingPhysicianName",
    "ProtocolName",
    "ReconstructionDiameter",
    "ReferringPhysicianName",
    "RequestedProcedureDescription",
    "RequestedProcedureID",
    "RotationDirection",
    "ScanOptions",
    "SeriesDate",
    "SeriesDescription",
    "SeriesTime",
    "SliceLocation",
    "SoftwareVersions",
    "SpiralPitchFactor",
    "StationName",
    "StudyDate",
    "StudyDescription",
    "StudyID",
    "StudyTime",
    "TableHeight",
    "TimeOfLastCalibration",
    "WindowCenter",
    "WindowWidth",
    "XRayTubeCurrent",
)
_VALUES = {"AS": "030Y", "DA": "20200101", "DS": "1", "FD": 1.0, "IS": "1", "TM": "101112"}
_PRIVATE = 24


def write_headers(folder: Path, files: int, series: int = 400) -> None:
    """Write `files` CT files with the header of a scanner and next to no pixels.

    `series` of them share a folder and a SeriesInstanceUID.
    """
    first = write_dicom_series(body(3, 4), folder / "first")[0]
    ds = dcmread(first)
    for file in (folder / "first").iterdir():
        file.unlink()
    (folder / "first").rmdir()
    _fill(ds)
    uid = str(ds.SeriesInstanceUID)[:40]
    for n in range(files):
        part, place = divmod(n, series)
        ds.SeriesInstanceUID, ds.SOPInstanceUID = f"{uid}.{part}", f"{uid}.{part}.{place}"
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.SeriesNumber, ds.InstanceNumber = str(part + 1), str(place + 1)
        ds.ImagePositionPatient = ["0", "0", f"{2.5 * place:g}"]
        path = folder / f"{part:03d}" / f"IM{place:05d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        ds.save_as(path, enforce_file_format=True)


def _fill(ds: Dataset) -> None:
    """What a scanner writes beside what is needed: text, numbers, sequences, private elements."""
    for name in _FILLED:
        setattr(ds, name, _VALUES.get(dictionary_VR(name), "WORDS"))
    ds.ReferencedImageSequence = [_item() for _ in range(3)]
    ds.ProcedureCodeSequence = [_item()]
    block = ds.private_block(0x0029, "MAKER HEADER", create=True)
    for element in range(_PRIVATE):
        block.add_new(element, "LO", f"private value {element}")


def _item() -> Dataset:
    item: Any = Dataset()
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    item.ReferencedSOPInstanceUID = "2.25.4711"
    return item

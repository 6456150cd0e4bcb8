"""Series made in code: a ramp whose value tells where a voxel lies, sound or with one fault.

12 slices of 10 x 9 pixels, 0.8 x 0.7 mm, step 2.5 mm; the value is 3x + 5y + 7z of LPS mm.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    RLELossless,
)

from medseg.types import Volume

CANARY = "Canary^Yellow"
CANARY_ID = "CANARY-4711"
ROWS, COLUMNS, SLICES = 10, 9, 12
ROW_MM, COLUMN_MM, STEP_MM = 0.8, 0.7, 2.5
SLOPE, INTERCEPT = 0.1, -1024.0
ORIGIN = np.array([-10.0, -20.0, 5.0])
ROOT = "1.2.826.0.1.3680043.10.1"
STORAGE = {
    "CT": CTImageStorage,
    "MR": MRImageStorage,
    "PT": PositronEmissionTomographyImageStorage,
}
Slices = list[Dataset]
Edit = Callable[[Slices], Slices | None]


def ramp(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The value at LPS points (..., 3)."""
    return points @ np.array([3.0, 5.0, 7.0])


def plane(
    position: NDArray[np.float64],
    row: NDArray[np.float64],
    column: NDArray[np.float64],
    slope: float = SLOPE,
    intercept: float = INTERCEPT,
) -> NDArray[np.int16]:
    """Stored values of the ramp on one slice."""
    i, j = np.mgrid[0:ROWS, 0:COLUMNS]
    points = position + i[..., None] * ROW_MM * column + j[..., None] * COLUMN_MM * row
    return np.rint((ramp(points) - intercept) / slope).astype(np.int16)


def series(
    modality: str = "CT",
    *,
    row: Sequence[float] = (1, 0, 0),
    column: Sequence[float] = (0, 1, 0),
    step: Sequence[float] | None = None,
    slices: int = SLICES,
) -> Slices:
    """A sound classic series, slice by slice along `step` (the normal times 2.5 mm)."""
    r, c = np.asarray(row, dtype=float), np.asarray(column, dtype=float)
    along = np.cross(r, c) * STEP_MM if step is None else np.asarray(step, dtype=float)
    return [_slice(modality, k, ORIGIN + k * along, r, c) for k in range(slices)]


def _slice(
    modality: str,
    k: int,
    position: NDArray[np.float64],
    row: NDArray[np.float64],
    column: NDArray[np.float64],
) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID = STORAGE[modality]
    ds.SOPInstanceUID = f"{ROOT}.3.{k + 1}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{ROOT}.1", f"{ROOT}.2"
    ds.FrameOfReferenceUID = f"{ROOT}.4"
    ds.Modality = modality
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = CANARY, CANARY_ID, "19470115"
    ds.SeriesDescription = ds.InstitutionName = CANARY
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SeriesNumber, ds.InstanceNumber = 1, k + 1
    ds.Rows, ds.Columns = ROWS, COLUMNS
    ds.PixelSpacing = [ROW_MM, COLUMN_MM]
    ds.SliceThickness = STEP_MM
    place(ds, position, row, column)
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.RescaleSlope, ds.RescaleIntercept = SLOPE, INTERCEPT
    if modality == "PT":
        ds.Units = "BQML"
    set_pixels(ds, plane(position, row, column))
    return ds


def decimal(value: float) -> str:
    return f"{value:.10g}"[:16]


def place(
    ds: Dataset,
    position: NDArray[np.float64],
    row: NDArray[np.float64] | None = None,
    column: NDArray[np.float64] | None = None,
) -> None:
    """Set the position, and the orientation where it is given."""
    ds.ImagePositionPatient = [decimal(value) for value in position]
    if row is not None and column is not None:
        ds.ImageOrientationPatient = [f"{value:.13f}"[:16] for value in (*row, *column)]


def move(ds: Dataset, offset: Sequence[float]) -> None:
    """Shift a slice; its pixels stay as they are."""
    place(ds, np.asarray(ds.ImagePositionPatient, dtype=float) + np.asarray(offset))


def set_pixels(ds: Dataset, stored: NDArray[np.generic]) -> None:
    ds.PixelData = np.ascontiguousarray(stored).tobytes()
    ds["PixelData"].VR = "OW"


def pixels(ds: Dataset) -> NDArray[np.int16]:
    return np.frombuffer(ds.PixelData, dtype="<i2").reshape(ds.Rows, ds.Columns)


def raw(ds: Dataset, tag: int, vr: str, value: bytes) -> None:
    """Put bytes into a tag that pydicom would not accept as a value."""
    padded = value + b" " * (len(value) % 2)
    ds[tag] = RawDataElement(Tag(tag), vr, len(padded), padded, 0, False, True)


def copies(slices: Slices, number: int) -> Slices:
    """The series `number` times over under new instance UIDs, with InstanceNumber running on."""
    found = []
    for n in range(number):
        for ds in slices:
            twin = copy.deepcopy(ds)
            twin.SOPInstanceUID = f"{ds.SOPInstanceUID}.{n}"
            twin.InstanceNumber = int(ds.InstanceNumber) + n * len(slices)
            found.append(twin)
    return found


def parted(slices: Slices, part: int) -> Slices:
    """Slices of copy `part` (from 0) in what `copies` gave."""
    return slices[part * SLICES : (part + 1) * SLICES]


def save(ds: Dataset, path: Path, syntax: UID = ExplicitVRLittleEndian) -> Path:
    """Write one file; the pixels are taken as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = UID(ds.get("SOPClassUID", "1.2.3"))
    ds.file_meta.MediaStorageSOPInstanceUID = UID(ds.get("SOPInstanceUID", "1.2.3"))
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(path, enforce_file_format=True)
    return path


def write(
    slices: Slices, folder: Path, *, names: Sequence[str] | None = None, syntax: UID | None = None
) -> Path:
    """Write a series; `names` decides the order of the files, not of the slices."""
    for n, ds in enumerate(slices):
        name = names[n] if names else f"{n:03d}.dcm"
        save(ds, folder / name, syntax or ExplicitVRLittleEndian)
    return folder


def file_bytes(ds: Dataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    """The bytes of one file, in memory."""
    buffer = io.BytesIO()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _jpeg_lossless(values: NDArray[np.uint16]) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(values, lossless=True, bitspersample=16))


ENCODERS: dict[UID, Callable[[NDArray[np.uint16]], bytes]] = {
    JPEGLossless: _jpeg_lossless,
    JPEGLosslessSV1: _jpeg_lossless,
    JPEGLSLossless: lambda values: bytes(imagecodecs.jpegls_encode(values)),
    JPEG2000Lossless: lambda values: bytes(
        imagecodecs.jpeg2k_encode(values, codecformat="j2k", reversible=True, level=0)
    ),
    HTJ2KLossless: lambda values: bytes(imagecodecs.htj2k_encode(values)),
}


def write_in(slices: Slices, folder: Path, syntax: UID) -> Path:
    """Write the series in a transfer syntax, its pixels encoded for it."""
    for n, ds in enumerate(slices):
        if syntax == RLELossless:
            ds.file_meta = FileMetaDataset()
            ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            ds.compress(RLELossless, generate_instance_uid=False)
        elif syntax in ENCODERS:
            ds.PixelData = encapsulate([ENCODERS[syntax](pixels(ds).view(np.uint16))])
            ds["PixelData"].VR = "OB"
            ds["PixelData"].is_undefined_length = True
        elif syntax == ExplicitVRBigEndian:
            set_pixels(ds, pixels(ds).astype(">i2"))
        save(ds, folder / f"{n:03d}.dcm", syntax)
    return folder


def enhanced(slices: Slices, *, shared: bool = True) -> Dataset:
    """One enhanced CT object of the frames of a classic series, in their order."""
    first = slices[0]
    ds = copy.deepcopy(first)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(ds, name)
    del ds.RescaleSlope, ds.RescaleIntercept, ds.SliceThickness
    ds.SOPClassUID = EnhancedCTImageStorage
    ds.NumberOfFrames = len(slices)
    common = _groups(first)
    if shared:
        ds.SharedFunctionalGroupsSequence = Items([common])
    ds.PerFrameFunctionalGroupsSequence = Items(
        [_frame_groups(one, None if shared else _groups(one)) for one in slices]
    )
    ds.PixelData = b"".join(one.PixelData for one in slices)
    ds["PixelData"].VR = "OW"
    return ds


def _item(**values: object) -> Items:
    ds = Dataset()
    for name, value in values.items():
        setattr(ds, name, value)
    return Items([ds])


def _groups(one: Dataset) -> Dataset:
    groups = Dataset()
    groups.PixelMeasuresSequence = _item(
        PixelSpacing=one.PixelSpacing, SliceThickness=one.SliceThickness
    )
    groups.PlaneOrientationSequence = _item(ImageOrientationPatient=one.ImageOrientationPatient)
    return groups


def _frame_groups(one: Dataset, own: Dataset | None) -> Dataset:
    groups = Dataset() if own is None else own
    groups.PlanePositionSequence = _item(ImagePositionPatient=one.ImagePositionPatient)
    groups.PixelValueTransformationSequence = _item(
        RescaleSlope=one.RescaleSlope, RescaleIntercept=one.RescaleIntercept, RescaleType="HU"
    )
    groups.FrameContentSequence = _item(
        StackID="1", TemporalPositionIndex=int(one.get("TemporalPositionIdentifier", 1))
    )
    return groups


def ramp_error(volume: Volume, slope: float = SLOPE) -> float:
    """How far the worst voxel is from the ramp at its world position, less half a stored step."""
    index = np.stack(np.indices(volume.geometry.shape), axis=-1)
    wanted = ramp(volume.geometry.index_to_world(index))
    return float(np.abs(volume.array - wanted).max()) - slope / 2

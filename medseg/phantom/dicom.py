"""A volume as a classic DICOM series, one file a slice, of a patient called Phantom."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)
from pydicom.valuerep import format_number_as_ds

from medseg.errors import OutputError
from medseg.types import Volume

IMPLEMENTATION_UID = "2.25.208651013936461158364170404427129470911"
_STORAGE = {
    "CT": CTImageStorage,
    "MR": MRImageStorage,
    "PT": PositronEmissionTomographyImageStorage,
}
_PT_UNITS = {"Bq/ml": "BQML", "SUVbw": "GML"}
_INT16 = np.iinfo(np.int16)
_LEVELS = 65535


@dataclass(frozen=True)
class _Stored:
    """Stored values (z, y, x); slope and intercept give real ones, None where they are real."""

    values: NDArray[Any]
    slope: float | None
    intercept: float


def write_dicom_series(volume: Volume, folder: Path, *, series_number: int = 1) -> list[Path]:
    """Write one file a slice into `folder`, which is made if missing; the files in slice order.

    The series appears whole or not at all: a folder that was empty or absent stays so on failure.

    CT is written as whole HU, MR of whole numbers as it is, all else in 65,536 steps between its
    ends. Every position comes from the affine, oblique ones too. UIDs are made from the content,
    so the same volume gives the same bytes. A reader that sorts along the normal of the slices
    gives the volume back, or its mirror order of slices where the axes are left-handed.

    Raises OutputError (`sheared`, `folder-not-empty`, `not-writable`) and ValueError for a volume
    of unknown modality or with values that do not fit.
    """
    if not volume.geometry.is_orthogonal:
        remedy = "resample it to a grid with square axes first"
        raise OutputError("sheared", "volume", "DICOM slices cannot hold a sheared grid", remedy)
    stored = _stored(volume)
    key = _content_key(volume, stored, series_number)
    header = _series_header(volume, stored, key, series_number)
    names = [f"{number:04d}.dcm" for number in range(1, volume.geometry.shape[0] + 1)]
    try:
        with _whole_folder(folder, names) as temporary:
            for z, name in enumerate(names):
                ds = _slice(header, volume, stored, z, key)
                ds.save_as(temporary / name, enforce_file_format=True)
    except OSError as error:
        detail = f"cannot be written ({error.strerror})"
        raise OutputError("not-writable", folder.name, detail, "choose another folder") from error
    return [folder / name for name in names]


def _stored(volume: Volume) -> _Stored:
    array = volume.array
    if volume.modality not in _STORAGE:
        msg = f"DICOM needs a modality of CT, MR or PT; got {volume.modality}"
        raise ValueError(msg)
    if not np.isfinite(array).all():
        msg = "NaN and infinite values have no place in DICOM"
        raise ValueError(msg)
    low, high = float(array.min()), float(array.max())
    fits = low >= _INT16.min and high <= _INT16.max
    if volume.modality == "CT":
        if not fits:
            msg = f"CT values from {low:g} to {high:g} do not fit into 16 bits"
            raise ValueError(msg)
        return _Stored(np.rint(array).astype(np.int16), 1.0, 0.0)
    if volume.modality == "MR" and array.dtype.kind in "iu" and fits:
        return _Stored(array.astype(np.int16), None, 0.0)
    if volume.modality == "PT" and low < 0:
        msg = f"PET values are not negative; got {low:g}"
        raise ValueError(msg)
    intercept = 0.0 if volume.modality == "PT" else low
    slope = float(_number((high - intercept) / _LEVELS or 1.0))
    levels = np.rint((array.astype(np.float64) - intercept) / slope)
    return _Stored(np.clip(levels, 0, _LEVELS).astype(np.uint16), slope, intercept)


def _number(value: float) -> str:
    """A decimal string of at most 16 characters (PS3.5 6.2)."""
    return str(format_number_as_ds(float(value)))


def _numbers(values: Iterable[float]) -> list[str]:
    return [_number(value) for value in values]


def _content_key(volume: Volume, stored: _Stored, series_number: int) -> str:
    content = hashlib.sha256(stored.values.tobytes())
    content.update(volume.geometry.affine.tobytes())
    parts = (volume.geometry.shape, volume.modality, volume.unit, volume.slice_thickness_mm)
    content.update(repr((*parts, stored.slope, stored.intercept, series_number)).encode())
    return content.hexdigest()


def _uid(*parts: str) -> str:
    """A UID under 2.25 made from text (PS3.5 B.2)."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def _series_header(volume: Volume, stored: _Stored, key: str, series_number: int) -> Dataset:
    """What all slices share."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = _STORAGE[volume.modality]
    ds.Modality = volume.modality
    ds.Manufacturer = "medseg"
    ds.PatientName = ds.PatientID = "Phantom"
    for name in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber"):
        setattr(ds, name, "")
    ds.ReferringPhysicianName = ds.StudyID = ""
    ds.StudyInstanceUID = _uid("study", key)
    ds.SeriesInstanceUID = _uid("series", key)
    ds.FrameOfReferenceUID = _uid("frame of reference", key)
    ds.PositionReferenceIndicator = ""
    ds.SeriesNumber = str(series_number)
    thickness = volume.slice_thickness_mm
    ds.SliceThickness = "" if thickness is None else _number(thickness)
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    _, ds.Rows, ds.Columns = volume.geometry.shape
    _, rows_mm, columns_mm = volume.geometry.spacing_mm
    ds.PixelSpacing = _numbers((rows_mm, columns_mm))
    row, column = volume.geometry.direction[:, 2], volume.geometry.direction[:, 1]
    ds.ImageOrientationPatient = _numbers([*row, *column])
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = int(stored.values.dtype.kind == "i")
    if stored.slope is not None:
        ds.RescaleSlope, ds.RescaleIntercept = _numbers((stored.slope, stored.intercept))
    if volume.modality == "CT":
        ds.RescaleType = "HU"
    if volume.modality == "PT":
        ds.Units = _PT_UNITS.get(volume.unit, "NONE")
    return ds


def _slice(header: Dataset, volume: Volume, stored: _Stored, z: int, key: str) -> Dataset:
    ds = Dataset()
    ds.update(header)
    ds.SOPInstanceUID = _uid("instance", key, str(z))
    ds.InstanceNumber = str(z + 1)
    ds.ImagePositionPatient = _numbers(volume.geometry.index_to_world((z, 0, 0)))
    ds.PixelData = np.ascontiguousarray(
        stored.values[z], dtype=stored.values.dtype.newbyteorder("<")
    ).tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    return ds


@contextmanager
def _whole_folder(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Give a hidden folder; on success what was written there is in `folder`, else nothing is."""
    there = folder.exists()
    held = {path.name for path in folder.iterdir()} if there else set()
    others = held - set(names)
    if others:
        detail = f"holds other files ({len(others)}), which would mix with the series"
        raise OutputError("folder-not-empty", folder.name, detail, "choose an empty folder")
    # A folder that exists may be all that can be written to: then the hidden one lies inside it.
    place = folder if there else folder.parent
    temporary = place / f".{secrets.token_hex(4)}.partial"
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if there:
            _move_in(temporary, folder, names, held)
        else:
            temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move_in(source: Path, folder: Path, names: Sequence[str], held: set[str]) -> None:
    """Move the files into `folder`; those that it did not hold go again if one cannot be moved."""
    try:
        for name in names:
            (source / name).replace(folder / name)
    except OSError:
        for name in set(names) - held:
            (folder / name).unlink(missing_ok=True)
        raise

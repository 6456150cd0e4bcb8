"""Small DICOM studies with chosen headers, and plans of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from medseg_workflows.plan import make_plan
from medseg_workflows.records import Plan, PlanRow
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)

from medseg.io import write
from medseg.io.pseudonyms import Pseudonyms
from medseg.types import Geometry, Volume

ROOT_UID = "1.2.826.0.1.3680043.10.2"
CODES = Pseudonyms(b"a secret of sixteen bytes or more")
MODEL = "phantom-lesions"
_STORAGE = {
    "CT": CTImageStorage,
    "MR": MRImageStorage,
    "PT": PositronEmissionTomographyImageStorage,
}


def make_series(
    folder: Path,
    number: int = 1,
    *,
    study: str = "1",
    slices: int = 12,
    step_mm: float = 1.0,
    modality: str = "MR",
    first: int = 1,
    **header: Any,
) -> list[Path]:
    """An axial series of 8 x 8 pixels of 1 mm, one file a slice; `header` is set in every file.

    SOPInstanceUIDs of a series are counted from `first`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for k in range(slices):
        ds = _slice(study, number, k + first, k * step_mm, modality)
        for keyword, value in header.items():
            setattr(ds, keyword, value)
        path = folder / f"s{study}-{number}-{k + first:03d}.dcm"
        ds.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def _slice(study: str, number: int, k: int, z_mm: float, modality: str) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID = _STORAGE[modality]
    ds.StudyInstanceUID = f"{ROOT_UID}.{study}"
    ds.SeriesInstanceUID = f"{ROOT_UID}.{study}.{number}"
    ds.SOPInstanceUID = f"{ROOT_UID}.{study}.{number}.{k}"
    ds.FrameOfReferenceUID = f"{ROOT_UID}.{study}.9"
    ds.PatientID = ds.PatientName = f"P{study}"
    ds.Modality, ds.ImageType = modality, ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SeriesNumber, ds.InstanceNumber = number, k
    ds.Rows = ds.Columns = 8
    ds.PixelSpacing, ds.ImageOrientationPatient = [1, 1], [1, 0, 0, 0, 1, 0]
    ds.ImagePositionPatient = [0, 0, z_mm]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    if modality != "MR":
        ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    if modality == "PT":
        ds.Units = "BQML"
    ds.PixelData = (np.arange(64, dtype="<i2") + k).tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = UID(ds.SOPInstanceUID)
    return ds


def plan_of(root: Path, models: Sequence[str | Path] = (MODEL,), **options: Any) -> Plan:
    return make_plan(root, models, CODES, **options)


def decisions(plan: Plan) -> dict[tuple[int, int | None], str]:
    """What became of each volume, where the plan is of one study and one model."""
    return {(row.number, row.volume): row.decision for row in plan.rows}


def reasons(plan: Plan) -> Mapping[int, str]:
    """Why, by the number of the series, where the plan is of one study and one model."""
    return {row.number: "; ".join(row.reasons) for row in plan.rows}


def only(rows: Sequence[PlanRow]) -> PlanRow:
    (row,) = rows
    return row


def write_image(path: Path, seed: int = 0, *, shape: tuple[int, int, int] = (12, 8, 8)) -> Path:
    """An image file with voxels of 1 mm."""
    array = np.random.default_rng(seed).integers(0, 100, shape).astype(np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(Volume(array, Geometry.identity(shape), "unknown", "unknown"), path)
    return path

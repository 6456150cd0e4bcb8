"""Small DICOM series that differ, and a SEG drawn on one."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom import dcmread

from medseg.io.dicom_out import dicom_objects, read_source
from medseg.phantom import write_dicom_series
from medseg.types import Geometry, InstanceClass, Instances, Volume

SERIES_GRID = Geometry.from_spacing((6, 11, 13), (3.0, 0.8, 1.25), (-20.0, 31.0, 400.0))


def ct_series(folder: Path, seed: int, **header: str) -> Path:
    """A CT series of random values; `header` is set in every file."""
    values = np.random.default_rng(seed).integers(0, 900, SERIES_GRID.shape).astype(np.int16)
    volume = Volume(values, SERIES_GRID, "CT", "HU", slice_thickness_mm=3.0)
    for path in write_dicom_series(volume, folder, series_number=seed):
        ds = dcmread(path)
        ds.PatientName = "Phantom^"  # one part alone makes highdicom warn
        for keyword, value in header.items():
            setattr(ds, keyword, value)
        ds.save_as(path)
    return folder


def seg_of(series: Path, folder: Path) -> Path:
    """A SEG with one lesion on two of the six slices of a series."""
    labels = np.zeros(SERIES_GRID.shape, dtype=np.uint8)
    labels[2:4, 3:6, 4:9] = 5
    found = Instances.from_labelmap(
        labels, SERIES_GRID, [InstanceClass("lung nodule", "lesion", 1)]
    )
    folder.mkdir()
    made = dicom_objects(
        found, read_source(series), formats=["seg"], timestamp=datetime(2026, 1, 2, 3, 4, 5)
    )
    made.save(folder)
    return folder / "instances.seg.dcm"

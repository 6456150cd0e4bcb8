"""The ramp in 12 orientations and 3 anisotropies, through every transfer syntax without loss."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from dicom_builders import (
    COLUMNS,
    ENCODERS,
    INTERCEPT,
    ORIGIN,
    ROWS,
    SLOPE,
    Slices,
    enhanced,
    place,
    ramp,
    save,
    series,
    set_pixels,
    write_in,
)
from numpy.typing import NDArray
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from medseg.io.dicom import read_dicom
from medseg.types import Volume

Vector = NDArray[np.float64]
X, Y, Z = np.eye(3)
ORIENTATIONS = [
    (first * one, second * other)
    for one, other in ((X, Y), (Y, Z), (X, Z))
    for first, second in itertools.product((1.0, -1.0), repeat=2)
]
SPACINGS_MM = [(1.0, 1.0, 1.0), (2.5, 0.8, 0.7), (5.0, 0.5, 1.5)]
SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    *ENCODERS,
]
COUNT = 4


def affine(row: Vector, column: Vector, spacing_mm: tuple[float, float, float]) -> Vector:
    """Index (z, y, x, 1) to LPS millimetres."""
    whole = np.eye(4)
    whole[:3, :3] = np.stack([np.cross(row, column), column, row], axis=1) * spacing_mm
    whole[:3, 3] = ORIGIN
    return whole


def grid_series(row: Vector, column: Vector, spacing_mm: tuple[float, float, float]) -> Slices:
    """The ramp on a grid of that spacing (z, y, x), its files not in order."""
    slices = series(row=row, column=column, slices=COUNT)
    matrix = affine(row, column, spacing_mm)
    for k, ds in enumerate(slices):
        ds.PixelSpacing = list(spacing_mm[1:])
        place(ds, (matrix @ [k, 0, 0, 1])[:3])
        points = index_points(matrix, (1, ROWS, COLUMNS), first=k)[0]
        set_pixels(ds, np.rint((ramp(points) - INTERCEPT) / SLOPE).astype(np.int16))
    return [slices[k] for k in (2, 0, 3, 1)]


def index_points(matrix: Vector, shape: tuple[int, int, int], first: int = 0) -> Vector:
    index = np.stack(np.indices(shape), axis=-1).astype(float)
    index[..., 0] += first
    return np.asarray(index @ matrix[:3, :3].T + matrix[:3, 3])


def check_ramp(volume: Volume, matrix: Vector) -> None:
    """The grid is off by at most 0.01 mm and a voxel by at most 0.5 HU, by tags and by values."""
    shape = (COUNT, ROWS, COLUMNS)
    assert volume.geometry.shape == shape
    truth = index_points(matrix, shape)
    index = np.stack(np.indices(shape), axis=-1)
    assert np.linalg.norm(volume.geometry.index_to_world(index) - truth, axis=-1).max() <= 0.01
    assert np.abs(volume.array - ramp(truth)).max() <= 0.5
    design = np.column_stack([index.reshape(-1, 3), np.ones(index.size // 3)])
    fitted, *_ = np.linalg.lstsq(design, volume.array.ravel().astype(float), rcond=None)
    wanted = np.array([3.0, 5.0, 7.0, 0.0]) @ matrix
    wanted[3] = ramp(matrix[:3, 3])
    assert np.abs(fitted[:3] - wanted[:3]).max() <= 0.01  # HU from one voxel to the next
    assert abs(fitted[3] - wanted[3]) <= 0.03  # 0.01 mm along the weakest axis


def grids() -> list[tuple[Vector, Vector, tuple[float, float, float]]]:
    return [(*axes, spacing) for axes in ORIENTATIONS for spacing in SPACINGS_MM]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name[:40])
def test_the_ramp_is_right_in_every_orientation_anisotropy_and_syntax(
    tmp_path: Path, syntax: UID
) -> None:
    for number, (row, column, spacing_mm) in enumerate(grids()):
        folder = write_in(grid_series(row, column, spacing_mm), tmp_path / str(number), syntax)
        check_ramp(read_dicom(folder), affine(row, column, spacing_mm))


def test_the_ramp_is_right_in_every_orientation_and_anisotropy_of_enhanced_objects(
    tmp_path: Path,
) -> None:
    for number, (row, column, spacing_mm) in enumerate(grids()):
        path = save(enhanced(grid_series(row, column, spacing_mm)), tmp_path / f"{number}.dcm")
        check_ramp(read_dicom(path), affine(row, column, spacing_mm))

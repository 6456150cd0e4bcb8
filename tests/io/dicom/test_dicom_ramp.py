"""A ramp whose value tells the place: no swap, flip, shift or lost order can hide."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from dicom_builders import (
    COLUMN_MM,
    ROW_MM,
    SLICES,
    STEP_MM,
    enhanced,
    ramp_error,
    save,
    series,
    write,
)
from numpy.typing import NDArray

from medseg.io.dicom import read_dicom

Vector = NDArray[np.float64]
X, Y, Z = np.eye(3)
STRAIGHT = [
    (first * one, second * other)
    for (one, other) in ((X, Y), (Y, Z), (X, Z))
    for first, second in itertools.product((1.0, -1.0), repeat=2)
]


def rotation(x: float, y: float, z: float) -> Vector:
    """Turns about the axes x, y, z in that order, in radians."""
    cx, sx, cy, sy, cz, sz = np.cos(x), np.sin(x), np.cos(y), np.sin(y), np.cos(z), np.sin(z)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


TURN = rotation(0.2, 0.15, -0.3)


@pytest.mark.parametrize("kind", ["classic", "enhanced"])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("number", range(len(STRAIGHT)))
def test_every_voxel_holds_the_value_of_its_place(
    tmp_path: Path, number: int, turned: bool, kind: str
) -> None:
    row, column = STRAIGHT[number]
    if turned:
        row, column = TURN @ row, TURN @ column
    slices = series(row=row, column=column)
    order = np.random.default_rng(number).permutation(SLICES)
    shuffled = [slices[k] for k in order]
    if kind == "classic":
        write(shuffled, tmp_path)
    else:
        save(enhanced(shuffled), tmp_path / "one.dcm")
    volume = read_dicom(tmp_path)
    assert ramp_error(volume) < 1e-3
    spacing = (STEP_MM, ROW_MM, COLUMN_MM)
    assert volume.geometry.spacing_mm == pytest.approx(spacing, abs=1e-6)
    assert volume.geometry.affine[:3, 0] == pytest.approx(STEP_MM * np.cross(row, column), abs=1e-6)


@pytest.mark.parametrize("spacing", [0.2, 5.0])
def test_other_steps_between_slices_are_measured_from_positions(
    tmp_path: Path, spacing: float
) -> None:
    write(series(step=(0, 0, spacing)), tmp_path)
    volume = read_dicom(tmp_path)
    assert volume.geometry.affine[:3, 0] == pytest.approx([0, 0, spacing])
    assert ramp_error(volume) < 1e-3


def test_slices_acquired_head_first_or_feet_first_give_the_same_volume(tmp_path: Path) -> None:
    write(series(), tmp_path / "up")
    write(list(reversed(series())), tmp_path / "down")
    up, down = read_dicom(tmp_path / "up"), read_dicom(tmp_path / "down")
    assert up.geometry == down.geometry
    assert up.array.tobytes() == down.array.tobytes()


def test_names_and_instance_numbers_change_nothing(tmp_path: Path) -> None:
    write(series(row=TURN @ X, column=TURN @ Y), tmp_path / "plain")
    plain = read_dicom(tmp_path / "plain")
    for seed in range(3):
        rng = np.random.default_rng(seed)
        slices = series(row=TURN @ X, column=TURN @ Y)
        for ds, number in zip(slices, rng.permutation(SLICES), strict=True):
            ds.InstanceNumber = int(number)
        names = [f"{number}" for number in rng.permutation(1000)[:SLICES]]
        folder = write(slices, tmp_path / str(seed), names=names)
        volume = read_dicom(folder)
        assert volume.geometry == plain.geometry
        assert volume.geometry.affine.tobytes() == plain.geometry.affine.tobytes()
        assert volume.array.tobytes() == plain.array.tobytes()


def test_slope_and_intercept_of_each_frame_are_its_own(tmp_path: Path) -> None:
    slices = series()
    for k, ds in enumerate(slices):
        ds.RescaleSlope = 0.1 * (1 + k)
        values = np.frombuffer(ds.PixelData, "<i2") / (1.0 + k)
        ds.PixelData = np.rint(values).astype("<i2").tobytes()
        ds["PixelData"].VR = "OW"
    write(slices, tmp_path / "classic")
    save(enhanced(slices), tmp_path / "enhanced" / "one.dcm")
    for kind in ("classic", "enhanced"):
        volume = read_dicom(tmp_path / kind)
        assert volume.array.dtype == np.float32
        assert ramp_error(volume, slope=0.1 * SLICES) < 1e-3


def test_a_ball_has_its_closed_form_volume_through_thick_oblique_slices(tmp_path: Path) -> None:
    """Partial volume by 8 x 8 x 8 points a voxel: mL of the read grid against 4/3 pi r^3."""
    slices = series(row=TURN @ X, column=TURN @ Y)
    row, column = TURN @ X, TURN @ Y
    normal = np.cross(row, column)
    middle = np.array([-10.0, -20.0, 5.0]) + normal * 13.75 + column * 3.6 + row * 2.8
    offsets = (np.arange(8) + 0.5) / 8 - 0.5
    i, j = np.mgrid[0:10, 0:9]
    for k, ds in enumerate(slices):
        share = np.zeros((10, 9))
        for dz, dy, dx in itertools.product(offsets, repeat=3):
            points = (
                np.array([-10.0, -20.0, 5.0])
                + normal * (k + dz) * STEP_MM
                + (i + dy)[..., None] * ROW_MM * column
                + (j + dx)[..., None] * COLUMN_MM * row
            )
            share += np.linalg.norm(points - middle, axis=-1) <= 2.5
        ds.RescaleSlope, ds.RescaleIntercept = 1, 0
        ds.PixelData = np.rint(share / 512 * 10000).astype("<i2").tobytes()
        ds["PixelData"].VR = "OW"
    volume = read_dicom(write(slices, tmp_path))
    millilitres = volume.array.sum(dtype=np.float64) / 10000 * volume.geometry.voxel_ml
    assert millilitres == pytest.approx(4 / 3 * np.pi * 2.5**3 / 1000, rel=0.01)

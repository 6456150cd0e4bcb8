"""Where slices lie: orientation, positions along the normal, and the affine measured from them.

Only ImagePositionPatient, ImageOrientationPatient and PixelSpacing are used (PS3.3 C.7.6.2.1.1);
SliceThickness, SpacingBetweenSlices and InstanceNumber never are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from medseg.io.dicom.records import Frame
from medseg.types import Geometry

Vector = NDArray[np.float64]

UNIT_TOLERANCE = 1e-3
ORIENTATION_TOLERANCE_DEG = 0.05
TILT_TOLERANCE_DEG = 0.1
SAME_POSITION_MM = 0.01
OFF_LINE_MM = 0.1
OFF_LINE_STEPS = 0.05
FEWEST_POSITIONS = 3
FURTHEST_POSITION_MM = 1e5
FURTHEST_SPACING_MM = 1e3
_GAP_TOLERANCE = 0.1
_MOST_GAPS = 1 / 3


@dataclass(frozen=True, slots=True)
class Fault:
    """A refusal code with its detail: numbers and names of tags only."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Line:
    """The straight line through the first and the last slice of a stack.

    `step` leads from one slice to the next, in LPS millimetres; `off_mm` is how far the slice
    that lies worst is from its place on the line.
    """

    origin: Vector
    step: Vector
    off_mm: float


def frame_fault(frame: Frame) -> Fault | None:
    """What is absent or makes no sense in one frame's position, orientation and spacing."""
    tags = {
        "ImagePositionPatient": (frame.position, 3),
        "ImageOrientationPatient": (frame.orientation, 6),
        "PixelSpacing": (frame.spacing, 2),
    }
    for name, (values, _) in tags.items():
        if values is None:
            return Fault("geometry-missing", f"{name} is absent")
    for name, (values, count) in tags.items():
        if values is None or len(values) != count:
            return Fault("geometry-invalid", f"{name} does not hold {count} values")
        if not all(map(math.isfinite, values)):
            return Fault("geometry-invalid", f"{name} holds what is no number")
    return _size_fault(frame) or _orientation_fault(frame)


def _size_fault(frame: Frame) -> Fault | None:
    spacing = frame.spacing or (0.0,)
    if min(spacing) <= 0 or max(spacing) > FURTHEST_SPACING_MM:
        wrong = min(spacing) if min(spacing) <= 0 else max(spacing)
        return Fault("geometry-invalid", f"PixelSpacing holds {wrong:g} mm")
    furthest = max(abs(value) for value in frame.position or (math.inf,))
    if furthest > FURTHEST_POSITION_MM:
        return Fault("geometry-invalid", f"ImagePositionPatient holds {furthest:g} mm")
    return None


def _orientation_fault(frame: Frame) -> Fault | None:
    row, column = _raw_axes(frame)
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if max(abs(length - 1) for length in lengths) > UNIT_TOLERANCE:
        detail = f"ImageOrientationPatient has lengths {lengths[0]:.4f} and {lengths[1]:.4f}, not 1"
        return Fault("geometry-invalid", detail)
    if abs(float(row @ column)) > UNIT_TOLERANCE:
        angle = angle_deg(row, column)
        return Fault("geometry-invalid", f"row and column stand at {angle:.2f} degrees, not 90")
    return None


def _raw_axes(frame: Frame) -> tuple[Vector, Vector]:
    values = np.asarray(frame.orientation, dtype=np.float64)
    return values[:3], values[3:]


def axes(frame: Frame) -> tuple[Vector, Vector, Vector]:
    """Unit vectors along a row, along a column, and their normal, in LPS."""
    row, column = _raw_axes(frame)
    row, column = row / np.linalg.norm(row), column / np.linalg.norm(column)
    normal = np.cross(row, column)
    return row, column, normal / np.linalg.norm(normal)


def angle_deg(one: Vector, other: Vector) -> float:
    """The angle between two directions; by atan2, since arccos is blind near 1."""
    sine = float(np.linalg.norm(np.cross(one, other)))
    return math.degrees(math.atan2(sine, float(one @ other)))


def orientation_spread_deg(frames: Sequence[Frame]) -> float:
    """The largest angle between the rows or columns of any frame and the reference frame's."""
    values = np.asarray([frame.orientation for frame in frames], dtype=np.float64)
    reference = np.asarray(_reference(frames).orientation, dtype=np.float64)
    worst = 0.0
    for part, one in ((values[:, :3], reference[:3]), (values[:, 3:], reference[3:])):
        sines = np.linalg.norm(np.cross(part, one), axis=1)
        worst = max(worst, float(np.arctan2(sines, part @ one).max()))
    return math.degrees(worst)


def _reference(frames: Sequence[Frame]) -> Frame:
    """A frame that no order of files decides."""
    return min(frames, key=lambda frame: (frame.orientation or (), frame.position or ()))


def positions(frames: Sequence[Frame]) -> Vector:
    """ImagePositionPatient of each frame, (N, 3)."""
    return np.asarray([frame.position for frame in frames], dtype=np.float64)


def by_position(frames: Sequence[Frame]) -> list[list[Frame]]:
    """The frames of each slice position, in order along the normal.

    Frames less than 0.01 mm apart along the normal share a position.
    """
    along = positions(frames) @ axes(_reference(frames))[2]
    order = np.argsort(along, kind="stable")
    groups: list[list[Frame]] = []
    last = -math.inf
    for place in order:
        if along[place] - last > SAME_POSITION_MM:
            groups.append([])
        groups[-1].append(frames[place])
        last = along[place]
    return groups


def line_through(frames: Sequence[Frame]) -> Line:
    """The line from the first to the last of the sorted slices of one stack."""
    points = positions(frames)
    step = (points[-1] - points[0]) / (len(points) - 1)
    ideal = points[0] + np.arange(len(points))[:, None] * step
    off = np.linalg.norm(points - ideal, axis=1)
    return Line(points[0], cast("Vector", step), float(off.max()))


def line_fault(frames: Sequence[Frame], line: Line) -> Fault | None:
    """Tilt, missing slices or uneven spacing of one sorted stack."""
    normal = axes(frames[0])[2]
    tilt = angle_deg(line.step, normal)
    if tilt > TILT_TOLERANCE_DEG:
        step, square = float(np.linalg.norm(line.step)), float(line.step @ normal)
        detail = (
            f"slices are stacked {tilt:.2f} degrees off their normal"
            f" (step {step:.3f} mm, {square:.3f} mm along the normal)"
        )
        return Fault("gantry-tilt", detail)
    gaps = np.diff(positions(frames) @ normal)
    return _gap_fault(gaps) or _evenness_fault(line, gaps)


def _gap_fault(gaps: Vector) -> Fault | None:
    """Some gaps of two or more whole steps among gaps of one step.

    Where more than a third of the gaps are wide, the spacing changes rather than slices are lost.
    """
    usual = float(np.median(gaps))
    steps = np.rint(gaps / usual)
    whole = np.abs(gaps - steps * usual) <= _GAP_TOLERANCE * usual
    wide = steps >= 2
    if not wide.any() or not whole.all() or wide.mean() > _MOST_GAPS:
        return None
    place = int(np.argmax(wide))
    detail = (
        f"the gap after slice {place + 1} is {gaps[place]:.2f} mm, the others {usual:.2f} mm;"
        f" {int((steps[wide] - 1).sum())} of {int(steps.sum()) + 1} slices are missing"
    )
    return Fault("missing-slices", detail)


def _evenness_fault(line: Line, gaps: Vector) -> Fault | None:
    step = float(np.linalg.norm(line.step))
    if line.off_mm <= min(OFF_LINE_MM, OFF_LINE_STEPS * step) + 1e-9:
        return None
    detail = (
        f"a slice lies {line.off_mm:.3f} mm off its place; gaps are {gaps.min():.3f}"
        f" to {gaps.max():.3f} mm"
    )
    return Fault("uneven-spacing", detail)


def geometry_of(frames: Sequence[Frame], line: Line) -> Geometry:
    """The grid of one sound stack: index (z, y, x) to LPS millimetres.

    Columns of the affine are the measured step, then column and row vectors times PixelSpacing.
    """
    first = frames[0]
    row, column, _ = axes(first)
    between_rows, between_columns = first.spacing or (math.nan, math.nan)
    affine = np.eye(4)
    affine[:3, 0] = line.step
    affine[:3, 1] = column * between_rows
    affine[:3, 2] = row * between_columns
    affine[:3, 3] = line.origin
    return Geometry((len(frames), first.file.rows, first.file.columns), affine)

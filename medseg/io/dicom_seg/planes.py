"""Where the frames of a SEG lie: the grid of its slices, and each frame's slice and segment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medseg.errors import InputRefused
from medseg.io.checks import corrupt
from medseg.types import Geometry

MOST_VOXELS = 4 * 1024**3
_OFF_MM = 0.1
_OFF_STEP = 0.05
_SQUARE = 1e-3
_HALF = 0.5
_TELLING_SLICES = 3
"""Of so many used slices some lie side by side; where none do, the stated distance is doubtful."""
_ORIENTATION = ("PlaneOrientationSequence", "ImageOrientationPatient")
_POSITION = ("PlanePositionSequence", "ImagePositionPatient")
_SPACING = ("PixelMeasuresSequence", "PixelSpacing")


class Planes(NamedTuple):
    """The grid from the first used slice to the last, and the place of each frame.

    `slices` has the index along z of each frame, `segments` its segment: 0 in a label map, whose
    values are segments. `step_is_sure` is True where images say how far slices are apart, or a tag
    that used slices side by side bear out: SpacingBetweenSlices may hold the gap between slices,
    and the smallest gap between used ones may be of several. Of one or two used slices, which bear
    nothing out, SpacingBetweenSlices is believed.
    """

    geometry: Geometry
    slices: tuple[int, ...]
    segments: tuple[int, ...]
    step_is_sure: bool


def planes_of(ds: Dataset, subject: str, images: Geometry | None = None) -> Planes:
    """The planes of a SEG's frames.

    Slices are as far apart as those of `images` where these are given: a wrong tag of the SEG would
    make its volumes wrong by whole factors.

    Raises InputRefused (`file-corrupt`, `geometry-missing`, `geometry-invalid`,
    `mixed-orientation`, `uneven-spacing`, `too-large`).
    """
    groups: list[Dataset] = list(ds.get("PerFrameFunctionalGroupsSequence") or ())
    shared = _first(ds.get("SharedFunctionalGroupsSequence"))
    count = int(ds.get("NumberOfFrames") or 0)
    if count < 1 or len(groups) != count:
        raise corrupt(subject, f"{len(groups)} of {count} frames are described")
    orientations = _values(groups, shared, _ORIENTATION, 6)
    spacings = _values(groups, shared, _SPACING, 2)
    places = _values(groups, shared, _POSITION, 3)
    for values in (orientations, spacings, places):
        if not np.isfinite(values).all():
            raise refused("geometry-missing", subject, "a frame has no position or spacing")
    if np.ptp(orientations, axis=0).max() > _SQUARE or np.ptp(spacings, axis=0).max() > _SQUARE:
        raise refused("mixed-orientation", subject, "orientation or spacing differs by frame")
    row, column = orientations[0, :3], orientations[0, 3:]
    lengths = np.array([row @ row, column @ column, 1 + row @ column])
    if np.abs(lengths - 1).max() > 2 * _SQUARE or spacings.min() <= 0:
        raise refused("geometry-invalid", subject, "axes are not square, or spacing is not above 0")
    normal = np.cross(row, column)
    between, thickness = _stated_steps(groups[0], shared)
    if images is not None:
        between = _step_along(images, normal)
    stated = between or thickness
    step, origin, slices, depth = _line(places, normal, stated, subject)
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1], affine[:3, 2] = column * spacings[0, 0], row * spacings[0, 1]
    affine[:3, 3] = origin
    shape = (depth, int(ds.Rows), int(ds.Columns))
    if min(shape) < 1 or math.prod(shape) > MOST_VOXELS:
        raise refused("too-large", subject, f"a grid of {shape}")
    neighbours = 1 in np.diff(np.unique(slices))
    agrees = stated is not None and abs(np.linalg.norm(step) / stated - 1) < _OFF_STEP
    segments = tuple(_number(g, shared) for g in groups)
    few = between is not None and len(set(slices)) < _TELLING_SLICES
    sure = bool(agrees and (neighbours or few or images is not None))
    return Planes(Geometry(shape, affine), slices, segments, sure)


def _first(sequence: Sequence[Dataset] | None) -> Dataset:
    return sequence[0] if sequence else Dataset()


def _macro(group: Dataset, shared: Dataset, names: tuple[str, str]) -> Any:
    """A value of a functional group: of the frame, else of all frames; None where absent."""
    for place in (group, shared):
        sequence = place.get(names[0])
        if sequence:
            return sequence[0].get(names[1])
    return None


def _values(
    groups: Sequence[Dataset], shared: Dataset, names: tuple[str, str], count: int
) -> NDArray[np.float64]:
    """The value of each frame, (frames, count); NaN where it is absent."""
    found = [_floats(_macro(group, shared, names), count) for group in groups]
    return np.asarray(found, dtype=np.float64)


def _floats(value: Any, count: int) -> list[float]:
    if value is None or isinstance(value, str) or len(value) != count:
        return [np.nan] * count
    return [float(one) for one in value]


def _stated_steps(group: Dataset, shared: Dataset) -> tuple[float | None, float | None]:
    """The distance between slices and their thickness, None where they are absent or senseless."""
    found = [
        _macro(group, shared, (_SPACING[0], keyword))
        for keyword in ("SpacingBetweenSlices", "SliceThickness")
    ]
    between, thickness = (
        float(one) if one is not None and 0 < float(one) < np.inf else None for one in found
    )
    return between, thickness


def _step_along(images: Geometry, normal: NDArray[np.float64]) -> float:
    """How far the images are apart along the axis of theirs that is nearest to `normal`."""
    axis = int(np.argmax(np.abs(images.direction.T @ normal)))
    return images.spacing_mm[axis]


def _number(group: Dataset, shared: Dataset) -> int:
    value = _macro(group, shared, ("SegmentIdentificationSequence", "ReferencedSegmentNumber"))
    return 0 if value is None else int(value)


def _line(
    places: NDArray[np.float64], normal: NDArray[np.float64], stated: float | None, subject: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, ...], int]:
    """Step, origin, each frame's slice and how many slices: gaps are whole multiples of a step."""
    heights = places @ normal
    order = np.argsort(heights, kind="stable")
    gaps = np.diff(heights[order])
    real = gaps[gaps > 1e-3]
    first, last = places[order[0]], places[order[-1]]
    if real.size == 0:
        if stated is None:
            raise refused("geometry-missing", subject, "one slice, and no thickness of it")
        return normal * stated, first, (0,) * len(places), 1
    usual = float(real.min())
    if stated is not None and _whole(real / stated):
        usual = stated
    if not _whole(real / usual):
        raise refused("uneven-spacing", subject, "its slices do not lie on an even grid")
    steps = int(np.rint((heights[order[-1]] - heights[order[0]]) / usual))
    step = (last - first) / steps
    slices = np.rint((heights - heights[order[0]]) / np.linalg.norm(step)).astype(int)
    off = np.abs(first + slices[:, None] * step - places).max()
    if off > min(_OFF_MM, _OFF_STEP * usual) + 1e-9:
        raise refused("uneven-spacing", subject, f"a slice lies {off:.3f} mm off its place")
    return step, first, tuple(int(one) for one in slices), steps + 1


def _whole(ratios: NDArray[np.float64]) -> bool:
    return bool((np.abs(ratios - np.rint(ratios)) < _OFF_STEP).all() and ratios.min() > _HALF)


def refused(code: str, subject: str, detail: str) -> InputRefused:
    """The error for a SEG; `detail` holds numbers and names of tags only."""
    return InputRefused(code, subject, detail, "export the SEG again, or give a label map")

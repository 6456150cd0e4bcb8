"""What the pictures of a result show: slices in viewing order, their outlines, window and letters.

A view is what a radiologist expects: axial slices seen from the feet, the patient's right on the
left of the screen, head or front at the top; sagittal slices with the front on the left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.types import Box, Geometry, Instance, Instances, Unit, Volume

PLANES = ("axial", "coronal", "sagittal")

_SOFT_TISSUE_HU = (-160.0, 240.0)
_LUNG_HU = (-1350.0, 150.0)
_AERATED_HU = (-950.0, -500.0)
_SURROUNDINGS_MM = 10.0
_CONTEXT_MM = 65.0  # shown beside an object, both sides together


@dataclass(frozen=True, eq=False)
class Scene:
    """Image and objects with axes that lead as nearly as can be to S, P, L; array is no copy.

    `source_axes` and `flips` say which axis of the image each axis was, and whether it was turned.
    """

    array: NDArray[Any]
    geometry: Geometry
    unit: Unit
    items: tuple[Instance, ...]
    acquisition_axis: int
    source_axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]


@dataclass(frozen=True, eq=False)
class Outline:
    """The edges of one object's voxels in a view: segments (K, 2, 2) of (right, down) in mm."""

    item: Instance
    segments_mm: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class View:
    """One slice as it is drawn: first row at the top, first column at the left.

    Units: `spacing_mm` is (down, right); `corner_mm` (right, down) and `side_mm` say which square
    of it is shown, measured from the outer corner of the first pixel. `letters` stand at the left,
    right, top and bottom.
    """

    image: NDArray[Any]
    spacing_mm: tuple[float, float]
    outlines: tuple[Outline, ...]
    letters: tuple[str, str, str, str]
    plane: str
    position: str
    corner_mm: tuple[float, float]
    side_mm: float


def scene(volume: Volume, instances: Instances) -> Scene:
    """The volume and its instances turned for viewing; the array is not copied."""
    axes, flips = volume.geometry.closest_axes()
    array = np.transpose(volume.array, axes)[_turn(flips)]
    items = tuple(_turned(item, volume.geometry.shape, axes, flips) for item in instances.items)
    axis = 0 if volume.acquisition_axis is None else axes.index(volume.acquisition_axis)
    geometry = volume.geometry.reoriented(axes, flips)
    return Scene(array, geometry, volume.unit, items, axis, axes, flips)


def _turn(flips: Sequence[bool]) -> Box:
    z, y, x = (slice(None, None, -1 if flip else 1) for flip in flips)
    return z, y, x


def _turned(
    item: Instance, shape: Sequence[int], axes: Sequence[int], flips: Sequence[bool]
) -> Instance:
    z, y, x = (
        slice(shape[axis] - item.box[axis].stop, shape[axis] - item.box[axis].start)
        if flip
        else item.box[axis]
        for axis, flip in zip(axes, flips, strict=True)
    )
    mask = np.transpose(item.mask, axes)[_turn(flips)]
    return replace(item, box=(z, y, x), mask=mask, probability=None)


def largest_slice(item: Instance, axis: int) -> int:
    """The index along `axis` with the object's largest area; of equal ones the middle."""
    areas = _areas(item, axis)
    best = np.flatnonzero(areas == areas.max())
    start: int = item.box[axis].start
    return start + int(best[best.size // 2])


def central_slice(item: Instance, axis: int) -> int:
    """The index along `axis` that the object crosses nearest to its centroid."""
    areas = _areas(item, axis)
    centroid = float(areas @ np.arange(areas.size)) / float(areas.sum())
    crossed = np.flatnonzero(areas)
    start: int = item.box[axis].start
    return start + int(crossed[np.argmin(np.abs(crossed - centroid))])


def _areas(item: Instance, axis: int) -> NDArray[np.int64]:
    others = tuple(other for other in range(3) if other != axis)
    return np.asarray(np.count_nonzero(item.mask, axis=others), dtype=np.int64)


def view(of: Scene, axis: int, index: int, subject: Instance | None) -> View:
    """The slice `index` across `axis`, with a field of view around `subject` (None: all of it)."""
    rows, columns = (other for other in range(3) if other != axis)
    upward = axis != 0  # rows of coronal and sagittal slices lead to the head: drawn from below
    image = np.take(of.array, index, axis=axis)
    spacing = (of.geometry.spacing_mm[rows], of.geometry.spacing_mm[columns])
    outlines = tuple(
        Outline(item, _placed(_edges(item, axis, index), image.shape, spacing, upward=upward))
        for item in of.items
        if item.box[axis].start <= index < item.box[axis].stop
    )
    size_mm = (image.shape[1] * spacing[1], image.shape[0] * spacing[0])
    box_mm = None
    if subject is not None:
        ends = [[subject.box[n].start, subject.box[n].stop] for n in (columns, rows)]
        box_mm = _placed(np.asarray(ends, dtype=np.float64).T, image.shape, spacing, upward=upward)
    corner, side = _field_of_view(size_mm, box_mm)
    number = of.array.shape[axis] - 1 - index if of.flips[axis] else index
    return View(
        image[::-1] if upward else image,
        spacing,
        outlines,
        _letters(of.geometry, rows, columns, upward=upward),
        PLANES[axis],
        f"{'zyx'[of.source_axes[axis]]} index {number}",
        corner,
        side,
    )


def _edges(item: Instance, axis: int, index: int) -> NDArray[np.float64]:
    """Segments (K, 2, 2) of (column, row) between voxels inside and outside, as long as can be."""
    area = np.take(item.mask, index - item.box[axis].start, axis=axis)
    first_row, first_column = (item.box[other].start for other in range(3) if other != axis)
    padded = np.pad(area, 1)
    level = _runs(padded[1:] != padded[:-1])[..., ::-1]
    upright = _runs((padded[:, 1:] != padded[:, :-1]).T)
    corner = np.asarray([first_column, first_row], dtype=np.float64)
    return np.concatenate([level - [1, 0], upright - [0, 1]]) + corner


def _runs(lines: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Where true runs of each line begin and end, (K, 2, 2) as (line, place)."""
    change = np.diff(lines.astype(np.int8), axis=1, prepend=0, append=0)
    starts, stops = np.argwhere(change == 1), np.argwhere(change == -1)
    return np.stack([starts, stops], axis=1).astype(np.float64)


def _placed(
    points: NDArray[np.float64],
    shape: tuple[int, ...],
    spacing_mm: tuple[float, float],
    *,
    upward: bool,
) -> NDArray[np.float64]:
    """Points (..., 2) of (column, row) corners as (right, down) in mm on the screen."""
    column, row = points[..., 0], points[..., 1]
    row = shape[0] - row if upward else row
    return np.stack([column * spacing_mm[1], row * spacing_mm[0]], axis=-1)


def _field_of_view(
    size_mm: tuple[float, float], box_mm: NDArray[np.float64] | None
) -> tuple[tuple[float, float], float]:
    """Corner (right, down) and side of a square: the box with room around it, inside the image."""
    side = max(size_mm)
    centre = [length / 2 for length in size_mm]
    if box_mm is not None:
        extent = float(np.abs(box_mm[1] - box_mm[0]).max())
        side = min(side, extent + _CONTEXT_MM)
        for n, length in enumerate(size_mm):
            if length > side:
                wanted = float(box_mm[:, n].mean())
                centre[n] = min(max(wanted, side / 2), length - side / 2)
    return (centre[0] - side / 2, centre[1] - side / 2), side


def _letters(
    geometry: Geometry, rows: int, columns: int, *, upward: bool
) -> tuple[str, str, str, str]:
    right = geometry.direction[:, columns]
    down = -geometry.direction[:, rows] if upward else geometry.direction[:, rows]
    left, up = direction_letters(-right), direction_letters(-down)
    return left, direction_letters(right), up, direction_letters(down)


def direction_letters(vector: NDArray[np.float64]) -> str:
    """Where an LPS vector leads, nearest first: two letters from about 20 degrees off an axis."""
    lengths = np.abs(vector) / np.linalg.norm(vector)
    order = sorted(range(3), key=lambda n: -round(float(lengths[n]), 6))
    names = ("RL", "AP", "IS")
    return "".join(names[n][int(vector[n] > 0)] for n in order if lengths[n] > 0.34)


def window(of: Scene, item: Instance | None) -> tuple[float, float]:
    """Values that are shown black and white around an object.

    CT: soft tissue, -160 to 240 HU, or lung, -1350 to 150 HU, where more than a third of the
    voxels within 10 mm of the object's box hold air as lung does. Else percentiles 1 and 99.5 of
    the voxels above the image's least value, which is the background of many MR images.
    """
    if of.unit != "HU":
        return _percentiles(of.array)
    if item is None:
        return _SOFT_TISSUE_HU
    values = of.array[_grown(item.box, of.geometry)]
    aerated = np.mean((values > _AERATED_HU[0]) & (values < _AERATED_HU[1]))
    return _LUNG_HU if aerated > 1 / 3 else _SOFT_TISSUE_HU


def _percentiles(array: NDArray[Any]) -> tuple[float, float]:
    step = max(1, round((array.size / 1e6) ** (1 / 3)))  # a million voxels are enough
    values = array[::step, ::step, ::step].ravel()
    values = values[np.isfinite(values)]
    if values.size:
        values = values[values > values.min()]
    low, high = np.percentile(values, (1, 99.5)) if values.size else (0.0, 1.0)
    return float(low), float(high if high > low else low + 1.0)


def _grown(box: Box, geometry: Geometry) -> Box:
    margins = [int(np.ceil(_SURROUNDINGS_MM / mm)) for mm in geometry.spacing_mm]
    z, y, x = (
        slice(max(0, part.start - margin), min(length, part.stop + margin))
        for part, margin, length in zip(box, margins, geometry.shape, strict=True)
    )
    return z, y, x

"""Painting and erasing with a ball, or a disc on one slice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medseg.editing.regions import (
    SAME,
    Mask,
    check_axis,
    check_length,
    padded,
    placed,
    points_of,
    reach,
    voxels_at,
    with_mask,
)
from medseg.types import Box, Geometry, Instance, InstanceClass, box_inside, meeting, union_box


def paint(
    item: Instance,
    geometry: Geometry,
    stroke_lps_mm: ArrayLike,
    radius_mm: float,
    *,
    axis: int | None = None,
    keep_out: Sequence[Instance] = (),
) -> Instance:
    """The object with what a stroke covers: a ball led from point to point, (N, 3) or one (3,).

    Covered are the voxels whose centre is at most `radius_mm` from the stroke, and those in which
    its points lie, so a thin brush paints too. With `axis` it is a disc on the slice across that
    array axis in which the points lie. It stays out of `keep_out`, and what goes beyond the image
    is left out.

    Raises ValueError where the radius is not above 0, the stroke lies outside the image, or its
    points are on several slices of `axis`.
    """
    box, covered = _covered(geometry, stroke_lps_mm, radius_mm, axis)
    whole = union_box([item.box, box])
    mask = placed([item], whole)
    mask[box_inside(box, whole)] |= covered & ~placed(keep_out, box)
    return with_mask(item, mask, whole) or item


def erase(
    item: Instance,
    geometry: Geometry,
    stroke_lps_mm: ArrayLike,
    radius_mm: float,
    *,
    axis: int | None = None,
) -> Instance | None:
    """The object without what a stroke covers, as `paint` has it; None where nothing is left.

    Raises ValueError as `paint` does.
    """
    box, covered = _covered(geometry, stroke_lps_mm, radius_mm, axis)
    shared = meeting(box, item.box)
    if shared is None:
        return item
    mask = item.mask.copy()
    mask[box_inside(shared, item.box)] &= ~covered[box_inside(shared, box)]
    return with_mask(item, mask, item.box)


def paint_new(
    geometry: Geometry,
    stroke_lps_mm: ArrayLike,
    radius_mm: float,
    *,
    id: int,  # noqa: A002 - the field's name
    of: InstanceClass,
    axis: int | None = None,
    keep_out: Sequence[Instance] = (),
) -> Instance:
    """A new object of the class `of` that holds what a stroke covers, as `paint` has it; score 1.

    Raises ValueError as `paint` does, or where `keep_out` leaves nothing.
    """
    box, covered = _covered(geometry, stroke_lps_mm, radius_mm, axis)
    z, y, x = (part.start for part in box)
    made = Instance.from_mask(
        covered & ~placed(keep_out, box),
        id=id,
        class_name=of.name,
        kind=of.kind,
        offset=(z, y, x),
    )
    if made is None:
        msg = "other objects hold all that the stroke covers: paint elsewhere, or over them"
        raise ValueError(msg)
    return made


def _covered(
    geometry: Geometry, stroke_lps_mm: ArrayLike, radius_mm: float, axis: int | None
) -> tuple[Box, Mask]:
    """The voxels that a stroke covers, as a box inside the image and a mask of its shape."""
    radius = check_length("radius_mm", radius_mm)
    points = points_of(stroke_lps_mm, "a stroke")
    voxels = voxels_at(geometry, points)
    if axis is not None:
        points = _on_slice(geometry, points, voxels, axis)
    margin = np.array(reach(geometry, radius)) + 1
    if axis is not None:
        margin[axis] = 0
    low = np.maximum(voxels.min(axis=0) - margin, 0)
    high = np.minimum(voxels.max(axis=0) + margin + 1, geometry.shape)
    if (low >= high).any():
        raise _outside()
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    box = (z, y, x)
    covered = np.zeros(high - low, dtype=np.bool_)
    for pair in pairwise(points) if len(points) > 1 else [(points[0], points[0])]:
        ends = voxels_at(geometry, np.array(pair))
        around = padded(_span(ends), margin.tolist(), geometry.shape)
        shared = meeting(around, box)
        if shared is not None:
            near = _near_segment(geometry, shared, pair, radius)
            covered[box_inside(shared, box)] |= near
    inside = ((voxels >= low) & (voxels < high)).all(axis=1)
    covered[tuple((voxels[inside] - low).T)] = True
    if not covered.any():
        raise _outside()
    return box, covered


def _outside() -> ValueError:
    return ValueError("the stroke lies outside the image: begin it inside")


def _span(voxels: NDArray[np.int64]) -> Box:
    z, y, x = (
        slice(int(low), int(high) + 1)
        for low, high in zip(voxels.min(axis=0), voxels.max(axis=0), strict=True)
    )
    return z, y, x


def _on_slice(
    geometry: Geometry, points: NDArray[np.float64], voxels: NDArray[np.int64], axis: int
) -> NDArray[np.float64]:
    """The points moved along `axis` onto the centres of the one slice in which they lie."""
    check_axis(axis)
    slices = np.unique(voxels[:, axis])
    if len(slices) > 1:
        msg = (
            f"a disc paints one slice of axis {axis}; the stroke's points lie on "
            f"{slices.tolist()}: paint each by itself, or use a ball"
        )
        raise ValueError(msg)
    index = geometry.world_to_index(points)
    index[:, axis] = slices[0]
    return geometry.index_to_world(index)


def _near_segment(
    geometry: Geometry, box: Box, ends: tuple[NDArray[np.float64], ...], radius_mm: float
) -> Mask:
    """The voxels of `box` whose centre is at most `radius_mm` from the line between two points."""
    first, last = ends
    along = last - first
    square = float(along @ along)
    index = np.stack(
        np.meshgrid(*[np.arange(part.start, part.stop) for part in box], indexing="ij"), axis=-1
    )
    away = geometry.index_to_world(index) - first
    if square:
        part = np.clip(away @ along / square, 0.0, 1.0)
        away -= part[..., None] * along
    near = np.square(away).sum(axis=-1) <= (radius_mm * (1 + SAME)) ** 2
    return np.asarray(near, dtype=np.bool_)

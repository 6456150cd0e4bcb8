"""Boxes with room around them, masks placed in them, and objects with another mask."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medseg.types import Box, Geometry, Instance, Shape, box_inside, box_outside, meeting, tight_box

Mask = NDArray[np.bool_]

SAME = 1e-9
"""Lengths that differ by less than this part are taken as equal: they differ by rounding."""


def check_length(name: str, mm: float) -> float:
    """`mm` as a float; ValueError, which names it, where it is not above 0 or not finite."""
    if not 0 < mm < math.inf:
        msg = f"{name} is a number above 0; got {mm}"
        raise ValueError(msg)
    return float(mm)


def check_axis(axis: int) -> None:
    """Refuse another array axis than 0, 1, 2 (z, y, x) with a ValueError."""
    if axis not in (0, 1, 2):
        msg = f"axis is 0, 1 or 2 (z, y, x); got {axis}"
        raise ValueError(msg)


def points_of(points_lps_mm: ArrayLike, what: str) -> NDArray[np.float64]:
    """One point (3,) or several (N, 3) as (N, 3) finite LPS millimetres; else ValueError."""
    points = np.atleast_2d(np.asarray(points_lps_mm, dtype=np.float64))
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        msg = f"{what}: points (x, y, z) in LPS mm are wanted, at least one; got {points.shape}"
        raise ValueError(msg)
    if not np.isfinite(points).all():
        msg = f"{what}: a point has a coordinate that is no finite number"
        raise ValueError(msg)
    return points


def voxels_at(geometry: Geometry, points_lps_mm: NDArray[np.float64]) -> NDArray[np.int64]:
    """The voxel (z, y, x) in which each point lies, (N, 3); it may be outside the grid."""
    return np.floor(geometry.world_to_index(points_lps_mm) + 0.5).astype(np.int64)


def reach(geometry: Geometry, mm: float) -> Shape:
    """The most voxels along (z, y, x) between two that are at most `mm` apart."""
    rows = np.linalg.norm(np.linalg.inv(geometry.affine[:3, :3]), axis=1)
    z, y, x = (int(n) for n in np.floor(mm * rows * (1 + SAME) + SAME))
    return z, y, x


def padded(box: Box, margin: Sequence[int], shape: Shape) -> Box:
    """`box` with `margin` voxels (z, y, x) more on both sides, as far as the image goes."""
    z, y, x = (
        slice(max(part.start - int(more), 0), min(part.stop + int(more), length))
        for part, more, length in zip(box, margin, shape, strict=True)
    )
    return z, y, x


def corner(box: Box) -> Shape:
    """The first index (z, y, x) of a box."""
    z, y, x = (part.start for part in box)
    return z, y, x


def lengths(box: Box) -> Shape:
    """The shape of what a box cuts out."""
    z, y, x = (part.stop - part.start for part in box)
    return z, y, x


def placed(items: Iterable[Instance], box: Box) -> Mask:
    """Where any of the objects is inside `box`, of the box's shape."""
    mask = np.zeros(lengths(box), dtype=np.bool_)
    for item in items:
        shared = meeting(item.box, box)
        if shared is not None:
            mask[box_inside(shared, box)] |= item.mask[box_inside(shared, item.box)]
    return mask


def with_mask(item: Instance, mask: Mask, box: Box) -> Instance | None:
    """`item` with the mask that `mask` is inside `box`, and nothing outside; None where empty.

    Where it is the mask that the item has, the item itself; else it has no probability any more.
    """
    tight = tight_box(mask)
    if tight is None:
        return None
    own = box_outside(tight, box)
    crop = mask[tight]
    if own == item.box and np.array_equal(crop, item.mask):
        return item
    return replace(item, box=own, mask=crop.copy(), probability=None, probability_box=None)

"""RECIST diameters: the longest in a plane and the longest square to it, from voxel corners.

In each slice a voxel is the parallelogram, in world millimetres, that the two axes of the slice
span; its edge belongs to it. The long diameter is the largest distance between two corners of
the object's voxels in one slice. The short one is the longest chord at a right angle to it in
that slice: both ends lie on the object's outline, on one line. Where the object is not convex or
lies in several pieces, both may cross a gap: split components first where that is not wanted.

Source: RECIST 1.1 (Eisenhauer et al., European Journal of Cancer 45, 2009).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medseg.measurement.recist_kernels import FIELDS, LONG, SHORT, SLICE, search
from medseg.types import Instances, tight_box

_SAME_AXES = 1e-6
"""Axes of a slice are equal, or square, within this: the noise of single-precision affines."""

_MANY = 2**18
"""From so many voxels on slices without one are left out: parts of an object may lie far apart."""

_Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Diameters:
    """The RECIST pair of each of N objects, in the order of `items`.

    Shapes: `long_mm`, `short_mm` (N,) float64; `slice_index` (N,) int64, along `axis`;
    `long_ends_zyx`, `short_ends_zyx` (N, 2, 3) float64, index coordinates, in which the centre
    of voxel 0 is at 0: whole along `axis`, halves in the plane for the long ends.
    """

    long_mm: NDArray[np.float64]
    short_mm: NDArray[np.float64]
    slice_index: NDArray[np.int64]
    long_ends_zyx: NDArray[np.float64]
    short_ends_zyx: NDArray[np.float64]
    axis: int


class MaskDiameters(NamedTuple):
    """The RECIST pair of one mask; the ends are (2, 3) index coordinates (z, y, x)."""

    long_mm: float
    short_mm: float
    slice_index: int
    long_ends_zyx: NDArray[np.float64]
    short_ends_zyx: NDArray[np.float64]


def recist_diameters(instances: Instances, axis: int) -> Diameters:
    """The longest diameter of each object in a slice across `axis`, and the one square to it.

    Of equally long ones (within 1e-9) the one with the longer short diameter counts, then that of
    the lowest slice, then that whose ends come first in index order. No instance gives arrays of
    length 0. An object always has both: a single voxel those of its parallelogram.

    Raises ValueError where `axis` is not 0, 1 or 2.
    """
    starts = [[part.start for part in item.box] for item in instances]
    return _diameters(
        [item.mask for item in instances],
        np.asarray(starts, dtype=np.float64).reshape(-1, 3),
        instances.geometry.affine[:3, :3],
        axis,
    )


def mask_diameters(
    mask: NDArray[np.bool_], spacing_mm: Sequence[float], axis: int = 0
) -> MaskDiameters:
    """The RECIST pair of a mask (z, y, x) on a straight grid, in slices across `axis`.

    `spacing_mm` is (z, y, x); ties are settled as in `recist_diameters`.

    Raises ValueError for a mask that is not three-dimensional and boolean or has no voxel, for a
    spacing that is not three numbers above 0, and where `axis` is not 0, 1 or 2.
    """
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    if mask.ndim != 3 or mask.dtype != np.bool_:
        msg = f"a boolean mask (z, y, x) is wanted; got {mask.dtype} {mask.shape}"
        raise ValueError(msg)
    if spacing.shape != (3,) or not (np.isfinite(spacing) & (spacing > 0)).all():
        msg = f"spacing_mm is three lengths (z, y, x) above 0; got {spacing_mm}"
        raise ValueError(msg)
    box = tight_box(mask)
    if box is None:
        msg = "a mask without a voxel has no diameter"
        raise ValueError(msg)
    corner = np.array([[part.start for part in box]], dtype=np.float64)
    found = _diameters([mask[box]], corner, np.diag(spacing)[::-1], axis)
    return MaskDiameters(
        float(found.long_mm[0]),
        float(found.short_mm[0]),
        int(found.slice_index[0]),
        found.long_ends_zyx[0],
        found.short_ends_zyx[0],
    )


def _diameters(
    masks: Sequence[NDArray[np.bool_]], starts_zyx: _Floats, steps_mm: _Floats, axis: int
) -> Diameters:
    """`starts_zyx` (N, 3): where each crop begins; `steps_mm` (3, 3): columns z, y, x in world."""
    if axis not in (0, 1, 2):
        msg = f"an array has the axes 0, 1, 2; got {axis}"
        raise ValueError(msg)
    plane = [other for other in range(3) if other != axis]
    order = (axis, *plane)
    gram = _gram(steps_mm[:, plane])
    rows = np.empty((len(masks), FIELDS))
    for row, mask in zip(rows, masks, strict=True):
        stack = mask.transpose(order)
        if mask.size < _MANY:
            search(np.ascontiguousarray(stack).view(np.uint8), gram, row)
        else:
            filled = np.flatnonzero(stack.any(axis=(1, 2)))
            search(np.ascontiguousarray(stack[filled]).view(np.uint8), gram, row)
            row[SLICE] = filled[int(row[SLICE])]
    slices = rows[:, SLICE] + starts_zyx[:, axis]
    ends = np.empty((2, len(masks), 2, 3))
    ends[..., axis] = slices[:, None]
    for of, place in zip(ends, (LONG, SHORT), strict=True):
        corners = rows[:, place : place + 4].reshape(-1, 2, 2) - 0.5
        of[..., plane] = corners + starts_zyx[:, None, plane]
    long_mm, short_mm = np.linalg.norm((ends[:, :, 1] - ends[:, :, 0]) @ steps_mm.T, axis=-1)
    return Diameters(long_mm, short_mm, slices.astype(np.int64), ends[0], ends[1], axis)


def _gram(axes_mm: _Floats) -> _Floats:
    """Products of a slice's two axes (3, 2) with each other: (ii, ij, jj) in mm2.

    Nearly square or equal axes count as such here, so that noise does not settle ties; lengths
    are then taken from the affine as it is.
    """
    products = axes_mm.T @ axes_mm
    ii, ij, jj = (float(one) for one in products[[0, 0, 1], [0, 1, 1]])
    if abs(ij) <= _SAME_AXES * np.sqrt(ii * jj):
        ij = 0.0
    if abs(ii - jj) <= _SAME_AXES * ii:
        jj = ii
    return np.array([ii, ij, jj])

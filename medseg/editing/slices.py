"""Slices between painted ones."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from medseg.editing.distances import distance_mm
from medseg.editing.regions import SAME, Mask, check_axis, padded, placed, with_mask
from medseg.measurement.lattice import facing_steps
from medseg.types import Geometry, Instance


def slice_gaps(item: Instance, axis: int) -> list[tuple[int, int]]:
    """The slices of the crop across `axis` before and after each run of empty ones between."""
    check_axis(axis)
    painted = np.flatnonzero(np.moveaxis(item.mask, axis, 0).any(axis=(1, 2))).tolist()
    return [(low, high) for low, high in pairwise(painted) if high - low > 1]


def interpolate_slices(item: Instance, geometry: Geometry, axis: int) -> Instance:
    """The object with the empty slices across `axis` between its slices filled.

    Between two slices the signed distance to the outline, in mm on the slice, changes evenly, and
    a voxel is inside where it is 0 or below: two equal slices give a prism along the axis. Slices
    that hold something stay as they are.

    Source: Raya and Udupa, Shape-based interpolation of multidimensional objects, IEEE
    Transactions on Medical Imaging 9(1), 1990.

    Raises ValueError where no slice is empty, or outlines do not overlap enough to lead over.
    """
    gaps = slice_gaps(item, axis)
    if not gaps:
        msg = (
            f"object {item.id} has no empty slice between two painted ones along axis {axis}: "
            "paint two slices that are apart, or choose another axis"
        )
        raise ValueError(msg)
    margin = np.abs(facing_steps(geometry)).max(axis=0)
    margin[axis] = 0
    box = padded(item.box, margin, geometry.shape)
    mask = placed([item], box)
    slices = np.moveaxis(mask, axis, 0)  # a view: what is written to it is in `mask`
    first = item.box[axis].start
    for low, high in gaps:
        below, above = (_signed_mm(slices[n], geometry, axis) for n in (low, high))
        for n in range(low + 1, high):
            part = (n - low) / (high - low)
            inside = (1 - part) * below + part * above <= SAME * max(geometry.spacing_mm)
            if not inside.any():
                msg = (
                    f"the outlines of object {item.id} on slices {first + low} and {first + high} "
                    "do not overlap enough: paint a slice between them"
                )
                raise ValueError(msg)
            slices[n] = inside
    return with_mask(item, mask, box) or item


def _signed_mm(outline: Mask, geometry: Geometry, axis: int) -> NDArray[np.float64]:
    """Distance on one slice to the nearest voxel of the other side: below 0 inside, never 0."""
    alone = np.expand_dims(outline, axis)
    outside = distance_mm(alone, geometry)
    inside = distance_mm(~alone, geometry)
    if not np.isfinite(inside).all():  # the slice is full: nothing of its outline is seen
        inside = np.full(inside.shape, float(np.dot(geometry.shape, geometry.spacing_mm)))
    return np.squeeze(np.where(alone, -inside, outside), axis)

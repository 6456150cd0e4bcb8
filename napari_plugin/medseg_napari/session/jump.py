"""Where to look at an object: the slice in which it covers the largest area."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medseg.types import Geometry, Instance
from medseg_napari.session.review import Point


@dataclass(frozen=True)
class LargestSlice:
    """The slice across an array axis with the object's largest area; of equal ones the first.

    `index_zyx` is a voxel of the object in it, that nearest to the middle of its part there, so
    that whoever goes there sees the object, bent or in pieces as it may be.
    """

    axis: int
    index: int
    area_mm2: float
    index_zyx: tuple[int, int, int]
    point_lps_mm: Point


def largest_slice(item: Instance, geometry: Geometry, axis: int) -> LargestSlice:
    """The slice with the largest area of an instance; ValueError where `axis` is not 0, 1 or 2."""
    if axis not in (0, 1, 2):
        msg = f"an array has the axes 0, 1, 2; got {axis}"
        raise ValueError(msg)
    plane = tuple(other for other in range(3) if other != axis)
    counts = np.count_nonzero(item.mask, axis=plane)
    best = int(counts.argmax())
    steps = geometry.affine[:3, :3]
    pixel_mm2 = float(np.linalg.norm(np.cross(steps[:, plane[0]], steps[:, plane[1]])))
    found = np.argwhere(item.mask.take(best, axis=axis))
    away = (found - found.mean(axis=0)) @ steps[:, plane].T
    middle = found[np.square(away).sum(axis=1).round(6).argmin()].tolist()
    inside = [*middle[:axis], best, *middle[axis:]]
    z, y, x = (n + part.start for n, part in zip(inside, item.box, strict=True))
    lps = geometry.index_to_world((z, y, x)).tolist()
    index = best + item.box[axis].start
    return LargestSlice(
        axis, index, float(counts[best]) * pixel_mm2, (z, y, x), (lps[0], lps[1], lps[2])
    )

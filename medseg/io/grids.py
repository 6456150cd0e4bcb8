"""Instances on another grid that has the same voxels: more of them, fewer, or in another order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from medseg.errors import InputRefused
from medseg.types import Axes, Box, Flips, Geometry, Instance, Instances, reoriented_array

_INSIDE_VOXELS = 0.01
"""How far, in voxels, a corner may lie off a place of the other grid: rounding in files."""


def on_grid(instances: Instances, wanted: Geometry, subject: str) -> Instances:
    """The instances on `wanted`, whose voxels are those of their own grid where both have any.

    The axes may be in another order or direction, and the grid larger or smaller; nothing is
    resampled, so that every voxel is kept.

    Raises InputRefused `grid-mismatch` where voxels of the two grids do not coincide, or where an
    instance leaves the wanted grid.
    """
    if instances.geometry == wanted:
        return instances
    axes, flips, start = _between(instances.geometry, wanted, subject)

    def moved(box: Box) -> Box:
        ends = []
        for new, (old, flip) in enumerate(zip(axes, flips, strict=True)):
            part = box[old]
            low = start[new] - (part.stop - 1) if flip else start[new] + part.start
            ends.append(slice(low, low + part.stop - part.start))
        z, y, x = ends
        return z, y, x

    items = [_moved(item, moved, axes, flips, wanted, subject) for item in instances.items]
    return replace(instances, geometry=wanted, items=items)


def _between(found: Geometry, wanted: Geometry, subject: str) -> tuple[Axes, Flips, list[int]]:
    """New axis i is old axis `axes[i]`, turned round where `flips[i]`; index 0 goes to `start`."""
    steps = np.linalg.inv(wanted.affine) @ found.affine
    whole = np.rint(steps[:3, :3])
    is_order = (np.abs(whole).sum(axis=0) == 1).all() and (np.abs(whole).sum(axis=1) == 1).all()
    corners = np.stack(np.meshgrid(*[[0, n - 1] for n in found.shape], indexing="ij"), axis=-1)
    exact = wanted.world_to_index(found.index_to_world(corners.reshape(-1, 3)))
    start = np.rint(steps[:3, 3])
    off = np.abs(exact - (corners.reshape(-1, 3) @ whole.T + start)).max() if is_order else np.inf
    if not off <= _INSIDE_VOXELS:
        detail = "its voxels are not those of the images: " + (
            f"corners lie up to {off:.2f} voxels off" if is_order else "axes or spacing differ"
        )
        raise _mismatch(subject, detail)
    z, y, x = (int(np.argmax(np.abs(row))) for row in whole)
    flips = (bool(whole[0, z] < 0), bool(whole[1, y] < 0), bool(whole[2, x] < 0))
    return (z, y, x), flips, [int(one) for one in start]


def _moved(
    item: Instance,
    moved: Callable[[Box], Box],
    axes: Axes,
    flips: Flips,
    wanted: Geometry,
    subject: str,
) -> Instance:
    box = moved(item.box)
    if any(p.start < 0 or p.stop > n for p, n in zip(box, wanted.shape, strict=True)):
        raise _mismatch(subject, f"object {item.id} lies partly outside the images")
    probability, wider = item.probability, item.probability_box
    if probability is not None:
        probability = reoriented_array(probability, axes, flips)
        wider = None if wider is None else moved(wider)
        if wider is not None:
            inside = [
                slice(max(p.start, 0), min(p.stop, n))
                for p, n in zip(wider, wanted.shape, strict=True)
            ]
            probability = probability[
                tuple(
                    slice(kept.start - whole.start, kept.stop - whole.start)
                    for kept, whole in zip(inside, wider, strict=True)
                )
            ]
            wider = (inside[0], inside[1], inside[2])
    return replace(
        item,
        box=box,
        mask=reoriented_array(item.mask, axes, flips),
        probability=probability,
        probability_box=wider,
    )


def _mismatch(subject: str, detail: str) -> InputRefused:
    return InputRefused(
        code="grid-mismatch",
        subject=subject,
        detail=detail,
        remedy="give the series that the objects were drawn on, or resample them to its grid",
    )


def covering(grid: Geometry, other: Geometry, subject: str) -> Geometry:
    """`grid` grown just so far that `other`, whose voxels are its own, lies inside as well.

    Raises InputRefused `grid-mismatch` where voxels of the two do not coincide.
    """
    axes, flips, start = _between(other, grid, subject)
    low, high = [], []
    for new, (old, flip) in enumerate(zip(axes, flips, strict=True)):
        length = other.shape[old]
        first = start[new] - (length - 1) if flip else start[new]
        low.append(min(0, first))
        high.append(max(grid.shape[new], first + length))
    affine = grid.affine.copy()
    affine[:3, 3] = grid.index_to_world(low)
    return Geometry([stop - begin for begin, stop in zip(low, high, strict=True)], affine)

"""Label maps from grid to grid, and what a round trip costs."""

from __future__ import annotations

import math
from typing import Any, cast

import fastremap
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from medseg.transforms.grids import GridMap
from medseg.transforms.resampling import resample_linear
from medseg.types import Axes, Box, Flips, Geometry, Shape, reoriented_array

Triple = tuple[float, float, float]

_TIE = 1e-4
"""Shares that differ by less than this are equal."""


def labels_to_grid(labelmap: NDArray[Any], source: Geometry, target: Geometry) -> NDArray[Any]:
    """Each voxel of `target` takes the label at the nearest voxel of `source`; type is kept.

    Shapes: labelmap (z, y, x) on `source`; result on `target`, whose axes run along those of
    `source` in any order and direction. A voxel of `target` that lies wholly outside `source` is 0.

    Raises ValueError where the grids are not parallel, or the label map is not on `source`.
    """
    turned, grid = _turned(labelmap, source, target)
    out = turned
    for axis in range(3):
        index, outside = _nearest(grid, axis, turned.shape[axis], target.shape[axis])
        out = np.take(out, index, axis=axis)
        out[(slice(None),) * axis + (outside,)] = 0
    return out


def resample_labels(labelmap: NDArray[Any], source: Geometry, target: Geometry) -> NDArray[Any]:
    """As `labels_to_grid`, but each voxel takes the label with the largest share in it.

    A label's share is its indicator, linearly sampled. It is not smoothed before, as images are: a
    smoothed small object falls below one half and is lost. Equal shares, which are common where a
    sample lies midway, give the label of the nearest voxel: always giving one side would shrink
    or swell all objects. Objects are handled in their boxes: their number costs no memory.
    """
    if source.same_grid(target):
        return labelmap.copy()
    turned, grid = _turned(labelmap, source, target)
    shape = target.shape
    nearest = labels_to_grid(labelmap, source, target)
    dense, numbers = fastremap.renumber(turned, preserve_zero=True, in_place=False)
    boxes = ndimage.find_objects(dense)
    best = np.zeros(shape, dtype=np.float32)
    total = np.zeros(shape, dtype=np.float32)
    out = np.zeros(shape, dtype=labelmap.dtype)
    for label, number in sorted(numbers.items()):
        if label == 0:
            continue
        place, share = _share(dense, int(number), boxes[int(number) - 1], grid, shape)
        total[place] += share
        share[nearest[place] == label] += _TIE
        wins = share > best[place]
        best[place][wins] = share[wins]
        out[place][wins] = label
    total[nearest == 0] -= _TIE
    out[best <= 1.0 - total] = 0
    for axis in range(3):
        outside = _nearest(grid, axis, turned.shape[axis], shape[axis])[1]
        out[(slice(None),) * axis + (outside,)] = 0
    return out


def round_trip_dice(labelmap: NDArray[Any], source: Geometry, target: Geometry) -> dict[int, float]:
    """Dice of each label with itself after `resample_labels` to `target` and back."""
    there = resample_labels(labelmap, source, target)
    back = resample_labels(there, target, source)
    sizes = _counts(labelmap)
    returned = _counts(back)
    common = _counts(np.where(labelmap == back, labelmap, 0))
    return {
        label: 2.0 * common.get(label, 0) / (size + returned.get(label, 0))
        for label, size in sizes.items()
    }


def _counts(labelmap: NDArray[Any]) -> dict[int, int]:
    labels, sizes = np.unique(labelmap, return_counts=True)
    return {int(label): int(size) for label, size in zip(labels, sizes, strict=True) if label}


def _turned(
    labelmap: NDArray[Any], source: Geometry, target: Geometry
) -> tuple[NDArray[Any], GridMap]:
    """The label map turned along `target`'s axes, and the map of `target`'s indices to its own."""
    if labelmap.shape != source.shape:
        msg = f"the label map {labelmap.shape} and its grid {source.shape} differ in shape"
        raise ValueError(msg)
    cosines = source.direction.T @ target.direction
    axes = cast("Axes", tuple(int(axis) for axis in np.abs(cosines).argmax(axis=0)))
    if sorted(axes) != [0, 1, 2]:
        msg = "the two grids are not parallel: one is no turn, crop or rescaling of the other"
        raise ValueError(msg)
    flips = cast("Flips", tuple(bool(cosines[old, new] < 0) for new, old in enumerate(axes)))
    grid = GridMap.between(target, source.reoriented(axes, flips))
    return reoriented_array(labelmap, axes, flips), grid


def _nearest(
    grid: GridMap, axis: int, length: int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Nearest source index of each of `count` voxels, and which lie wholly outside `length`."""
    seen = grid.coordinates(axis, 0, count)
    reach = 0.5 + 0.5 * abs(grid.scale[axis]) - 1e-6
    outside = (seen <= -reach) | (seen >= length - 1 + reach)
    nearest = np.clip(np.rint(seen).astype(np.int64), 0, length - 1)
    return nearest, outside


def _share(
    dense: NDArray[Any], number: int, box: Box, grid: GridMap, shape: Shape
) -> tuple[Box, NDArray[np.float32]]:
    """Where on the target one label may have a share, and that share there."""
    crop, place, offset = [], [], []
    for axis, part in enumerate(box):
        length, scale, shift = dense.shape[axis], grid.scale[axis], grid.offset[axis]
        reach = 1.0  # a linear sample sees the voxels beside it
        first = 0 if part.start == 0 else math.ceil((part.start - reach - shift) / scale)
        last = (part.stop - 1 + reach - shift) / scale
        stop = shape[axis] if part.stop == length else math.floor(last) + 1
        first, stop = max(0, min(first, shape[axis])), max(0, min(stop, shape[axis]))
        crop.append(slice(max(0, part.start - 1), min(length, part.stop + 1)))
        place.append(slice(first, max(first, stop)))
        offset.append(shift + scale * first - crop[-1].start)
    indicator = torch.from_numpy((dense[tuple(crop)] == number).astype(np.float32))
    local = GridMap(grid.scale, cast("Triple", tuple(offset)))
    lengths = cast("Shape", tuple(part.stop - part.start for part in place))
    share = resample_linear(indicator[None], local, lengths, antialias=False)[0].numpy()
    return cast("Box", tuple(place)), share

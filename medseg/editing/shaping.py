"""One object made larger, smaller, smoother, or whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg.editing.distances import within
from medseg.editing.regions import (
    SAME,
    Mask,
    check_axis,
    check_length,
    padded,
    placed,
    reach,
    with_mask,
)
from medseg.measurement.lattice import steps_within
from medseg.measurement.parts import Connectivity, labelled_parts
from medseg.types import Geometry, Instance

_TAIL = 4.0
"""Standard deviations after which a Gaussian is taken as 0."""


def grow(
    item: Instance, geometry: Geometry, by_mm: float, *, keep_out: Sequence[Instance] = ()
) -> Instance | None:
    """The object with its border moved outwards by `by_mm`, inwards where that is below 0.

    A voxel is added whose centre is at most `by_mm` from the centre of one of its voxels, and
    taken away where it is at most that far from one outside: a border moves by up to a voxel less
    than asked, and between slices of 5 mm nothing changes below 5 mm. What is added stays out of
    `keep_out`. At the image's border nothing is taken away. None where nothing is left.

    Raises ValueError where `by_mm` is no finite number, or below the least step between voxels:
    nothing would change.
    """
    mm = check_length("the distance by which an object grows or shrinks", abs(by_mm))
    least = _least_step_mm(geometry)
    if mm * (1 + SAME) < least:
        msg = f"{by_mm:g} mm is less than a voxel: use {least:.3g} mm or more on this image"
        raise ValueError(msg)
    box = padded(item.box, [n + 1 for n in reach(geometry, mm)], geometry.shape)
    mask = placed([item], box)
    if by_mm < 0:
        return with_mask(item, ~within(~mask, geometry, mm), box)
    return with_mask(item, mask | (within(mask, geometry, mm) & ~placed(keep_out, box)), box)


def _least_step_mm(geometry: Geometry) -> float:
    steps = steps_within(geometry, min(geometry.spacing_mm) * (1 + SAME))
    lengths = np.linalg.norm(steps @ geometry.affine[:3, :3].T, axis=1)
    return float(lengths[lengths > 0].min())


def smooth(item: Instance, geometry: Geometry, sigma_mm: float) -> Instance:
    """The object smoothed by a Gaussian of `sigma_mm`, with its volume as nearly as can be.

    Kept are as many voxels as it has, those with most of the blurred mask; where several have
    equally much, all of them or none, whichever changes the volume less. Thin parts and small
    islands vanish, and what they held is added elsewhere. Never empty.

    Raises ValueError where `sigma_mm` is not above 0.
    """
    sigma = check_length("sigma_mm", sigma_mm)
    box = padded(item.box, [n + 1 for n in reach(geometry, _TAIL * sigma)], geometry.shape)
    blurred = _blurred(placed([item], box), geometry, sigma)
    count = item.voxel_count
    least = np.partition(blurred, blurred.size - count, axis=None)[blurred.size - count]
    tie = least * (1 - 1e-9)
    most, fewest = blurred >= tie, blurred > least * (1 + 1e-9)
    many, few = np.count_nonzero(most), np.count_nonzero(fewest)
    kept = fewest if few and count - few < many - count else most
    return with_mask(item, kept, box) or item


def _blurred(mask: Mask, geometry: Geometry, sigma_mm: float) -> NDArray[np.float64]:
    """The mask under a Gaussian; beyond the image it goes on as at the border."""
    values = mask.astype(np.float64)
    if geometry.is_orthogonal:
        sigma = [sigma_mm / mm for mm in geometry.spacing_mm]
        out = ndimage.gaussian_filter(values, sigma, mode="nearest", truncate=_TAIL)
        return np.asarray(out, dtype=np.float64)
    far = reach(geometry, _TAIL * sigma_mm)
    steps = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in far], indexing="ij"), axis=-1)
    square = np.square(steps @ geometry.affine[:3, :3].T).sum(axis=-1) / sigma_mm**2
    kernel = np.where(square <= _TAIL**2, np.exp(-square / 2), 0.0)
    wide = np.pad(values, [(n, n) for n in far], mode="edge")
    from scipy.signal import oaconvolve  # loads a quarter of scipy, so not with the panels

    out = oaconvolve(wide, kernel / kernel.sum(), mode="valid")
    return np.asarray(np.maximum(out.round(12), 0.0), dtype=np.float64)


def fill_holes(item: Instance, *, axis: int | None = None) -> Instance:
    """The object without holes: what it encloses, in 3D or on every slice across `axis`.

    A hole hangs together by faces (on a slice by edges) and does not reach the outside; one that
    reaches the image's border is open.

    Raises ValueError for another axis than 0, 1, 2.
    """
    if axis is None:
        return with_mask(item, _filled(item.mask), item.box) or item
    check_axis(axis)
    neighbours = ndimage.generate_binary_structure(3, 1)
    for side in (0, 2):
        np.moveaxis(neighbours, axis, 0)[side] = False
    filled = ndimage.binary_fill_holes(item.mask, structure=neighbours)
    return with_mask(item, np.asarray(filled, dtype=np.bool_), item.box) or item


def _filled(mask: Mask) -> Mask:
    outside, _ = labelled_parts(np.pad(~mask, 1, constant_values=True), 6)
    kept = outside[1:-1, 1:-1, 1:-1] != outside[0, 0, 0]
    return np.asarray(kept, dtype=np.bool_)


def remove_small_parts(
    item: Instance,
    geometry: Geometry,
    smallest_mm3: float,
    *,
    connectivity: Connectivity = 26,
) -> Instance | None:
    """The object without its connected parts below `smallest_mm3`; None where none is left.

    Raises ValueError where `smallest_mm3` is not above 0, or connectivity is not 6, 18 or 26.
    """
    least = check_length("smallest_mm3", smallest_mm3) / (1000 * geometry.voxel_ml)
    parts, _ = labelled_parts(item.mask, connectivity)
    kept = np.bincount(parts.ravel()) >= least * (1 - SAME)
    kept[0] = False
    return with_mask(item, kept[parts], item.box)


def keep_largest_part(item: Instance, *, connectivity: Connectivity = 26) -> Instance:
    """The largest connected part of the object; of equal ones the first in array order.

    Raises ValueError for another connectivity than 6, 18 or 26.
    """
    parts, order = parts_by_size(item.mask, connectivity)
    return with_mask(item, parts == order[0], item.box) or item


def parts_by_size(mask: Mask, connectivity: Connectivity) -> tuple[NDArray[np.uint32], list[int]]:
    """The number of the connected part of each voxel, 0 outside; and the parts, largest first.

    Of equal ones the first in array order is first. Raises ValueError for another connectivity
    than 6, 18 or 26.
    """
    parts, _ = labelled_parts(mask, connectivity)
    numbers, first, sizes = np.unique(parts, return_index=True, return_counts=True)
    order = np.lexsort([first, -sizes])
    return parts, [number for number in numbers[order].tolist() if number]

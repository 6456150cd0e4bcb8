"""One object made several: at points inside it, or where it falls apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from medseg.editing.distances import distance_mm
from medseg.editing.regions import (
    Mask,
    corner,
    padded,
    placed,
    points_of,
    voxels_at,
    with_mask,
)
from medseg.editing.shaping import parts_by_size
from medseg.measurement.lattice import facing_steps
from medseg.measurement.parts import Connectivity, labelled_parts
from medseg.types import Box, Geometry, Instance, Volume

_NEIGHBOURS = np.argwhere(np.ones((3, 3, 3), dtype=np.bool_)) - 1
_TYPICAL = 3.0
"""Robust standard deviations from the median up to which an intensity is an object's own."""


def split_parts(item: Instance, *, next_id: int, connectivity: Connectivity = 26) -> list[Instance]:
    """The connected parts of an object as objects, largest first, then in array order.

    The first keeps the id, the others are numbered from `next_id` on. An object that hangs
    together is given back alone, as it is.

    Raises ValueError for another connectivity than 6, 18 or 26 (faces, edges, corners).
    """
    parts, order = parts_by_size(item.mask, connectivity)
    return _numbered(item, parts, order, item.box, next_id)


def split_at_points(
    item: Instance,
    geometry: Geometry,
    points_lps_mm: ArrayLike,
    *,
    next_id: int,
    volume: Volume | None = None,
) -> list[Instance]:
    """An object cut into one piece a point, (N, 3) LPS mm, two or more, at its necks.

    The first piece keeps the id, the others are numbered from `next_id` on. A watershed of the
    depth, in mm from the object's border, runs from the points, each first taken up to where the
    object is thickest around it. Points without a neck between them, one shallower by more than
    half the largest voxel step, share what comes to them by which is nearest. `volume` makes voxels
    shallower the less usual their intensity is for the object: a dark gap between bright objects
    parts them. What hangs together with no point goes to the nearest piece.

    Raises ValueError for one point only, a point outside the object, two points in one voxel, or a
    volume on another grid.
    """
    points = points_of(points_lps_mm, f"splitting object {item.id}")
    if volume is not None and not volume.geometry.same_grid(geometry):
        msg = "the volume lies on another grid than the object: give the image that it was found in"
        raise ValueError(msg)
    margin = np.abs(facing_steps(geometry)).max(axis=0)  # holds what is nearest outside
    box = padded(item.box, margin, geometry.shape)
    mask = placed([item], box)
    seeds = _seeds(item, voxels_at(geometry, points) - corner(box), mask)
    depth = _depth(mask, geometry, None if volume is None else volume.array[box])
    paths = [_climbed(seed, depth) for seed in seeds]
    lobes = _lobes([path[-1] for path in paths], depth, max(geometry.spacing_mm) / 2)
    flooded = _flooded(mask, depth, paths, lobes)
    pieces = np.zeros(mask.shape, dtype=np.uint32)
    for lobe in set(lobes):
        own = np.flatnonzero(np.array(lobes) == lobe)
        voxels = np.argwhere(flooded == lobe + 1)
        nearest = own
        if len(own) > 1:
            place = geometry.index_to_world(voxels + corner(box))
            nearest = own[cKDTree(points[own]).query(place)[1]]
        pieces[tuple(voxels.T)] = nearest + 1
    for n, seed in enumerate(seeds, start=1):
        pieces[seed] = n
    pieces = _to_nearest(pieces, mask, geometry)
    return _numbered(item, pieces, range(1, len(seeds) + 1), box, next_id)


def _seeds(item: Instance, voxels: NDArray[np.int64], mask: Mask) -> list[tuple[int, ...]]:
    if len(voxels) < 2:
        msg = f"splitting object {item.id} wants two points or more, one a piece; got one"
        raise ValueError(msg)
    seeds = [tuple(voxel) for voxel in voxels.tolist()]
    for n, seed in enumerate(seeds, start=1):
        inside = all(0 <= at < length for at, length in zip(seed, mask.shape, strict=True))
        if not inside or not mask[seed]:
            msg = f"point {n} lies outside object {item.id}: choose points inside it"
            raise ValueError(msg)
    if len(set(seeds)) < len(seeds):
        msg = f"two points lie in one voxel of object {item.id}: choose them further apart"
        raise ValueError(msg)
    return seeds


def _depth(
    mask: Mask, geometry: Geometry, values: NDArray[np.generic] | None
) -> NDArray[np.float64]:
    """How deep voxels lie inside the mask, in mm, less where intensities are unusual; 0 outside."""
    depth = distance_mm(~mask, geometry)
    if not np.isfinite(depth).all():
        depth = np.ones(mask.shape)  # it fills the image: no border is known
    if values is None:
        return depth
    own = values[mask].astype(np.float64)
    if not np.isfinite(own).all():
        msg = "the image has values inside the object that are no numbers: split it without volume"
        raise ValueError(msg)
    away = np.abs(own - np.median(own))
    spread = _TYPICAL * 1.4826 * float(np.median(away))
    usual = np.exp(-np.square(away / spread) / 2) if spread else (away == 0).astype(np.float64)
    depth[mask] *= usual
    return depth


def _climbed(seed: tuple[int, ...], depth: NDArray[np.float64]) -> list[tuple[int, ...]]:
    """The way from a voxel along the steepest of its 26 neighbours to where none is deeper."""
    path = [seed]
    while True:
        around = np.array(path[-1]) + _NEIGHBOURS
        around = around[((around >= 0) & (around < depth.shape)).all(axis=1)]
        best = tuple(around[int(np.argmax(depth[tuple(around.T)]))].tolist())
        if not depth[best] > depth[path[-1]]:
            return path
        path.append(best)


def _lobes(
    summits: Sequence[tuple[int, ...]], depth: NDArray[np.float64], least_neck_mm: float
) -> list[int]:
    """The lobe of each summit, a number below theirs: one for those without a neck between them.

    A neck is shallower than the lower of two summits by more than `least_neck_mm`.
    """
    lobes = list(range(len(summits)))
    for n, summit in enumerate(summits):
        parts, _ = labelled_parts((depth > 0) & (depth >= depth[summit] - least_neck_mm))
        for m, other in enumerate(summits):
            if parts[other] == parts[summit]:
                old, new = lobes[m], lobes[n]
                lobes = [new if lobe == old else lobe for lobe in lobes]
    return lobes


def _flooded(
    mask: Mask,
    depth: NDArray[np.float64],
    paths: Sequence[Sequence[tuple[int, ...]]],
    lobes: Sequence[int],
) -> NDArray[np.uint32]:
    """The lobe (plus 1) from whose paths a flood comes to each voxel of the mask first; else 0."""
    import SimpleITK as sitk  # noqa: N813 - its usual name; slow to load, for one function

    markers = np.zeros(mask.shape, dtype=np.uint32)
    for lobe, path in zip(lobes, paths, strict=True):
        markers[tuple(np.array(path).T)] = lobe + 1
    level = np.where(mask, -depth, 1.0).astype(np.float32)
    found = sitk.MorphologicalWatershedFromMarkers(
        sitk.GetImageFromArray(level),
        sitk.GetImageFromArray(markers),
        markWatershedLine=False,
        fullyConnected=True,
    )
    pieces = np.where(mask, sitk.GetArrayFromImage(found), 0).astype(np.uint32)
    parts, _ = labelled_parts(mask)
    reached = np.isin(parts, parts[markers > 0])  # others were come to over the outside
    return np.asarray(np.where(reached, pieces, 0), dtype=np.uint32)


def _to_nearest(pieces: NDArray[np.uint32], mask: Mask, geometry: Geometry) -> NDArray[np.uint32]:
    """`pieces` with the voxels of the mask that are in none of them in the nearest one."""
    rest = mask & (pieces == 0)
    if not rest.any():
        return pieces
    axes = geometry.affine[:3, :3].T
    known = np.argwhere(pieces)
    _, nearest = cKDTree(known @ axes).query(np.argwhere(rest) @ axes)
    out = pieces.copy()
    out[rest] = pieces[tuple(known[nearest].T)]
    return out


def _numbered(
    item: Instance,
    pieces: NDArray[np.uint32],
    order: Sequence[int],
    box: Box,
    next_id: int,
) -> list[Instance]:
    """One object for each number of `order`: the first with the item's id."""
    boxes = ndimage.find_objects(pieces)
    found = []
    for place, number in enumerate(order):
        inside = boxes[number - 1]
        z, y, x = (
            slice(part.start + first, part.stop + first)
            for part, first in zip(inside, corner(box), strict=True)
        )
        part = with_mask(item, pieces[inside] == number, (z, y, x))
        if part is not None:
            found.append(part if place == 0 else replace(part, id=next_id + place - 1))
    return found

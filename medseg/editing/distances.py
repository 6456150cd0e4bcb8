"""How far voxels lie from a mask, in millimetres between centres, on any grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from medseg.compiled import compiled
from medseg.editing.regions import SAME, Mask, reach
from medseg.measurement.lattice import facing_steps
from medseg.types import Geometry


def distance_mm(mask: Mask, geometry: Geometry) -> NDArray[np.float64]:
    """Distance of each voxel to the nearest one of `mask` (z, y, x), 0 inside; infinite if empty.

    `geometry` gives the steps between voxels; its shape does not count. Exact: on square axes by
    Euclidean distance transform, on sheared ones by a search tree of the mask's border.
    """
    if not mask.any():
        return np.full(mask.shape, np.inf)
    if geometry.is_orthogonal:
        found = ndimage.distance_transform_edt(~mask, sampling=geometry.spacing_mm)
        return np.asarray(found, dtype=np.float64)
    axes = geometry.affine[:3, :3].T
    tree = cKDTree(np.argwhere(border(mask, geometry)) @ axes)
    distance = np.zeros(mask.shape)
    distance[~mask] = tree.query(np.argwhere(~mask) @ axes)[0]
    return distance


def within(mask: Mask, geometry: Geometry, mm: float) -> Mask:
    """The voxels of the array at most `mm` from one of `mask`; work grows with its border."""
    edge = np.ascontiguousarray(np.argwhere(border(mask, geometry)), dtype=np.int64)
    ends = np.zeros((*mask.shape[:2], mask.shape[2] + 1), dtype=np.int32)
    _stamp(edge, ball_rows(geometry, mm), ends)
    near = np.cumsum(ends, axis=2, dtype=np.int32)[:, :, :-1] > 0
    return np.asarray(near | mask, dtype=np.bool_)


def border(mask: Mask, geometry: Geometry) -> Mask:
    """The voxels of `mask` that may be nearest to a voxel outside it, beyond the array too."""
    inner = mask.copy()
    for step in facing_steps(geometry).tolist():
        ahead, here = [], []
        for shift, length in zip(step, mask.shape, strict=True):
            ahead.append(slice(max(shift, 0), max(length + min(shift, 0), 0)))
            here.append(slice(max(-shift, 0), max(length - max(shift, 0), 0)))
        neighbour = np.zeros_like(mask)
        neighbour[tuple(here)] = mask[tuple(ahead)]
        inner &= neighbour
    return mask & ~inner


def ball_rows(geometry: Geometry, mm: float) -> NDArray[np.int64]:
    """The steps of at most `mm` in rows along x: (R, 4) of dz, dy, first dx, last dx."""
    axes = geometry.affine[:3, :3]
    depth, height, _ = reach(geometry, mm)
    steps = np.stack(
        np.meshgrid(np.arange(-depth, depth + 1), np.arange(-height, height + 1), indexing="ij"),
        axis=-1,
    ).reshape(-1, 2)
    away = steps @ axes[:, :2].T  # where dx is 0, in mm
    along = axes[:, 2]
    square = along @ along
    half = away @ along / square
    room = half**2 - (np.einsum("ij,ij->i", away, away) - (mm * (1 + SAME)) ** 2) / square
    steps, half, room = steps[room >= 0], half[room >= 0], np.sqrt(room[room >= 0])
    first, last = np.ceil(-half - room).astype(np.int64), np.floor(room - half).astype(np.int64)
    rows = np.column_stack([steps, first, last])[first <= last]
    return np.ascontiguousarray(rows, dtype=np.int64)


@compiled
def _stamp(
    points: NDArray[np.int64], rows: NDArray[np.int64], ends: NDArray[np.int32]
) -> None:  # pragma: no cover - compiled
    """Add 1 in `ends` where a row begins and take it behind its end, at every point."""
    depth, height, width = ends.shape[0], ends.shape[1], ends.shape[2] - 1
    for p in range(points.shape[0]):
        for r in range(rows.shape[0]):
            z, y = points[p, 0] + rows[r, 0], points[p, 1] + rows[r, 1]
            if not (0 <= z < depth and 0 <= y < height):
                continue
            first = max(points[p, 2] + rows[r, 2], 0)
            last = min(points[p, 2] + rows[r, 3], width - 1)
            if first <= last:
                ends[z, y, first] += 1
                ends[z, y, last + 1] -= 1

"""Grids of every kind, balls on them, and slow answers for the tests of editing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medseg.types import Geometry, Instance, InstanceClass

Mask = NDArray[np.bool_]
LESION = InstanceClass("lesion", "lesion", 1)
SHEARED = np.array([[0.4, 0.1, 0.9], [0.1, 1.2, 0.3], [1.5, 0.0, 0.0]])
"""Columns z, y, x in mm; their angles are 61 to 89 degrees."""


def turned_grid(shape: Sequence[int], spacing_mm: Sequence[float], seed: int = 0) -> Geometry:
    """Square axes along no axis of the world."""
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing_mm
    affine[:3, 3] = (-31.0, 12.0, 140.0)
    return Geometry(shape, affine)


def sheared_grid(shape: Sequence[int]) -> Geometry:
    affine = np.eye(4)
    affine[:3, :3] = SHEARED
    return Geometry(shape, affine)


GRIDS = {
    "cubes": Geometry.identity((30, 31, 32)),
    "thick slices": Geometry.from_spacing((12, 36, 37), (2.5, 0.8, 0.8)),
    "turned": turned_grid((17, 31, 29), (1.7, 0.9, 1.1)),
    "sheared": sheared_grid((24, 26, 34)),
}


def centre_lps_mm(geometry: Geometry) -> NDArray[np.float64]:
    """The middle of the grid."""
    return geometry.index_to_world((np.array(geometry.shape) - 1) / 2)


def world(geometry: Geometry) -> NDArray[np.float64]:
    """Centres of all voxels, (Z, Y, X, 3) in LPS mm."""
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    return geometry.index_to_world(index)


def ball(geometry: Geometry, centre: NDArray[np.float64], radius_mm: float) -> Mask:
    return np.linalg.norm(world(geometry) - centre, axis=-1) <= radius_mm + 1e-9


def instance(mask: Mask, number: int = 5, score: float = 0.75) -> Instance:
    """A lesion of the mask with a probability, so that tests see whether it is kept."""
    made = Instance.from_mask(
        mask,
        id=number,
        class_name="lesion",
        kind="lesion",
        score=score,
        probability=np.where(mask, 0.75, 0.0),
    )
    assert made is not None
    return made


def full(item: Instance | None, geometry: Geometry) -> Mask:
    """The mask over the whole grid; None is an empty one."""
    mask = np.zeros(geometry.shape, dtype=bool)
    if item is not None:
        mask[item.box] = item.mask
    return mask


def slow_distance(mask: Mask, geometry: Geometry) -> NDArray[np.float64]:
    """Distance of each voxel to the nearest of the mask, by looking at every pair."""
    points = world(geometry)
    found = np.full(geometry.shape, np.inf)
    for point in points[mask]:
        np.minimum(found, np.linalg.norm(points - point, axis=-1), out=found)
    return found


def blob(seed: int, shape: Sequence[int], *, margin: int = 2) -> Mask:
    """A ragged object in several parts with holes, some voxels from the border."""
    mask = np.zeros(shape, dtype=bool)
    inner = tuple(slice(margin, length - margin) for length in shape)
    rng = np.random.default_rng(seed)
    mask[inner] = rng.random(mask[inner].shape) < 0.5
    return mask

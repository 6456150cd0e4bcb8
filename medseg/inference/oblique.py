"""Crops that lie obliquely in an image, and the way of what is found in them back onto it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medseg.card import Card
from medseg.transforms.channels import resample_to
from medseg.transforms.grids import interpolate_at
from medseg.types import Box, Geometry, Instance, Instances, Volume, tight_box

FADED = 0.02
"""Probability at or below which nothing is kept."""


def crop_grid(centre_mm: ArrayLike, turn: NDArray[np.float64], card: Card) -> Geometry:
    """A grid as the card's window about a point, its axes S, P, L turned by `turn` (3, 3)."""
    affine = np.eye(4)
    affine[:3, :3] = turn[:, ::-1] * card.spacing_mm
    middle = affine[:3, :3] @ ((np.array(card.window_shape) - 1) / 2)
    affine[:3, 3] = np.asarray(centre_mm) - middle
    return Geometry(card.window_shape, affine)


def cropped(volume: Volume, grid: Geometry) -> Volume:
    """The volume on a small grid that may lie obliquely in it: only what lies near is touched."""
    ends = np.array([[-1.0, n] for n in grid.shape])
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
    seen = volume.geometry.world_to_index(grid.index_to_world(corners))
    reach = 2 * max(grid.spacing_mm) / np.array(volume.geometry.spacing_mm) + 1
    low = np.floor(seen.min(axis=0) - reach).astype(int)
    high = np.ceil(seen.max(axis=0) + reach).astype(int) + 1
    ends_zyx = [
        (min(max(first, 0), n - 1), min(max(last, 1), n))
        for first, last, n in zip(low.tolist(), high.tolist(), volume.geometry.shape, strict=True)
    ]
    z, y, x = (slice(first, max(last, first + 1)) for first, last in ends_zyx)
    near = volume.crop((z, y, x))
    array = resample_to(near, grid).as_tensor().numpy()[0]
    return replace(volume, array=array, geometry=grid, acquisition_axis=None, warnings=())


def around(volume: Volume, centre_mm: ArrayLike, extent_mm: ArrayLike) -> Volume:
    """The voxels about a point on the image's own grid, `extent_mm` (z, y, x) along S, P and L.

    Nothing is interpolated: noise and voxel size are what they are. A voxel or more is always left.
    """
    axes, _ = volume.geometry.closest_axes()
    along_mm = np.empty(3)
    along_mm[list(axes)] = extent_mm
    half = along_mm / np.array(volume.geometry.spacing_mm) / 2
    middle = volume.geometry.world_to_index(centre_mm)
    last = np.array(volume.geometry.shape) - 1
    low = np.clip(np.rint(middle - half), 0, last).astype(int).tolist()
    high = np.clip(np.rint(middle + half), 0, last).astype(int).tolist()
    z, y, x = (slice(first, end + 1) for first, end in zip(low, high, strict=True))
    return volume.crop((z, y, x))


def on_grid(found: Instances, geometry: Geometry) -> list[Instance]:
    """Organs of a small grid on another that may lie obliquely: of each voxel the likeliest class.

    Probabilities are interpolated, so that a mask's edge lies where it lay.
    """
    if not found.items:
        return []
    maps = _probabilities(found)
    box = _box_around(found.geometry, geometry)
    if box is None:
        return []
    grid = geometry.crop(box)
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    at = found.geometry.world_to_index(grid.index_to_world(index)).reshape(-1, 3)
    slack = np.array(found.geometry.shape) - 0.5
    inside = ((at > -0.5) & (at < slack)).all(axis=1)
    values = interpolate_at(maps, *np.ascontiguousarray(at.T))
    values[:, ~inside] = 0.0
    values = values.reshape(len(maps), *grid.shape)
    label = np.argmax(values, axis=0)
    placed = [_placed(item, values[n], label == n, box) for n, item in enumerate(found.items, 1)]
    return [one for one in placed if one is not None]


def _probabilities(found: Instances) -> NDArray[np.float32]:
    """What is nothing, then each object, (1 + N, Z, Y, X) on the objects' grid."""
    maps = np.zeros((1 + len(found), *found.geometry.shape), dtype=np.float32)
    for n, item in enumerate(found.items, start=1):
        if item.probability is None or item.probability_box is None:
            maps[n][item.box] = item.mask  # what ends at the mask does not say where 0.5 lies
        else:
            maps[n][item.probability_box] = item.probability
    maps[0] = 1.0 - maps[1:].sum(axis=0)
    return maps


def _box_around(small: Geometry, geometry: Geometry) -> Box | None:
    """The voxels of `geometry` that lie in `small`, as the box that holds them."""
    ends = np.array([[-0.5, n - 0.5] for n in small.shape])
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
    seen = geometry.world_to_index(small.index_to_world(corners))
    low = np.maximum(np.ceil(seen.min(axis=0)), 0).astype(int).tolist()
    high = np.minimum(np.floor(seen.max(axis=0)) + 1, geometry.shape).astype(int).tolist()
    if not all(first < last for first, last in zip(low, high, strict=True)):
        return None
    z, y, x = (slice(first, last) for first, last in zip(low, high, strict=True))
    return z, y, x


def _placed(
    item: Instance, probability: NDArray[np.float32], mask: NDArray[np.bool_], box: Box
) -> Instance | None:
    """The object with mask and probability, both (Z, Y, X) over `box`; None where empty."""
    inner = tight_box(mask)
    if inner is None:
        return None
    wider = tight_box(mask | (probability > FADED)) or inner
    crop = np.where(probability > FADED, probability, 0.0)[wider].astype(np.float16)
    return replace(
        item,
        box=_shifted(inner, box),
        mask=mask[inner].copy(),
        probability=crop,
        probability_box=_shifted(wider, box),
    )


def _shifted(inner: Box, box: Box) -> Box:
    z, y, x = (
        slice(part.start + around.start, part.stop + around.start)
        for part, around in zip(inner, box, strict=True)
    )
    return z, y, x

"""How prototypes become masks: which voxels a crop holds, and where they lie in their box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MARGIN = 2.0
"""Voxels by which a mask may stand out of its box: boxes are a little loose."""

TERMS = 10
"""Coordinates, their squares and products, and 1: what a mask adds to the prototypes."""

START = (0.0, 0.0, 0.0, -3.0, -3.0, -3.0, 0.0, 0.0, 0.0, 3.0)
"""Untrained, a mask is the ellipsoid in its box."""


def crop_range(boxes: Tensor, shape: Sequence[int], margin: float) -> tuple[Tensor, Tensor]:
    """First voxels (N, 3) and ends (N, 3) of the crops that boxes (N, 6) and `margin` reach.

    They lie inside the window of `shape`, and each holds a voxel at least.
    """
    size = torch.as_tensor(shape, dtype=torch.int64, device=boxes.device)
    low = torch.floor(boxes[:, :3] - margin).to(torch.int64)
    high = torch.ceil(boxes[:, 3:] + margin).to(torch.int64)
    low = torch.minimum(low.clamp(min=0), size - 1)
    return low, torch.maximum(torch.minimum(high, size), low + 1)


def crop_points(
    low: NDArray[np.int64], high: NDArray[np.int64], most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Voxels (M, 3) of the crops and how many each has (N,), crop after crop.

    A crop with more than `most` voxels gives `most` of them, spread evenly by steps of the golden
    ratio: the cost of an object has a bound whatever its size.
    """
    lengths = high - low
    volume = np.prod(lengths, axis=1)
    count = np.minimum(volume, most)
    owner = np.repeat(np.arange(len(low)), count)
    rank = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    spread = (rank * ((np.sqrt(5) - 1) / 2) % 1 * volume[owner]).astype(np.int64)
    place = np.where(volume[owner] > most, spread, rank)
    place, x = np.divmod(place, lengths[owner, 2])
    z, y = np.divmod(place, lengths[owner, 1])
    return np.stack([z, y, x], axis=1) + low[owner], count


def coordinate_terms(points: Tensor, boxes: Tensor) -> Tensor:
    """The `TERMS` (M, TERMS) of voxels (M, 3), each in half lengths from the middle of its box.

    Boxes are (M, 6) or (1, 6).
    """
    half = (boxes[:, 3:] - boxes[:, :3]) / 2
    middle = (boxes[:, :3] + boxes[:, 3:]) / 2
    place = (points + 0.5 - middle) / half
    z, y, x = place.unbind(dim=1)
    products = torch.stack([z * y, z * x, y * x, torch.ones_like(z)], dim=1)
    return torch.cat([place, place**2, products], dim=1)


def crop_logits(
    prototypes: Tensor, low: Tensor, high: Tensor, box: Tensor, coefficients: Tensor
) -> Tensor:
    """Mask logits (z, y, x) of one object over its crop.

    Shapes: prototypes (Z, Y, X, C); `low` and `high` (3,) voxels of the crop; box (6,) in the same
    voxels; coefficients (C + TERMS,).
    """
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    crop = prototypes[z, y, x]
    count = crop.shape[-1]
    logits = (crop.reshape(-1, count) @ coefficients[:count]).view(crop.shape[:-1])
    half, middle = (box[3:] - box[:3]) / 2, (box[:3] + box[3:]) / 2
    axes = [
        (torch.arange(part.start, part.stop, device=box.device) + 0.5 - middle[n]) / half[n]
        for n, part in enumerate((z, y, x))
    ]
    a = coefficients[count:]
    rz, ry, rx = axes[0][:, None, None], axes[1][:, None], axes[2]
    logits = logits + ((a[0] + a[3] * rz) * rz + a[9])
    logits = logits + (a[1] + a[4] * ry + a[6] * rz) * ry
    return logits + (a[2] + a[5] * rx + a[7] * rz + a[8] * ry) * rx

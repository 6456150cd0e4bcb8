"""How prototypes become masks: which voxels a crop holds, and where they lie in their box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.compiled import compiled

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
    cells: NDArray[np.float32],
    weights: NDArray[np.float32],
    terms: NDArray[np.float32],
    box: NDArray[np.float32],
    crop: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> NDArray[np.float32]:
    """Mask logits (z, y, x) of one object over its crop.

    Shapes: cells (Z / s, Y / s, X / s, C) features at stride s; weights (s, s, s, 1 + C), a
    constant and what each feature counts at a voxel of a cell; terms (TERMS,); box (6,); crop its
    first voxel (3,) and its end (3,).
    """
    logits = np.empty(crop[1] - crop[0], dtype=np.float32)
    _add_up(cells, weights, terms, box.astype(np.float64), crop[0], logits)
    return logits


@compiled
def _add_up(
    cells: NDArray[np.float32],
    weights: NDArray[np.float32],
    terms: NDArray[np.float32],
    box: NDArray[np.float64],
    low: NDArray[np.int64],
    logits: NDArray[np.float32],
) -> None:  # pragma: no cover - compiled
    stride, a = weights.shape[0], terms
    half, middle = (box[3:] - box[:3]) / 2, (box[3:] + box[:3]) / 2
    for k in range(logits.shape[0]):
        cell_z, in_z = divmod(k + low[0], stride)
        z = (k + low[0] + 0.5 - middle[0]) / half[0]
        for j in range(logits.shape[1]):
            cell_y, in_y = divmod(j + low[1], stride)
            y = (j + low[1] + 0.5 - middle[1]) / half[1]
            fixed = (a[0] + a[3] * z) * z + (a[1] + a[4] * y + a[6] * z) * y + a[9]
            slope = a[2] + a[7] * z + a[8] * y
            for i in range(logits.shape[2]):
                cell_x, in_x = divmod(i + low[2], stride)
                x = (i + low[2] + 0.5 - middle[2]) / half[2]
                weight = weights[in_z, in_y, in_x]
                logit = weight[0] + np.float32(fixed + (slope + a[5] * x) * x)
                for c in range(cells.shape[3]):
                    logit += cells[cell_z, cell_y, cell_x, c] * weight[1 + c]
                logits[k, j, i] = logit

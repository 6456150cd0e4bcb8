"""Matching queries to objects by sampled points; work grows with objects x points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional

CELL = 2
"""Points are cells of this many voxels."""

CANDIDATES, POINTS = 12_288, 4_096
"""Cells drawn in a window, and how many of them a mask is compared at."""

UNCERTAIN_SHARE = 0.75


class SoftCrop(NamedTuple):
    """A mask on cells: the first cell (3,), and the share of each cell's voxels (z, y, x)."""

    corner: NDArray[np.int64]
    share: NDArray[np.float32]


def soft_crop(mask: NDArray[np.bool_], start: NDArray[np.int64]) -> SoftCrop:
    """A mask crop that begins at voxel `start` (3,), as shares of cells."""
    start = np.asarray(start, dtype=np.int64)
    before, after = start % CELL, (start + mask.shape) % CELL
    even = np.pad(mask, list(zip(before, after, strict=True)))
    z, y, x = (length // CELL for length in even.shape)
    share = even.reshape(z, CELL, y, CELL, x, CELL).mean(axis=(1, 3, 5), dtype=np.float32)
    return SoftCrop(start // CELL, share)


def candidate_cells(
    shape: Sequence[int], crops: Sequence[SoftCrop], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Cells (P, 3) of a window of `shape` cells, in random order.

    All of them where there are at most `CANDIDATES`; else half uniform, half in and around the
    objects, each as often as another whatever its size.
    """
    total = int(np.prod(shape))
    near = CANDIDATES // 2 if crops and total > CANDIDATES else 0
    flat = rng.choice(total, min(total, CANDIDATES) - near, replace=False)
    cells = np.stack(np.unravel_index(flat, tuple(shape)), axis=-1)
    if near:
        low = np.maximum([one.corner - 1 for one in crops], 0)
        high = np.minimum([one.corner + one.share.shape + 1 for one in crops], shape)
        which = rng.integers(len(crops), size=near)
        drawn = low[which] + rng.random((near, 3)) * (high - low)[which]
        cells = np.concatenate([cells, drawn.astype(np.int64)])
    return np.asarray(rng.permutation(cells), dtype=np.int64)


def shares_at(cells: NDArray[np.int64], crops: Sequence[SoftCrop]) -> NDArray[np.float32]:
    """What part of each cell (P, 3) each object fills, (N, P)."""
    shares = np.zeros((len(crops), len(cells)), dtype=np.float32)
    for row, (corner, share) in zip(shares, crops, strict=True):
        place = cells - corner
        inside = np.flatnonzero(((place >= 0) & (place < share.shape)).all(axis=1))
        row[inside] = share[tuple(place[inside].T)]
    return shares


def mask_costs(logits: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross entropy and soft Dice loss of every mask with every object, each (Q, N).

    Shapes: logits (Q, P), shares (N, P). After Mask2Former (Cheng et al. 2022).
    """
    points = max(logits.shape[1], 1)
    entropy = functional.softplus(logits).sum(dim=1, keepdim=True) - logits @ shares.T
    found = logits.sigmoid()
    both = 2 * (found @ shares.T) + 1
    dice = 1 - both / (found.sum(dim=1, keepdim=True) + shares.sum(dim=1) + 1)
    return entropy / points, dice


def match(cost: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Queries and objects, paired one to one at the least total cost (Q, N) (Kuhn 1955).

    With fewer queries than objects every query has one. Raises ValueError for NaN.
    """
    rows, columns = linear_sum_assignment(cost.detach().cpu().numpy())
    return np.asarray(rows, dtype=np.int64), np.asarray(columns, dtype=np.int64)


def uncertain_points(logits: Tensor) -> Tensor:
    """Positions (M, p) of the points that each mask learns on, from logits (M, P).

    Those nearest to 0 make `UNCERTAIN_SHARE` of them, the first points the rest (Kirillov et al.
    2020); all where there are at most `POINTS`.
    """
    masks, points = logits.shape
    first = torch.arange(min(points, POINTS), device=logits.device).expand(masks, -1)
    if points <= POINTS:
        return first
    unsure = torch.topk(-logits.detach().abs(), int(POINTS * UNCERTAIN_SHARE), sorted=False).indices
    return torch.cat([unsure, first[:, : POINTS - unsure.shape[1]]], dim=1)


def mask_losses(logits: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross entropy and soft Dice loss of each mask with its object, each (M,).

    Shapes: logits and shares (M, p). Every object counts as much as another, whatever its size.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, shares, reduction="none")
    found = logits.sigmoid()
    both = 2 * (found * shares).sum(dim=1) + 1
    dice = 1 - both / (found.sum(dim=1) + shares.sum(dim=1) + 1)
    return entropy.mean(dim=1), dice

"""Masks that were deformed with their image, and so became soft, made hard again.

A threshold of one half would shrink what is a few voxels wide, and let a single voxel vanish, while
the image still shows it: a small lesion would be taught as background. So an object keeps its
volume: of its soft mask the highest voxels stay, as many as the mask sums up to.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.measurement.parts import labelled_parts

LEAST_VOXELS = 0.25
"""Of what lies outside of the region but for less than this, nothing is left."""

TIE = 1e-5
"""Voxels that differ by less than this may be taken in any order."""


def hardened(soft: Tensor) -> Tensor:
    """A soft mask (Z, Y, X) of one object as a boolean one of its volume, at least one voxel.

    A mask that was not deformed stays as it is.
    """
    there = soft > 0
    values = soft[there]
    wanted = min(int(_voxels(np.float64(values.sum().item()))), len(values))
    if wanted == len(values):
        return there
    # Where a coarse grid lies midway many are equal: the first of them would be those of one side.
    lots = torch.rand(len(values), generator=torch.Generator().manual_seed(0))
    best = (values + TIE * lots.to(values)).topk(wanted).indices
    hard = torch.zeros(soft.numel(), dtype=torch.bool, device=soft.device)
    hard[there.flatten().nonzero()[:, 0][best]] = True
    return hard.reshape(soft.shape)


def hardened_parts(soft: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The same of each connected part (26) of a soft mask (Z, Y, X) of any number of objects."""
    labels, count = labelled_parts(soft > 0)
    there = np.flatnonzero(labels)
    parts, values = labels.ravel()[there], soft.ravel()[there]
    totals = np.bincount(parts, weights=values, minlength=count + 1)
    wanted = _voxels(totals.astype(np.float64))
    order = np.lexsort((-values, parts))
    ordered = parts[order]
    rank = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    hard = np.zeros(soft.size, dtype=np.bool_)
    hard[there[order[rank < wanted[ordered]]]] = True
    return hard.reshape(soft.shape)


def _voxels(total: np.float64 | NDArray[np.float64]) -> NDArray[np.int64]:
    """How many voxels stand for soft masks of so many in sum."""
    whole = np.maximum(1, np.rint(total)).astype(np.int64)
    return np.where(total >= LEAST_VOXELS, whole, 0)

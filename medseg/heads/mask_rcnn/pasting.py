"""From a region's grid of logits to its object at the resolution of the window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.heads.window_objects import fringe_crop


def window_mask(
    mask: Tensor, box: Tensor, shape: Sequence[int]
) -> tuple[list[int], NDArray[np.float16]] | None:
    """A region's first voxel and probabilities, cut to the object; None where there is none.

    Shapes: as of `pasted`. Raises ModelError (`model-invalid`) where a logit is NaN or infinite,
    which interpolated is NaN.
    """
    corner, logits = pasted(mask, box, shape)
    crop = fringe_crop(corner, torch.sigmoid(logits).cpu().numpy())
    if crop is None:
        return None
    around, probability = crop
    return [part.start for part in around], probability


def pasted(mask: Tensor, box: Tensor, shape: Sequence[int]) -> tuple[list[int], Tensor]:
    """A region's logits at the voxels whose middles it covers, trilinear, and their first index.

    Shapes: mask (Z, Y, X) cells; box (6,) z0 y0 x0 z1 y1 x1 in voxels; `shape` that of the window,
    beyond which nothing is given -> (dz, dy, dx), which may be empty. The outermost logits hold up
    to the region's faces.
    """
    ends = box.tolist()
    corner, values = [], mask.float()
    for axis, length in enumerate(shape):
        low, high = ends[axis], ends[axis + 3]
        first = max(int(np.ceil(low - 0.5)), 0)
        stop = min(int(np.ceil(high - 0.5)), length)
        corner.append(first)
        values = _interpolated(values, axis, _cells(low, high, first, stop, mask.shape[axis]))
    return corner, values


def _cells(low: float, high: float, first: int, stop: int, size: int) -> NDArray[np.float32]:
    """Where the middles of voxels first..stop lie among `size` cells from `low` to `high`."""
    middle = np.arange(first, max(stop, first)) + 0.5
    cells = (middle - low) / (high - low) * size - 0.5
    return np.asarray(np.clip(cells, 0, size - 1), dtype=np.float32)


def _interpolated(values: Tensor, axis: int, cells: NDArray[np.float32]) -> Tensor:
    """`values` at places between its cells along one axis."""
    at = torch.from_numpy(cells).to(values.device)
    below = at.long().clamp(max=max(values.shape[axis] - 2, 0))
    above = (below + 1).clamp(max=values.shape[axis] - 1)
    part = at - below
    part = part.view([-1 if n == axis else 1 for n in range(values.ndim)])
    return torch.lerp(
        values.index_select(axis, below),
        values.index_select(axis, above),
        part.expand([len(at) if n == axis else size for n, size in enumerate(values.shape)]),
    )

"""A grid of features for every box, whatever its size and shape."""

from __future__ import annotations

import torch
from torch import Tensor

from medseg.networks.point_sampling import sample_features


def box_points(boxes: Tensor, relative: Tensor) -> Tensor:
    """Points of boxes from their places in them, in the boxes' own coordinates.

    Shapes: boxes (N, 6) z0 y0 x0 z1 y1 x1; relative (N or 1, P, 3) in 0..1 -> (N, P, 3).
    """
    low, high = boxes[:, None, :3], boxes[:, None, 3:]
    return low + relative * (high - low)


def grid_places(size: int, device: torch.device) -> Tensor:
    """Middles of `size`^3 equal parts of a box, (size^3, 3) in 0..1, z slowest."""
    axis = (torch.arange(size, device=device, dtype=torch.float32) + 0.5) / size
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)


def roi_align(features: Tensor, stride: int, window: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Features at the middles of `size`^3 parts of each box, trilinear, for all boxes at once.

    Shapes: features (B, C, Z, Y, X) at `stride`; window (N,) which of the batch; boxes (N, 6)
    z0 y0 x0 z1 y1 x1, in voxels, where voxel i reaches from i to i + 1 -> (N, C, size, size, size)
    float32. Beyond the window its outermost cells are repeated. No box gives (0, C, ...).

    RoIAlign of Mask R-CNN (He et al. 2017) with one sample a part.
    """
    voxels = box_points(boxes.float(), grid_places(size, boxes.device)[None])
    values = sample_features(features, window, voxels / stride - 0.5)
    return values.transpose(1, 2).reshape(len(boxes), features.shape[1], size, size, size)


def grown(boxes: Tensor, factor: float = 1.1, more_voxels: float = 0.5) -> Tensor:
    """Boxes (N, 6) larger by a factor, and by some voxels on every side: theirs are never exact."""
    middle = (boxes[:, :3] + boxes[:, 3:]) / 2
    half = (boxes[:, 3:] - boxes[:, :3]) / 2 * factor + more_voxels
    return torch.cat([middle - half, middle + half], dim=1)

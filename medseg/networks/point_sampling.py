"""Values of volumes at points between their voxels, by gathers: no 5-D grid sampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Beyond = Literal["nearest", "zero"]
"""What lies beyond a volume: its outermost voxels repeated, or nothing."""


def trilinear_corners(
    cells: Tensor, shape: Tensor | Sequence[int], beyond: Beyond
) -> tuple[Tensor, Tensor]:
    """The eight voxels around points, and their weights.

    Shapes: cells (..., 3) indices (z, y, x) between voxels; shape (3,) or (..., 3), the lengths
    of the volume of each point -> flat indices (..., 8) in a volume of C order, weights (..., 8).
    """
    lengths = torch.as_tensor(shape, device=cells.device, dtype=torch.int64).expand(cells.shape)
    low = cells.floor()
    above = cells - low
    taps = torch.stack([low, low + 1], dim=-1).long()
    weights = torch.stack([1 - above, above], dim=-1)
    if beyond == "zero":
        weights = weights * ((taps >= 0) & (taps < lengths[..., None]))
    taps = torch.minimum(taps.clamp(min=0), (lengths - 1)[..., None])
    z, y, x = taps.unbind(dim=-2)
    rows = z[..., :, None] * lengths[..., 1, None, None] + y[..., None, :]
    index = rows[..., None] * lengths[..., 2, None, None, None] + x[..., None, None, :]
    z, y, x = weights.unbind(dim=-2)
    weight = z[..., :, None, None] * y[..., None, :, None] * x[..., None, None, :]
    return index.flatten(-3), weight.flatten(-3)


def sample_features(features: Tensor, window: Tensor, cells: Tensor) -> Tensor:
    """Features at points, trilinear, the outermost cells repeated beyond the border.

    Shapes: features (B, C, Z, Y, X); window (N,) which of the batch; cells (N, P, 3) indices
    (z, y, x) between cells -> (N, P, C) float32. All points are gathered in one call, so its
    gradient is one volume however many there are. `channels_last` features are not copied.
    """
    batch, channels = features.shape[:2]
    rows = features.float().permute(0, 2, 3, 4, 1).reshape(-1, channels)
    if not cells.numel():
        return rows[:0].new_zeros((*cells.shape[:2], channels)) + 0.0 * rows.sum()
    index, weight = trilinear_corners(cells.float(), features.shape[2:], "nearest")
    index = index + (window * (len(rows) // batch))[:, None, None]
    values = functional.embedding_bag(
        index.reshape(-1, 8), rows, per_sample_weights=weight.reshape(-1, 8), mode="sum"
    )
    return values.view(*cells.shape[:2], channels)


def channels_last(features: Tensor) -> Tensor:
    """The same features in the order of memory that gathers want."""
    return features.float().contiguous(memory_format=torch.channels_last_3d)


def sample_crops(crops: Sequence[Tensor], corners: Tensor, which: Tensor, voxels: Tensor) -> Tensor:
    """Values of crops at points, trilinear, zero outside the crop.

    Shapes: crops K of (z, y, x), of any shape; corners (K, 3) the index of each crop's first voxel;
    which (N,) the crop of each row of points; voxels (N, P, 3) indices (z, y, x) -> (N, P).
    """
    if not voxels.numel():
        return voxels.new_zeros(voxels.shape[:2])
    shapes = torch.tensor([crop.shape for crop in crops], device=voxels.device)
    starts = torch.cumsum(shapes.prod(dim=1), dim=0) - shapes.prod(dim=1)
    values = torch.cat([crop.flatten() for crop in crops]).to(voxels.dtype)
    local = voxels - corners[which][:, None].to(voxels.dtype)
    index, weight = trilinear_corners(local, shapes[which][:, None], "zero")
    return (values[index + starts[which][:, None, None]] * weight).sum(dim=-1)


def window_generator(image: Tensor) -> torch.Generator:
    """A generator that a window's own values (C, Z, Y, X) seed: alone or in a batch it is the same.

    Augmented windows are never twice the same, so neither is the chance.
    """
    total = image.detach().double().sum().reshape(1).cpu()
    return torch.Generator().manual_seed(int(total.view(torch.int64)) & 0x7FFFFFFFFFFFFFFF)


def uncertain_points(
    points: Tensor, uncertainty: Tensor, count: int, share: float = 0.75
) -> Tensor:
    """Choose `count` of each row's random points, `share` of them where uncertainty is largest.

    Shapes: points (N, K, 3) drawn uniformly; uncertainty (N, K) -> (N, count, 3). The first of the
    points serve as they are, so that what is certain stays certain; the uncertain ones are chosen
    among the others. PointRend (Kirillov et al. 2020), section 3.2.
    """
    uniform = count - round(share * count)
    if points.shape[1] < count:
        msg = f"{count} points are to be chosen of {points.shape[1]}"
        raise ValueError(msg)
    order = uncertainty[:, uniform:].topk(count - uniform, dim=1).indices
    chosen = points[:, uniform:].gather(1, order[..., None].expand(-1, -1, 3))
    return torch.cat([points[:, :uniform], chosen], dim=1)

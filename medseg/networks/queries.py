"""Where queries begin, and the masks they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from medseg.networks.attention import cell_centres, feed_forward, sine_position

UNIT_VOXELS = 8.0
"""Lengths of paraboloids are in this unit."""

MASK_STRIDE = 2
"""Masks of queries live on cells of this many voxels."""


def heat_peaks(heat: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` highest peaks of heat maps: channels (B, Q) and cells (B, Q, 3).

    Shapes: heat (B, C, Z, Y, X) logits. A peak is no lower than its 26 neighbours; of equal
    neighbours the last counts. Where there are fewer, the highest other cells fill up; Q is
    smaller than `count` only where there are fewer cells.
    """
    heat = heat.detach().float()
    top = heat == functional.max_pool3d(heat, 3, stride=1, padding=1)
    number = torch.arange(heat[0, 0].numel(), dtype=torch.float32, device=heat.device)
    number = torch.where(top, number.view(heat.shape[2:]) + 1, torch.zeros_like(heat))
    top = top & (number == functional.max_pool3d(number, 3, stride=1, padding=1))
    # Far below every peak, and still in their order.
    ranked = torch.where(top, heat, heat - 1000.0).flatten(1)
    places = torch.topk(ranked, min(count, ranked.shape[1]), dim=1).indices
    _, depth, height, width = heat.shape[1:]
    channel = places // (depth * height * width)
    z = places // (height * width) % depth
    cells = torch.stack([z, places // width % height, places % width], dim=-1)
    return channel, cells


def gather_cells(features: Tensor, cells: Tensor) -> Tensor:
    """Features at cells: (B, C, Z, Y, X) and (B, Q, 3) to (B, Q, C)."""
    height, width = features.shape[3:]
    flat = (cells[..., 0] * height + cells[..., 1]) * width + cells[..., 2]
    index = flat[:, None].expand(-1, features.shape[1], -1)
    return features.flatten(2).gather(2, index).transpose(1, 2)


class QueryStart(nn.Module):
    """Queries from places: what is seen there, and the class that the place was chosen for.

    Shapes: channel (B, Q), cells (B, Q, 3) of stride 2, fine (B, fine_channels, Z/2, Y/2, X/2),
    tokens (B, width, Z/s, Y/s, X/s) -> content and position (B, Q, width), reference (B, Q, 3)
    voxels.
    """

    def __init__(self, width: int, fine_channels: int, classes: int) -> None:
        super().__init__()
        self.width = width
        self.fine = nn.Linear(fine_channels, width)
        self.kind = nn.Embedding(classes, width)
        self.norm = nn.LayerNorm(width)
        self.place = feed_forward(width, width)

    def forward(
        self, channel: Tensor, cells: Tensor, fine: Tensor, tokens: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Content, position and reference of each query."""
        ratio = fine.shape[2] // tokens.shape[2]
        seen = gather_cells(tokens, cells // ratio) + self.fine(gather_cells(fine, cells))
        reference = cells.float() * MASK_STRIDE + (MASK_STRIDE - 1) / 2
        content = self.norm(seen + self.kind(channel))
        return content, self.position(reference), reference

    def position(self, reference: Tensor) -> Tensor:
        """What a query knows of its place (..., 3)."""
        place: Tensor = self.place(sine_position(reference, self.width))
        return place


class Masks(NamedTuple):
    """Masks of queries as numbers that a product with `point_channels` turns into logits.

    Shapes: weights (..., Q, F) of the mask features; paraboloid (..., Q, 7): curvature (3) and
    middle (3), both (z, y, x), then height; lengths in `UNIT_VOXELS`.
    """

    weights: Tensor
    paraboloid: Tensor

    def factors(self) -> Tensor:
        """(..., Q, F + 7) in 32-bit floats: the other half of the product."""
        curve, middle, height = torch.split(self.paraboloid.float(), [3, 3, 1], dim=-1)
        level = height - (curve * middle**2).sum(dim=-1, keepdim=True)
        return torch.cat([self.weights.float(), -curve, 2 * curve * middle, level], dim=-1)


def point_channels(features: Tensor, points: Tensor) -> Tensor:
    """Features at points with x^2, x and 1, (F + 7, P) in 32-bit floats.

    Shapes: features (F, P); points (P, 3) voxels (z, y, x). With them a paraboloid around a
    query's place is part of one matrix product; squares do not fit 16-bit floats.
    """
    place = (points.float() / UNIT_VOXELS).T
    return torch.cat([features.float(), place**2, place, torch.ones_like(place[:1])])


class MaskHead(nn.Module):
    """Masks that know where they are: a product of features, and a paraboloid around a place.

    Shapes: queries (B, Q, width), reference (B, Q, 3) voxels -> Masks. The logit at x is
    features . weights + b - sum_i a_i (x_i - c_i)^2, with a > 0 and c near the reference: features
    of a convolution hardly tell where they are, so without it a mask shows every look-alike.
    """

    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.features = features
        self.predict = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, features + 7)
        )

    def forward(self, queries: Tensor, reference: Tensor) -> Masks:
        """The mask of each query."""
        parts = [self.features, 3, 3, 1]
        weights, curve, offset, height = torch.split(self.predict(queries), parts, dim=-1)
        middle = reference / UNIT_VOXELS + offset.float()
        paraboloid = torch.cat([functional.softplus(curve.float()), middle, height.float()], dim=-1)
        return Masks(weights, paraboloid)


def coarse_masks(masks: Masks, features: Tensor, stride: int) -> Tensor:
    """Logits (B, Q, T) of masks on the cells of a coarser level, to restrict an attention.

    Shapes: features (B, F, Z, Y, X) of that level. The paraboloid is taken axis by axis at the
    cells' middles, so no square of a place meets 16-bit floats.
    """
    logits = torch.einsum("bqf,bfzyx->bqzyx", masks.weights, features).float()
    curve, middle, height = torch.split(masks.paraboloid, [3, 3, 1], dim=-1)
    logits = logits + height[..., None, None]
    for axis, length in enumerate(features.shape[2:]):
        place = torch.arange(length, dtype=torch.float32, device=features.device) * stride
        apart = (place + (stride - 1) / 2) / UNIT_VOXELS - middle[..., axis, None]
        shape = [1, 1, 1]
        shape[axis] = length
        logits = logits - (curve[..., axis, None] * apart**2).view(*apart.shape[:2], *shape)
    return logits.flatten(2)


def mask_logits(masks: Masks, features: Tensor) -> Tensor:
    """Logits (Q, Z, Y, X) of masks of one window on all cells, in 32-bit floats.

    Shapes: weights (Q, F), paraboloid (Q, 7), features (F, Z, Y, X) of stride 2.
    """
    points = cell_centres(features.shape[1:], MASK_STRIDE, features.device)
    product = masks.factors() @ point_channels(features.flatten(1), points)
    return product.view(len(product), *features.shape[1:])


def coarsest_upto(strides: Sequence[int], wanted: int) -> int:
    """The position of the level with the largest stride up to `wanted`, but of 2 at least."""
    fit = [stride for stride in strides if MASK_STRIDE <= stride <= wanted]
    return list(strides).index(max(fit, default=MASK_STRIDE))


def flat_cells(tokens: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
    """A level (B, width, Z, Y, X) and its position (T, width) as (B, T, width), (1, T, width)."""
    return tokens.flatten(2).transpose(1, 2), position[None]

"""Attention over the cells of a pyramid, as query heads use it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

SHORTEST_VOXELS, LONGEST_VOXELS = 4.0, 128.0
"""Wavelengths of `sine_position`: from a small object to a whole window."""


def sine_position(points: Tensor, width: int) -> Tensor:
    """Sines and cosines of places, (..., 3) voxels (z, y, x) to (..., width).

    Wavelengths are a geometric row, `width / 6` an axis. Raises ValueError where 6 does not
    divide `width`.
    """
    if width % 6:
        msg = f"the width of a sine position is a multiple of 6; got {width}"
        raise ValueError(msg)
    step = torch.arange(width // 6, dtype=torch.float32, device=points.device)
    share = step / max(width // 6 - 1, 1)
    waves = SHORTEST_VOXELS * (LONGEST_VOXELS / SHORTEST_VOXELS) ** share
    angles = (points[..., None] * (2 * torch.pi / waves)).flatten(-2)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def cell_centres(shape: Sequence[int], stride: int, device: torch.device) -> Tensor:
    """Middles of a level's cells, (Z * Y * X, 3) voxels (z, y, x), in the order of `flatten`."""
    axes = [
        torch.arange(length, dtype=torch.float32, device=device) * stride + (stride - 1) / 2
        for length in shape
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 2)


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017), restricted where asked.

    Shapes: queries (B, Q, width), keys and values (B, T, width), allowed (B, Q, T) booleans or
    None for everything -> (B, Q, width). Every query must be allowed something.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            msg = f"the width {width} is no multiple of the number of attention heads {heads}"
            raise ValueError(msg)
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(
        self, queries: Tensor, keys: Tensor, values: Tensor, allowed: Tensor | None = None
    ) -> Tensor:
        """What each query takes from the values."""
        query, key, value = (
            layer(x).view(*x.shape[:2], self.heads, -1).transpose(1, 2)
            for layer, x in ((self.query, queries), (self.key, keys), (self.value, values))
        )
        mask = None if allowed is None else allowed[:, None]
        taken = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        mixed: Tensor = self.out(taken.transpose(1, 2).flatten(-2))
        return mixed


def feed_forward(width: int, hidden: int) -> nn.Sequential:
    """The two-layer network behind an attention."""
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))


class EncoderLayer(nn.Module):
    """Cells look at each other; normalised before each part, so that it trains from the start.

    Shapes: tokens and position (B or 1, T, width) -> tokens (B, T, width).
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.mix = feed_forward(width, hidden)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, tokens: Tensor, position: Tensor) -> Tensor:
        """The cells after one look around."""
        seen = self.norms[0](tokens)
        placed = seen + position
        tokens = tokens + self.attention(placed, placed, seen)
        mixed: Tensor = tokens + self.mix(self.norms[1](tokens))
        return mixed


class DecoderLayer(nn.Module):
    """Queries look at cells, then at each other: the order of Mask2Former (Cheng et al. 2022).

    Shapes: queries and query_position (B, Q, width), cells = (tokens, position) each
    (B or 1, T, width), allowed (B, Q, T) or None, groups (B, Q, Q) booleans of which queries see
    which, or None for all -> queries (B, Q, width).
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.cross = Attention(width, heads)
        self.among = Attention(width, heads)
        self.mix = feed_forward(width, hidden)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))

    def forward(
        self,
        queries: Tensor,
        query_position: Tensor,
        cells: tuple[Tensor, Tensor],
        allowed: Tensor | None = None,
        groups: Tensor | None = None,
    ) -> Tensor:
        """The queries after one look at the cells and one at each other."""
        tokens, position = cells
        wanting = self.norms[0](queries) + query_position
        queries = queries + self.cross(wanting, tokens + position, tokens, allowed)
        seen = self.norms[1](queries)
        placed = seen + query_position
        queries = queries + self.among(placed, placed, seen, groups)
        mixed: Tensor = queries + self.mix(self.norms[2](queries))
        return mixed


def or_all(allowed: Tensor) -> Tensor:
    """`allowed` (B, Q, T), but everything for a query that is allowed nothing."""
    return allowed | ~allowed.any(dim=-1, keepdim=True)


def within_boxes(boxes: Tensor, points: Tensor, stride: int) -> Tensor:
    """Which cells lie in boxes half as long again, and a cell around: (B, Q, T) booleans.

    Shapes: boxes (B, Q, 6) voxels z0 y0 x0 z1 y1 x1; points (T, 3) middles of cells of `stride`.
    """
    low, high = boxes[..., :3], boxes[..., 3:]
    # A box ends after its last voxel, whose middle is half a voxel before.
    middle, reach = (low + high - 1) / 2, 0.75 * (high - low) + stride
    apart = (points - middle[:, :, None]).abs()
    return (apart <= reach[:, :, None]).all(dim=-1)

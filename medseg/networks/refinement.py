"""Full resolution from half resolution, computed only where it is asked for."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Refinement(nn.Module):
    """Sharpen logits of a coarse grid with the image at full resolution.

    Shapes: image (B, in_channels, Z, Y, X), features (B, features, Z/2, Y/2, X/2),
    logits (B, classes, Z/2, Y/2, X/2) -> logits (B, classes, Z, Y, X).

    It has no normalisation, so a crop with `margin` voxels around it gives the same values inside
    as the whole window does: work is spent only around objects.
    """

    margin = 4

    def __init__(self, in_channels: int, features: int, classes: int, width: int = 16) -> None:
        super().__init__()
        self.image = nn.Conv3d(in_channels, width, 3, padding=1)
        self.up = nn.Conv3d(features, width * 8, 1)
        self.mix = nn.Sequential(
            nn.Conv3d(width, width, 3, padding=1),
            nn.LeakyReLU(0.01, inplace=True),
            nn.Conv3d(width, width, 3, padding=1),
            nn.LeakyReLU(0.01, inplace=True),
            nn.Conv3d(width, classes, 1),
        )

    def forward(self, image: Tensor, features: Tensor, logits: Tensor) -> Tensor:
        """Logits at the image's resolution."""
        fine = functional.leaky_relu(self.image(image) + shuffle_up(self.up(features)), 0.01)
        sharpened: Tensor = self.mix(fine)
        return repeat_up(logits) + sharpened


def shuffle_up(x: Tensor) -> Tensor:
    """(B, 8 C, Z, Y, X) to (B, C, 2 Z, 2 Y, 2 X): sub-pixel convolution (Shi et al. 2016) in 3D."""
    batch, channels, depth, height, width = x.shape
    cells = x.view(batch, channels // 8, 2, 2, 2, depth, height, width)
    return cells.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(
        batch, channels // 8, depth * 2, height * 2, width * 2
    )


def repeat_up(x: Tensor) -> Tensor:
    """Every voxel eight times: (B, C, Z, Y, X) to (B, C, 2 Z, 2 Y, 2 X)."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def crop_around(mask: Tensor, margin: int) -> tuple[slice, slice, slice] | None:
    """The box of what is true in `mask` (Z, Y, X), wider by `margin`; None where nothing is."""
    where = torch.nonzero(mask)
    if where.numel() == 0:
        return None
    low = (where.amin(0) - margin).clamp(min=0).tolist()
    high = (where.amax(0) + 1 + margin).tolist()
    z, y, x = (
        slice(int(a), min(int(b), length))
        for a, b, length in zip(low, high, mask.shape, strict=True)
    )
    return z, y, x

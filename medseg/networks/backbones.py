"""Backbones: an image window becomes a pyramid of features, finest level first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from monai.networks.blocks.convolutions import Convolution
from monai.networks.blocks.dynunet_block import UnetResBlock
from torch import Tensor, nn
from torch.nn import functional

NORM = ("group", {"num_groups": 8})
ACTIVATION = ("leakyrelu", {"inplace": True, "negative_slope": 0.01})


class Backbone(Protocol):
    """What heads know of a backbone: channels and strides of its pyramid, finest level first."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]

    def __call__(self, image: Tensor) -> tuple[Tensor, ...]:
        """(B, C, Z, Y, X) to one (B, channels[i], Z/strides[i], ...) a level."""


class ResidualPyramid(nn.Module):
    """Residual encoder with a U-shaped top-down path.

    Shapes: (B, in_channels, Z, Y, X), lengths divisible by the last stride -> tuple of
    (B, channels[i], Z / strides[i], Y / strides[i], X / strides[i]).

    `stem_stride` 2 halves the resolution in the first convolution: the whole network then costs
    an eighth. Going up, a 1^3 convolution is followed by a nearest-neighbour doubling and added to
    the skip, as in a feature pyramid network (Lin et al. 2017), which a CPU does several times
    faster than a transposed convolution. With `click_sigma` it sees one channel more: a Gaussian of
    that standard deviation, in voxels, around the window's middle, for what a click points to.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: Sequence[int] = (32, 64, 128),
        blocks: Sequence[int] = (1, 1, 1),
        stem_stride: int = 2,
        click_sigma: float | None = None,
    ) -> None:
        super().__init__()
        self.click_sigma = click_sigma
        if len(channels) != len(blocks) or len(channels) < 2 or stem_stride not in (1, 2):
            msg = (
                "a pyramid needs two levels or more, one number of blocks a level and a stem "
                f"stride of 1 or 2; got channels={channels}, blocks={blocks}, stem {stem_stride}"
            )
            raise ValueError(msg)
        if any(width % 8 for width in channels):
            msg = f"channels are multiples of 8; got {tuple(channels)}"
            raise ValueError(msg)
        self.channels = tuple(channels)
        self.strides = tuple(stem_stride * 2**level for level in range(len(channels)))
        self.stem = Convolution(
            3,
            in_channels + (click_sigma is not None),
            channels[0],
            strides=stem_stride,
            act=ACTIVATION,
            norm=NORM,
        )
        self.down = nn.ModuleList(
            residual_stage(
                channels[max(level - 1, 0)], width, blocks[level], stride=1 + (level > 0)
            )
            for level, width in enumerate(channels)
        )
        pairs = list(zip(channels[1:], channels[:-1], strict=True))
        self.lateral = nn.ModuleList(nn.Conv3d(deep, fine, 1) for deep, fine in pairs)
        self.merge = nn.ModuleList(residual_stage(fine, fine, 1, stride=1) for _, fine in pairs)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """A window's features, finest level first."""
        if self.click_sigma is not None:
            image = torch.cat([image, _bell(image, self.click_sigma)], dim=1)
        features = self.stem(image)
        levels = []
        for stage in self.down:
            features = stage(features)
            levels.append(features)
        for level in reversed(range(len(levels) - 1)):
            above = self.lateral[level](levels[level + 1])
            doubled = functional.interpolate(above, scale_factor=2.0, mode="nearest")
            levels[level] = self.merge[level](levels[level] + doubled)
        return tuple(levels)


def _bell(image: Tensor, sigma: float) -> Tensor:
    """A Gaussian around the middle of windows (B, C, Z, Y, X), 1 at its top: (B, 1, Z, Y, X)."""
    squares = []
    for axis, length in enumerate(image.shape[2:]):
        place = torch.arange(length, device=image.device, dtype=image.dtype) - (length - 1) / 2
        squares.append(place.square().view([-1 if n == axis else 1 for n in range(3)]))
    bell = torch.exp(-(squares[0] + squares[1] + squares[2]) / (2 * sigma**2))
    return bell.expand(len(image), 1, *image.shape[2:])


def residual_stage(
    in_channels: int, out_channels: int, blocks: int, *, stride: int
) -> nn.Sequential:
    """Residual blocks, the first with `stride`: (B, in_channels, ...) to (B, out_channels, ...)."""
    return nn.Sequential(
        *(
            UnetResBlock(
                3,
                in_channels if n == 0 else out_channels,
                out_channels,
                kernel_size=3,
                stride=stride if n == 0 else 1,
                norm_name=NORM,
                act_name=ACTIVATION,
            )
            for n in range(blocks)
        )
    )

"""A transformer backbone: shifted windows, from fine to coarse, and back as a pyramid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks.patchembedding import PatchEmbed
from monai.networks.nets.swin_unetr import PatchMergingV2, SwinTransformerBlock, compute_mask
from torch import Tensor, nn
from torch.nn import functional

from medseg.networks.backbones import residual_stage


class SwinPyramid(nn.Module):
    """Swin transformer encoder with a U-shaped top-down path.

    Shapes: (B, in_channels, Z, Y, X), lengths divisible by the last stride -> tuple of
    (B, channels[i], Z / strides[i], ...), the finest at stride 2, each level twice as wide as the
    one before.

    The encoder is that of Swin UNETR (Hatamizadeh et al. 2022; Liu et al. 2021), from MONAI's
    parts; the way up is `ResidualPyramid`'s. Inside, a window is padded with its border so that no
    level is smaller than 2 voxels, and a level so that it holds an attention window: where a level
    is smaller, MONAI shrinks the window, and a learned bias would be that of another distance.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        width: int = 32,
        depths: Sequence[int] = (2, 2, 2),
        heads: Sequence[int] = (2, 4, 8),
        window: int = 4,
    ) -> None:
        super().__init__()
        if len(depths) != len(heads) or len(depths) < 2 or min(depths) < 1 or window < 2:
            msg = (
                "a pyramid needs two levels or more, one number of blocks and of heads a level and "
                f"windows of 2 or more; got depths={depths}, heads={heads}, window={window}"
            )
            raise ValueError(msg)
        self.channels = tuple(width * 2**level for level in range(len(depths)))
        self.strides = tuple(2 ** (level + 1) for level in range(len(depths)))
        uneven = [c for c, h in zip(self.channels, heads, strict=True) if h < 1 or c % h or c % 8]
        if uneven:
            msg = f"channels are multiples of 8 and of their heads; got {self.channels}, {heads}"
            raise ValueError(msg)
        self.window = window
        self.embed = PatchEmbed(2, in_channels, width)
        self.down = nn.ModuleList(PatchMergingV2(c) for c in self.channels[:-1])
        self.attend = nn.ModuleList(
            ShiftedWindows(c, depth, head, window)
            for c, depth, head in zip(self.channels, depths, heads, strict=True)
        )
        self.norm = nn.ModuleList(nn.GroupNorm(8, c) for c in self.channels)
        pairs = list(zip(self.channels[1:], self.channels[:-1], strict=True))
        self.lateral = nn.ModuleList(nn.Conv3d(deep, fine, 1) for deep, fine in pairs)
        self.merge = nn.ModuleList(residual_stage(fine, fine, 1, stride=1) for _, fine in pairs)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """A window's features, finest level first."""
        lengths = image.shape[2:]
        embedded = self.embed(_at_least(image, 2 * self.strides[-1]))
        # Attention wants a voxel's channels together, convolutions apart.
        features = torch.movedim(embedded, 1, -1)
        levels = []
        for level, attend in enumerate(self.attend):
            if level:
                features = self.down[level - 1](features)
            features = attend(features)
            levels.append(self.norm[level](torch.movedim(features, -1, 1).contiguous()))
        for level in reversed(range(len(levels) - 1)):
            above = self.lateral[level](levels[level + 1])
            doubled = functional.interpolate(above, scale_factor=2.0, mode="nearest")
            levels[level] = self.merge[level](levels[level] + doubled)
        return tuple(
            level[:, :, : lengths[0] // stride, : lengths[1] // stride, : lengths[2] // stride]
            for level, stride in zip(levels, self.strides, strict=True)
        )


class ShiftedWindows(nn.Module):
    """Blocks of attention inside windows, shifted by half a window in every second one.

    Shapes: (B, Z, Y, X, channels) -> the same. A side shorter than a window is filled up to it.
    """

    def __init__(self, channels: int, depth: int, heads: int, window: int) -> None:
        super().__init__()
        self.window, self.shift = (window,) * 3, (window // 2,) * 3
        self.blocks = nn.ModuleList(
            SwinTransformerBlock(
                channels,
                heads,
                self.window,
                self.shift if n % 2 else (0, 0, 0),
                use_flash_attention=True,  # without gradients, where it is several tenths faster
            )
            for n in range(depth)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features after all blocks."""
        z, y, x = features.shape[1:4]
        wide = torch.movedim(_at_least(torch.movedim(features, -1, 1), self.window[0]), 1, -1)
        sides = wide.shape[1:4]
        # A side of one window has nothing to shift, as the blocks know.
        shift = [0 if side <= self.window[0] else self.shift[0] for side in sides]
        # OpenVINO rounds quotients below 0 towards 0, so none may be negative here.
        full = [(side + self.window[0] - 1) // self.window[0] * self.window[0] for side in sides]
        mask = compute_mask(full, self.window, shift, wide.device)
        for block in self.blocks:
            wide = block(wide, mask)
        return wide[:, :z, :y, :x]


def _at_least(x: Tensor, length: int) -> Tensor:
    """`x` (B, C, Z, Y, X) with its last voxels repeated until no side is shorter than `length`."""
    missing = [max(length - side, 0) for side in reversed(x.shape[2:])]
    if not any(missing):
        return x
    return functional.pad(x, [end for more in missing for end in (0, more)], mode="replicate")

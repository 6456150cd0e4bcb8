"""The parts of Mask R-CNN: proposals over the pyramid, and the branches of its second stage."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from medseg.networks.anchors import changed_boxes
from medseg.networks.roi_align import grid_places


def layer(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """A 3^3 convolution, normalised by groups, rectified."""
    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, 3, stride=stride, padding=1),
        nn.GroupNorm(8, out_channels),
        nn.LeakyReLU(0.01, inplace=True),
    )


class ProposalBranch(nn.Module):
    """Objectness, class and box of every anchor of the chosen levels, by shared layers.

    Shapes: pyramid levels (B, channels[i], ...) -> three tuples, one tensor a level:
    objectness (B, anchors, ...), classes (B, anchors * lesions, ...) and changes
    (B, anchors * 6, ...).

    A level sees the next finer one too, averaged: without it small objects were found late.
    Objectness times a softmax of classes, not a sigmoid a class, which stalls.
    """

    def __init__(
        self,
        channels: Sequence[int],
        levels: Sequence[int],
        *,
        lesions: int,
        anchors: int,
        width: int,
    ) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.enter = nn.ModuleList(
            nn.Conv3d(channels[n] + (channels[n - 1] if n else 0), width, 1) for n in levels
        )
        self.tower = nn.Sequential(layer(width, width), layer(width, width))
        self.objectness = nn.Conv3d(width, anchors, 1)
        # One class needs no choice, and its logit would learn nothing.
        self.classify = nn.Conv3d(width, anchors * lesions, 1) if lesions > 1 else None
        self.change = nn.Conv3d(width, anchors * 6, 1)
        # Rare: start near its frequency, or the first steps are spent on unlearning.
        nn.init.constant_(self.objectness.bias, -4.0)  # type: ignore[arg-type]
        nn.init.normal_(self.change.weight, std=0.01)

    def forward(
        self, pyramid: Sequence[Tensor]
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The three answers, level by level."""
        answers = []
        for level, enter in zip(self.levels, self.enter, strict=True):
            seen = pyramid[level]
            if level:
                finer = functional.avg_pool3d(pyramid[level - 1], 2)
                seen = torch.cat([seen, finer], dim=1)
            tower = self.tower(enter(seen))
            objectness = self.objectness(tower)
            classes = (
                torch.zeros_like(objectness) if self.classify is None else self.classify(tower)
            )
            answers.append((objectness, classes, self.change(tower)))
        first, second, third = zip(*answers, strict=True)
        return first, second, third


class BoxBranch(nn.Module):
    """Class and better box of regions.

    Shapes: regions (R, features, 7, 7, 7), boxes (R, 6) -> logits (R, 1 + lesions), boxes (R, 6).
    """

    size = 7

    def __init__(self, features: int, lesions: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(layer(features, width), layer(width, width, stride=2))
        self.join = nn.Linear(width * ((self.size + 1) // 2) ** 3, 2 * width)
        self.classify = nn.Linear(2 * width, 1 + lesions)
        self.change = nn.Linear(2 * width, 6)
        nn.init.normal_(self.change.weight, std=0.01)
        nn.init.zeros_(self.change.bias)

    def forward(self, regions: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """In float32 whatever the layers run in."""
        joined = functional.relu(self.join(self.layers(regions).flatten(1)))
        # Changes are learned in tenths, as Fast R-CNN weighs them: what is left to change is small.
        change = self.change(joined).float() / 10
        return self.classify(joined).float(), changed_boxes(boxes, change)


class MaskBranch(nn.Module):
    """A mask a class for each region, from its features and the place in the region.

    Shapes: regions (P, features, S, S, S) -> logits (P, lesions, S, S, S), float32.
    """

    def __init__(self, features: int, lesions: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(features + 3, width, 3, padding=1),
            nn.LeakyReLU(0.01, inplace=True),
            nn.Conv3d(width, width, 3, padding=1),
            nn.LeakyReLU(0.01, inplace=True),
            nn.Conv3d(width, width, 3, padding=1),
            nn.LeakyReLU(0.01, inplace=True),
            nn.Conv3d(width, lesions, 1),
        )

    def forward(self, regions: Tensor) -> Tensor:
        """Logits of every class."""
        size = regions.shape[-1]
        place = 2 * grid_places(size, regions.device) - 1
        place = place.T.reshape(1, 3, size, size, size).expand(len(regions), -1, -1, -1, -1)
        logits: Tensor = self.layers(torch.cat([regions, place.to(regions.dtype)], dim=1))
        return logits.float()

"""The network of the prototype head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from medseg.card import CardClass
from medseg.heads.center_offset.network import CenterOffset, CenterOffsetNetwork, auxiliary
from medseg.heads.contract import WindowTarget, lesion_ids
from medseg.heads.yolact.masks import START, TERMS
from medseg.networks.detector import Detections, Detector, in_float32, set_bias


class Yolact(NamedTuple):
    """What the network gives.

    Shapes: `found` and `coefficients` (B, prototypes + `TERMS`, z, y, x) at the detector's cells;
    quality (B, z, y, x) logits of the IoU that a cell's mask will have. After `refine` there are
    prototypes (B, Z, Y, X, prototypes), after `refine_found` there is `mixing` (prototypes, s, s,
    s, 1 + channels): of what a prototype is made at each voxel of a cell of `dense.features`, which
    are at stride s: a constant, and so much of every channel.
    """

    dense: CenterOffset
    found: Detections
    coefficients: Tensor
    quality: Tensor
    prototypes: Tensor | None = None
    mixing: Tensor | None = None


class YolactNetwork(nn.Module):
    """Prototype volumes for the window, and at every cell how to add them up to a mask.

    Shapes: pyramid levels (B, channels[i], Z / strides[i], ...) -> Yolact.

    After YOLACT (Bolya et al. 2019) in 3D. Prototypes alone hardly tell where they are and would
    find every look-alike at once, so a mask also adds a paraboloid in coordinates of its box. The
    predicted mask IoU (Mask Scoring, Huang et al. 2019) is an output of the cell.
    """

    def __init__(  # noqa: PLR0913 - what a backbone gives, and widths
        self,
        in_channels: int,
        channels: Sequence[int],
        strides: Sequence[int],
        classes: Sequence[CardClass],
        *,
        width: int = 64,
        prototypes: int = 16,
        dense_width: int = 32,
        refinement_width: int = 16,
    ) -> None:
        super().__init__()
        kinds = len(lesion_ids(classes))
        if not kinds:
            msg = "the head yolact finds lesions, and no class is one; take center_offset"
            raise ValueError(msg)
        self.dense = CenterOffsetNetwork(
            in_channels,
            channels,
            strides,
            classes,
            width=dense_width,
            refinement_width=refinement_width,
            **auxiliary(classes, {}),
        )
        self.detector = Detector(channels, strides, kinds, width=width)
        self.up = int(strides[0])
        self.prototypes = nn.Conv3d(channels[0], prototypes * self.up**3, 1)
        self.mask = nn.Conv3d(width, prototypes + TERMS + 1, 1)
        set_bias(self.mask, {prototypes + n: value for n, value in enumerate(START)})

    def forward(self, pyramid: Sequence[Tensor]) -> Yolact:
        """Everything but what is at full resolution."""
        found = self.detector(pyramid)
        mask = in_float32(self.mask, found.tower)
        dense = self.dense(pyramid, votes=self.training)  # centres only help to learn
        return Yolact(dense, found, mask[:, :-1], mask[:, -1])

    def refine(
        self, image: Tensor, raw: Yolact, targets: Sequence[WindowTarget] | None = None
    ) -> Yolact:
        """Class logits and prototypes everywhere, at the resolution of `image`."""
        return raw._replace(
            dense=self.dense.refine(image, raw.dense, targets),
            prototypes=self._volumes(raw.dense.features),
        )

    def refine_found(self, image: Tensor, raw: Yolact) -> Yolact:
        """How prototypes would come about: a mask adds them up in its own crop alone.

        Class logits are refined where there are organs: objects do without.
        """
        dense = self.dense.refine_found(image, raw.dense) if self.dense.organs else raw.dense
        layer, up = self.prototypes, self.up
        bias = torch.zeros_like(layer.weight[:, 0, 0, 0, 0]) if layer.bias is None else layer.bias
        both = torch.cat([bias[:, None], layer.weight.flatten(1)], dim=1).detach().float()
        return raw._replace(dense=dense, mixing=both.view(-1, up, up, up, both.shape[1]))

    def _volumes(self, features: Tensor) -> Tensor:
        """Prototypes (B, Z, Y, X, prototypes): sub-pixel convolution, a voxel's values together.

        A mask reads whole voxels, from anywhere: so each is one stretch of memory.
        """
        x = self.prototypes(features).float()
        batch, up = x.shape[0], self.up
        cells = x.view(batch, -1, up, up, up, *x.shape[2:])
        depth, height, width = (length * up for length in x.shape[2:])
        volumes: Tensor = cells.permute(0, 5, 2, 6, 3, 7, 4, 1).reshape(
            batch, depth, height, width, cells.shape[1]
        )
        return volumes

    def shift_organs(self, amounts: Sequence[float]) -> None:
        """Add to the organs' logits, in their order, for good."""
        self.dense.shift_organs(amounts)

"""The network of the DETR head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from medseg.card import CardClass
from medseg.heads.center_offset.network import CenterOffsetNetwork, auxiliary
from medseg.heads.contract import WindowTarget, lesion_ids
from medseg.heads.denoising import noised_places
from medseg.heads.query_parts import (
    Denoised,
    Memory,
    Outputs,
    QueryParts,
    QueryRaw,
    QuerySettings,
    stacked,
)
from medseg.networks.attention import EncoderLayer, feed_forward, or_all, within_boxes
from medseg.networks.queries import UNIT_VOXELS

FIRST_LENGTH_VOXELS = 12.0
"""What a box measures before anything is known of its object."""

SHORTEST_LOG, LONGEST_LOG = -2.0, 7.0
"""Limits of the logarithm of a box's lengths in voxels, beyond what occurs."""


@dataclass(frozen=True)
class DetrSettings(QuerySettings):
    """Arguments of the network: those of `QuerySettings`, and how many layers encode stride 8."""

    encoder_layers: int = 2


class DetrNetwork(nn.Module):
    """Queries with a box each, that look in and around it, and draw the object's mask.

    Shapes: pyramid levels (B, channels[i], Z / strides[i], ...) -> QueryRaw.

    DETR (Carion et al. 2020) in 3D with what makes it converge: queries begin at the peaks of the
    centre heat map of `dense` (query selection, Zhu et al. 2021), attention is restricted to half
    as much again as the box and a cell, and every layer moves the box that the layer before it
    gave, with the gradient stopped between them. `settings` are those of `DetrSettings`.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        strides: Sequence[int],
        classes: Sequence[CardClass],
        **settings: Any,
    ) -> None:
        super().__init__()
        chosen = DetrSettings(**settings)
        self.lesion_ids = lesion_ids(classes)
        if not self.lesion_ids:
            msg = "the head detr finds lesions, and there is no class of kind lesion"
            raise ValueError(msg)
        self.denoising = chosen.denoising
        dense = auxiliary(classes, chosen.dense)
        self.dense = CenterOffsetNetwork(in_channels, channels, strides, classes, **dense)
        self.parts = QueryParts(channels, strides, len(self.lesion_ids), chosen)
        width, heads, hidden = chosen.width, chosen.attention_heads, chosen.hidden
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, hidden) for _ in range(chosen.encoder_layers)
        )
        self.extent = nn.Linear(3, width)
        self.boxes = feed_forward(width, width)
        self.move = nn.Linear(width, 6)
        # The first boxes stand at the places themselves, so that attention begins there.
        nn.init.normal_(self.move.weight, std=0.01)
        nn.init.zeros_(self.move.bias)

    def forward(self, pyramid: Sequence[Tensor]) -> QueryRaw:
        """Everything but masks and the refinement, at the pyramid's resolution."""
        dense, memory = self.dense(pyramid), self._encoded(self.parts.memory(pyramid))
        objects = self._decode(memory, self.parts.begin_at_peaks(memory, dense.centre))
        kept = memory if self.training and self.denoising else None
        return QueryRaw(dense, objects, memory.mask_features, None, kept)

    def refine(
        self, image: Tensor, raw: QueryRaw, targets: Sequence[WindowTarget] | None = None
    ) -> QueryRaw:
        """Class logits at the resolution of `image`; in training also the denoising queries."""
        dense = self.dense.refine(image, raw.dense)
        if raw.memory is None or targets is None:
            return raw._replace(dense=dense)
        return raw._replace(dense=dense, denoised=self._denoise(raw.memory, targets))

    def refine_found(self, image: Tensor, raw: QueryRaw) -> QueryRaw:
        """Class logits at the resolution of `image`, sharpened where something was found."""
        return raw._replace(dense=self.dense.refine_found(image, raw.dense))

    def shift_organs(self, amounts: Sequence[float]) -> None:
        """Add to the organs' logits, in their order."""
        self.dense.shift_organs(amounts)

    def _encoded(self, memory: Memory) -> Memory:
        """The coarse level after its cells have looked at each other."""
        if not len(self.encoder):
            return memory
        tokens, position = self.parts.cells(memory, 0)
        for layer in self.encoder:
            tokens = layer(tokens, position)
        return memory._replace(coarse=tokens.transpose(1, 2).reshape(memory.coarse.shape))

    def _decode(
        self, memory: Memory, begun: tuple[Tensor, ...], groups: Tensor | None = None
    ) -> Outputs:
        content, _, middle = begun
        lengths_log = torch.full_like(middle, FIRST_LENGTH_VOXELS).log()
        output, boxes = self._predict(content, middle, lengths_log)
        outputs = [output]
        for number, layer in enumerate(self.parts.layers):
            boxes = boxes.detach()
            middle, lengths_log = _place(boxes)
            position = self.parts.start.position(middle) + self.extent(lengths_log)
            centres, stride = self.parts.centres(memory, number), self.parts.strides[number % 2]
            allowed = or_all(within_boxes(boxes, centres, stride))
            cells = self.parts.cells(memory, number)
            content = layer(content, position, cells, allowed, groups)
            output, boxes = self._predict(content, middle, lengths_log)
            outputs.append(output)
        return stacked(outputs)

    def _predict(
        self, content: Tensor, middle: Tensor, lengths_log: Tensor
    ) -> tuple[Outputs, Tensor]:
        """Classes, masks around `middle`, and the box that was given, moved; the box again."""
        seen = self.parts.norm(content)
        shift, growth = torch.split(self.move(torch.relu(self.boxes(seen))).float(), 3, dim=-1)
        half = (lengths_log + growth).clamp(SHORTEST_LOG, LONGEST_LOG).exp() / 2
        # Boxes end behind their last voxel, half a voxel beyond its middle.
        moved = middle + UNIT_VOXELS * shift + 0.5
        boxes = torch.cat([moved - half, moved + half], dim=-1)
        return Outputs(self.parts.classify(seen), self.parts.masks(seen, middle), boxes), boxes

    def _denoise(self, memory: Memory, targets: Sequence[WindowTarget]) -> Denoised | None:
        shape = memory.finest.shape[2:]
        places = noised_places(targets, self.lesion_ids, self.denoising, shape)
        if places is None:
            return None
        channel, cells, owner, groups = (one.to(memory.fine.device) for one in places)
        begun = self.parts.begin(memory, channel, cells)
        return Denoised(self._decode(memory, begun, groups), owner)


def _place(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Middle in voxels and logarithm of the lengths, each (..., 3), of boxes (..., 6)."""
    low, high = torch.split(boxes, 3, dim=-1)
    return (low + high - 1) / 2, (high - low).log()

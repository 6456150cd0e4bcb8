"""What the query heads share: their settings, their parts, and what they give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from medseg.heads.center_offset.network import CenterOffset
from medseg.heads.query_points import LearnedPoints, SharpMasks
from medseg.heads.settings import DOUBTFUL
from medseg.networks.attention import DecoderLayer, cell_centres, sine_position
from medseg.networks.queries import (
    MASK_STRIDE,
    MaskHead,
    Masks,
    QueryStart,
    coarsest_upto,
    flat_cells,
    heat_peaks,
    mask_logits,
)

COARSE, FINE = 8, 4
"""Strides that queries look at, in turn; where the pyramid lacks one, the next finer."""

AT_ONCE = 16
"""Queries whose masks are in memory together."""


class Outputs(NamedTuple):
    """What queries give before the first layer and after each: O outputs.

    Shapes: class_logits (O, B, Q, lesions + 1), none last; masks as `Masks` (O, B, Q, ...);
    boxes (O, B, Q, 6) voxels z0 y0 x0 z1 y1 x1, or None.
    """

    class_logits: Tensor
    masks: Masks
    boxes: Tensor | None


class Denoised(NamedTuple):
    """Outputs of queries that began near known objects, and whose they are.

    Shapes: owner (B, Q) positions among the window's lesions, -1 for a query that fills up.
    """

    outputs: Outputs
    owner: Tensor


class Memory(NamedTuple):
    """What queries look at: levels as (B, width, ...), and (B, ..., Z/2, Y/2, X/2) of stride 2."""

    coarse: Tensor
    fine: Tensor
    finest: Tensor
    mask_features: Tensor


class QueryRaw(NamedTuple):
    """What a query head gives.

    Shapes: `dense` as that head's; `objects` None without a lesion class; mask_features
    (B, F, Z/2, Y/2, X/2); organs (O, B, 1 + organs, F + 1), background first: weights of the mask
    features, then a bias, or None; `memory` for what follows. Where asked for, training adds
    `denoised` and `points`, one a window, and decoding adds `sharp` masks of its one window.
    """

    dense: CenterOffset
    objects: Outputs | None
    mask_features: Tensor
    organs: Tensor | None = None
    memory: Memory | None = None
    denoised: Denoised | None = None
    points: tuple[LearnedPoints, ...] | None = None
    sharp: SharpMasks | None = None


@dataclass(frozen=True)
class QuerySettings:
    """Arguments of a query head's network.

    `queries` should be twice the objects of a full window; `denoising` is the number of groups
    of queries that begin near known objects in training; `dense` are arguments of the
    centre-offset part.
    """

    queries: int = 32
    width: int = 96
    attention_heads: int = 4
    hidden: int = 256
    layers: int = 3
    mask_channels: int = 32
    denoising: int = 0
    dense: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            least = 0 if one.name in ("denoising", "encoder_layers") else 1
            if one.type == "int" and (type(value) is not int or value < least):
                msg = f"head.network.{one.name} is an integer from {least}; got {value!r}"
                raise ValueError(msg)
        for name, factor in (("mask_channels", 8), ("width", 6)):
            if getattr(self, name) % factor:
                msg = f"head.network.{name} is a multiple of {factor}; got {getattr(self, name)}"
                raise ValueError(msg)


class QueryParts(nn.Module):
    """The layers that both query heads are made of; each puts them together its own way."""

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], lesions: int, settings: QuerySettings
    ) -> None:
        super().__init__()
        self.count, width = settings.queries, settings.width
        self.places = [coarsest_upto(strides, wanted) for wanted in (COARSE, FINE)]
        self.strides = [strides[place] for place in self.places]
        self.finest = list(strides).index(MASK_STRIDE)
        fine = channels[self.finest]
        self.project = nn.ModuleList(nn.Conv3d(channels[n], width, 1) for n in self.places)
        self.place = nn.Linear(width, width)
        self.level = nn.Embedding(2, width)
        self.mask_features = nn.Sequential(
            nn.Conv3d(fine, settings.mask_channels, 3, padding=1),
            nn.GroupNorm(8, settings.mask_channels),
            nn.LeakyReLU(0.01, inplace=True),
            nn.Conv3d(settings.mask_channels, settings.mask_channels, 1),
        )
        self.layers = nn.ModuleList(
            DecoderLayer(width, settings.attention_heads, settings.hidden)
            for _ in range(settings.layers)
        )
        self.norm = nn.LayerNorm(width)
        if lesions:
            self.masks = MaskHead(width, settings.mask_channels)
            self.start = QueryStart(width, fine, lesions)
            self.classify = nn.Linear(width, lesions + 1)

    def memory(self, pyramid: Sequence[Tensor]) -> Memory:
        """What the queries of a batch look at."""
        coarse, fine = (
            layer(pyramid[n]) for layer, n in zip(self.project, self.places, strict=True)
        )
        finest = pyramid[self.finest]
        return Memory(coarse, fine, finest, self.mask_features(finest))

    def begin(self, memory: Memory, channel: Tensor, cells: Tensor) -> tuple[Tensor, ...]:
        """Content, position and reference of queries at cells of stride 2."""
        begun: tuple[Tensor, ...] = self.start(channel, cells, memory.finest, memory.fine)
        return begun

    def begin_at_peaks(self, memory: Memory, heat: Tensor) -> tuple[Tensor, ...]:
        """Queries at the highest peaks of the heat maps of all classes."""
        return self.begin(memory, *heat_peaks(heat, self.count))

    def cells(self, memory: Memory, layer: int) -> tuple[Tensor, Tensor]:
        """Tokens and their position as that layer sees them."""
        tokens = (memory.coarse, memory.fine)[layer % 2]
        return flat_cells(tokens, self.position(tokens, layer))

    def centres(self, memory: Memory, layer: int) -> Tensor:
        """Middles (T, 3) in voxels of the cells that a layer sees."""
        tokens = (memory.coarse, memory.fine)[layer % 2]
        return cell_centres(tokens.shape[2:], self.strides[layer % 2], tokens.device)

    def position(self, tokens: Tensor, layer: int) -> Tensor:
        """What the cells of a level (B, width, Z, Y, X) know of their place, (T, width)."""
        points = cell_centres(tokens.shape[2:], self.strides[layer % 2], tokens.device)
        place: Tensor = self.place(sine_position(points, tokens.shape[1]))
        return place + self.level.weight[layer % 2]

    def pooled_masks(self, memory: Memory, layer: int) -> Tensor:
        """The mask features on the cells that a layer sees."""
        ratio = self.strides[layer % 2] // MASK_STRIDE
        return functional.avg_pool3d(memory.mask_features, ratio)


def stacked(outputs: Sequence[Outputs]) -> Outputs:
    """Single outputs (B, Q, ...) as one, (O, B, Q, ...)."""
    boxes = [one.boxes for one in outputs if one.boxes is not None]
    return Outputs(
        torch.stack([one.class_logits for one in outputs]),
        Masks(
            torch.stack([one.masks.weights for one in outputs]),
            torch.stack([one.masks.paraboloid for one in outputs]),
        ),
        torch.stack(boxes) if boxes else None,
    )


def class_probability(class_logits: Tensor) -> Tensor:
    """Probability of each lesion class (..., lesions) from an output's class logits."""
    return class_logits.float().softmax(dim=-1)[..., :-1]


def likely_masks(raw: QueryRaw, window: int, best: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Queries of a window that are not all but surely none, and their masks' logits (Z, Y, X).

    `best` (Q,) is each query's probability of its likeliest class.
    """
    if raw.objects is None:
        return
    for some in torch.split(torch.nonzero(best > DOUBTFUL)[:, 0], AT_ONCE):
        masks = Masks(*(part[-1, window, some] for part in raw.objects.masks))
        yield from zip(some.tolist(), mask_logits(masks, raw.mask_features[window]), strict=True)

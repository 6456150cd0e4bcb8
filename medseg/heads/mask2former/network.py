"""The network of the Mask2Former head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from medseg.card import CardClass
from medseg.heads.center_offset.network import CenterOffset, CenterOffsetNetwork, auxiliary
from medseg.heads.contract import WindowTarget, lesion_ids, organ_ids
from medseg.heads.denoising import noised_places
from medseg.heads.query_parts import (
    Denoised,
    Memory,
    Outputs,
    QueryParts,
    QueryRaw,
    QuerySettings,
    class_probability,
    likely_masks,
    stacked,
)
from medseg.heads.query_points import LearnedPoints, QueryPoints, Seen, SharpMasks
from medseg.heads.set_loss import last_matches
from medseg.heads.set_targets import in_order
from medseg.networks.attention import or_all
from medseg.networks.queries import MASK_STRIDE, Masks, coarse_masks


@dataclass(frozen=True)
class Mask2FormerSettings(QuerySettings):
    """Arguments of the network: those of `QuerySettings`, and how masks come to full resolution.

    `refine` "pointrend" refines organs and the queries' masks at uncertain points; otherwise
    organs are sharpened by convolutions, and the queries' masks interpolated.
    """

    refine: Literal["convolution", "pointrend"] = "convolution"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.refine not in ("convolution", "pointrend"):
            msg = f"head.network.refine is one of convolution, pointrend; got {self.refine!r}"
            raise ValueError(msg)


class Mask2FormerNetwork(nn.Module):
    """Queries that look where their last mask was, for lesions and organs alike.

    Shapes: pyramid levels (B, channels[i], Z / strides[i], ...) -> QueryRaw.

    After Mask2Former (Cheng et al. 2022), in 3D and for few cases: lesions' queries begin at the
    peaks of the centre heat map of `dense`, each mask knows its place, and attention is masked at
    strides 8 and 4 in turn, where small objects are not lost. An organ, of which there is one, has
    a learned query, and so has the background; their masks are the organ logits of `dense`, which
    it sharpens to full resolution. `settings` are those of `Mask2FormerSettings`.
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
        chosen = Mask2FormerSettings(**settings)
        self.lesion_ids, self.organs = lesion_ids(classes), len(organ_ids(classes))
        self.denoising = chosen.denoising if self.lesion_ids else 0
        said = {"refine": chosen.refine} if self.organs else {}
        dense = auxiliary(classes, {**said, **chosen.dense})
        self.dense = CenterOffsetNetwork(in_channels, channels, strides, classes, **dense)
        self.organ_stride = int(strides[self.dense.coarse_level])
        self.parts = QueryParts(channels, strides, len(self.lesion_ids), chosen)
        self.points = None
        if chosen.refine == "pointrend" and self.lesion_ids:
            self.points = QueryPoints(in_channels, channels[self.parts.finest])
        if self.organs:
            self.organ_content = nn.Embedding(1 + self.organs, chosen.width)
            self.organ_position = nn.Embedding(1 + self.organs, chosen.width)
            self.organ_masks = nn.Linear(chosen.width, chosen.mask_channels)

    def forward(self, pyramid: Sequence[Tensor]) -> QueryRaw:
        """Everything but masks and the refinement, at the pyramid's resolution."""
        dense, memory = self.dense(pyramid), self.parts.memory(pyramid)
        begun = None
        if dense.centre is not None:
            begun = self.parts.begin_at_peaks(memory, dense.centre)
        objects, organs = self._decode(memory, begun)
        if organs is not None:
            dense = self._with_organs(dense, organs[-1], memory.mask_features)
        kept = memory if self.points or (self.training and self.denoising) else None
        return QueryRaw(dense, objects, memory.mask_features, organs, kept)

    def refine(
        self, image: Tensor, raw: QueryRaw, targets: Sequence[WindowTarget] | None = None
    ) -> QueryRaw:
        """Class logits at the resolution of `image`; with `targets` what is learned beside them.

        That is the denoising queries, and points of the masks.
        """
        raw = raw._replace(dense=self.dense.refine(image, raw.dense))
        if raw.memory is None or targets is None:
            return raw
        learned = self._learned(image, raw, targets)
        return raw._replace(denoised=self._denoise(raw.memory, targets), points=learned)

    def refine_found(self, image: Tensor, raw: QueryRaw) -> QueryRaw:
        """Class logits at the resolution of `image`, sharpened where something was found."""
        dense = self.dense.refine_found(image, raw.dense)
        return raw._replace(dense=dense, sharp=self._sharp(image, raw))

    def shift_organs(self, amounts: Sequence[float]) -> None:
        """Add to the organs' logits, in their order: their bias is that of the dense part."""
        self.dense.shift_organs(amounts)

    def _decode(
        self,
        memory: Memory,
        begun: tuple[Tensor, ...] | None,
        groups: Tensor | None = None,
        *,
        with_organs: bool = True,
    ) -> tuple[Outputs | None, Tensor | None]:
        """Run the layers on organs' queries, then lesions', which begin as `begun`."""
        content, position, organs = self._organ_queries(memory, use=with_organs)
        reference = None
        if begun is not None:
            reference = begun[2]
            content = torch.cat([content, begun[0]], dim=1)
            position = torch.cat([position, begun[1]], dim=1)
        outputs = [self._predict(content, organs, reference)]
        for number, layer in enumerate(self.parts.layers):
            allowed = self._allowed(outputs[-1], memory, number)
            cells = self.parts.cells(memory, number)
            content = layer(content, position, cells, allowed, groups)
            outputs.append(self._predict(content, organs, reference))
        organ_weights = torch.stack([one[0] for one in outputs]) if organs else None
        objects = [one[1] for one in outputs if one[1] is not None]
        return stacked(objects) if objects else None, organ_weights

    def _organ_queries(self, memory: Memory, *, use: bool) -> tuple[Tensor, Tensor, int]:
        batch, width = memory.coarse.shape[:2]
        if not (self.organs and use):
            nothing = memory.coarse.new_zeros((batch, 0, width))
            return nothing, nothing, 0
        content, position = (
            layer.weight[None].expand(batch, -1, -1)
            for layer in (self.organ_content, self.organ_position)
        )
        return content, position, 1 + self.organs

    def _predict(
        self, content: Tensor, organs: int, reference: Tensor | None
    ) -> tuple[Tensor, Outputs | None]:
        """Organs' weights (B, organs, F + 1) with their bias, and the lesions' output."""
        seen = self.parts.norm(content)
        weights = seen[:, :0]
        if organs:
            masks = self.organ_masks(seen[:, :organs])
            bias = self.dense.classify.get_parameter("bias")[:organs, None].expand(
                len(masks), -1, -1
            )
            weights = torch.cat([masks, bias.to(masks.dtype)], dim=-1)
        if reference is None:
            return weights, None
        mine = seen[:, organs:]
        masks = self.parts.masks(mine, reference)
        return weights, Outputs(self.parts.classify(mine), masks, None)

    def _allowed(self, output: tuple[Tensor, Outputs | None], memory: Memory, layer: int) -> Tensor:
        """Where each query may look: in its last mask, or everywhere if that is empty."""
        organs, objects = output
        features, stride = self.parts.pooled_masks(memory, layer), self.parts.strides[layer % 2]
        allowed = []
        with torch.no_grad():
            if organs.shape[1]:
                # An organ's mask is where it beats the others, the background's too; without their
                # biases, so that a shift of organs moves a border and nothing else.
                logits = _product(organs, features).flatten(2)
                allowed.append(logits == logits.amax(dim=1, keepdim=True))
            if objects is not None:
                allowed.append(coarse_masks(objects.masks, features, stride) > 0)
        return or_all(torch.cat(allowed, dim=1))

    def _with_organs(self, dense: CenterOffset, organs: Tensor, features: Tensor) -> CenterOffset:
        """`dense` with the organ logits that the queries make instead of its own.

        Where its own are finer than masks, at stride 1, it adds them, as its refinement would.
        """
        logits, bias = _product(organs, features), organs[..., -1:, None, None]
        own, lesions = dense.coarse.tensor_split([1 + self.organs], dim=1)
        if self.organ_stride < MASK_STRIDE:
            # The bias is in its own logits.
            ratio = MASK_STRIDE / self.organ_stride
            logits = functional.interpolate(logits, scale_factor=ratio, mode="trilinear") + own
        else:
            logits = functional.avg_pool3d(logits, self.organ_stride // MASK_STRIDE) + bias
        if not self.lesion_ids:
            # Its own layer may be used for nothing; training wants a gradient for every weight.
            logits = logits + 0.0 * own
        return dense._replace(organ=logits, coarse=torch.cat([logits, lesions], dim=1))

    def _learned(
        self, image: Tensor, raw: QueryRaw, targets: Sequence[WindowTarget]
    ) -> tuple[LearnedPoints, ...] | None:
        """Points of the last masks of the queries that stand for an object, a window each."""
        if self.points is None or raw.objects is None:
            return None
        learned = []
        for n, (query, item) in enumerate(last_matches(raw, targets, self.lesion_ids)):
            masks = Masks(*(part[-1, n, query] for part in raw.objects.masks))
            objects = in_order(targets[n], self.lesion_ids)
            learned.append(self.points.learned(_seen(image, raw, n), masks, objects, item))
        return tuple(learned)

    def _sharp(self, image: Tensor, raw: QueryRaw) -> SharpMasks | None:
        """The masks of one window's likely queries at full resolution."""
        if self.points is None or raw.objects is None:
            return None
        seen, best = _seen(image, raw, 0), class_probability(raw.objects.class_logits[-1, 0])
        queries, corners, sharp = [], [], []
        for query, logits in likely_masks(raw, 0, best.amax(dim=-1)):
            mask = Masks(*(part[-1, 0, query : query + 1] for part in raw.objects.masks))
            fine = self.points.sharpened(seen, mask, logits)
            if fine is not None:
                queries.append(query)
                corners.append(fine[0])
                sharp.append(fine[1])
        corner = torch.tensor(corners, dtype=torch.int64).reshape(-1, 3)
        return SharpMasks(torch.tensor(queries, dtype=torch.int64), corner, tuple(sharp))

    def _denoise(self, memory: Memory, targets: Sequence[WindowTarget]) -> Denoised | None:
        if not self.denoising:
            return None
        shape = memory.finest.shape[2:]
        places = noised_places(targets, self.lesion_ids, self.denoising, shape)
        if places is None:
            return None
        channel, cells, owner, groups = (one.to(memory.fine.device) for one in places)
        begun = self.parts.begin(memory, channel, cells)
        outputs, _ = self._decode(memory, begun, groups, with_organs=False)
        return None if outputs is None else Denoised(outputs, owner)


def _seen(image: Tensor, raw: QueryRaw, window: int) -> Seen:
    """What points of one window look at."""
    if raw.memory is None:
        msg = "points look at the finest features, which are not kept"
        raise ValueError(msg)
    return Seen(image[window], raw.memory.finest[window], raw.mask_features[window])


def _product(organs: Tensor, features: Tensor) -> Tensor:
    """Weights (B, organs, F + 1), whose bias is left out, of features (B, F, Z, Y, X)."""
    return torch.einsum("bqf,bfzyx->bqzyx", organs[..., :-1], features)

"""The network of the centre-offset head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from medseg.card import CardClass
from medseg.heads.contract import WindowTarget, lesion_ids, organ_ids
from medseg.networks.point_refinement import (
    PointLogits,
    VolumeRefinement,
    class_uncertainty,
    interpolated,
)
from medseg.networks.refinement import Refinement, crop_around, repeat_up

Refine = Literal["convolution", "pointrend", "repeat"]
"""How class logits come to full resolution."""


class CenterOffset(NamedTuple):
    """What the network gives.

    Shapes: organ (B, 1 + organs, ...) logits, background first, or None without an organ class;
    lesion (B, lesions, ...) logits or None; centre (B, lesions, ...) logits or None;
    offset_mm (B, 3 * lesions, ...), (z, y, x) from a voxel to the centre of its object, a class
    after the other, or None. `organ` and `lesion` are at the window's resolution in training and
    after `refine`, else as `coarse`; `centre` and `offset_mm` are at stride 2.
    `coarse` are all class logits before they are refined, `features` the finest level, for
    `refine`; `points` are class logits at points, where points refine them, in training.
    """

    organ: Tensor | None
    lesion: Tensor | None
    centre: Tensor | None
    offset_mm: Tensor | None
    coarse: Tensor
    features: Tensor
    points: PointLogits | None = None


class CenterOffsetNetwork(nn.Module):
    """Class logits, centre heat map and offsets in mm from a pyramid.

    Shapes: pyramid levels (B, channels[i], Z / strides[i], ...) -> CenterOffset.

    After Panoptic-DeepLab (Cheng et al. 2020), in 3D, with a heat map and offsets for every class
    of lesions; organs, of which there is one a class, need neither.

    `refine` says how class logits come to full resolution: by convolutions from the finest level;
    by points (PointRend, Kirillov et al. 2020), from the level of `coarse_stride` where there is
    one; or repeated, where they only help others to learn: convolutions at full resolution are half
    the cost of a training step. A backbone at full resolution needs no convolutions for it.
    Without `votes` there are class logits alone.
    """

    centre_stride = 2
    interest = 0.02

    def __init__(  # noqa: PLR0913 - what a backbone gives, and widths
        self,
        in_channels: int,
        channels: Sequence[int],
        strides: Sequence[int],
        classes: Sequence[CardClass],
        *,
        width: int = 32,
        offset_unit_mm: float = 8.0,
        refinement_width: int = 16,
        refine: Refine = "convolution",
        coarse_stride: int = 4,
        votes: bool = True,
    ) -> None:
        super().__init__()
        if refine not in get_args(Refine):
            msg = f"head.network.refine is one of {', '.join(get_args(Refine))}; got {refine!r}"
            raise ValueError(msg)
        self.organs = len(organ_ids(classes))
        self.lesions = len(lesion_ids(classes))
        self.offset_unit_mm = offset_unit_mm
        self.level = list(strides).index(self.centre_stride)
        logits = self.logit_count
        by_points = refine == "pointrend"
        coarse = strides.index(coarse_stride) if by_points and coarse_stride in strides else 0
        self.coarse_level = coarse
        self.classify = nn.Conv3d(channels[coarse], logits, 1)
        self.points = VolumeRefinement(in_channels, channels[0], logits) if by_points else None
        self.refinement = (
            Refinement(in_channels, channels[0], logits, refinement_width)
            if strides[0] == 2 and refine == "convolution"
            else None
        )
        self.votes = votes and self.lesions > 0
        if self.votes:
            self.tower = nn.Sequential(
                nn.Conv3d(channels[self.level], width, 3, padding=1),
                nn.GroupNorm(8, width),
                nn.LeakyReLU(0.01, inplace=True),
            )
            self.centre = nn.Conv3d(width, self.lesions, 1)
            self.offset = nn.Conv3d(width, 3 * self.lesions, 1)
            # A rare event: start near its frequency, or the first steps are spent on unlearning.
            nn.init.constant_(_bias(self.centre), -4.0)

    @property
    def logit_count(self) -> int:
        """Background and organs, then lesions."""
        return (1 + self.organs if self.organs else 0) + self.lesions

    def forward(self, pyramid: Sequence[Tensor], *, votes: bool = True) -> CenterOffset:
        """Everything but the refinement, at the pyramid's resolution; centres where `votes`."""
        logits = self.classify(pyramid[self.coarse_level])
        organ, lesion = self.split(logits)
        centre = offset = None
        if self.votes and votes:
            tower = self.tower(pyramid[self.level])
            centre = self.centre(tower)
            offset = self.offset(tower) * self.offset_unit_mm
        return CenterOffset(organ, lesion, centre, offset, logits, pyramid[0])

    def refine(
        self,
        image: Tensor,
        raw: CenterOffset,
        targets: Sequence[WindowTarget] | None = None,  # noqa: ARG002 - nothing here learns on them
    ) -> CenterOffset:
        """Class logits at the resolution of `image` (B, C, Z, Y, X).

        Where points refine them, those that they begin from, and points to learn at.
        """
        if self.points is not None:
            points = self.points.learned(image, raw.features, raw.coarse, self._uncertainty)
            organ, lesion = self.split(interpolated(raw.coarse, image.shape[2:]))
            return raw._replace(organ=organ, lesion=lesion, points=points)
        if self.refinement is None:
            return self._repeated(image, raw)
        organ, lesion = self.split(self.refinement(image, raw.features, raw.coarse))
        return raw._replace(organ=organ, lesion=lesion)

    def refine_found(self, image: Tensor, raw: CenterOffset) -> CenterOffset:
        """The same as `refine` for one window, with the work spent only around what was found.

        Elsewhere the coarse logits are repeated, for points interpolated. Something is found where
        a class other than the background has a probability above `interest`.
        """
        if self.points is not None:
            fine_logits = self.points.everywhere(image, raw.features, raw.coarse, self._uncertainty)
            organ, lesion = self.split(fine_logits)
            return raw._replace(organ=organ, lesion=lesion)
        if self.refinement is None:
            return self._repeated(image, raw)
        box = crop_around(self._interest(raw)[0], margin=self.refinement.margin)
        logits = repeat_up(raw.coarse)
        if box is not None:
            fine = tuple(slice(2 * part.start, 2 * part.stop) for part in box)
            refined = self.refinement(
                image[:, :, *fine], raw.features[:, :, *box], raw.coarse[:, :, *box]
            )
            logits[:, :, *fine] = refined
        organ, lesion = self.split(logits)
        return raw._replace(organ=organ, lesion=lesion)

    def _repeated(self, image: Tensor, raw: CenterOffset) -> CenterOffset:
        """Class logits at the resolution of `image` without a finer one."""
        if raw.coarse.shape[2:] == image.shape[2:]:
            return raw
        logits = repeat_up(raw.coarse)
        organ, lesion = self.split(logits)
        return raw._replace(organ=organ, lesion=lesion, coarse=logits)

    def _interest(self, raw: CenterOffset) -> Tensor:
        """Where (B, Z/2, Y/2, X/2) a class other than the background may be."""
        organ, lesion = self.split(raw.coarse)
        parts = []
        if organ is not None:
            parts.append(torch.softmax(organ, dim=1)[:, 0] < 1 - self.interest)
        if lesion is not None:
            parts.append((torch.sigmoid(lesion) > self.interest).any(dim=1))
        return torch.stack(parts).any(dim=0)

    def _uncertainty(self, logits: Tensor) -> Tensor:
        """How uncertain class logits (logit_count, ...) are, (...)."""
        organ, lesion = self.split(logits[None])
        return class_uncertainty(
            None if organ is None else organ[0], None if lesion is None else lesion[0]
        )

    def shift_organs(self, amounts: Sequence[float]) -> None:
        """Add to the organs' logits, in their order: a border moves, what is sure stays.

        The refinement adds to the coarse logits, so it passes the shift on.
        """
        with torch.no_grad():
            shift = torch.tensor(amounts, device=self.classify.weight.device)
            _bias(self.classify)[1 : 1 + self.organs] += shift

    def split(self, logits: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Logits (B, logit_count, ...) of organs, background first, and of lesions."""
        first = logits.shape[1] - self.lesions
        organ = logits[:, :first] if first else None
        return organ, logits[:, first:] if self.lesions else None


def auxiliary(classes: Sequence[CardClass], said: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a `CenterOffsetNetwork` that helps another head, which finds the lesions.

    Only organs, which come from it, need more than the coarse resolution; `said` overrides it.
    """
    return {"refine": "convolution" if organ_ids(classes) else "repeat", **said}


def _bias(layer: nn.Conv3d) -> Tensor:
    if layer.bias is None:
        msg = "the layer has no bias"
        raise ValueError(msg)
    return layer.bias

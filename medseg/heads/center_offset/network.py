"""The network of the centre-offset head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from medseg.card import CardClass
from medseg.heads.contract import lesion_ids, organ_ids
from medseg.networks.refinement import Refinement, crop_around, repeat_up


class CenterOffset(NamedTuple):
    """What the network gives.

    Shapes: organ (B, 1 + organs, ...) logits, background first, or None without an organ class;
    lesion (B, lesions, ...) logits or None; centre (B, lesions, ...) logits or None;
    offset_mm (B, 3 * lesions, ...), (z, y, x) from a voxel to the centre of its object, a class
    after the other, or None. `organ` and `lesion` are at the window's resolution in training and
    after `refine`, else at the finest level's; `centre` and `offset_mm` are at stride 2.
    `coarse` are all class logits at the finest level, `features` that level, for `refine`.
    """

    organ: Tensor | None
    lesion: Tensor | None
    centre: Tensor | None
    offset_mm: Tensor | None
    coarse: Tensor
    features: Tensor


class CenterOffsetNetwork(nn.Module):
    """Class logits, centre heat map and offsets in mm from a pyramid.

    Shapes: pyramid levels (B, channels[i], Z / strides[i], ...) -> CenterOffset.

    After Panoptic-DeepLab (Cheng et al. 2020), in 3D, with a heat map and offsets for every class
    of lesions; organs, of which there is one a class, need neither.
    """

    centre_stride = 2
    interest = 0.02

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        strides: Sequence[int],
        classes: Sequence[CardClass],
        *,
        width: int = 32,
        offset_unit_mm: float = 8.0,
        refinement_width: int = 16,
    ) -> None:
        super().__init__()
        self.organs = len(organ_ids(classes))
        self.lesions = len(lesion_ids(classes))
        self.offset_unit_mm = offset_unit_mm
        self.level = list(strides).index(self.centre_stride)
        logits = self.logit_count
        self.classify = nn.Conv3d(channels[0], logits, 1)
        self.refinement = (
            Refinement(in_channels, channels[0], logits, refinement_width)
            if strides[0] == 2
            else None
        )
        if self.lesions:
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

    def forward(self, pyramid: Sequence[Tensor]) -> CenterOffset:
        """Everything but the refinement, at the pyramid's resolution."""
        logits = self.classify(pyramid[0])
        organ, lesion = self.split(logits)
        centre = offset = None
        if self.lesions:
            tower = self.tower(pyramid[self.level])
            centre = self.centre(tower)
            offset = self.offset(tower) * self.offset_unit_mm
        return CenterOffset(organ, lesion, centre, offset, logits, pyramid[0])

    def refine(self, image: Tensor, raw: CenterOffset) -> CenterOffset:
        """Class logits at the resolution of `image` (B, C, Z, Y, X)."""
        if self.refinement is None:
            return raw
        organ, lesion = self.split(self.refinement(image, raw.features, raw.coarse))
        return raw._replace(organ=organ, lesion=lesion)

    def refine_found(self, image: Tensor, raw: CenterOffset) -> CenterOffset:
        """The same as `refine` for one window, with the work spent only around what was found.

        Elsewhere the coarse logits are repeated. Something is found where a class other than the
        background has a probability above `interest`.
        """
        if self.refinement is None:
            return raw
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

    def _interest(self, raw: CenterOffset) -> Tensor:
        """Where (B, Z/2, Y/2, X/2) a class other than the background may be."""
        organ, lesion = self.split(raw.coarse)
        parts = []
        if organ is not None:
            parts.append(torch.softmax(organ, dim=1)[:, 0] < 1 - self.interest)
        if lesion is not None:
            parts.append((torch.sigmoid(lesion) > self.interest).any(dim=1))
        return torch.stack(parts).any(dim=0)

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


def _bias(layer: nn.Conv3d) -> Tensor:
    if layer.bias is None:
        msg = "the layer has no bias"
        raise ValueError(msg)
    return layer.bias

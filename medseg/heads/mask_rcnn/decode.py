"""From the regions that Mask R-CNN found to the objects of each window."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from medseg.heads.center_offset.decode import CenterOffsetDecoder, organ_decoder
from medseg.heads.contract import WindowInstance, lesion_ids
from medseg.heads.mask_rcnn.raw import FoundRegions, MaskRCNN
from medseg.heads.mask_rcnn.settings import CONSIDERED
from medseg.heads.settings import InstanceSettings
from medseg.heads.window_objects import without_doubles


@dataclass(frozen=True)
class MaskRCNNDecoder(InstanceSettings):
    """One object a region whose mask is not another's: objectness times class probability.

    Of objects of a class whose masks meet at an IoU above `double_iou` the better stays. Those
    below `score_threshold` or `smallest_mm3` are dropped by the caller, after stitching.
    """

    double_iou: float = 0.5

    @property
    def organs(self) -> CenterOffsetDecoder | None:
        """Decodes the organs of the dense part; None without an organ class."""
        return organ_decoder(self.classes)

    def decode(self, raw: MaskRCNN) -> list[list[WindowInstance]]:
        """The lesions of each window of a batch, doubtful ones too, better ones first."""
        regions, lesions = _found(raw), lesion_ids(self.classes)
        found: list[list[WindowInstance]] = [[] for _ in range(len(raw.features))]
        for n, (window, mask) in enumerate(
            zip(regions.window.tolist(), regions.masks, strict=True)
        ):
            low = regions.corners[n].tolist()
            z, y, x = (slice(a, a + length) for a, length in zip(low, mask.shape, strict=True))
            class_id, score = lesions[int(regions.channel[n])], float(regions.scores[n])
            found[window].append(WindowInstance(class_id, score, (z, y, x), mask.numpy()))
        return [without_doubles(items, self.double_iou) for items in found]

    def fired(self, raw: MaskRCNN) -> list[float]:
        """The share of each window's places that hold a proposal likely enough for an object.

        There are places for the proposals that are looked at, and before that for those that are
        compared with one another; the fuller of the two counts.
        """
        share = (_found(raw).slots >= self.score_threshold).float().mean(dim=1)
        if raw.proposals is not None and raw.proposals.objectness.shape[1] > CONSIDERED:
            likely = torch.sigmoid(raw.proposals.objectness) >= self.score_threshold
            share = torch.maximum(share, likely.sum(dim=1).to(share) / CONSIDERED)
        return share.clamp(max=1.0).tolist()


def _found(raw: MaskRCNN) -> FoundRegions:
    if raw.found is None:
        msg = "decoding wants what `refine_found` gives"
        raise ValueError(msg)
    return raw.found

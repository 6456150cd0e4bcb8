"""From the raw output of the prototype head to the objects of a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from medseg.heads.center_offset.decode import CenterOffsetDecoder, organ_decoder
from medseg.heads.contract import WindowInstance, lesion_ids
from medseg.heads.settings import DOUBTFUL, InstanceSettings
from medseg.heads.window_objects import refuse_not_finite, window_instance, without_doubles
from medseg.heads.yolact.masks import MARGIN, crop_logits, crop_range
from medseg.heads.yolact.network import Yolact
from medseg.networks.detector import best_boxes


@dataclass(frozen=True)
class YolactDecoder(InstanceSettings):
    """Boxes that are not repeated, their masks, and masks that are not repeated.

    A score is objectness times class probability times the mask IoU that the cell expects. Objects
    above `doubtful` are kept; boxes of a class whose IoU with a better one's is above `box_overlap`
    are dropped before masks are made, masks above `mask_overlap` after; `most` objects a window are
    looked at. `score_threshold` and `smallest_mm3` hold after stitching.
    """

    doubtful: float = DOUBTFUL
    box_overlap: float = 0.85
    mask_overlap: float = 0.5
    most: int = 300

    limits: ClassVar = {"most": (0, np.inf)}

    @property
    def organs(self) -> CenterOffsetDecoder | None:
        """Decodes the organs of the dense part; None without an organ class."""
        return organ_decoder(self.classes)

    @property
    def least_score(self) -> float:
        """What `doubtful` says."""
        return self.doubtful

    @property
    def double_iou(self) -> float:
        """What `mask_overlap` says, by the name that all instance decoders give it."""
        return self.mask_overlap

    def decode(self, raw: Yolact) -> list[list[WindowInstance]]:
        """The objects of each window by falling score, from `refine`'s or `refine_found`'s Raw.

        Raises ModelError (`model-invalid`) where the network gave NaN.
        """
        found = raw.found
        refuse_not_finite(found.objectness, found.kind, found.boxes, raw.quality, raw.coefficients)
        return [self._decode(raw, window) for window in range(len(raw.quality))]

    def fired(self, raw: Yolact) -> list[float]:
        """The share of the `most` objects of each window that score `score_threshold` or more."""
        windows = range(len(raw.quality))
        return [len(self._best(raw, n, self.score_threshold)[0]) / self.most for n in windows]

    def _best(self, raw: Yolact, window: int, floor: float) -> tuple[Tensor, Tensor, Tensor]:
        """Cells (K,) of a window whose boxes are above `floor` and not repeated, best first.

        And the class and the score of all cells.
        """
        kinds, scores = scored(raw, window)
        boxes = raw.found.boxes[window].flatten(1).T
        overlap, most = self.box_overlap, self.most
        cells = best_boxes(boxes, kinds, scores, floor=floor, overlap=overlap, most=most)
        return cells, kinds, scores

    def _decode(self, raw: Yolact, window: int) -> list[WindowInstance]:
        kept, kinds, scores = (one.cpu() for one in self._best(raw, window, self.doubtful))
        cells, mixing = (one.cpu() for one in _mixed(raw, window))
        shape = [length * mixing.shape[1] for length in cells.shape[:3]]
        boxes = raw.found.boxes[window].flatten(1).T.cpu()[kept]
        lows, highs = (one.numpy() for one in crop_range(boxes, shape, MARGIN))
        coefficients = raw.coefficients[window].flatten(1).T.cpu()[kept]
        count = len(mixing)
        weights = (coefficients[:, :count] @ mixing.flatten(1)).view(-1, *mixing.shape[1:])
        terms = coefficients[:, count:].contiguous()
        positions = lesion_ids(self.classes)
        found = []
        for n, cell in enumerate(kept.tolist()):
            logits = crop_logits(
                cells.numpy(),
                weights[n].numpy(),
                terms[n].numpy(),
                boxes[n].numpy(),
                (lows[n], highs[n]),
            )
            item = window_instance(
                positions[int(kinds[cell])],
                float(scores[cell]),
                lows[n].tolist(),
                torch.sigmoid(torch.from_numpy(logits)).numpy(),
            )
            if item is not None:
                found.append(item)
        return without_doubles(found, self.mask_overlap)


def _mixed(raw: Yolact, window: int) -> tuple[Tensor, Tensor]:
    """Features (Z / s, Y / s, X / s, C) of a window, and prototypes (P, s, s, s, 1 + C) of them."""
    if raw.mixing is not None:
        return raw.dense.features[window].movedim(0, -1).float().contiguous(), raw.mixing
    if raw.prototypes is None:
        msg = "masks want what refine or refine_found gives"
        raise ValueError(msg)
    count = raw.prototypes.shape[-1]
    alone = functional.pad(torch.eye(count, device=raw.prototypes.device), (1, 0))
    return raw.prototypes[window], alone.view(count, 1, 1, 1, 1 + count)


def scored(raw: Yolact, window: int) -> tuple[Tensor, Tensor]:
    """The likeliest class (cells,) among the lesions of each cell of a window, and its score."""
    objectness = torch.sigmoid(raw.found.objectness[window].flatten())
    likely, kinds = torch.softmax(raw.found.kind[window].flatten(1), dim=0).max(dim=0)
    return kinds, objectness * likely * torch.sigmoid(raw.quality[window].flatten())

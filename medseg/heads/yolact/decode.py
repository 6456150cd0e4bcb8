"""From the raw output of the prototype head to the objects of a window."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medseg.card import CardClass
from medseg.heads.center_offset.decode import CenterOffsetDecoder
from medseg.heads.contract import WindowInstance, lesion_ids
from medseg.heads.settings import check_numbers
from medseg.heads.window_objects import window_instance, without_doubles
from medseg.heads.yolact.masks import MARGIN, crop_logits, crop_range
from medseg.heads.yolact.network import Yolact, YolactNetwork
from medseg.networks.detector import best_boxes


@dataclass(frozen=True)
class YolactDecoder:
    """Boxes that are not repeated, their masks, and masks that are not repeated.

    A score is objectness times class probability times the mask IoU that the cell expects. Objects
    above `doubtful` are kept; boxes of a class whose IoU with a better one's is above `box_overlap`
    are dropped before masks are made, masks above `mask_overlap` after; `most` objects a window are
    looked at. `score_threshold` and `smallest_mm3` hold after stitching.
    """

    classes: tuple[CardClass, ...]
    score_threshold: float = 0.3
    smallest_mm3: float = 30.0
    doubtful: float = 0.05
    box_overlap: float = 0.85
    mask_overlap: float = 0.5
    most: int = 300

    def __post_init__(self) -> None:
        limits = {
            "score_threshold": (0.0, 1.0),
            "smallest_mm3": (-1.0, np.inf),
            # The network makes prototypes only where it is more interested than this.
            "doubtful": (YolactNetwork.interest, 1.0),
            "box_overlap": (0.0, 1.0),
            "mask_overlap": (0.0, 1.0),
            "most": (0, np.inf),
        }
        check_numbers({name: getattr(self, name) for name in limits}, limits)

    @property
    def organs(self) -> CenterOffsetDecoder | None:
        """Decodes the organs of the dense part; None without an organ class."""
        organs = tuple(one for one in self.classes if one.kind == "organ")
        return CenterOffsetDecoder(organs) if organs else None

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides the decoding, for the provenance."""
        return {name: value for name, value in asdict(self).items() if name != "classes"}

    def decode(self, raw: Yolact) -> list[list[WindowInstance]]:
        """The objects of each window by falling score, from `refine`'s or `refine_found`'s Raw."""
        return [self._decode(raw, window) for window in range(len(raw.quality))]

    def _decode(self, raw: Yolact, window: int) -> list[WindowInstance]:
        if raw.prototypes is None or raw.corner is None:
            msg = "masks want the prototypes that refine and refine_found give"
            raise ValueError(msg)
        kinds, scores = scored(raw, window)
        boxes = raw.found.boxes[window].flatten(1).T
        kept = best_boxes(
            boxes,
            kinds,
            scores,
            floor=self.doubtful,
            overlap=self.box_overlap,
            most=int(self.most),
        )
        volumes, corner = raw.prototypes[window], raw.corner.to(boxes.device)
        local = boxes[kept] - corner.repeat(2)
        lows, highs = crop_range(local, volumes.shape[:3], MARGIN)
        coefficients = raw.coefficients[window].flatten(1).T[kept]
        positions = lesion_ids(self.classes)
        found = []
        for n, cell in enumerate(kept.tolist()):
            logits = crop_logits(volumes, lows[n], highs[n], local[n], coefficients[n])
            item = window_instance(
                positions[int(kinds[cell])],
                float(scores[cell]),
                (lows[n] + corner).tolist(),
                torch.sigmoid(logits).cpu().numpy(),
            )
            if item is not None:
                found.append(item)
        return without_doubles(found, self.mask_overlap)


def scored(raw: Yolact, window: int) -> tuple[Tensor, Tensor]:
    """The likeliest class (cells,) among the lesions of each cell of a window, and its score."""
    objectness = torch.sigmoid(raw.found.objectness[window].flatten())
    likely, kinds = torch.softmax(raw.found.kind[window].flatten(1), dim=0).max(dim=0)
    return kinds, objectness * likely * torch.sigmoid(raw.quality[window].flatten())

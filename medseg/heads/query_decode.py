"""From the output of a query head to the objects of each window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from medseg.heads.center_offset.decode import CenterOffsetDecoder, organ_decoder
from medseg.heads.contract import WindowInstance
from medseg.heads.query_parts import QueryRaw, class_probability, likely_masks
from medseg.heads.query_points import interpolated_mask
from medseg.heads.settings import DOUBTFUL, InstanceSettings
from medseg.heads.window_objects import refuse_not_finite, window_instance, without_doubles


@dataclass(frozen=True)
class QueryDecoder(InstanceSettings):
    """One object a query that is likely one: class probability times mean mask probability.

    Objects of a class whose masks meet at an IoU above `double_iou` are one. Those below
    `score_threshold` or `smallest_mm3` are dropped by the caller, after stitching.
    """

    double_iou: float = 0.6

    @property
    def organs(self) -> CenterOffsetDecoder | None:
        """Decodes the organs; None without an organ class."""
        return organ_decoder(self.classes)

    def decode(self, raw: QueryRaw) -> list[list[WindowInstance]]:
        """The lesions of each window of a batch, doubtful ones too, better ones first.

        Raises ModelError (`model-invalid`) where the network gave NaN.
        """
        if raw.objects is not None:
            last = (raw.objects.class_logits[-1], *(part[-1] for part in raw.objects.masks))
            refuse_not_finite(*last, raw.mask_features)
        windows = len(raw.mask_features)
        return [self._decode_window(raw, window) for window in range(windows)]

    def fired(self, raw: QueryRaw) -> list[float]:
        """The share of each window's queries whose class probability reaches the threshold.

        0 without a lesion class. Near 1 there may be more objects than queries.
        """
        if raw.objects is None:
            return [0.0] * len(raw.mask_features)
        best = class_probability(raw.objects.class_logits[-1]).amax(dim=-1)
        return [float(one) for one in (best >= self.score_threshold).float().mean(dim=-1)]

    def _decode_window(self, raw: QueryRaw, window: int) -> list[WindowInstance]:
        if raw.objects is None:
            return []
        ids = [n for n, one in enumerate(self.classes) if one.kind == "lesion"]
        best, kind = class_probability(raw.objects.class_logits[-1, window]).max(dim=-1)
        found = []
        for query, corner, logits in _sharp_masks(raw) or _masks(raw, window, best):
            one = _object(ids[int(kind[query])], float(best[query]), corner, logits)
            if one is not None and one.score > DOUBTFUL:
                found.append(one)
        return without_doubles(found, self.double_iou)


def _sharp_masks(raw: QueryRaw) -> list[tuple[int, list[int], Tensor]] | None:
    """Query, first voxel and logits of each mask that points refined; None where none did."""
    if raw.sharp is None:
        return None
    query, corner, logits = raw.sharp
    return list(zip(query.tolist(), corner.tolist(), logits, strict=True))


def _masks(raw: QueryRaw, window: int, best: Tensor) -> Iterator[tuple[int, list[int], Tensor]]:
    """Query, first voxel and interpolated logits of each mask that may be an object's."""
    for query, logits in likely_masks(raw, window, best):
        fine = interpolated_mask(logits)
        if fine is not None:
            yield query, *fine


def _object(
    class_id: int, class_score: float, corner: Sequence[int], logits: Tensor
) -> WindowInstance | None:
    """An object from the logits (z, y, x) of its mask around it; None without a voxel."""
    refuse_not_finite(logits)
    # As it is kept, so that no voxel is above a half now and not later.
    probability = logits.sigmoid().cpu().numpy().astype(np.float16)
    mask = probability > 0.5
    if not mask.any():
        return None
    score = class_score * float(probability[mask].mean(dtype=np.float64))
    return window_instance(class_id, score, corner, probability)

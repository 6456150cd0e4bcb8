"""Non-maximum suppression of boxes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.compiled import compiled


def kept_boxes(boxes: Tensor, scores: Tensor, groups: Tensor, iou: float, most: int) -> Tensor:
    """Positions (K,) of the boxes that stay, by falling score, at most `most`.

    Shapes: boxes (N, 6), scores (N,), groups (N,) integers. A box goes where its IoU with a better
    one of its group that stays is above `iou`. Each is compared with those that stay alone: the
    work is N x K, the memory N. Equal scores keep their order.
    """
    order = scores.detach().argsort(descending=True, stable=True)
    ordered = boxes.detach()[order].double().cpu().numpy()
    kept = _kept(ordered, groups[order].long().cpu().numpy(), float(iou), int(most))
    return order[torch.from_numpy(kept).to(order.device)]


@compiled
def _kept(  # pragma: no cover - compiled
    boxes: NDArray[np.float64], groups: NDArray[np.int64], iou: float, most: int
) -> NDArray[np.int64]:
    kept = np.empty(min(most, len(boxes)), dtype=np.int64)
    count = 0
    for n in range(len(boxes)):
        if count == len(kept):
            break
        volume = 1.0
        for axis in range(3):
            volume *= boxes[n, axis + 3] - boxes[n, axis]
        stays = True
        for place in range(count):
            other = kept[place]
            if groups[other] != groups[n]:
                continue
            both, other_volume = 1.0, 1.0
            for axis in range(3):
                low = max(boxes[n, axis], boxes[other, axis])
                high = min(boxes[n, axis + 3], boxes[other, axis + 3])
                both *= max(high - low, 0.0)
                other_volume *= boxes[other, axis + 3] - boxes[other, axis]
            if both > iou * (volume + other_volume - both):
                stays = False
                break
        if stays:
            kept[count] = n
            count += 1
    return kept[:count]

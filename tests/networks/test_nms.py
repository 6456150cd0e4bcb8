"""Non-maximum suppression, against a loop over all pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data.box_utils import non_max_suppression
from torch import Tensor

from medseg.networks.anchors import pair_iou
from medseg.networks.nms import kept_boxes


def crowd(seed: int, count: int = 200) -> tuple[Tensor, Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 20, (count, 3))
    boxes = np.hstack([low, low + rng.uniform(6, 12, (count, 3))])
    scores = np.round(rng.uniform(0, 1, count), 2)  # some are equal
    return (
        torch.from_numpy(boxes).float(),
        torch.from_numpy(scores).float(),
        torch.from_numpy(rng.integers(0, 3, count)),
    )


def slow(boxes: Tensor, scores: Tensor, groups: Tensor, iou: float) -> list[int]:
    kept: list[int] = []
    for n in sorted(range(len(boxes)), key=lambda i: (-float(scores[i]), i)):
        rivals = [k for k in kept if groups[k] == groups[n]]
        if all(float(pair_iou(boxes[n].double(), boxes[k].double())) <= iou for k in rivals):
            kept.append(n)
    return kept


@pytest.mark.parametrize("iou", [0.1, 0.3, 0.5])
def test_what_stays_is_what_a_loop_over_all_pairs_keeps(iou: float) -> None:
    boxes, scores, groups = crowd(0)
    wanted = slow(boxes, scores, groups, iou)
    assert kept_boxes(boxes, scores, groups, iou, most=1000).tolist() == wanted
    assert kept_boxes(boxes, scores, groups, iou, most=5).tolist() == wanted[:5]


def test_one_group_is_what_monai_keeps() -> None:
    boxes, scores, groups = crowd(1)
    kept = kept_boxes(boxes, scores, torch.zeros_like(groups), 0.4, most=1000)
    assert kept.tolist() == non_max_suppression(boxes, scores, 0.4).tolist()


def test_no_box_keeps_none() -> None:
    none = kept_boxes(torch.zeros(0, 6), torch.zeros(0), torch.zeros(0).long(), 0.5, most=10)
    assert none.shape == (0,)

"""Anchors, the objects they serve and changes of boxes, against plain loops and MONAI."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data.box_utils import box_iou, box_pair_giou
from torch import Tensor

from medseg.networks.anchors import (
    atss_matches,
    changed_boxes,
    clipped_boxes,
    giou_loss,
    grid_anchors,
    pair_iou,
)

CPU = torch.device("cpu")


def random_boxes(seed: int, count: int, extent: float = 40.0) -> Tensor:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, extent, (count, 3))
    return torch.from_numpy(np.hstack([low, low + rng.uniform(2, 16, (count, 3))])).float()


def levels(shape: tuple[int, int, int] = (32, 48, 40)) -> list[Tensor]:
    return [
        grid_anchors([length // stride for length in shape], stride, (3.0,), CPU)
        for stride in (4, 8)
    ]


def slow_atss(boxes: Tensor, anchors: list[Tensor], candidates: int) -> list[int]:
    every = torch.cat(anchors).double().numpy()
    owner, best = [-1] * len(every), [-1.0] * len(every)
    for n, box in enumerate(boxes.double().numpy()):
        chosen: list[int] = []
        first = 0
        for level in anchors:
            middles = (level[:, :3] + level[:, 3:]).double().numpy() / 2
            apart = np.linalg.norm(middles - (box[:3] + box[3:]) / 2, axis=1)
            chosen += (np.argsort(apart, kind="stable")[:candidates] + first).tolist()
            first += len(level)
        ious = []
        for place in chosen:
            sides = np.minimum(every[place][3:], box[3:]) - np.maximum(every[place][:3], box[:3])
            both = np.prod(np.maximum(sides, 0))
            volumes = np.prod(every[place][3:] - every[place][:3]) + np.prod(box[3:] - box[:3])
            ious.append(both / (volumes - both))
        threshold = np.mean(ious) + np.std(ious, ddof=1)
        for place, iou in zip(chosen, ious, strict=True):
            middle = (every[place][:3] + every[place][3:]) / 2
            inside = ((middle > box[:3]) & (middle < box[3:])).all()
            if inside and iou >= threshold and iou > best[place]:
                owner[place], best[place] = n, iou
    return owner


def test_anchors_sit_on_the_middles_of_cells() -> None:
    anchors = grid_anchors((2, 1, 1), 4, (1.0, 2.0), CPU)
    assert anchors.tolist() == [
        [0, 0, 0, 4, 4, 4],
        [-2, -2, -2, 6, 6, 6],
        [4, 0, 0, 8, 4, 4],
        [2, -2, -2, 10, 6, 6],
    ]


@pytest.mark.parametrize("seed", range(5))
def test_anchors_serve_the_objects_that_plain_loops_find(seed: int) -> None:
    # Boxes off the grid, so that no two distances are equal.
    boxes = random_boxes(seed, 6, 24.0)
    matched = atss_matches(boxes, levels())
    wanted = torch.tensor(slow_atss(boxes, levels(), 8))
    without = set(range(6)) - set(wanted[wanted >= 0].tolist())
    differs = matched != wanted
    assert set(matched[differs].tolist()) <= without
    assert set(matched[matched >= 0].tolist()) == set(range(6))


def test_no_object_goes_without_an_anchor() -> None:
    same = torch.tensor([[8.0, 8, 8, 20, 20, 20]]).repeat(3, 1)
    tiny = torch.tensor([[17.0, 17, 17, 18, 18, 18]])
    whole = torch.tensor([[0.0, 0, 0, 32, 48, 40]])
    matched = atss_matches(torch.cat([same, tiny, whole]), levels())
    assert set(matched.tolist()) == {-1, 0, 1, 2, 3, 4}


def test_two_hundred_objects_have_an_anchor_each() -> None:
    boxes = clipped_boxes(random_boxes(1, 200), (32, 48, 40))
    matched = atss_matches(boxes, levels())
    assert len(set(matched[matched >= 0].tolist())) == 200


def test_without_objects_no_anchor_serves() -> None:
    assert (atss_matches(torch.zeros(0, 6), levels()) == -1).all()


def test_changes_move_by_lengths_and_scale_by_powers_of_e() -> None:
    box = torch.tensor([[0.0, 0, 0, 4, 8, 2]])
    change = torch.tensor([[0.5, -0.25, 0, np.log(2), 0, np.log(0.5)]]).float()
    assert changed_boxes(box, change)[0].tolist() == pytest.approx([0, -2, 0.5, 8, 6, 1.5])
    assert torch.isfinite(changed_boxes(box, change * 1e4)).all()


def test_clipped_boxes_lie_inside_and_keep_a_voxel() -> None:
    boxes = torch.tensor([[-5.0, 2, 30, -1, 2.2, 50], [1, 2, 3, 4, 5, 6]])
    clipped = clipped_boxes(boxes, (16, 16, 32))
    assert clipped[1].tolist() == boxes[1].tolist()
    assert clipped[0].tolist() == [0, 2, 30, 1, 3, 32]


def test_iou_and_giou_are_those_of_monai() -> None:
    one, other = random_boxes(3, 50, 20), random_boxes(4, 50, 20)
    assert torch.allclose(pair_iou(one[:, None], other), box_iou(one, other), atol=1e-5)
    assert torch.allclose(1 - giou_loss(one, other), box_pair_giou(one, other), atol=1e-5)
    apart = torch.tensor([[0.0, 0, 0, 1, 1, 1]]), torch.tensor([[0.0, 0, 3, 1, 1, 4]])
    # The hull holds 4 voxels, 2 of them in neither.
    assert float(giou_loss(*apart)) == pytest.approx(1.5)

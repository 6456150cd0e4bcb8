"""Boxes over a pyramid's cells: anchors, which object each serves, and changes of boxes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

LARGEST_LOG_CHANGE = 4.0
"""A box grows or shrinks by no more than this power of e."""


def grid_anchors(
    cells: Sequence[int], stride: int, sizes: Sequence[float], device: torch.device
) -> Tensor:
    """Cubes around the middle of every cell of a level, (Z * Y * X * len(sizes), 6) in voxels.

    `sizes` are lengths of their sides in strides. Cells come in C order, the sizes of a cell one
    after another. (MONAI's generator puts them at the cells' first corners and rounds them.)
    """
    axes = [(torch.arange(n, device=device, dtype=torch.float32) + 0.5) * stride for n in cells]
    middle = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 1, 3)
    half = torch.tensor(sizes, device=device, dtype=torch.float32)[None, :, None] * stride / 2
    return torch.cat([middle - half, middle + half], dim=-1).reshape(-1, 6)


def changed_boxes(boxes: Tensor, change: Tensor) -> Tensor:
    """Boxes (..., 6) moved by parts of their lengths and scaled by powers of e, as `change` says.

    `change` (..., 6) holds three shifts and three logarithms, (z, y, x) each: the coding of
    R-CNN (Girshick et al. 2014).
    """
    length = boxes[..., 3:] - boxes[..., :3]
    middle = (boxes[..., :3] + boxes[..., 3:]) / 2 + change[..., :3] * length
    log_change = change[..., 3:].clamp(-LARGEST_LOG_CHANGE, LARGEST_LOG_CHANGE)
    half = length * torch.exp(log_change) / 2
    return torch.cat([middle - half, middle + half], dim=-1)


def clipped_boxes(boxes: Tensor, shape: Sequence[int]) -> Tensor:
    """Boxes (..., 6) inside a window of `shape`, none shorter than a voxel."""
    ends = torch.tensor(list(shape), device=boxes.device, dtype=boxes.dtype)
    low = torch.minimum(boxes[..., :3].clamp(min=0), ends - 1)
    high = torch.maximum(torch.minimum(boxes[..., 3:], ends), low + 1)
    return torch.cat([low, high], dim=-1)


def pair_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of boxes (..., 6) and others (..., 6) of positive volume, (...)."""
    both = _meeting(boxes, others)
    return both / (_volume(boxes) + _volume(others) - both)


def giou_loss(boxes: Tensor, others: Tensor) -> Tensor:
    """1 - generalised IoU (Rezatofighi et al. 2019) of pairs of boxes (N, 6), (N,).

    NaN gives NaN, which training reports; MONAI's function stops at it without a place.
    """
    low = torch.minimum(boxes[..., :3], others[..., :3])
    high = torch.maximum(boxes[..., 3:], others[..., 3:])
    hull = (high - low).prod(dim=-1)
    both = _meeting(boxes, others)
    union = _volume(boxes) + _volume(others) - both
    return 1 - both / union + (hull - union) / hull


def atss_matches(boxes: Tensor, anchors: Sequence[Tensor], candidates: int = 8) -> Tensor:
    """The object that each anchor serves, (M,) over all levels; -1 for none.

    Shapes: boxes (N, 6), anchors one (M_l, 6) a level. Of an object's `candidates` nearest anchors
    of each level those serve whose middle lies inside it and whose IoU is at least the mean plus
    the standard deviation of all its candidates' (ATSS, Zhang et al. 2020). An anchor wanted by
    several serves the one with the largest IoU. An object that has none left, a very small one or
    one in another's shadow, gets its best candidate that is not another's last.

    Unlike MONAI's ATSSMatcher, IoUs are taken of candidates only, and no object goes without.
    """
    every = torch.cat(list(anchors))
    matched = torch.full((len(every),), -1, dtype=torch.int64, device=every.device)
    if not len(boxes):
        return matched
    index = _nearest_anchors(boxes, anchors, candidates)
    near = every[index]
    iou = pair_iou(near, boxes[:, None])
    middle = (near[..., :3] + near[..., 3:]) / 2
    inside = ((middle > boxes[:, None, :3]) & (middle < boxes[:, None, 3:])).all(dim=-1)
    spread = iou.std(dim=1) if index.shape[1] > 1 else torch.zeros_like(iou[:, 0])
    serves = inside & (iou >= (iou.mean(dim=1) + spread)[:, None])
    best = torch.full((len(every),), -1.0, dtype=iou.dtype, device=every.device)
    best.scatter_reduce_(0, index[serves], iou[serves], "amax")
    won = serves & (iou == best[index])
    owner = torch.arange(len(boxes), device=every.device)[:, None].expand_as(index)
    matched.scatter_reduce_(0, index[won], owner[won], "amax")
    return _none_without(matched, index, iou)


def _nearest_anchors(boxes: Tensor, anchors: Sequence[Tensor], candidates: int) -> Tensor:
    """Positions (N, K) of the `candidates` anchors of each level nearest to each box's middle."""
    middle = (boxes[:, :3] + boxes[:, 3:]) / 2
    found, first = [], 0
    for level in anchors:
        distance = torch.cdist(middle, (level[:, :3] + level[:, 3:]) / 2)
        nearest = distance.topk(min(candidates, len(level)), dim=1, largest=False).indices
        found.append(nearest + first)
        first += len(level)
    return torch.cat(found, dim=1)


def _none_without(matched: Tensor, index: Tensor, iou: Tensor) -> Tensor:
    """Give each object without an anchor its best candidate that is not another's last."""
    count = torch.bincount(matched[matched >= 0], minlength=len(index)).tolist()
    owner = matched.tolist()
    for lost in [n for n, held in enumerate(count) if not held]:
        for place in index[lost][iou[lost].argsort(descending=True, stable=True)].tolist():
            before = owner[place]
            if before >= 0 and count[before] < 2:
                continue
            if before >= 0:
                count[before] -= 1
            owner[place], count[lost] = lost, 1
            matched[place] = lost
            break
    return matched


def _volume(boxes: Tensor) -> Tensor:
    return (boxes[..., 3:] - boxes[..., :3]).prod(dim=-1)


def _meeting(boxes: Tensor, others: Tensor) -> Tensor:
    """The volume that both boxes hold."""
    low = torch.maximum(boxes[..., :3], others[..., :3])
    high = torch.minimum(boxes[..., 3:], others[..., 3:])
    return (high - low).clamp(min=0).prod(dim=-1)

"""The loss of query heads: every object gets one query, the rest learn to be none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.data.box_utils import box_giou, box_pair_giou
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medseg.card import CardClass
from medseg.heads.center_offset.loss import DENSE_WEIGHTS, dense_loss, undrawn_as_background
from medseg.heads.contract import WindowTarget, lesion_ids, organ_ids
from medseg.heads.query_parts import Denoised, Outputs, QueryRaw
from medseg.heads.query_points import LearnedPoints, point_losses
from medseg.heads.set_targets import PointTarget, in_order, point_target
from medseg.networks.queries import MASK_STRIDE, Masks, gather_cells, point_channels
from medseg.networks.set_matching import (
    POINTS,
    mask_costs,
    mask_losses,
    match,
    uncertain_points,
)

NONE_WEIGHT = 0.1
"""How much a query without an object counts in the class loss."""

BOX_UNIT_VOXELS = 64.0
"""The box loss is in this unit, about a window's length, so that DETR's weights hold."""

SET_WEIGHTS = {"class": 2.0, "mask": 5.0, "dice": 5.0, "box": 5.0, "giou": 2.0}
"""How much each part counts, in the loss and in matching."""

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Queries and the objects that they stand for."""


def set_loss(
    raw: QueryRaw,
    targets: Sequence[WindowTarget],
    classes: Sequence[CardClass],
    spacing_mm: Sequence[float],
) -> dict[str, Tensor]:
    """Named parts of the loss of a batch, not weighted; absent parts are left out.

    Those of the centre-offset part keep its names. "class" is cross entropy over lesion classes
    and none; "mask" and "dice" compare masks at points, a mean over objects whatever their size
    (Mask2Former, Cheng et al. 2022); "box" is L1 of middle and lengths, "giou" 1 - generalised IoU
    (DETR, Carion et al. 2020); each is summed over the outputs of all layers. "organ_query" is
    that of organs' queries at points; "mask_points" that of the last masks at points of full
    resolution, where points refine them (PointRend, Kirillov et al. 2020); "denoising" the
    weighted sum of these parts for queries that began near known objects. Cells are drawn from
    the objects alone, so a loss can be repeated.
    """
    parts = dense_loss(raw.dense, targets, classes, spacing_mm)
    features = raw.mask_features
    with torch.autocast(device_type=features.device.type, enabled=False):
        shape = features.shape[2:]
        points = [
            point_target(one, lesion_ids(classes), organ_ids(classes), shape, features.device)
            for one in targets
        ]
        seen = [_channels(features[n], one.cells) for n, one in enumerate(points)]
        if raw.objects is not None:
            pairs = _matched(raw.objects, points, seen)
            parts |= _object_losses(raw.objects, points, seen, pairs)
            if raw.points is not None:
                parts["mask_points"] = _mask_point_loss(raw.points, targets, lesion_ids(classes))
            if raw.denoised is not None:
                parts["denoising"] = _denoising_loss(raw.denoised, points, seen)
        if raw.organs is not None:
            parts["organ_query"] = _organ_loss(raw.organs, points, seen)
    return parts


def _channels(features: Tensor, cells: Tensor) -> Tensor:
    """Features of one window (F, Z, Y, X) at cells (P, 3), as `point_channels`."""
    values = gather_cells(features[None].float(), cells[None])[0].T
    return point_channels(values, cells * MASK_STRIDE + (MASK_STRIDE - 1) / 2)


def _matched(
    outputs: Outputs, points: Sequence[PointTarget], seen: Sequence[Tensor]
) -> list[list[Pairs]]:
    """For every output and window, the pairs of least cost; work grows with queries x points."""
    matched: list[list[Pairs]] = [[] for _ in outputs.class_logits]
    with torch.no_grad():
        factors = outputs.masks.factors()
        for window, one in enumerate(points):
            few, shares = seen[window][:, :POINTS], one.shares[:, :POINTS]
            for number, pairs in enumerate(matched):
                probability = outputs.class_logits[number, window].float().softmax(dim=-1)
                entropy, dice = mask_costs(factors[number, window] @ few, shares)
                cost = (
                    SET_WEIGHTS["mask"] * entropy
                    + SET_WEIGHTS["dice"] * dice
                    - SET_WEIGHTS["class"] * probability[:, one.class_ids]
                )
                if outputs.boxes is not None:
                    cost = cost + _box_costs(outputs.boxes[number, window], one.boxes)
                pairs.append(match(cost))
    return matched


def _box_costs(boxes: Tensor, truth: Tensor) -> Tensor:
    """Weighted costs (Q, N) of boxes (Q, 6) with objects' boxes (N, 6)."""
    if not len(truth):
        return boxes.new_zeros((len(boxes), 0))
    apart = torch.cdist(_middle_and_lengths(boxes), _middle_and_lengths(truth), p=1)
    overlap = torch.as_tensor(box_giou(boxes, truth))
    return SET_WEIGHTS["box"] * apart - SET_WEIGHTS["giou"] * overlap


def _middle_and_lengths(boxes: Tensor) -> Tensor:
    low, high = torch.split(boxes, 3, dim=-1)
    return torch.cat([(low + high) / 2, high - low], dim=-1) / BOX_UNIT_VOXELS


def _object_losses(
    outputs: Outputs,
    points: Sequence[PointTarget],
    seen: Sequence[Tensor],
    pairs: Sequence[Sequence[Pairs]],
) -> dict[str, Tensor]:
    """The parts of matched queries, and of all in "class"."""
    none = outputs.class_logits.shape[-1] - 1
    wanted = torch.full(outputs.class_logits.shape[:-1], none, device=outputs.class_logits.device)
    masks, boxes = [], []
    for window, one in enumerate(points):
        number, query, item = _flat([row[window] for row in pairs], wanted.device)
        wanted[number, window, query] = one.class_ids[item]
        mine = Masks(*(part[number, window, query] for part in outputs.masks))
        masks.append(_point_losses(mine, seen[window], one.shares[item]))
        if outputs.boxes is not None:
            boxes.append((outputs.boxes[number, window, query], one.boxes[item]))
    weight = torch.ones(none + 1, device=wanted.device)
    weight[none] = NONE_WEIGHT
    logits, count = outputs.class_logits.float(), len(wanted)
    entropy = functional.cross_entropy(logits.flatten(0, 2), wanted.flatten(), weight)
    # Without an object nothing is compared; a gradient of 0 still reaches every weight.
    nothing = 0.0 * (outputs.masks.factors().sum() + sum(one.sum() for one in seen))
    per_object = count / max(sum(len(one[0]) for one in masks), 1)
    parts = {
        "class": count * entropy,
        "mask": per_object * torch.cat([one[0] for one in masks]).sum() + nothing,
        "dice": per_object * torch.cat([one[1] for one in masks]).sum(),
    }
    if outputs.boxes is not None:
        found, true = (torch.cat([one[n] for one in boxes]) for n in (0, 1))
        apart = (_middle_and_lengths(found) - _middle_and_lengths(true)).abs().sum()
        parts["box"] = per_object * apart + 0.0 * outputs.boxes.sum()
        parts["giou"] = per_object * (1 - torch.as_tensor(box_pair_giou(found, true))).sum()
    return parts


def _flat(pairs: Sequence[Pairs], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Output, query and object of every pair of one window."""
    number = np.concatenate([np.full(len(one[0]), n) for n, one in enumerate(pairs)])
    query, item = (np.concatenate([one[n] for one in pairs]) for n in (0, 1))
    moved = [torch.from_numpy(one.astype(np.int64)).to(device) for one in (number, query, item)]
    return moved[0], moved[1], moved[2]


def _point_losses(masks: Masks, seen: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy and Dice (M,) of masks with their objects, at points of each mask's own."""
    logits = masks.factors() @ seen
    where = uncertain_points(logits)
    return mask_losses(logits.gather(1, where), shares.gather(1, where))


def _denoising_loss(
    denoised: Denoised, points: Sequence[PointTarget], seen: Sequence[Tensor]
) -> Tensor:
    """The weighted loss of queries whose objects are known without matching."""
    outputs, owner = denoised
    pairs = []
    for row in owner.cpu().numpy():
        known = np.flatnonzero(row >= 0)
        pairs.append((known, row[known].astype(np.int64)))
    parts = _object_losses(outputs, points, seen, [pairs] * len(outputs.class_logits))
    return torch.stack([SET_WEIGHTS[name] * part for name, part in parts.items()]).sum()


def _mask_point_loss(
    points: Sequence[LearnedPoints], targets: Sequence[WindowTarget], lesions: Sequence[int]
) -> Tensor:
    """Entropy and Dice of masks at points, a mean over objects."""
    parts = [
        point_losses(one, in_order(target, lesions))
        for one, target in zip(points, targets, strict=True)
    ]
    count = max(sum(len(entropy) for entropy, _ in parts), 1)
    nothing = 0.0 * sum(one.logits.sum() for one in points)
    return torch.cat([entropy + dice for entropy, dice in parts]).sum() / count + nothing


def last_matches(
    raw: QueryRaw, targets: Sequence[WindowTarget], lesions: Sequence[int]
) -> list[tuple[Tensor, Tensor]]:
    """Queries and the lesions (in the order of `in_order`) that the last output gives them."""
    if raw.objects is None:
        return []
    device, shape = raw.mask_features.device, raw.mask_features.shape[2:]
    outputs = raw.objects
    last = Outputs(
        outputs.class_logits[-1:],
        Masks(*(part[-1:] for part in outputs.masks)),
        None if outputs.boxes is None else outputs.boxes[-1:],
    )
    with torch.no_grad(), torch.autocast(device_type=device.type, enabled=False):
        points = [point_target(one, lesions, (), shape, device) for one in targets]
        seen = [_channels(raw.mask_features[n], one.cells) for n, one in enumerate(points)]
        (pairs,) = _matched(last, points, seen)
    return [_flat([one], device)[1:] for one in pairs]


def _organ_loss(organs: Tensor, points: Sequence[PointTarget], seen: Sequence[Tensor]) -> Tensor:
    """Cross entropy and soft Dice of the organs' masks at points, summed over the outputs.

    Shapes: organs (O, B, 1 + organs, F + 1), the bias last. What nobody drew counts as background.
    """
    features = organs.shape[-1] - 1
    weights, bias = torch.split(organs.float(), [features, 1], dim=-1)
    each = [weights[:, n] @ seen[n][:features] + bias[:, n] for n in range(len(points))]
    drawn = [
        undrawn_as_background(one, point.undrawn.expand(one.shape[:2]))
        for one, point in zip(each, points, strict=True)
    ]
    logits = torch.cat(drawn, dim=-1)
    shares = torch.cat([one.organs for one in points], dim=-1).expand_as(logits)
    entropy = functional.cross_entropy(logits, shares) * len(logits)
    found = logits.softmax(dim=1)[:, 1:]
    both = 2 * (found * shares[:, 1:]).sum(dim=-1) + 1
    dice = 1 - both / (found.sum(dim=-1) + shares[:, 1:].sum(dim=-1) + 1)
    return entropy + dice.mean(dim=1).sum()


def set_weights(*matched: str, **others: float) -> dict[str, float]:
    """How much each part of a query head's loss counts by default.

    `matched` are its parts of `SET_WEIGHTS`, `others` what it has besides. The dense part is an
    aid: its heat map, which the queries begin at, counts most.
    """
    dense = {**DENSE_WEIGHTS, "centre": 1.0, "offset": 1.0}
    mine = {name: SET_WEIGHTS[name] for name in matched}
    return {**dense, **mine, "denoising": 1.0, **others}

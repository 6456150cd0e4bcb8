"""The loss of the Mask R-CNN and PointRend heads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from medseg.card import CardClass
from medseg.heads.center_offset.loss import DENSE_WEIGHTS, dense_loss
from medseg.heads.contract import WindowTarget, lesion_ids
from medseg.heads.mask_rcnn.raw import MaskRCNN, Proposals, SampledRegions
from medseg.heads.mask_rcnn.sampling import LesionObjects, lesion_objects
from medseg.networks.anchors import atss_matches, giou_loss, pair_iou
from medseg.networks.point_sampling import sample_crops
from medseg.networks.roi_align import box_points, grid_places
from medseg.networks.set_matching import mask_losses

WEIGHTS = {
    **DENSE_WEIGHTS,
    "lesion": 2.0,
    "objectness": 1.0,
    "proposal_class": 1.0,
    "proposal_box": 2.0,
    "region_class": 1.0,
    "region_box": 2.0,
    "mask": 1.0,
    "mask_points": 1.0,
}
"""How much each part counts by default."""


def mask_rcnn_loss(
    raw: MaskRCNN,
    targets: Sequence[WindowTarget],
    classes: Sequence[CardClass],
    spacing_mm: Sequence[float],
) -> dict[str, Tensor]:
    """Named parts of the loss of a batch, each a mean, not weighted.

    `raw` comes from `refine`. The dense part's are those of the centre-offset head. "objectness"
    is the varifocal loss (Zhang et al. 2021) towards the IoU of each anchor's box with the object
    that ATSS matches it to; "proposal_class" and "region_class" are cross entropy; "proposal_box"
    and "region_box" 1 - generalised IoU (Rezatofighi et al. 2019); "mask" and "mask_points" cross
    entropy plus soft Dice of each region (Mask R-CNN, PointRend). In boxes and masks every object
    counts as much as another, however many anchors or regions it has and whatever its size.
    """
    parts = dense_loss(raw.dense, targets, classes, spacing_mm)
    if raw.proposals is None:
        msg = "the loss wants what `refine` gives"
        raise ValueError(msg)
    device = raw.proposals.boxes.device
    objects = [lesion_objects(one, lesion_ids(classes), device) for one in targets]
    parts |= _proposal_losses(raw.proposals, objects)
    if raw.sampled is not None:
        parts |= _region_losses(raw.sampled, objects)
        parts |= _mask_losses(raw.sampled, objects)
    return parts


def varifocal_loss(logits: Tensor, quality: Tensor) -> Tensor:
    """Binary cross entropy towards `quality`, weighted by it, and where it is 0 by 0.75 p^2.

    Shapes: both (...) -> (...).
    """
    found = torch.sigmoid(logits.detach())
    weight = torch.where(quality > 0, quality, 0.75 * found**2)
    return weight * functional.binary_cross_entropy_with_logits(logits, quality, reduction="none")


def region_mask_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Mean cross entropy plus soft Dice of each row, (R, N) and (R, N) in 0..1 -> (R,)."""
    entropy, dice = mask_losses(logits, wanted)
    return entropy + dice


def _proposal_losses(proposals: Proposals, objects: Sequence[LesionObjects]) -> dict[str, Tensor]:
    matched = torch.stack([atss_matches(one.boxes, proposals.anchors) for one in objects])
    window, anchor = torch.nonzero(matched >= 0).unbind(dim=1)
    channel, boxes, number = _objects_of(objects, window, matched[window, anchor])
    found = proposals.boxes[window, anchor]
    quality = torch.zeros_like(proposals.objectness)
    # An anchor that is far off yet counts as one: it is to find the object.
    quality[window, anchor] = pair_iou(found.detach(), boxes).clamp(min=0.1)
    weight = _equal_weights(number)
    entropy = functional.cross_entropy(
        proposals.class_logits[window, anchor], channel, reduction="none"
    )
    nothing = 0.0 * (proposals.class_logits.sum() + proposals.boxes.sum())
    return {
        "objectness": varifocal_loss(proposals.objectness, quality).sum() / max(len(anchor), 1),
        "proposal_class": (entropy * weight).sum() + nothing,
        "proposal_box": (giou_loss(found, boxes) * weight).sum() + nothing,
    }


def _region_losses(sampled: SampledRegions, objects: Sequence[LesionObjects]) -> dict[str, Tensor]:
    shown = torch.nonzero(sampled.target >= 0)[:, 0]
    channel, boxes, number = _objects_of(objects, sampled.window[shown], sampled.target[shown])
    wanted = torch.zeros_like(sampled.target)
    wanted[shown] = channel + 1
    apart = giou_loss(sampled.boxes[shown], boxes)
    return {
        "region_class": functional.cross_entropy(sampled.class_logits, wanted),
        "region_box": (apart * _equal_weights(number)).sum() + 0.0 * sampled.boxes.sum(),
    }


def _mask_losses(sampled: SampledRegions, objects: Sequence[LesionObjects]) -> dict[str, Tensor]:
    window, target = sampled.window[sampled.mask_row], sampled.target[sampled.mask_row]
    shown = torch.nonzero(target >= 0)[:, 0]
    channel, _, number = _objects_of(objects, window[shown], target[shown])
    weight = _equal_weights(number)
    size = sampled.masks.shape[-1]
    grid = grid_places(size, window.device)[None].expand(len(shown), -1, -1)
    covered = sampled.mask_boxes[shown]
    wanted = _mask_values(objects, number, box_points(covered, grid))
    logits = sampled.masks[shown, channel].flatten(1)
    losses = {"mask": (region_mask_loss(logits, wanted) * weight).sum() + 0.0 * sampled.masks.sum()}
    if sampled.places is not None and sampled.place_logits is not None:
        wanted = _mask_values(objects, number, box_points(covered, sampled.places[shown]))
        own = channel[:, None, None].expand(-1, wanted.shape[1], 1)
        logits = sampled.place_logits[shown].gather(2, own)[..., 0]
        points = region_mask_loss(logits, (wanted > 0.5).float())
        losses["mask_points"] = (points * weight).sum() + 0.0 * sampled.place_logits.sum()
    return losses


def _objects_of(
    objects: Sequence[LesionObjects], window: Tensor, target: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Class (R,), box (R, 6) and number (R,) over the batch of lesions `target` of windows."""
    counts = torch.tensor([len(one.boxes) for one in objects], device=window.device)
    number = (counts.cumsum(0) - counts)[window] + target
    channel = torch.cat([one.channel for one in objects])
    boxes = torch.cat([one.boxes for one in objects])
    return channel[number], boxes[number], number


def _equal_weights(number: Tensor) -> Tensor:
    """Weights (R,) that add up to 1, and so that every one of the numbered objects has as much."""
    count = torch.bincount(number)
    weights: Tensor = 1 / (count[number] * (count > 0).sum())
    return weights


def _mask_values(objects: Sequence[LesionObjects], number: Tensor, points: Tensor) -> Tensor:
    """The numbered objects' masks at points (R, N, 3) in voxels, (R, N) in 0..1."""
    masks = [mask for one in objects for mask in one.masks]
    corners = torch.cat([one.boxes[:, :3] for one in objects])
    used = sorted(set(number.tolist()))
    numbers = torch.tensor(used, dtype=torch.int64, device=number.device)
    which = torch.searchsorted(numbers, number)
    return sample_crops([masks[n] for n in used], corners[numbers], which, points - 0.5)

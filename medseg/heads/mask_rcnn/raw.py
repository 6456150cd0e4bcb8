"""What Mask R-CNN's network gives, stage by stage."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from medseg.heads.center_offset.network import CenterOffset


class Proposals(NamedTuple):
    """The first stage's answer for every anchor.

    Shapes: objectness (B, M) logits; class_logits (B, M, lesions); boxes (B, M, 6) voxels
    z0 y0 x0 z1 y1 x1; anchors one (M_l, 6) a level.
    """

    objectness: Tensor
    class_logits: Tensor
    boxes: Tensor
    anchors: tuple[Tensor, ...]


class SampledRegions(NamedTuple):
    """The second stage's answer for regions chosen for training.

    Shapes: window (R,) and target (R,), which of the batch and which of the window's lesions (in
    the order of `lesion_objects`), -1 for none; class_logits (R, 1 + lesions), nothing first;
    boxes (R, 6) refined; mask_row (P,) which of the R regions; mask_boxes (P, 6) what the masks
    cover; masks (P, lesions, S, S, S) logits; places (P, N, 3) in 0..1 of `mask_boxes` and
    place_logits (P, N, lesions) where points refine the mask, else None.
    """

    window: Tensor
    target: Tensor
    class_logits: Tensor
    boxes: Tensor
    mask_row: Tensor
    mask_boxes: Tensor
    masks: Tensor
    places: Tensor | None
    place_logits: Tensor | None


class FoundRegions(NamedTuple):
    """The second stage's answer: the regions that hold an object, and each its mask.

    Shapes: window (K,); channel (K,) which of the lesion classes; scores (K,) in 0..1; corners
    (K, 3) each mask's first voxel; masks K of (z, y, x) probabilities in float16, at the window's
    resolution and cut to the object, on the CPU; slots (B, most) objectness of the proposals that
    were looked at, 0 where there was room for more.
    """

    window: Tensor
    channel: Tensor
    scores: Tensor
    corners: Tensor
    masks: tuple[Tensor, ...]
    slots: Tensor


class MaskRCNN(NamedTuple):
    """What the network gives.

    Shapes: dense as the dense head's; objectness (B, A, ...), class_logits (B, A * lesions, ...)
    and changes (B, A * 6, ...) of A anchors a cell, one of each a level; features (B, F, Z/2, ...)
    of which regions are cut. `refine` adds proposals, and sampled where there are targets;
    `refine_found` adds found.
    """

    dense: CenterOffset
    objectness: tuple[Tensor, ...]
    class_logits: tuple[Tensor, ...]
    changes: tuple[Tensor, ...]
    features: Tensor
    proposals: Proposals | None = None
    sampled: SampledRegions | None = None
    found: FoundRegions | None = None

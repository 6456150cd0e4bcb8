"""The loss of the centre-offset head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn import functional

from medseg.card import CardClass
from medseg.heads.center_offset.network import CenterOffset
from medseg.heads.center_offset.object_loss import object_loss, object_voxels
from medseg.heads.center_offset.targets import DenseTarget, dense_target
from medseg.heads.contract import WindowTarget
from medseg.networks.point_refinement import PointLogits
from medseg.networks.refinement import repeat_up

DENSE_WEIGHTS = {
    "organ": 1.0,
    "lesion": 1.0,
    "coarse": 0.5,
    "centre": 0.5,
    "offset": 3.0,
    "points": 1.0,
}
"""How much each part of `dense_loss` counts by default; "offset" is per `OFFSET_UNIT_MM`."""

WEIGHTS = {**DENSE_WEIGHTS, "object": 0.5}
"""How much each part counts by default; "object" half as much as "lesion", as in blob loss."""

OFFSET_UNIT_MM = 8.0

SURELY_NOT = -20.0
"""A lesion's logit that adds nothing to cross entropy or Dice where no lesion is."""

NOWHERE = -1e4
"""An organ's logit that leaves it no probability at all."""


def center_offset_loss(
    raw: CenterOffset,
    targets: Sequence[WindowTarget],
    classes: Sequence[CardClass],
    spacing_mm: Sequence[float],
) -> dict[str, Tensor]:
    """Named parts of the loss of a batch, each a mean, not weighted; absent parts are left out.

    Those of `dense_loss`, and "object", which is `object_loss` of the lesion logits: the others
    count voxels, so that a large lesion hides small ones.
    """
    target = dense_target(targets, classes, window_shape(raw), spacing_mm, device=raw.coarse.device)
    parts = _dense_parts(raw, target)
    if raw.lesion is not None:
        voxels = object_voxels(targets, classes, target.lesion)
        parts["object"] = object_loss(where_known(raw.lesion.float(), target), voxels)
    return parts


def dense_loss(
    raw: CenterOffset,
    targets: Sequence[WindowTarget],
    classes: Sequence[CardClass],
    spacing_mm: Sequence[float],
) -> dict[str, Tensor]:
    """The parts that every head with a dense half learns, as `center_offset_loss` names them.

    Shapes: `raw` after `refine`, at full resolution. "organ" and "lesion" are cross entropy plus
    soft Dice; "coarse" is the same before the refinement, "points" at the points that PointRend
    (Kirillov et al. 2020) learns at, where "organ" and "lesion" are the coarse ones interpolated;
    "centre" is the penalty-reduced focal loss of CornerNet (Law and Deng 2018); "offset" is L1.
    """
    target = dense_target(targets, classes, window_shape(raw), spacing_mm, device=raw.coarse.device)
    return _dense_parts(raw, target)


def _dense_parts(raw: CenterOffset, target: DenseTarget) -> dict[str, Tensor]:
    parts = class_parts(raw, target)
    if raw.centre is not None and raw.offset_mm is not None:
        parts["centre"] = focal_loss(_heat_where_known(raw.centre.float(), target), target.centre)
        parts["offset"] = _offset_loss(raw.offset_mm.float(), target)
    return parts


def window_shape(raw: CenterOffset) -> tuple[int, int, int]:
    """The resolution (Z, Y, X) of the class logits; ValueError where there are none."""
    full = raw.organ if raw.organ is not None else raw.lesion
    if full is None:
        msg = "a centre-offset head has an organ or a lesion class"
        raise ValueError(msg)
    z, y, x = full.shape[2:]
    return z, y, x


def class_parts(raw: CenterOffset, target: DenseTarget) -> dict[str, Tensor]:
    """The parts of the loss that class logits have: "organ", "lesion", "coarse" or "points"."""
    parts = _class_losses(raw.organ, raw.lesion, target)
    lesions = target.lesion.shape[1]
    if raw.points is not None:
        parts["points"] = _point_loss(raw.points, target, lesions)
    elif raw.coarse.shape[2:] != window_shape(raw):
        logits = repeat_up(raw.coarse.float())
        first = logits.shape[1] - lesions
        coarse = _class_losses(
            logits[:, :first] if first else None, logits[:, first:] if lesions else None, target
        )
        parts["coarse"] = torch.stack(list(coarse.values())).sum()
    return parts


def _class_losses(
    organ: Tensor | None, lesion: Tensor | None, target: DenseTarget
) -> dict[str, Tensor]:
    parts = {}
    if organ is not None:
        organ = _organ_where_known(undrawn_as_background(organ.float(), target.undrawn), target)
        dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
        parts["organ"] = functional.cross_entropy(organ, target.organ) + dice(
            organ, target.organ[:, None]
        )
    if lesion is not None:
        dice = DiceLoss(sigmoid=True, batch=True)
        lesion = where_known(lesion.float(), target)
        entropy = functional.binary_cross_entropy_with_logits(lesion, target.lesion)
        parts["lesion"] = entropy + dice(lesion, target.lesion)
    return parts


def undrawn_as_background(organ: Tensor, undrawn: Tensor | None) -> Tensor:
    """Organ logits (B, 1 + organs, ...) with those of undrawn organs given to the background.

    What nobody drew may lie anywhere in what counts as background: the background's probability is
    the sum of both (the marginal loss of Shi et al. 2021), and Dice sees nothing of the organ.
    `undrawn` (B, 1 + organs) is as in `DenseTarget`.
    """
    if undrawn is None:
        return organ
    undrawn = undrawn.view(*organ.shape[:2], *[1] * (organ.dim() - 2))
    belongs = undrawn.clone()
    belongs[:, 0] = True
    background = organ.masked_fill(~belongs, -torch.inf).logsumexp(dim=1, keepdim=True)
    others = organ[:, 1:].masked_fill(undrawn[:, 1:], NOWHERE)
    return torch.cat([background, others], dim=1)


def where_known(lesion: Tensor, target: DenseTarget) -> Tensor:
    """Lesion logits that say with certainty, as the target does, that nothing is at `beyond`."""
    if target.beyond is None:
        return lesion
    return lesion.masked_fill(target.beyond[:, None], SURELY_NOT)


def _organ_where_known(organ: Tensor, target: DenseTarget) -> Tensor:
    """Organ logits by which background is certain, as in the target, at `beyond`."""
    if target.beyond is None:
        return organ
    others = organ[:, 1:].masked_fill(target.beyond[:, None], NOWHERE)
    return torch.cat([organ[:, :1], others], dim=1)


def _heat_where_known(heat: Tensor, target: DenseTarget) -> Tensor:
    """Logits of the heat map that find no centre in cells of which nothing at all is known."""
    if target.beyond is None:
        return heat
    known = functional.max_pool3d((~target.beyond).float()[:, None], 2) > 0
    return heat.masked_fill(~known & (target.centre < 1), SURELY_NOT)


def _point_loss(points: PointLogits, target: DenseTarget, lesions: int) -> Tensor:
    """The class losses at points, with the classes of the voxels that hold them."""
    shape = torch.tensor(target.organ.shape[1:], device=points.places.device)
    z, y, x = (points.places * shape).long().clamp(max=shape - 1).unbind(dim=-1)
    window = torch.arange(len(z), device=z.device)[:, None]
    there = replace(
        target,
        organ=target.organ[window, z, y, x],
        lesion=target.lesion[window, :, z, y, x].movedim(-1, 1),
        beyond=None if target.beyond is None else target.beyond[window, z, y, x],
    )
    logits = points.logits.movedim(-1, 1)
    first = logits.shape[1] - lesions
    organ, lesion = logits[:, :first] if first else None, logits[:, first:] if lesions else None
    return torch.stack(list(_class_losses(organ, lesion, there).values())).sum()


def focal_loss(logits: Tensor, heat: Tensor) -> Tensor:
    """Penalty-reduced focal loss with exponents 2 and 4, divided by the number of centres.

    Shapes: logits and heat (B, C, Z, Y, X); `heat` in 0..1 and exactly 1 at a centre.
    """
    centres = heat == 1
    probability = torch.sigmoid(logits)
    found = functional.logsigmoid(logits) * (1 - probability) ** 2
    spurious = functional.logsigmoid(-logits) * probability**2 * (1 - heat) ** 4
    total = torch.where(centres, found, spurious).sum()
    return -total / centres.sum().clamp(min=1)


def _offset_loss(offset_mm: Tensor, target: DenseTarget) -> Tensor:
    batch, lesions = target.owned.shape[:2]
    shape = (batch, lesions, 3, *target.owned.shape[2:])
    apart = (offset_mm.view(shape) - target.offset_mm.view(shape)).abs().mean(dim=2)
    owned = target.owned.to(apart.dtype)
    return (apart * owned).sum() / owned.sum().clamp(min=1) / OFFSET_UNIT_MM

"""The loss of the centre-offset head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn import functional

from medseg.card import CardClass
from medseg.heads.center_offset.network import CenterOffset
from medseg.heads.center_offset.targets import DenseTarget, dense_target
from medseg.heads.contract import WindowTarget, lesion_ids
from medseg.networks.refinement import repeat_up

WEIGHTS = {"organ": 1.0, "lesion": 1.0, "coarse": 0.5, "centre": 0.5, "offset": 3.0}
"""How much each part counts by default; "offset" is per `OFFSET_UNIT_MM`."""

OFFSET_UNIT_MM = 8.0


def center_offset_loss(
    raw: CenterOffset,
    targets: Sequence[WindowTarget],
    classes: Sequence[CardClass],
    spacing_mm: Sequence[float],
) -> dict[str, Tensor]:
    """Named parts of the loss of a batch, each a mean, not weighted; absent parts are left out.

    Shapes: `raw` after `refine`, at full resolution. "organ" and "lesion" are cross entropy plus
    soft Dice; "coarse" is the same before the refinement; "centre" is the penalty-reduced focal
    loss of CornerNet (Law and Deng 2018); "offset" is L1.
    """
    full = raw.organ if raw.organ is not None else raw.lesion
    if full is None:
        msg = "a centre-offset head has an organ or a lesion class"
        raise ValueError(msg)
    z, y, x = full.shape[2:]
    target = dense_target(targets, classes, (z, y, x), spacing_mm)
    parts = _class_losses(raw.organ, raw.lesion, target)
    if raw.coarse.shape[2:] != full.shape[2:]:
        logits = repeat_up(raw.coarse.float())
        first = logits.shape[1] - len(lesion_ids(classes))
        coarse = _class_losses(
            logits[:, :first] if first else None,
            logits[:, first:] if first < logits.shape[1] else None,
            target,
        )
        parts["coarse"] = torch.stack(list(coarse.values())).sum()
    if raw.centre is not None and raw.offset_mm is not None:
        parts["centre"] = focal_loss(raw.centre.float(), target.centre)
        parts["offset"] = _offset_loss(raw.offset_mm.float(), target)
    return parts


def _class_losses(
    organ: Tensor | None, lesion: Tensor | None, target: DenseTarget
) -> dict[str, Tensor]:
    parts = {}
    if organ is not None:
        dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
        parts["organ"] = functional.cross_entropy(organ.float(), target.organ) + dice(
            organ.float(), target.organ[:, None]
        )
    if lesion is not None:
        dice = DiceLoss(sigmoid=True, batch=True)
        entropy = functional.binary_cross_entropy_with_logits(lesion.float(), target.lesion)
        parts["lesion"] = entropy + dice(lesion.float(), target.lesion)
    return parts


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

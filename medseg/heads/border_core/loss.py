"""The loss of the border-core head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from medseg.card import CardClass
from medseg.heads.border_core.network import BorderCore
from medseg.heads.border_core.targets import THICKNESS_MM, CoreTarget, core_target
from medseg.heads.center_offset.loss import class_parts, where_known, window_shape
from medseg.heads.center_offset.object_loss import object_loss, object_voxels, sums_by_group
from medseg.heads.center_offset.targets import dense_target
from medseg.heads.contract import WindowTarget

WEIGHTS = {"organ": 1.0, "lesion": 1.0, "coarse": 0.5, "points": 1.0, "core": 1.0, "object": 0.5}
"""How much each part counts by default."""


def border_core_loss(
    raw: BorderCore,
    targets: Sequence[WindowTarget],
    classes: Sequence[CardClass],
    spacing_mm: Sequence[float],
    *,
    thickness_mm: float = THICKNESS_MM,
) -> dict[str, Tensor]:
    """Named parts of the loss of a batch, each a mean, not weighted; absent parts are left out.

    Shapes: `raw` after `refine`, at full resolution. "organ", "lesion", "coarse", "points" and
    "object" are those of the centre-offset head, in all but the last cores counted among the
    lesions. "core" is `object_core_loss`:
    without it a small object's border, which keeps it apart from a large one, would hardly count.
    """
    shape, device = window_shape(raw.dense), raw.dense.coarse.device
    target = dense_target(targets, classes, shape, spacing_mm, device=device)
    if raw.core is None:
        return class_parts(raw.dense, target)
    drawn = core_target(targets, classes, shape, spacing_mm, thickness_mm)
    drawn = CoreTarget(drawn.core.to(device), drawn.owner.to(device))
    with_cores = replace(target, lesion=torch.cat([target.lesion, drawn.core], dim=1))
    parts = class_parts(raw.dense, with_cores)
    parts["core"] = object_core_loss(raw.core.float(), drawn)
    if raw.lesion is not None:
        voxels = object_voxels(targets, classes, target.lesion)
        parts["object"] = object_loss(where_known(raw.lesion.float(), target), voxels)
    return parts


def object_core_loss(logits: Tensor, target: CoreTarget) -> Tensor:
    """Cross entropy plus soft Dice of core against border within each object, the mean of objects.

    Shapes: logits (B, lesions, Z, Y, X). Core and border of an object count the same in its cross
    entropy. No object gives 0. Work grows with the objects' voxels, as in blob loss (Kofler et al.
    2023), of which this keeps what lies inside the objects.
    """
    where = torch.nonzero(target.owner, as_tuple=True)
    if not len(where[0]):
        return 0 * logits.sum()
    seen, wanted = logits[where], target.core[where]
    # Objects that others cover have no voxel, and do not count.
    numbers, owner = torch.unique(target.owner[where], return_inverse=True)
    side = 2 * owner + wanted.long()
    entropy = functional.binary_cross_entropy_with_logits(seen, wanted, reduction="none")
    sides = sums_by_group(torch.ones_like(entropy), side, 2 * len(numbers)).view(-1, 2)
    means = sums_by_group(entropy, side, 2 * len(numbers)).view(-1, 2) / sides.clamp(min=1)
    balanced = means.sum(dim=1) / (sides > 0).sum(dim=1)
    probability = torch.sigmoid(seen)
    both = sums_by_group(probability * wanted, owner, len(numbers))
    total = sums_by_group(probability + wanted, owner, len(numbers))
    dice = 1 - 2 * both / total.clamp(min=1e-6)
    return (balanced + dice).mean()

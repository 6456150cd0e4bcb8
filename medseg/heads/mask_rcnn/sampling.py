"""Which regions the second stage learns on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from medseg.heads.contract import WindowTarget
from medseg.networks.anchors import clipped_boxes, pair_iou

POSITIVE_IOU = 0.5
"""A proposal that meets an object so far is one of it."""

SHIFT, LOG_SCALE = 0.1, 0.15
"""How far truth is moved and scaled where no proposal meets an object, in its lengths."""


class LesionObjects(NamedTuple):
    """The lesions of a window.

    Shapes: channel (N,) which of the lesion classes; boxes (N, 6) float; masks N of (z, y, x).
    """

    channel: Tensor
    boxes: Tensor
    masks: tuple[Tensor, ...]


def lesion_objects(
    target: WindowTarget, lesions: Sequence[int], device: torch.device
) -> LesionObjects:
    """The lesions among a window's objects in an order that hangs on them alone, not on theirs."""
    chosen = [n for n, position in enumerate(target.class_ids) if int(position) in lesions]
    chosen.sort(key=lambda n: (target.boxes[n].tolist(), int(target.class_ids[n])))
    channel = [list(lesions).index(int(target.class_ids[n])) for n in chosen]
    return LesionObjects(
        torch.tensor(channel, dtype=torch.int64, device=device),
        torch.from_numpy(target.boxes[chosen].reshape(-1, 6)).float().to(device),
        tuple(torch.from_numpy(np.ascontiguousarray(target.masks[n])).to(device) for n in chosen),
    )


def sample_regions(
    proposals: Tensor,
    objects: LesionObjects,
    shape: Sequence[int],
    generator: torch.Generator,
    *,
    positives: int,
    negatives: int,
) -> tuple[Tensor, Tensor]:
    """Regions to learn on, and the object of each, -1 for none.

    Shapes: proposals (P, 6) inside the window, the best first -> boxes (R, 6), target (R,).
    Every object gets a region before any gets a second one, as long as there is room: its
    proposals by chance, or truth a little moved. Of those that meet no object the best, which are
    the hardest, serve as negatives.
    """
    device = proposals.device
    if not len(objects.boxes):
        none = torch.full((min(len(proposals), negatives),), -1, device=device)
        return proposals[:negatives], none
    iou, nearest = pair_iou(proposals[:, None], objects.boxes).max(dim=1)
    owner = torch.where(iou > POSITIVE_IOU, nearest, -1)
    turns = torch.rand(len(proposals), generator=generator).to(device)
    jittered = clipped_boxes(_jittered(objects.boxes, generator), shape)
    candidates = torch.cat([proposals, jittered])
    owners = torch.cat([owner, torch.arange(len(objects.boxes), device=device)])
    # Truth moved comes last of an object's regions: only where proposals leave none.
    turns = torch.cat([turns, torch.full((len(jittered),), 2.0, device=device)])
    lots = torch.rand(len(objects.boxes), generator=generator).to(device)
    chosen = _by_turns(owners, turns, lots, positives)
    apart = torch.nonzero(owner < 0)[:negatives, 0]
    taken = torch.cat([chosen, apart])
    return candidates[taken], owners[taken]


def _by_turns(owners: Tensor, turns: Tensor, lots: Tensor, most: int) -> Tensor:
    """Positions of at most `most` candidates: every owner's first, then every second."""
    mine = torch.nonzero(owners >= 0)[:, 0]
    mine = mine[turns[mine].argsort(stable=True)]
    mine = mine[owners[mine].argsort(stable=True)]
    own = owners[mine]
    count = torch.bincount(own)
    rank = torch.arange(len(own), device=own.device) - (count.cumsum(0) - count)[own]
    # Moved truth (its turn is above 1) is an object's only region or none.
    spare = (turns[mine] > 1) & (rank > 0)
    order = (rank + lots[own] + 1e6 * spare).argsort(stable=True)
    order = order[~spare[order]]
    return mine[order[:most]]


def _jittered(boxes: Tensor, generator: torch.Generator) -> Tensor:
    """Boxes moved and scaled at random, so that their IoU stays above 0.5 for nearly all."""
    chance = torch.rand((2, len(boxes), 3), generator=generator).to(boxes.device) * 2 - 1
    length = boxes[:, 3:] - boxes[:, :3]
    middle = (boxes[:, :3] + boxes[:, 3:]) / 2 + chance[0] * SHIFT * length
    half = length / 2 * torch.exp(chance[1] * LOG_SCALE)
    return torch.cat([middle - half, middle + half], dim=1)

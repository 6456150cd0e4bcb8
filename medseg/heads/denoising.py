"""Queries that begin near known objects in training, so that a layer learns to come closer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from medseg.heads.contract import WindowTarget
from medseg.heads.set_targets import in_order, target_rng
from medseg.networks.queries import MASK_STRIDE

SHIFT = 0.4
"""How far a place is shifted at most, in half lengths of the object's box."""

OTHER_CLASS = 0.2
"""How often a query begins with a class drawn at random."""


class NoisedPlaces(NamedTuple):
    """Where denoising queries begin.

    Shapes: channel and owner (B, Q), cells (B, Q, 3) of stride 2, groups (B, Q, Q) which queries
    see which: those of one group, and fillers (owner -1) themselves alone.
    """

    channel: Tensor
    cells: Tensor
    owner: Tensor
    groups: Tensor


def noised_places(
    targets: Sequence[WindowTarget], lesions: Sequence[int], groups: int, shape: Sequence[int]
) -> NoisedPlaces | None:
    """Places near the lesions of each window, `groups` times each; None where no window has one.

    `lesions` are the positions of the lesion classes in the card's, `shape` the window's cells of
    stride 2. After DN-DETR (Li et al. 2022): groups do not see each other.
    """
    objects = [in_order(one, lesions) for one in targets]
    most = max((len(one.class_ids) for one in objects), default=0)
    if not most:
        return None
    owner = np.full((len(objects), groups, most), -1)
    channel = np.zeros(owner.shape, dtype=np.int64)
    cells = np.zeros((*owner.shape, 3), dtype=np.int64)
    for n, one in enumerate(objects):
        rng, count = target_rng(one), len(one.class_ids)
        size = (groups, count)
        owner[n, :, :count] = np.arange(count)
        swapped = rng.random(size) < OTHER_CLASS
        other = rng.integers(len(lesions), size=size)
        channel[n, :, :count] = np.where(swapped, other, one.class_ids)
        low, high = one.boxes[:, :3], one.boxes[:, 3:]
        shift = rng.uniform(-SHIFT, SHIFT, (*size, 3)) * (high - low) / 2
        middle = (low + high) / 2 + shift
        inside = np.clip(np.floor(middle / MASK_STRIDE), 0, np.asarray(shape) - 1)
        cells[n, :, :count] = inside.astype(np.int64)
    group = np.broadcast_to(np.arange(groups)[:, None], owner.shape[1:]).reshape(-1)
    flat = owner.reshape(len(objects), -1)
    known = flat >= 0
    seen = (group[:, None] == group) & known[:, :, None] & known[:, None, :]
    seen |= np.eye(flat.shape[1], dtype=bool)
    return NoisedPlaces(
        torch.from_numpy(channel.reshape(flat.shape)),
        torch.from_numpy(cells.reshape(*flat.shape, 3)),
        torch.from_numpy(flat),
        torch.from_numpy(seen),
    )

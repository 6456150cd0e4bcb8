"""A loss of lesion maps in which a small lesion counts as much as a large one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medseg.card import CardClass
from medseg.heads.contract import WindowTarget, lesion_ids

MARGIN = 2
"""Voxels around an object's box that still count as its surroundings."""


class ObjectVoxels(NamedTuple):
    """The voxels in and around every object of a batch, those of others of its class left out.

    Shapes: at (V,) positions in the flat lesion map (B, lesions, Z, Y, X); wanted (V,) 1 in the
    object and 0 around it; owner (V,) which of the `objects`.
    """

    at: Tensor
    wanted: Tensor
    owner: Tensor
    objects: int


def object_loss(lesion: Tensor, voxels: ObjectVoxels) -> Tensor:
    """Cross entropy plus soft Dice of every object in its surroundings, the mean of objects.

    Shapes: lesion (B, lesions, Z, Y, X) logits. After blob loss (Kofler et al. 2023), on crops
    around the objects in place of whole volumes, so that work grows with their boxes. No object
    gives 0.
    """
    if not voxels.objects:
        return 0 * lesion.sum()
    seen = lesion.reshape(-1)[voxels.at]
    entropy = functional.binary_cross_entropy_with_logits(seen, voxels.wanted, reduction="none")
    number = sums_by_group(torch.ones_like(seen), voxels.owner, voxels.objects)
    mean = sums_by_group(entropy, voxels.owner, voxels.objects) / number
    probability = torch.sigmoid(seen)
    both = sums_by_group(probability * voxels.wanted, voxels.owner, voxels.objects)
    total = sums_by_group(probability + voxels.wanted, voxels.owner, voxels.objects)
    return (mean + 1 - 2 * both / total).mean()


def object_voxels(
    targets: Sequence[WindowTarget], classes: Sequence[CardClass], lesion: Tensor
) -> ObjectVoxels:
    """What `object_loss` compares; `lesion` is the drawn map (B, lesions, Z, Y, X), 0 or 1."""
    channels = {position: n for n, position in enumerate(lesion_ids(classes))}
    drawn = lesion.numpy(force=True) > 0
    places, wanted, sizes = [], [], []
    for n, target in enumerate(targets):
        for box, mask, position in zip(target.boxes, target.masks, target.class_ids, strict=True):
            if (channel := channels.get(int(position))) is None or not mask.any():
                continue
            there, inside = _surroundings(drawn[n, channel], box, mask)
            first = (n * len(channels) + channel) * drawn[n, channel].size
            places.append(there + first)
            wanted.append(inside)
            sizes.append(len(there))
    owner = np.repeat(np.arange(len(sizes)), sizes)
    at = np.concatenate([np.zeros(0, dtype=np.int64), *places])
    ones = np.concatenate([np.zeros(0, dtype=np.float32), *wanted])
    found = [torch.from_numpy(one).to(lesion.device) for one in (at, ones, owner)]
    return ObjectVoxels(found[0], found[1], found[2], len(sizes))


def sums_by_group(values: Tensor, group: Tensor, groups: int) -> Tensor:
    """The sum of the values (N,) in each group, (groups,)."""
    return values.new_zeros(groups).index_add(0, group, values)


def _surroundings(
    drawn: NDArray[np.bool_], box: NDArray[np.int64], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Flat positions in `drawn` (Z, Y, X) in and around an object, and 1 where it is."""
    low = np.maximum(box[:3] - MARGIN, 0)
    high = np.minimum(box[3:] + MARGIN, drawn.shape)
    own = np.zeros(high - low, dtype=bool)
    own[tuple(slice(a, b) for a, b in zip(box[:3] - low, box[3:] - low, strict=True))] = mask
    crop = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    counts = own | ~drawn[crop]
    at = np.ravel_multi_index(tuple((np.argwhere(counts) + low).T), drawn.shape)
    return at.astype(np.int64), own[counts].astype(np.float32)

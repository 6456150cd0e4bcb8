"""Windows, objects and a perfect network's output, that tests of the query heads share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from modelling import LESIONS, card
from numpy.typing import NDArray
from torch import Tensor

from medseg.heads.center_offset.network import CenterOffset
from medseg.heads.contract import WindowInstance, WindowTarget
from medseg.heads.query_parts import Outputs, QueryRaw
from medseg.heads.set_targets import in_order
from medseg.models import InstanceNetwork, build
from medseg.networks.queries import Masks

SPACING_MM = (1.0, 1.0, 1.0)
SHAPE = (24, 32, 16)
QUERIES = 12
SMALL = {
    "queries": QUERIES,
    "width": 24,
    "attention_heads": 2,
    "hidden": 16,
    "mask_channels": 8,
    "dense": {"width": 8, "refinement_width": 8},
}


def small_network(
    name: str,
    classes: Sequence[dict[str, Any]] | None = None,
    backbone: dict[str, Any] | None = None,
    **changes: Any,
) -> InstanceNetwork:
    """An untrained network with few channels."""
    arguments = {"channels": [8, 16, 16], "blocks": [1, 1, 1], **(backbone or {})}
    described = card(
        list(classes or LESIONS),
        head={"name": name, "network": {**SMALL, **changes}},
        backbone={"name": "residual_pyramid", "arguments": arguments},
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(described)


def ball(middle: Sequence[float], radius: float, shape: Sequence[int] = SHAPE) -> NDArray[np.bool_]:
    """A ball in a window."""
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    return np.asarray(((grid - np.asarray(middle)) ** 2).sum(-1) <= radius**2)


def target_of(masks: Sequence[NDArray[np.bool_]], kinds: Sequence[int]) -> WindowTarget:
    """The objects with these masks (Z, Y, X)."""
    boxes, crops = [], []
    for mask in masks:
        where = np.argwhere(mask)
        low, high = where.min(axis=0), where.max(axis=0) + 1
        boxes.append([*low, *high])
        crops.append(mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))])
    table = np.array(boxes, dtype=np.int64).reshape(-1, 6)
    return WindowTarget(
        np.array(kinds, dtype=np.int64),
        table,
        tuple(crops),
        np.zeros(len(crops), dtype=bool),
        (table[:, :3] + table[:, 3:] - 1) / 2,
    )


EMPTY = target_of([], [])


def meeting_balls() -> tuple[WindowTarget, list[NDArray[np.bool_]]]:
    """Two balls of two classes that share voxels, one alone, and one that the window cuts."""
    masks = [
        ball((8, 8, 8), 6),
        ball((12, 13, 8), 6),
        ball((19, 25, 6), 4),
        ball((22, 8, 15), 6),
    ]
    return target_of(masks, [0, 1, 0, 1]), masks


def shuffled(target: WindowTarget, order: Sequence[int]) -> WindowTarget:
    """The same objects in another order."""
    rows = list(order)
    return WindowTarget(
        target.class_ids[rows],
        target.boxes[rows],
        tuple(target.masks[n] for n in rows),
        target.cut[rows],
        target.centres[rows],
    )


def perfect_raw(targets: Sequence[WindowTarget], *, with_boxes: bool) -> QueryRaw:
    """What a perfect network gives: a mask feature an object, and a query that takes it.

    The queries stand in the reverse order of the objects; the rest are none.
    """
    batch, cells = len(targets), [length // 2 for length in SHAPE]
    features = torch.full((batch, QUERIES, *cells), -8.0)
    weights = torch.eye(QUERIES).flip(0).expand(1, batch, -1, -1).clone()
    class_logits = torch.full((1, batch, QUERIES, 3), -12.0)
    class_logits[..., 2] = 12.0
    boxes = torch.tensor([0.0, 0, 0, 2, 2, 2]).expand(1, batch, QUERIES, 6).clone()
    for window, target in enumerate(targets):
        objects = in_order(target, [0, 1])
        for n, (corner, share) in enumerate(objects.crops()):
            z, y, x = (slice(int(a), int(a) + b) for a, b in zip(corner, share.shape, strict=True))
            features[window, n, z, y, x] = torch.from_numpy(share.copy()).logit(eps=0.05)
            query = QUERIES - 1 - n
            class_logits[0, window, query] = -12.0
            class_logits[0, window, query, int(objects.class_ids[n])] = 12.0
            boxes[0, window, query] = torch.from_numpy(objects.boxes[n]).float()
    masks = Masks(weights, torch.zeros(1, batch, QUERIES, 7))
    outputs = Outputs(class_logits, masks, boxes if with_boxes else None)
    return QueryRaw(dense_nothing(batch), outputs, features)


def dense_nothing(batch: int) -> CenterOffset:
    """A dense part that sees nothing, at full resolution."""
    lesion = torch.full((batch, 2, *SHAPE), -20.0)
    half = tuple(length // 2 for length in SHAPE)
    centre, offset = torch.full((batch, 2, *half), -20.0), torch.zeros(batch, 6, *half)
    return CenterOffset(None, lesion, centre, offset, lesion[:, :, ::2, ::2, ::2], lesion)


def full_mask(item: WindowInstance) -> NDArray[np.bool_]:
    """An object's mask in its window."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[item.box] = item.probability > 0.5
    return mask


def noise(batch: int = 1, shape: Sequence[int] = SHAPE) -> Tensor:
    """Seeded images."""
    return torch.randn(batch, 1, *shape, generator=torch.Generator().manual_seed(1))

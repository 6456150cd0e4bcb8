"""Windows, objects and a perfect network's output, that tests of the query heads share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from head_cases import SHAPE, ball, dense_nothing, target_of, untrained
from modelling import LESIONS, card
from numpy.typing import NDArray

from medseg.heads.contract import WindowTarget
from medseg.heads.query_parts import Outputs, QueryRaw
from medseg.heads.set_targets import in_order
from medseg.models import InstanceNetwork
from medseg.networks.queries import Masks

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
    return untrained(described)


def meeting_balls() -> tuple[WindowTarget, list[NDArray[np.bool_]]]:
    """Two balls of two classes that share voxels, one alone, and one that the window cuts."""
    masks = [
        ball((8, 8, 8), 6),
        ball((12, 13, 8), 6),
        ball((19, 25, 6), 4),
        ball((22, 8, 15), 6),
    ]
    return target_of(masks, [0, 1, 0, 1]), masks


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

"""Windows, objects and a perfect network's output, that tests of the prototype head share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from head_cases import SHAPE, ball, dense_nothing, target_of, untrained
from modelling import LESIONS, card
from numpy.typing import NDArray

from medseg.heads.contract import WindowTarget
from medseg.heads.yolact.masks import TERMS
from medseg.heads.yolact.network import Yolact
from medseg.models import InstanceNetwork
from medseg.networks.detector import Detections, nearest_cells

STRIDE = 4


def small_network(
    classes: list[dict[str, object]] | None = None, **backbone: object
) -> InstanceNetwork:
    """An untrained network with few channels."""
    arguments = {"channels": [8, 16], "blocks": [1, 1], "stem_stride": 2, **backbone}
    head = {
        "name": "yolact",
        "network": {"width": 8, "prototypes": 4, "dense_width": 8, "refinement_width": 8},
    }
    described = card(
        classes or LESIONS,
        head=head,
        backbone={"name": "residual_pyramid", "arguments": arguments},
    )
    return untrained(described)


def two_meeting_balls() -> tuple[WindowTarget, list[NDArray[np.bool_]]]:
    """A ball and a shell's ball that share voxels, a small ball, and one that the window cuts."""
    masks = [
        ball((8, 8, 8), 5),
        ball((11, 12, 8), 4),
        ball((20, 27, 4), 1),
        ball((22, 8, 15), 5),
    ]
    return target_of(masks, [0, 1, 0, 1]), masks


def perfect_raw(targets: Sequence[WindowTarget]) -> Yolact:
    """What a perfect network gives: one prototype an object, in a cell near its middle."""
    cells = tuple(length // STRIDE for length in SHAPE)
    batch, most = len(targets), max(*(len(one.class_ids) for one in targets), 1)
    objectness = torch.full((batch, *cells), -20.0)
    kind = torch.zeros(batch, 2, *cells)
    boxes = torch.ones(batch, 6, *cells)
    coefficients = torch.zeros(batch, most + TERMS, *cells)
    prototypes = torch.full((batch, *SHAPE, most), -20.0)
    for window, target in enumerate(targets):
        cell, owner = nearest_cells(target.boxes, cells, STRIDE, count=2)
        for place, n in zip(cell, owner, strict=True):
            at = (window, slice(None), *np.unravel_index(place, cells))
            objectness[window][at[2:]] = 20.0
            kind[at] = torch.tensor([-20.0, 20.0] if target.class_ids[n] else [20.0, -20.0])
            boxes[at] = torch.from_numpy(target.boxes[n]).float()
            coefficients[at] = torch.eye(most + TERMS)[n]
        for n, box in enumerate(target.boxes):
            z, y, x = (slice(a, b) for a, b in zip(box[:3], box[3:], strict=True))
            prototypes[window, z, y, x, n][torch.from_numpy(target.masks[n])] = 20.0
    return Yolact(
        dense_nothing(batch),
        Detections(objectness, kind, boxes, torch.zeros(batch, 8, *cells)),
        coefficients,
        torch.full((batch, *cells), 20.0),
        prototypes,
    )

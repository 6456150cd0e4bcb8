"""Windows of solids and what a perfect border-core network leaves of them."""

from __future__ import annotations

from collections.abc import Sequence

import head_cases
import numpy as np
import torch
from fringe_cases import Maps
from head_cases import target_of, untrained
from modelling import LESIONS, card
from numpy.typing import NDArray

from medseg.heads.border_core.targets import core_target
from medseg.heads.center_offset.targets import dense_target
from medseg.heads.contract import DenseDecoder, WindowTarget
from medseg.models import decoder_of

UNIT = (1.0, 1.0, 1.0)
SHAPE = (16, 24, 16)
Classes = list[dict[str, object]]


def block(shape: Sequence[int], low: Sequence[int], high: Sequence[int]) -> NDArray[np.bool_]:
    """A cuboid from corner to corner."""
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


def two_blocks() -> tuple[WindowTarget, list[NDArray[np.bool_]]]:
    """A large and a small cuboid that share a face, and a shell's worth of the other class."""
    masks = [
        block(SHAPE, (2, 2, 2), (12, 12, 12)),
        block(SHAPE, (4, 12, 4), (9, 17, 9)),
        block(SHAPE, (3, 10, 3), (8, 20, 10)),
    ]
    return target_of(masks, [0, 0, 1]), masks


def perfect_maps(
    target: WindowTarget, shape: tuple[int, int, int], spacing_mm: Sequence[float] = UNIT
) -> Maps:
    """Lesions and their cores as a perfect network gives them."""
    classes = card(LESIONS).classes
    return {
        "lesion": dense_target([target], classes, shape, spacing_mm).lesion[0].numpy(),
        "core": core_target([target], classes, shape, spacing_mm).core[0].numpy(),
    }


def decoder(classes: Classes = LESIONS, **arguments: float) -> DenseDecoder:
    """The decoder of a small model."""
    return decoder_of(card(classes, head={"name": "border_core", "decoder": arguments}))


def small_network(
    classes: Classes = LESIONS, *, stem_stride: int = 2, **arguments: object
) -> torch.nn.Module:
    """A small network with fixed weights."""
    backbone = {"channels": [8, 16], "blocks": [1, 1], "stem_stride": stem_stride}
    described = card(
        classes,
        head={"name": "border_core", "network": {"refinement_width": 8, **arguments}},
        backbone={"name": "residual_pyramid", "arguments": backbone},
    )
    return untrained(described)


def noise(batch: int = 1) -> torch.Tensor:
    """Images of `SHAPE` that are nothing but noise."""
    return head_cases.noise(batch, SHAPE)

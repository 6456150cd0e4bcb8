"""Windows of solids and what a perfect border-core network leaves of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from fringe_cases import Maps
from modelling import LESIONS, card
from numpy.typing import NDArray

from medseg.heads.border_core.targets import core_target
from medseg.heads.center_offset.targets import dense_target
from medseg.heads.contract import DenseDecoder, WindowTarget
from medseg.models import build, decoder_of
from medseg.types import tight_box

UNIT = (1.0, 1.0, 1.0)
SHAPE = (16, 24, 16)
Classes = list[dict[str, object]]


def target_of(
    masks: Sequence[NDArray[np.bool_]], class_ids: Sequence[int] | None = None
) -> WindowTarget:
    """The target of a window that shows these masks, all of the first class if not said."""
    boxes = [tight_box(mask) for mask in masks]
    assert all(box is not None for box in boxes)
    ends = [[p.start for p in box] + [p.stop for p in box] for box in boxes if box is not None]
    corners = np.array(ends, dtype=np.int64).reshape(-1, 6)
    return WindowTarget(
        np.array(class_ids if class_ids is not None else [0] * len(masks), dtype=np.int64),
        corners,
        tuple(mask[box] for mask, box in zip(masks, boxes, strict=True)),
        np.zeros(len(masks), dtype=bool),
        (corners[:, :3] + corners[:, 3:] - 1) / 2,
    )


NOTHING = target_of([])


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
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(
            card(
                classes,
                head={"name": "border_core", "network": {"refinement_width": 8, **arguments}},
                backbone={"name": "residual_pyramid", "arguments": backbone},
            )
        )


def noise(batch: int = 1) -> torch.Tensor:
    """Images of `SHAPE` that are nothing but noise."""
    return torch.randn(batch, 1, *SHAPE, generator=torch.Generator().manual_seed(1))

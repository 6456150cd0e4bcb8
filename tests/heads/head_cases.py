"""Windows, objects and networks that the tests of all heads share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medseg.card import Card
from medseg.heads.center_offset.network import CenterOffset
from medseg.heads.contract import WindowInstance, WindowTarget
from medseg.models import InstanceNetwork, build
from medseg.types import tight_box

SPACING_MM = (1.0, 1.0, 1.0)
SHAPE = (24, 32, 16)


def untrained(described: Card) -> InstanceNetwork:
    """The network of a card, with the same weights every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(described)


def ball(middle: Sequence[float], radius: float, shape: Sequence[int] = SHAPE) -> NDArray[np.bool_]:
    """A ball in a window."""
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    return np.asarray(((grid - np.asarray(middle)) ** 2).sum(-1) <= radius**2)


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


EMPTY = target_of([])


def crowd(shape: Sequence[int]) -> WindowTarget:
    """200 objects of two classes in a part of a window that has no room for as many."""
    rng = np.random.default_rng(0)
    masks = []
    for _ in range(200):
        mask = np.zeros(shape, dtype=bool)
        z, y, x = (int(rng.integers(0, length - 3)) for length in shape)
        mask[z : z + 3, y : y + 2, x : x + 2] = True
        masks.append(mask)
    return target_of(masks, rng.integers(0, 2, 200).tolist())


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


def silent_weights(network: nn.Module) -> list[str]:
    """Names of the weights without a gradient that is not 0, biases left out.

    A bias in front of a normalisation that takes its mean away, or of a softmax over keys, has no
    effect by construction.
    """
    return [
        name
        for name, weight in network.named_parameters()
        if weight.grad is None or not bool(weight.grad.abs().sum() > 0)
        if not name.endswith("bias")
    ]


def gradients_are_finite(network: nn.Module) -> bool:
    """Whether every weight and bias has a gradient, and no value of it is infinite or NaN."""
    return all(
        weight.grad is not None and bool(torch.isfinite(weight.grad).all())
        for weight in network.parameters()
    )


def exported(network: InstanceNetwork, image: Tensor) -> nn.Module:
    """The static part of a network, as an engine gets it."""

    class Static(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, view: Tensor) -> object:
            return self.network.coarse(view)

    return torch.export.export(Static(), (image,)).module()

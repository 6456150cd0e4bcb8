"""The loss that counts lesions, not voxels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from medseg.card import CardClass
from medseg.heads.center_offset.object_loss import MARGIN, object_loss, object_voxels
from medseg.heads.center_offset.targets import dense_target
from medseg.heads.contract import WindowTarget

SHAPE = (20, 24, 22)
CLASSES = [
    CardClass(name=name, kind=kind, label=label)
    for label, (name, kind) in enumerate(
        (("liver", "organ"), ("cyst", "lesion"), ("node", "lesion")), start=1
    )
]


def window(objects: list[tuple[int, tuple[int, int, int], tuple[int, int, int]]]) -> WindowTarget:
    """Objects given as class position, corner and shape, each a full box."""
    boxes = [[*corner, *np.add(corner, shape)] for _, corner, shape in objects]
    return WindowTarget(
        np.array([position for position, _, _ in objects], dtype=np.int64),
        np.array(boxes, dtype=np.int64).reshape(-1, 6),
        tuple(np.ones(shape, dtype=bool) for _, _, shape in objects),
        np.zeros(len(objects), dtype=bool),
        np.array([(np.array(box[:3]) + box[3:] - 1) / 2 for box in boxes]).reshape(-1, 3),
    )


def loss_of(logits: torch.Tensor, targets: list[WindowTarget]) -> torch.Tensor:
    drawn = dense_target(targets, CLASSES, SHAPE, (1.0, 1.0, 1.0))
    return object_loss(logits, object_voxels(targets, CLASSES, drawn.lesion))


def slow_loss(logits: torch.Tensor, targets: list[WindowTarget]) -> float:
    """Object after object, on a whole map with the other objects of its class painted over."""
    losses = []
    for n, target in enumerate(targets):
        masks = []
        for box, mask in zip(target.boxes, target.masks, strict=True):
            whole = np.zeros(SHAPE, dtype=bool)
            whole[tuple(slice(a, b) for a, b in zip(box[:3], box[3:], strict=True))] = mask
            masks.append(whole)
        for k, position in enumerate(target.class_ids):
            if CLASSES[position].kind == "organ":
                continue
            same = [m for m, p in zip(masks, target.class_ids, strict=True) if p == position]
            others = np.logical_or.reduce(same) & ~masks[k]
            near = np.zeros(SHAPE, dtype=bool)
            low, high = target.boxes[k][:3] - MARGIN, target.boxes[k][3:] + MARGIN
            near[tuple(slice(max(a, 0), b) for a, b in zip(low, high, strict=True))] = True
            counts = torch.from_numpy(near & ~others)
            seen, wanted = logits[n, position - 1][counts], torch.from_numpy(masks[k])[counts]
            entropy = functional.binary_cross_entropy_with_logits(seen, wanted.float())
            found = torch.sigmoid(seen)
            dice = 1 - 2 * (found * wanted).sum() / (found.sum() + wanted.sum())
            losses.append(float(entropy + dice))
    return float(np.mean(losses))


OBJECTS = [
    (1, (0, 0, 0), (5, 6, 7)),  # at the border
    (1, (5, 2, 2), (4, 4, 4)),  # touches it
    (1, (3, 4, 5), (4, 4, 4)),  # overlaps both
    (2, (12, 10, 9), (1, 1, 1)),
    (0, (10, 8, 8), (6, 6, 6)),  # an organ around it
]


def test_the_loss_is_that_of_each_object_alone() -> None:
    logits = torch.randn(2, 2, *SHAPE, generator=torch.Generator().manual_seed(0))
    targets = [window(OBJECTS), window(OBJECTS[1:4])]
    assert float(loss_of(logits, targets)) == pytest.approx(slow_loss(logits, targets), rel=1e-5)


def test_a_missed_lesion_of_one_voxel_costs_half_of_all_where_there_are_two() -> None:
    small, large = (1, (2, 2, 2), (1, 1, 1)), (1, (8, 8, 8), (10, 10, 10))
    drawn = dense_target([window([small, large])], CLASSES, SHAPE, (1.0, 1.0, 1.0)).lesion
    missed = 40 * drawn - 20
    missed[0, 0, 2, 2, 2] = -20
    over_voxels = 1 - 2 * 1000 / 2001  # soft Dice of the whole map does not see it
    assert over_voxels < 0.001
    entropy = 20 / 5**3  # of one voxel, over its surroundings
    assert float(loss_of(missed, [window([small, large])])) == pytest.approx((1 + entropy) / 2)


def test_no_lesion_costs_nothing_and_has_a_gradient() -> None:
    logits = torch.zeros(1, 2, *SHAPE, requires_grad=True)
    loss = loss_of(logits, [window([OBJECTS[-1]])])
    loss.backward()
    assert loss.item() == 0 and logits.grad is not None and not logits.grad.any()


def test_the_order_of_objects_decides_nothing() -> None:
    logits = torch.randn(1, 2, *SHAPE, generator=torch.Generator().manual_seed(0))
    there, back = (loss_of(logits, [window(one)]) for one in (OBJECTS, OBJECTS[::-1]))
    assert float(there) == pytest.approx(float(back), rel=1e-6)

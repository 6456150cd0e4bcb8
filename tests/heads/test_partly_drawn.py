"""Organs that nobody drew in a case: the loss neither punishes nor rewards them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from modelling import ORGANS, card

from medseg.heads.center_offset.loss import center_offset_loss
from medseg.heads.center_offset.network import CenterOffset
from medseg.heads.contract import WindowTarget

SHAPE = (4, 6, 8)
SPACING_MM = (1.0, 1.0, 1.0)
CLASSES = card(ORGANS).classes


def target(*, undrawn: tuple[int, ...], drawn: int = 0) -> WindowTarget:
    """A window with one organ in a corner."""
    return WindowTarget(
        class_ids=np.array([drawn]),
        boxes=np.array([[0, 0, 0, 2, 3, 4]]),
        masks=(np.ones((2, 3, 4), dtype=bool),),
        cut=np.array([False]),
        centres=np.array([[0.5, 1.0, 1.5]]),
        undrawn=undrawn,
    )


def organ_loss(logits: torch.Tensor, one: WindowTarget) -> torch.Tensor:
    raw = CenterOffset(logits, None, None, None, coarse=logits, features=logits)
    return center_offset_loss(raw, [one], CLASSES, SPACING_MM)["organ"]


@pytest.fixture
def logits() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn((1, 1 + len(CLASSES), *SHAPE), generator=generator).requires_grad_()


def test_an_organ_that_nobody_drew_is_not_pushed_down_in_the_background(logits) -> None:
    organ_loss(logits, target(undrawn=(1,))).backward()
    background = np.ones(SHAPE, dtype=bool)
    background[:2, :3, :4] = False
    gradient = logits.grad[0, 2][torch.from_numpy(background)]
    assert gradient.max() <= 1e-9
    logits.grad = None
    organ_loss(logits, target(undrawn=())).backward()
    assert logits.grad[0, 2][torch.from_numpy(background)].min() > 0


def test_the_loss_is_the_marginal_one_written_out(logits) -> None:
    found = float(organ_loss(logits, target(undrawn=(1,))).detach())
    p = torch.softmax(logits.detach(), dim=1)[0].double().numpy()
    wanted = np.zeros(SHAPE, dtype=bool)
    wanted[:2, :3, :4] = True
    entropy = -np.log(np.where(wanted, p[1], p[0] + p[2])).mean()
    dice = 1 - 2 * p[1][wanted].sum() / (p[1].sum() + wanted.sum())
    others = len(CLASSES) - 1
    # MONAI's Dice is the mean over organs; one that nobody drew and nothing finds has none to lose.
    assert found == pytest.approx(entropy + dice / (1 + others), abs=2e-4)


def test_where_all_is_drawn_nothing_changes(logits) -> None:
    everything = float(organ_loss(logits, target(undrawn=())).detach())
    raw = CenterOffset(logits, None, None, None, coarse=logits, features=logits)
    both = [target(undrawn=()), target(undrawn=(1,))]
    doubled = torch.cat([logits, logits])
    pair = raw._replace(organ=doubled, coarse=doubled, features=doubled)
    mixed = float(center_offset_loss(pair, both, CLASSES, SPACING_MM)["organ"].detach())
    alone = float(organ_loss(logits, target(undrawn=(1,))).detach())
    assert alone < everything
    assert alone < mixed < everything

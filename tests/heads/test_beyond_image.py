"""Voxels beyond the image that a recipe ignores: no loss of a dense head asks for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from head_cases import SHAPE, SPACING_MM, ball, noise, target_of, untrained
from modelling import LESIONS, ORGANS, card
from torch import Tensor

from medseg.heads import HEADS
from medseg.training.recipe import DENSE_HEADS

KNOWN = 10
"""The image fills the first slices of the window."""


def tensors_of(raw: Any) -> dict[str, Tensor]:
    """The outputs of a dense head by name, the features that they come from left out."""
    found = {}
    for name, value in raw._asdict().items():
        if hasattr(value, "_asdict"):
            found |= tensors_of(value)
        elif isinstance(value, Tensor) and name != "features":
            found[name] = value
    return found


@pytest.mark.parametrize("head", DENSE_HEADS)
def test_no_output_learns_from_what_lies_beyond_the_image(head: str) -> None:
    described = card([ORGANS[0], LESIONS[1]], head={"name": head})
    beyond = np.zeros(SHAPE, dtype=bool)
    beyond[KNOWN:] = True
    organ, lesion = ball((4, 8, 8), 3), ball((5, 20, 8), 4)
    target = replace(target_of([organ, lesion], [0, 1]), beyond=beyond)
    raw = untrained(described)(noise())
    outputs = tensors_of(raw)
    assert {"organ", "lesion", "coarse"} <= set(outputs)
    for one in outputs.values():
        one.retain_grad()
    sum(HEADS[head].loss(raw, [target], described.classes, SPACING_MM).values()).backward()
    for name, one in outputs.items():
        first = KNOWN * one.shape[2] // SHAPE[0]
        assert one.grad is not None, name
        assert one.grad[:, :, :first].abs().sum() > 0, name
        assert one.grad[:, :, first:].abs().max() <= 1e-7, name

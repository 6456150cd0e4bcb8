"""Training for channels that may be missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from medseg.card import Channel

EVERY = 8
"""Voxels between those that are looked at to see whether a case has a channel."""


def without_channels(
    window: Tensor,
    case: Tensor,
    channels: Sequence[Channel],
    probability: float,
    rng: np.random.Generator,
) -> Tensor:
    """A window (C, Z, Y, X) as it is when optional channels are missing: zeros, as in inference.

    Each optional channel is taken away with the given probability; one that its case (C, Z, Y, X)
    lacks always is, whatever augmentation made of its zeros.
    """
    away = []
    for n, channel in enumerate(channels):
        if channel.required:
            continue
        dropped = probability > 0 and rng.random() < probability
        if dropped or not bool(case[n, ::EVERY, ::EVERY, ::EVERY].any()):
            away.append(n)
    if not away:
        return window
    left = window.clone()
    left[away] = 0
    return left

"""Channels that a model can do without are missing in some windows."""

from __future__ import annotations

import numpy as np
import torch

from medseg.card import Channel, ZScore
from medseg.training.missing import without_channels

FLAIR = Channel(name="flair", normalisation=ZScore(kind="z_score"))
T1 = Channel(name="t1", required=False, normalisation=ZScore(kind="z_score"))


def dropped(case: torch.Tensor, probability: float, seeds: int = 200) -> np.ndarray:
    """Which channels were zeros, by seed."""
    window = torch.ones(2, 4, 4, 4)
    found = [
        without_channels(window, case, (FLAIR, T1), probability, np.random.default_rng(seed))
        for seed in range(seeds)
    ]
    assert bool((window == 1).all())
    return np.array([[not bool(channel.any()) for channel in one] for one in found])


def test_an_optional_channel_is_missing_as_often_as_asked_and_a_required_one_never() -> None:
    gone = dropped(torch.ones(2, 9, 9, 9), 0.3)
    assert not gone[:, 0].any()
    assert 0.2 < gone[:, 1].mean() < 0.4


def test_nothing_is_missing_by_default() -> None:
    assert not dropped(torch.ones(2, 9, 9, 9), 0.0, seeds=20).any()


def test_a_channel_that_its_case_lacks_stays_away_whatever_noise_was_added() -> None:
    case = torch.ones(2, 9, 9, 9)
    case[1] = 0
    assert dropped(case, 0.0, seeds=5).tolist() == [[False, True]] * 5

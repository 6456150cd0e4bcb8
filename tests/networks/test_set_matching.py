"""Matching by points, against slow references."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss

from medseg.networks.set_matching import (
    CANDIDATES,
    POINTS,
    candidate_cells,
    mask_costs,
    mask_losses,
    match,
    shares_at,
    soft_crop,
    uncertain_points,
)


def random_masks(rng: np.random.Generator, count: int) -> tuple[list, np.ndarray]:
    """Crops in random boxes of a window of 20 x 22 x 24 voxels, and the full masks."""
    full = np.zeros((count, 20, 22, 24), dtype=bool)
    crops = []
    for mask in full:
        start = rng.integers(0, 10, 3)
        crop = rng.random(rng.integers(1, 10, 3)) < 0.5
        mask[tuple(slice(a, a + n) for a, n in zip(start, crop.shape, strict=True))] = crop
        crops.append(soft_crop(crop, start))
    return crops, full


def test_shares_at_cells_are_means_over_eight_voxels() -> None:
    crops, full = random_masks(np.random.default_rng(0), 6)
    cells = np.stack(np.meshgrid(*(np.arange(n) for n in (10, 11, 12)), indexing="ij"), axis=-1)
    cells = cells.reshape(-1, 3)
    slow = [
        [mask[2 * z : 2 * z + 2, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean() for z, y, x in cells]
        for mask in full
    ]
    np.testing.assert_allclose(shares_at(cells, crops), slow, atol=1e-6)


def test_small_windows_are_compared_everywhere_once() -> None:
    cells = candidate_cells((6, 7, 8), [], np.random.default_rng(0))
    assert sorted(map(tuple, cells.tolist())) == list(np.ndindex(6, 7, 8))
    assert not np.array_equal(cells, sorted(map(tuple, cells.tolist())))


def test_half_of_the_candidates_are_drawn_near_objects_each_as_often() -> None:
    shape = (40, 40, 40)
    large = soft_crop(np.ones((30, 30, 30), dtype=bool), np.array([0, 0, 0]))
    small = soft_crop(np.ones((4, 4, 4), dtype=bool), np.array([60, 60, 76]))
    cells = candidate_cells(shape, [large, small], np.random.default_rng(0))
    assert cells.shape == (CANDIDATES, 3)
    assert (cells >= 0).all() and (cells < shape).all()
    near_small = ((cells >= [29, 29, 37]) & (cells < [33, 33, 40])).all(axis=1)
    assert np.count_nonzero(near_small) == pytest.approx(CANDIDATES / 4, rel=0.1)
    # Any first part is as good a sample as another.
    assert np.count_nonzero(near_small[:POINTS]) == pytest.approx(POINTS / 4, rel=0.1)
    none = candidate_cells(shape, [], np.random.default_rng(0))
    assert len(np.unique(none, axis=0)) == CANDIDATES


def test_costs_of_all_pairs_are_those_of_each_pair() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(5, 40, generator=generator)
    shares = torch.rand(3, 40, generator=generator)
    entropy, dice = mask_costs(logits, shares)
    soft = DiceLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0)
    for query in range(5):
        for item in range(3):
            one, other = logits[query], shares[item]
            found = one.sigmoid()
            slow = -(other * found.log() + (1 - other) * (1 - found).log()).mean()
            assert float(entropy[query, item]) == pytest.approx(float(slow), rel=1e-4)
            wanted = float(soft(one.view(1, 1, -1), other.view(1, 1, -1)))
            assert float(dice[query, item]) == pytest.approx(wanted, rel=1e-4)
            alone = mask_losses(one[None], other[None])
            assert [float(part) for part in alone] == pytest.approx([float(slow), wanted], rel=1e-4)


def test_the_match_has_the_least_cost_of_all() -> None:
    cost = torch.rand(5, 3, generator=torch.Generator().manual_seed(0))
    query, item = match(cost)
    slow = min(
        permutations(range(5), 3), key=lambda rows: sum(cost[r, n] for n, r in enumerate(rows))
    )
    assert dict(zip(item.tolist(), query.tolist(), strict=True)) == dict(enumerate(slow))


def test_with_few_queries_every_query_has_an_object_and_with_none_no_query_has() -> None:
    query, item = match(torch.rand(2, 5, generator=torch.Generator().manual_seed(0)))
    assert sorted(query.tolist()) == [0, 1] and len(set(item.tolist())) == 2
    query, item = match(torch.zeros(4, 0))
    assert len(query) == len(item) == 0


def test_three_quarters_of_the_points_are_the_least_certain() -> None:
    logits = torch.randn(3, CANDIDATES, generator=torch.Generator().manual_seed(0))
    where = uncertain_points(logits)
    assert where.shape == (3, POINTS)
    unsure = POINTS * 3 // 4
    for row, chosen in zip(logits, where, strict=True):
        limit = row.abs().sort().values[unsure - 1]
        assert bool((row[chosen[:unsure]].abs() <= limit).all())
        assert len(set(chosen[:unsure].tolist())) == unsure
        assert chosen[unsure:].tolist() == list(range(POINTS - unsure))
    assert uncertain_points(logits[:, :10]).tolist() == [list(range(10))] * 3


def test_a_good_mask_has_little_loss() -> None:
    shares = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    entropy, dice = mask_losses(torch.tensor([[12.0, 12.0, -12.0, -12.0]]), shares)
    assert float(entropy) < 1e-4 and float(dice) < 1e-4
    entropy, dice = mask_losses(torch.zeros(1, 4), shares)
    assert float(entropy) == pytest.approx(np.log(2)) and float(dice) == pytest.approx(1 - 3 / 5)

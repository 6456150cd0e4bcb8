"""Where queries begin and what their masks are, against slow references."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medseg.networks.attention import cell_centres
from medseg.networks.queries import (
    MaskHead,
    Masks,
    coarse_masks,
    coarsest_upto,
    gather_cells,
    heat_peaks,
    mask_logits,
    point_channels,
)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def slow_peaks(heat: np.ndarray) -> list[tuple[int, ...]]:
    """Cells (channel, z, y, x) above all 26 neighbours, highest first."""
    padded = np.pad(heat, ((0, 0), (1, 1), (1, 1), (1, 1)), constant_values=-np.inf)
    found = []
    for channel, z, y, x in np.ndindex(heat.shape):
        around = padded[channel, z : z + 3, y : y + 3, x : x + 3].copy()
        around[1, 1, 1] = -np.inf
        if heat[channel, z, y, x] > around.max():
            found.append((channel, z, y, x))
    return sorted(found, key=lambda at: -heat[at])


def test_queries_begin_at_the_highest_peaks_of_every_class() -> None:
    heat = torch.randn(2, 2, 6, 8, 10, generator=generator())
    channel, cells = heat_peaks(heat, 12)
    for window in range(2):
        wanted = slow_peaks(heat[window].numpy())
        assert len(wanted) > 12
        found = torch.cat([channel[window, :, None], cells[window]], dim=1).tolist()
        assert found == [list(one) for one in wanted[:12]]


def test_two_classes_at_one_place_are_two_queries() -> None:
    heat = torch.full((1, 2, 4, 4, 4), -9.0)
    heat[0, :, 2, 1, 3] = torch.tensor([3.0, 4.0])
    channel, cells = heat_peaks(heat, 2)
    assert channel[0].tolist() == [1, 0] and cells[0].tolist() == [[2, 1, 3]] * 2


def test_equal_neighbours_are_one_peak() -> None:
    heat = torch.full((1, 1, 6, 6, 6), -9.0)
    heat[0, 0, 1, 1, 1:3] = 2.0
    heat[0, 0, 4, 4, 4] = 1.0
    _, cells = heat_peaks(heat, 2)
    assert cells[0].tolist() == [[1, 1, 2], [4, 4, 4]]


def test_other_cells_fill_up_where_peaks_are_few_and_never_twice() -> None:
    heat = torch.arange(27.0).view(1, 1, 3, 3, 3)
    _, cells = heat_peaks(heat, 100)
    flat = (cells[0] * torch.tensor([9, 3, 1])).sum(dim=-1)
    assert flat.tolist() == list(range(26, -1, -1))


def test_features_are_taken_at_cells() -> None:
    features = torch.randn(2, 3, 4, 5, 6, generator=generator())
    cells = torch.tensor([[[0, 0, 0], [3, 4, 5]], [[1, 2, 3], [1, 2, 3]]])
    taken = gather_cells(features, cells)
    for window in range(2):
        for n, (z, y, x) in enumerate(cells[window].tolist()):
            assert torch.equal(taken[window, n], features[window, :, z, y, x])


def random_masks(queries: int) -> tuple[Masks, torch.Tensor]:
    """Masks as a head gives them, and its references in voxels."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = MaskHead(12, 4)
    reference = 128 * torch.rand(1, queries, 3, generator=generator())
    content = torch.randn(1, queries, 12, generator=generator())
    with torch.no_grad():
        return head(content, reference), reference


def test_one_product_gives_features_and_paraboloid() -> None:
    masks, reference = random_masks(3)
    points = 128 * torch.rand(50, 3, generator=generator())
    features = torch.randn(4, 50, generator=generator())
    product = masks.factors()[0] @ point_channels(features, points)
    for query in range(3):
        a, c, b = masks.paraboloid[0, query].double().split([3, 3, 1])
        for n in range(50):
            squares = (a * (points[n].double() / 8 - c) ** 2).sum()
            wanted = (masks.weights[0, query].double() @ features[:, n].double()) + b - squares
            assert float(product[query, n]) == pytest.approx(float(wanted), abs=2e-3)
    # Curved downwards, around a place near the reference.
    assert bool((masks.paraboloid[..., :3] > 0).all())
    assert bool(((masks.paraboloid[..., 3:6] - reference / 8).abs() < 2).all())


def test_a_mask_on_all_cells_is_that_at_their_middles() -> None:
    masks, _ = random_masks(2)
    one = Masks(*(part[0] for part in masks))
    features = torch.randn(4, 3, 4, 5, generator=generator())
    logits = mask_logits(one, features)
    points = torch.tensor([[2 * 1 + 0.5, 2 * 3 + 0.5, 2 * 4 + 0.5]])
    wanted = one.factors() @ point_channels(features[:, 1, 3, 4, None], points)
    torch.testing.assert_close(logits[:, 1, 3, 4], wanted[:, 0])


def test_coarse_masks_are_masks_at_the_middles_of_coarser_cells() -> None:
    masks, _ = random_masks(2)
    features = torch.randn(1, 4, 2, 3, 4, generator=generator())
    coarse = coarse_masks(masks, features, 8)
    points = cell_centres((2, 3, 4), 8, features.device)
    assert points[-1].tolist() == [8 + 3.5, 16 + 3.5, 24 + 3.5]
    wanted = masks.factors()[0] @ point_channels(features[0].flatten(1), points)
    torch.testing.assert_close(coarse[0], wanted, atol=1e-3, rtol=1e-4)


def test_squares_of_places_lose_nothing_under_autocast() -> None:
    masks, _ = random_masks(2)
    flat = masks._replace(weights=torch.zeros_like(masks.weights))
    features = torch.zeros(1, 4, 16, 16, 16)
    exact = coarse_masks(flat, features, 8)
    with torch.autocast("cpu", torch.bfloat16):
        short = coarse_masks(flat, features, 8)
    assert torch.equal(exact, short)


@pytest.mark.parametrize(
    ("strides", "wanted", "level"),
    [((2, 4, 8), 8, 2), ((1, 2, 4), 8, 2), ((2, 4), 8, 1), ((1, 2), 4, 1), ((2, 4, 8, 16), 8, 2)],
)
def test_the_level_looked_at_is_the_coarsest_up_to_a_stride(
    strides: tuple[int, ...], wanted: int, level: int
) -> None:
    assert coarsest_upto(strides, wanted) == level

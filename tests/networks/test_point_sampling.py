"""Values at points, regions on a grid and masks refined at points, against plain loops."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from medseg.networks.point_refinement import (
    PointRefinement,
    class_uncertainty,
    mask_uncertainty,
    subdivided,
    training_points,
)
from medseg.networks.point_sampling import (
    channels_last,
    sample_crops,
    sample_features,
    uncertain_points,
)
from medseg.networks.roi_align import grown, roi_align


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def slow_trilinear(volume: np.ndarray, point: np.ndarray, *, zero: bool) -> float:
    """One value of one volume, by the eight voxels around it."""
    low = np.floor(point).astype(int)
    total = 0.0
    for corner in product((0, 1), repeat=3):
        index = low + corner
        weight = float(np.prod(np.where(corner, point - low, 1 - (point - low))))
        ends = np.array(volume.shape) - 1
        if zero and ((index < 0) | (index > ends)).any():
            continue
        total += weight * float(volume[tuple(np.clip(index, 0, ends))])
    return total


def test_features_at_points_are_those_of_a_loop_over_points() -> None:
    features = noise(2, 3, 4, 6, 5)
    cells = 8 * torch.rand((3, 7, 3), generator=torch.Generator().manual_seed(1)) - 2
    window = torch.tensor([1, 0, 1])
    found = sample_features(features, window, cells)
    for row, place, channel in product(range(3), range(7), range(3)):
        volume = features[window[row], channel].numpy()
        wanted = slow_trilinear(volume, cells[row, place].double().numpy(), zero=False)
        assert float(found[row, place, channel]) == pytest.approx(wanted, abs=1e-5)
    assert torch.equal(sample_features(channels_last(features), window, cells), found)


def test_no_point_gives_none_and_a_gradient_of_zero() -> None:
    features = noise(1, 2, 4, 4, 4).requires_grad_()
    none = sample_features(features, torch.zeros(0).long(), torch.zeros(0, 5, 3))
    assert none.shape == (0, 5, 2)
    none.sum().backward()
    assert features.grad is not None and not features.grad.any()


def test_crops_at_points_are_those_of_a_loop_and_zero_outside() -> None:
    crops = [noise(2, 3, 4, seed=1), noise(1, 1, 1, seed=2), noise(5, 2, 2, seed=3)]
    corners = torch.tensor([[3.0, 0, 1], [2, 2, 2], [0, 1, 0]])
    which = torch.tensor([2, 0, 1, 0])
    voxels = 8 * torch.rand((4, 9, 3), generator=torch.Generator().manual_seed(1)) - 1
    found = sample_crops(crops, corners, which, voxels)
    for row, place in product(range(4), range(9)):
        crop = which[row]
        point = (voxels[row, place] - corners[crop]).double().numpy()
        wanted = slow_trilinear(crops[crop].numpy(), point, zero=True)
        assert float(found[row, place]) == pytest.approx(wanted, abs=1e-5)


def test_regions_are_those_of_a_loop_over_their_parts() -> None:
    features = noise(2, 2, 8, 10, 6)
    boxes = torch.tensor([[2.0, 3.5, 1.2, 9.0, 17.0, 4.0], [-3, 0, 0, 16, 20, 12]])
    window = torch.tensor([1, 0])
    found = roi_align(features, 2, window, boxes, 3)
    for row, channel, part in product(range(2), range(2), product(range(3), repeat=3)):
        low, high = boxes[row, :3].numpy(), boxes[row, 3:].numpy()
        voxel = low + (np.array(part) + 0.5) / 3 * (high - low)
        volume = features[window[row], channel].numpy()
        wanted = slow_trilinear(volume, voxel / 2 - 0.5, zero=False)
        assert float(found[row, channel, *part]) == pytest.approx(wanted, abs=1e-4)


def test_a_region_of_whole_cells_is_the_features_themselves() -> None:
    features = noise(1, 3, 4, 4, 4)
    whole = torch.tensor([[0.0, 0, 0, 8, 8, 8]])
    assert torch.allclose(roi_align(features, 2, torch.tensor([0]), whole, 4), features, atol=1e-6)


def test_the_gradient_of_regions_is_that_of_torchs_own_sampling() -> None:
    features = noise(1, 2, 6, 6, 6).requires_grad_()
    boxes = torch.tensor([[1.0, 2, 3, 9, 10, 11], [2, 2, 2, 7, 7, 7]])
    weights = noise(2, 2, 3, 3, 3, seed=5)
    (roi_align(features, 2, torch.zeros(2).long(), boxes, 3) * weights).sum().backward()
    assert features.grad is not None
    mine = features.grad.clone()
    features.grad = None
    step = (torch.arange(3) + 0.5) / 3
    for row, box in enumerate(boxes):
        axes = [(box[n] + step * (box[n + 3] - box[n])) / 2 / 6 * 2 - 1 for n in range(3)]
        grid = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], dim=-1)[None]
        cut = functional.grid_sample(
            features, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        (cut[0] * weights[row]).sum().backward()
    assert torch.allclose(mine, features.grad, atol=1e-5)


def test_boxes_grow_by_a_tenth_and_half_a_voxel() -> None:
    assert grown(torch.tensor([[0.0, 0, 0, 10, 20, 1]]))[0].tolist() == pytest.approx(
        [-1.0, -1.5, -0.55, 11.0, 21.5, 1.55]
    )


def test_uncertain_points_are_those_that_a_loop_chooses() -> None:
    points = torch.rand((2, 20, 3), generator=torch.Generator().manual_seed(0))
    unsure = torch.rand((2, 20), generator=torch.Generator().manual_seed(1))
    chosen = uncertain_points(points, unsure, 8, share=0.75)
    for row in range(2):
        order = sorted(range(2, 20), key=lambda n: -float(unsure[row, n]))
        wanted = [0, 1, *order[:6]]
        assert torch.equal(chosen[row], points[row, wanted])
    with pytest.raises(ValueError, match="30 points are to be chosen of 20"):
        uncertain_points(points, unsure, 30)


def test_training_points_crowd_where_it_is_uncertain() -> None:
    def from_plane(points: Tensor) -> Tensor:
        return mask_uncertainty(points[..., 0] - 0.3)

    generator = torch.Generator().manual_seed(0)
    points = training_points(2, from_plane, generator, torch.device("cpu"))
    assert points.shape == (2, 196, 3)
    near = ((points[..., 0] - 0.3).abs() < 0.15).float().mean()
    assert float(near) > 0.75


def ball(points: Tensor) -> Tensor:
    """Logits of a ball of radius 0.35 around the middle, at points (..., 3) in 0..1."""
    return 40 * (0.35 - (points - 0.5).norm(dim=-1))


def grid_logits(size: int) -> Tensor:
    axis = (torch.arange(size) + 0.5) / size
    return ball(torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1))


def test_subdividing_a_coarse_ball_gives_the_fine_one_from_few_points() -> None:
    asked = 0

    def predict(points: Tensor) -> Tensor:
        nonlocal asked
        asked += len(points)
        return ball(points)[:, None]

    fine = subdivided(
        grid_logits(7)[None], (28, 28, 28), predict, lambda x: mask_uncertainty(x[0]), limit=4.0
    )
    assert torch.equal(fine[0] > 0, grid_logits(28) > 0)
    assert asked < 28**3 / 2
    rough = functional.interpolate(grid_logits(7)[None, None], size=(28,) * 3, mode="trilinear")
    assert not torch.equal(rough[0, 0] > 0, grid_logits(28) > 0)


def test_the_most_uncertain_points_come_first_where_there_are_too_many() -> None:
    seen: list[Tensor] = []

    def predict(points: Tensor) -> Tensor:
        seen.append(points)
        return ball(points)[:, None]

    subdivided(
        grid_logits(7)[None], (14, 14, 14), predict, lambda x: mask_uncertainty(x[0]), most=50
    )
    assert [len(points) for points in seen] == [50]


def test_uncertainty_of_classes_is_that_of_the_least_certain() -> None:
    organ = torch.tensor([[2.0, 5.0], [1.5, -5.0], [-3.0, 4.9]])
    lesion = torch.tensor([[4.0, 4.0], [-1.0, 3.0]])
    assert class_uncertainty(organ, lesion).tolist() == pytest.approx([-0.5, -0.1])
    assert class_uncertainty(None, lesion).tolist() == [-1.0, -3.0]


def test_the_point_network_starts_near_the_coarse_logits_and_learns_by_every_weight() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = PointRefinement(4, 2)
    logits = noise(3, 5, 2, seed=2)
    better = network(noise(3, 5, 4), logits, noise(3, 5, 3, seed=3))
    assert torch.allclose(better, logits, atol=0.3) and better.dtype == torch.float32
    better.square().sum().backward()
    assert all(bool(weight.grad.abs().sum() > 0) for weight in network.parameters())

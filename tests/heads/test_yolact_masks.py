"""Crops, coordinates and mask losses of the prototype head, against slow references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from head_cases import SHAPE
from yolact_cases import two_meeting_balls

from medseg.heads.yolact import loss as losses
from medseg.heads.yolact.loss import Objects, learned_boxes
from medseg.heads.yolact.masks import (
    START,
    TERMS,
    coordinate_terms,
    crop_logits,
    crop_points,
    crop_range,
)


def test_a_crop_reaches_two_voxels_beyond_its_box_and_stays_in_the_window() -> None:
    boxes = torch.tensor([[4.2, 5.0, 6.0, 7.5, 9.0, 10.0], [-3.0, 30.0, 14.0, 40.0, 33.0, 60.0]])
    low, high = crop_range(boxes, SHAPE, 2.0)
    assert low.tolist() == [[2, 3, 4], [0, 28, 12]]
    assert high.tolist() == [[10, 11, 12], [24, 32, 16]]


def test_a_box_outside_the_window_still_has_a_voxel() -> None:
    far = torch.tensor([[-90.0, 70.0, 0.0, -80.0, 90.0, 4.0]])
    low, high = crop_range(far, SHAPE, 2.0)
    assert low.tolist() == [[0, 31, 0]] and high.tolist() == [[1, 32, 6]]


def test_crops_are_computed_where_the_boxes_are() -> None:
    low, high = crop_range(torch.zeros(2, 6, device="meta"), SHAPE, 2.0)
    assert low.device.type == high.device.type == "meta"


def test_points_are_all_voxels_of_small_crops_and_an_even_choice_of_large_ones() -> None:
    low, high = np.array([[1, 2, 3], [0, 0, 0]]), np.array([[3, 4, 6], [20, 20, 20]])
    points, counts = crop_points(low, high, most=500)
    assert counts.tolist() == [12, 500]
    assert {tuple(p) for p in points[:12]} == {
        (z, y, x) for z in (1, 2) for y in (2, 3) for x in (3, 4, 5)
    }
    large = points[12:]
    assert len(np.unique(large, axis=0)) == 500
    assert large.min() >= 0 and large.max() < 20
    # Each of the eight octants has an eighth of them, within a fifth.
    octants = np.bincount((large // 10) @ [4, 2, 1], minlength=8)
    assert octants == pytest.approx(np.full(8, 62.5), rel=0.2)


def test_no_crop_has_no_point() -> None:
    none = np.zeros((0, 3), dtype=np.int64)
    points, counts = crop_points(none, none, most=5)
    assert points.shape == (0, 3) and counts.shape == (0,)


def test_untrained_a_mask_is_the_ellipsoid_in_its_box() -> None:
    box = torch.tensor([[4.0, 4.0, 4.0, 16.0, 12.0, 10.0]])
    points = torch.cartesian_prod(*(torch.arange(20) for _ in range(3)))
    inside = (coordinate_terms(points, box) @ torch.tensor(START)) > 0
    middle, half = np.array([9.5, 7.5, 6.5]), np.array([6.0, 4.0, 3.0])
    wanted = (((points.numpy() - middle) / half) ** 2).sum(axis=1) < 1
    assert np.array_equal(inside.numpy(), wanted)


def test_a_crop_at_inference_is_the_product_that_training_makes_of_its_voxels() -> None:
    generator = torch.Generator().manual_seed(0)
    cells = torch.randn(*(length // 2 for length in SHAPE), 5, generator=generator)
    weights = torch.randn(2, 2, 2, 1 + 5, generator=generator)
    terms = torch.randn(TERMS, generator=generator)
    box = torch.tensor([3.3, 6.1, 2.0, 11.2, 19.4, 9.9])
    low, high = (part[0] for part in crop_range(box[None], SHAPE, 2.0))
    points, _ = crop_points(low.numpy()[None], high.numpy()[None], most=10**6)
    voxels = torch.from_numpy(points)
    rows, own = cells[tuple((voxels // 2).T)], weights[tuple((voxels % 2).T)]
    wanted = own[:, 0] + (rows * own[:, 1:]).sum(dim=1)
    wanted = wanted + coordinate_terms(voxels, box[None]) @ terms
    arrays = (one.numpy() for one in (cells, weights, terms, box))
    given = torch.from_numpy(crop_logits(*arrays, (low.numpy(), high.numpy())))
    torch.testing.assert_close(given.flatten(), wanted, atol=1e-4, rtol=1e-4)


def test_voxels_know_whether_they_are_their_objects_own() -> None:
    target, masks = two_meeting_balls()
    objects = Objects.of([target], _two_lesions())
    low = np.zeros((4, 3), dtype=np.int64)
    points, counts = crop_points(low, low + SHAPE, most=10**6)
    own, voxels = objects.holds(points, counts)
    assert np.array_equal(own.reshape(4, *SHAPE), np.stack(masks))
    assert voxels.tolist() == [int(mask.sum()) for mask in masks]


def test_masks_learn_in_good_boxes_as_they_are_and_in_bad_ones_near_the_truth() -> None:
    truth = torch.tensor([[4.0, 4.0, 4.0, 14.0, 14.0, 14.0]]).repeat(3, 1)
    given = truth + torch.tensor([[1.0], [30.0], [-7.0]])
    learned = learned_boxes(given, truth)
    assert torch.equal(learned[0], given[0])
    assert torch.equal(learned[1], truth[1] + 1.0) and torch.equal(learned[2], truth[2] - 1.0)


def test_every_object_counts_the_same_whatever_its_size() -> None:
    """Cross entropy is ln 2 at logits of 0, and soft Dice follows from the shares."""
    counts = [1000, 10]
    owner = torch.repeat_interleave(torch.arange(2), torch.tensor(counts))
    target = torch.cat([torch.arange(n) < n // 2 for n in counts]).float()
    parts = losses._crop_losses(torch.zeros(1010), target, owner, torch.tensor(counts).float())
    wanted = [np.log(2) + 1 - (2 * n / 4 + 1) / (n + 1) for n in counts]
    assert parts.tolist() == pytest.approx(wanted, rel=1e-5)


def test_the_iou_of_a_mask_counts_what_its_crop_does_not_hold() -> None:
    owner, target = torch.zeros(8, dtype=torch.int64), torch.tensor([1.0] * 4 + [0.0] * 4)
    found = torch.tensor([True] * 6 + [False] * 2)
    # 8 voxels stand for 16: 8 of 20 true ones are found, and 4 that are not true.
    share, whole = torch.tensor([2.0]), torch.tensor([20.0])
    assert losses._mask_iou(found, target, owner, share, whole).tolist() == pytest.approx([8 / 24])


def _two_lesions():
    from modelling import LESIONS, card

    return card(LESIONS).classes

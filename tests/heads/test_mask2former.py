"""The Mask2Former head: organs by queries, and attention where the last mask was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from head_cases import EMPTY, SHAPE, SPACING_MM, ball, full_mask, noise, target_of
from modelling import LESIONS, ORGANS, card
from query_cases import QUERIES, small_network

from medseg.errors import ModelError
from medseg.heads import HEADS
from medseg.heads.query_parts import QueryRaw, likely_masks
from medseg.heads.query_points import SharpMasks, interpolated_mask
from medseg.heads.set_loss import set_loss
from medseg.models import decoder_of
from medseg.networks.queries import Masks

MIXED = [ORGANS[0], LESIONS[1]]


@pytest.mark.parametrize("classes", [ORGANS, MIXED])
def test_organ_logits_are_the_masks_of_their_queries(classes: list[dict[str, Any]]) -> None:
    network = small_network("mask2former", classes).eval()
    count = 1 + sum(one["kind"] == "organ" for one in classes)
    with torch.inference_mode():
        raw = network.coarse(noise())
        assert raw.organs.shape == (4, 1, count, 9)
        slow = torch.stack(
            [
                sum(one[n] * raw.mask_features[0, n] for n in range(8)) + one[8]
                for one in raw.organs[-1, 0]
            ]
        )
        torch.testing.assert_close(raw.dense.organ[0], slow, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(raw.dense.coarse[0, :count], slow, atol=1e-5, rtol=1e-4)
        full = network.refine_found(noise(), raw).dense.organ
    assert full.shape == (1, count, *SHAPE)


@pytest.mark.parametrize("stem_stride", [1, 2])
def test_a_shift_of_organs_moves_their_logits_once_and_no_other(stem_stride: int) -> None:
    network = small_network("mask2former", ORGANS, {"stem_stride": stem_stride}).eval()
    with torch.inference_mode():
        before = network(noise()).dense.organ
        network.shift_organs([0.5, -0.25])
        after = network(noise()).dense.organ
    shift = (after - before).mean(dim=(0, 2, 3, 4))
    torch.testing.assert_close(shift, torch.tensor([0.0, 0.5, -0.25]), atol=1e-5, rtol=1e-5)


def test_what_nobody_drew_may_be_that_organ_or_background() -> None:
    network = small_network("mask2former", ORGANS)
    drawn = target_of([ball((12, 16, 8), 5)], [0])
    raw = network(noise(), [drawn])
    swapped = raw._replace(organs=raw.organs[:, :, [2, 1, 0]])
    for undrawn, same in (((1,), True), ((), False)):
        target = replace(drawn, undrawn=undrawn)
        ours, theirs = (
            set_loss(one, [target], card(ORGANS).classes, SPACING_MM)["organ_query"].item()
            for one in (raw, swapped)
        )
        assert (ours == pytest.approx(theirs, rel=1e-5)) is same


@pytest.mark.parametrize("classes", [ORGANS, LESIONS])
def test_a_refinement_that_there_is_not_is_refused(classes: list[dict[str, Any]]) -> None:
    with pytest.raises(ModelError, match=r"head.network.refine is one of .*got 'point_rend'"):
        small_network("mask2former", classes, refine="point_rend")


def test_without_a_lesion_class_there_are_organs_alone() -> None:
    network = small_network("mask2former", ORGANS, denoising=2)
    target = target_of([ball((12, 16, 8), 5)], [1])
    raw = network(noise(), [target])
    assert raw.objects is None and raw.denoised is None
    parts = set_loss(raw, [target], card(ORGANS).classes, SPACING_MM)
    assert set(parts) == {"organ", "coarse", "organ_query"}
    decoder: Any = decoder_of(card(ORGANS, head={"name": "mask2former"}))
    assert decoder.decode(raw) == [[]] and decoder.fired(raw) == [0.0]
    assert [one.name for one in decoder.organs.classes] == ["left", "right"]


def test_organs_have_no_loss_where_their_queries_are_right() -> None:
    masks = [ball((8, 8, 8), 6), ball((16, 22, 8), 6)]
    target = target_of(masks, [0, 1])
    classes = card(ORGANS).classes
    raw = small_network("mask2former", ORGANS)(noise())
    shares = np.stack(
        [mask.reshape(12, 2, 16, 2, 8, 2).mean(axis=(1, 3, 5), dtype=np.float32) for mask in masks]
    )
    inside = torch.from_numpy(np.concatenate([1 - shares.sum(0, keepdims=True), shares]))
    features = torch.zeros_like(raw.mask_features)
    features[0, :3] = inside.clamp(min=1e-4).log()
    weights = torch.cat([torch.eye(3, 8), torch.zeros(3, 1)], dim=1).expand(4, 1, 3, 9)
    right = raw._replace(mask_features=features, organs=weights)
    wrong = raw._replace(mask_features=features, organs=weights.flip(2))
    few, many = (
        float(set_loss(one, [target], classes, SPACING_MM)["organ_query"].detach())
        for one in (right, wrong)
    )
    # What four outputs' cells that a border cuts cost: entropy, and Dice of shares with themselves.
    assert few < 4 * 0.4 and many > 4 * 1.5


def test_a_lesion_in_an_organ_takes_nothing_from_it() -> None:
    organ, lesion = ball((12, 16, 8), 7), ball((12, 16, 8), 3)
    both, alone = target_of([organ, lesion], [0, 1]), target_of([organ], [0])
    raw = small_network("mask2former", MIXED)(noise())
    given = [
        float(set_loss(raw, [one], card(MIXED).classes, SPACING_MM)["organ_query"].detach())
        for one in (both, alone)
    ]
    assert given[0] == pytest.approx(given[1], rel=1e-4)


def test_queries_look_in_their_last_mask_or_everywhere_if_it_is_empty() -> None:
    network = small_network("mask2former", MIXED).eval()
    head, shape = network.head, (3, 4, 2)
    with torch.inference_mode():
        memory = head.parts.memory(network.backbone(noise()))
        memory = memory._replace(mask_features=torch.zeros_like(memory.mask_features))
        raw = network.coarse(noise())
        masks = raw.objects.masks
        paraboloid = torch.zeros_like(masks.paraboloid[0])
        # Around the middle of cell (1, 2, 0) of stride 8, high enough for that cell alone.
        paraboloid[0, 0] = torch.tensor([8.0, 8, 8, 11.5 / 8, 19.5 / 8, 3.5 / 8, 1.0])
        paraboloid[0, 1, 6] = -1.0
        objects = raw.objects._replace(masks=Masks(torch.zeros_like(masks.weights[0]), paraboloid))
        memory.mask_features[:, 0, :, :8] = 1.0
        organs = torch.zeros(1, 2, 9)
        organs[0, 1, 0] = 1.0
        allowed = head._allowed((organs, objects), memory, 0)[0]
    organ = torch.zeros(shape, dtype=torch.bool)
    organ[:, :2] = True
    # Where neither wins both may look.
    assert torch.equal(allowed[0].view(shape), ~organ) and allowed[1].all()
    seen = allowed[2].view(shape)
    assert torch.nonzero(seen).tolist() == [[1, 2, 0]]
    assert allowed[3].all()


def test_windows_without_organs_learn_that_all_is_background() -> None:
    raw = small_network("mask2former", MIXED)(noise())
    parts = set_loss(raw, [EMPTY], card(MIXED).classes, SPACING_MM)
    assert bool(torch.isfinite(parts["organ_query"])) and float(parts["organ_query"].detach()) > 0


@pytest.mark.parametrize("classes", [MIXED, LESIONS])
def test_points_of_masks_are_learned_and_every_weight_with_them(
    classes: list[dict[str, Any]],
) -> None:
    network = small_network("mask2former", classes, refine="pointrend")
    target = target_of([ball((8, 8, 8), 5), ball((18, 22, 15), 5)], [1, 1])
    raw = network(noise(2), [target, EMPTY])
    assert [one.logits.shape for one in raw.points] == [(2, 196), (0, 196)]
    parts = set_loss(raw, [target, EMPTY], card(classes).classes, SPACING_MM)
    assert set(parts) <= set(HEADS["mask2former"].loss_weights)
    torch.stack(list(parts.values())).sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())
    assert float(network.head.points.refine.last.weight.grad.abs().sum()) > 0
    nothing = set_loss(network(noise(), [EMPTY]), [EMPTY], card(classes).classes, SPACING_MM)
    assert float(nothing["mask_points"].detach()) == 0


def test_points_have_no_loss_where_they_are_right() -> None:
    mask = ball((8, 8, 8), 5)
    target = target_of([mask], [1])
    raw = small_network("mask2former", refine="pointrend")(noise(), [target])
    (points,) = raw.points
    at = points.voxels.round().long().clamp(min=0)
    inside = torch.from_numpy(mask)[tuple(at.unbind(dim=-1))]
    near = points.logits.new_tensor([-9.0, 9.0])[inside.long()]
    right = raw._replace(points=(points._replace(logits=near),))
    wrong = raw._replace(points=(points._replace(logits=-near),))
    few, many = (
        float(set_loss(one, [target], card(LESIONS).classes, SPACING_MM)["mask_points"].detach())
        for one in (right, wrong)
    )
    # Between voxels the nearest one does not always decide.
    assert few < 2.0 and many > 9.0


def sharpened(bias: float) -> tuple[SharpMasks, QueryRaw]:
    """Masks of all queries at full resolution where points add `bias` to their logits."""
    network = small_network("mask2former", refine="pointrend").eval()
    with torch.inference_mode():
        network.head.points.refine.last.weight.zero_()
        network.head.points.refine.last.bias.fill_(bias)
        raw = network.coarse(noise())
        raw.objects.class_logits[..., 2] = -9.0
        raw = network.refine_found(noise(), raw)
    assert raw.dense.lesion.shape == (1, 2, *SHAPE)
    return raw.sharp, raw


def test_points_that_correct_nothing_leave_masks_as_they_are() -> None:
    sharp, raw = sharpened(0.0)
    plain = {
        query: interpolated_mask(logits)
        for query, logits in likely_masks(raw, 0, torch.ones(QUERIES))
    }
    assert len(sharp.query) > 3
    for query, corner, logits in zip(*sharp, strict=True):
        first, wanted = plain[int(query)]
        assert corner.tolist() == first
        # The paraboloid itself instead of an interpolated one: next to nothing where it matters.
        near = wanted.abs() < 1
        torch.testing.assert_close(logits[near], wanted[near], atol=0.25, rtol=0)


def test_points_that_know_better_decide_the_border_and_are_decoded() -> None:
    sizes = [
        sum(int((one > 0).sum()) for one in sharpened(bias)[0].logits) for bias in (-1.5, 0.0, 1.5)
    ]
    assert sizes[0] < 0.9 * sizes[1] and sizes[1] < 0.99 * sizes[2]
    decoder: Any = decoder_of(card(LESIONS, head={"name": "mask2former"}))
    sharp, raw = sharpened(1.5)
    corner, logits = sharp.corner[0], sharp.logits[0]
    one = raw._replace(sharp=SharpMasks(sharp.query[:1], corner[None], (logits,)))
    (item,) = decoder.decode(one)[0]
    full = np.zeros(SHAPE, dtype=bool)
    full[tuple(slice(int(a), int(a) + n) for a, n in zip(corner, logits.shape, strict=True))] = (
        logits > 0
    )
    assert np.array_equal(full_mask(item), full)

"""The prototype head: what a perfect network gives is decoded to what was drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from head_cases import (
    EMPTY,
    SHAPE,
    SPACING_MM,
    crowd,
    exported,
    full_mask,
    gradients_are_finite,
    noise,
    shuffled,
    silent_weights,
    target_of,
)
from modelling import LESIONS, ORGANS, card
from yolact_cases import perfect_raw, small_network, two_meeting_balls

from medseg.errors import ModelError
from medseg.heads.contract import WindowTarget
from medseg.heads.yolact.loss import WEIGHTS, yolact_loss
from medseg.heads.yolact.network import Yolact
from medseg.models import decoder_of

CLASSES = card(LESIONS).classes


def decoder(**arguments: object):
    return decoder_of(card(LESIONS, head={"name": "yolact", "decoder": arguments}))


def losses(raw: Yolact, targets: list[WindowTarget]) -> dict[str, float]:
    parts = yolact_loss(raw, targets, CLASSES, SPACING_MM)
    return {name: float(part.detach()) for name, part in parts.items()}


def test_targets_come_back_from_a_perfect_network_with_their_shared_voxels() -> None:
    target, masks = two_meeting_balls()
    found, nothing = decoder().decode(perfect_raw([target, EMPTY]))
    assert nothing == [] and len(found) == len(masks)
    by_size = sorted(found, key=lambda item: -full_mask(item).sum())
    kinds = dict(zip([int(mask.sum()) for mask in masks], target.class_ids, strict=True))
    for item, mask in zip(by_size, sorted(masks, key=lambda one: -one.sum()), strict=True):
        assert np.array_equal(full_mask(item), mask) and item.score > 0.99
        assert item.class_id == kinds[int(mask.sum())]
    assert (masks[0] & masks[1]).sum() > 50


def test_a_perfect_network_has_next_to_no_loss() -> None:
    target, _ = two_meeting_balls()
    parts = losses(perfect_raw([target, EMPTY]), [target, EMPTY])
    # Two of the four cells that learn each object are silent here, and say nothing of its box.
    assert parts["mask"] < 1e-3
    assert parts["quality"] == pytest.approx(0, abs=1e-3)


def test_a_mask_is_cut_at_two_voxels_around_its_box() -> None:
    target, _ = two_meeting_balls()
    raw = perfect_raw([target])
    raw.prototypes[..., 0] = 20.0  # everything belongs to the first object
    whole = max((full_mask(item) for item in decoder().decode(raw)[0]), key=np.sum)
    where = np.argwhere(whole)
    assert where.min(axis=0).tolist() == [1, 1, 1]
    assert where.max(axis=0).tolist() == [15, 15, 15] and whole.sum() == 15**3


def test_a_better_expected_mask_gives_a_better_score() -> None:
    target, _ = two_meeting_balls()
    raw = perfect_raw([target])
    raw.quality[:] = float(torch.logit(torch.tensor(0.6)))
    assert [item.score for item in decoder().decode(raw)[0]] == pytest.approx([0.6] * 4, abs=1e-4)


def test_objects_that_repeat_a_mask_of_their_class_go() -> None:
    target, _ = two_meeting_balls()
    raw = perfect_raw([target])
    assert len(decoder(most=2).decode(raw)[0]) == 2
    # Of the two cells of an object one has its box beside it, so that its mask lacks a voxel's rim.
    z, y, x = torch.meshgrid(*(torch.arange(n // 4) for n in SHAPE), indexing="ij")
    raw.found.boxes[:] += 3.0 * ((z + y + x) % 2)
    assert len(decoder().decode(raw)[0]) == 4
    assert len(decoder(mask_overlap=0.999).decode(raw)[0]) > 4


def test_a_mask_that_two_cells_give_two_classes_is_one_object() -> None:
    target, _ = two_meeting_balls()
    raw = perfect_raw([target])
    wanted = sorted((one.class_id, one.box) for one in decoder().decode(raw)[0])
    # Each object has two cells: one of them takes it for the other class, a little less surely.
    z, y, x = torch.meshgrid(*(torch.arange(n // 4) for n in SHAPE), indexing="ij")
    doubting = (z + y + x) % 2 == 1
    raw.found.kind[0, :, doubting] = raw.found.kind[0].flip(0)[:, doubting]
    raw.quality[0, doubting] = 2.0
    assert sorted((one.class_id, one.box) for one in decoder().decode(raw)[0]) == wanted


def test_the_share_of_objects_that_are_looked_at_is_told() -> None:
    target, _ = two_meeting_balls()
    raw = perfect_raw([target, EMPTY])
    assert decoder(most=10).fired(raw) == pytest.approx([0.4, 0.0])
    assert decoder(most=3).fired(raw) == [1.0, 0.0]
    raw.quality[:] = float(torch.logit(torch.tensor(0.2)))
    assert decoder(most=3).fired(raw) == [0.0, 0.0]
    assert decoder(mask_overlap=0.4).double_iou == 0.4


def test_windows_without_objects_learn_and_decode_to_nothing() -> None:
    network = small_network()
    raw = network(noise(2))
    parts = yolact_loss(raw, [EMPTY, EMPTY], CLASSES, SPACING_MM)
    assert all(bool(torch.isfinite(part)) for part in parts.values())
    assert float(parts["mask"].detach()) == 0 and float(parts["giou"].detach()) == 0
    assert set(parts) <= set(WEIGHTS)
    with torch.inference_mode():
        silent = network.eval().coarse(noise())
        silent.found.objectness[:] = -10.0
        raw = network.refine_found(noise(), silent)
    assert decoder().decode(raw) == [[]]


@pytest.mark.parametrize("part", ["detector.predict", "mask", "prototypes"])
def test_a_network_that_gives_nan_is_refused_instead_of_finding_nothing(part: str) -> None:
    network = small_network().eval()
    with torch.inference_mode():
        network.head.get_submodule(part).weight.fill_(float("nan"))
        raw = network.coarse(noise())
        raw.found.objectness[:, 2, 3, 1] = 4.0
        raw = network.refine_found(noise(), raw)
    with pytest.raises(ModelError, match="the network gave NaN"):
        decoder().decode(raw)


def test_hundreds_of_objects_on_one_place_give_a_finite_loss() -> None:
    target = crowd((8, 8, 8))
    parts = losses(small_network()(noise()), [target])
    assert all(np.isfinite(part) for part in parts.values()) and parts["mask"] > 0


def test_the_order_of_objects_does_not_change_the_loss() -> None:
    target, _ = two_meeting_balls()
    turned = shuffled(target, [2, 0, 3, 1])
    raw = small_network()(noise())
    assert losses(raw, [target]) == pytest.approx(losses(raw, [turned]), rel=1e-5)


@pytest.mark.parametrize("classes", [LESIONS, LESIONS[:1], [ORGANS[0], LESIONS[1]]])
@pytest.mark.parametrize("stem_stride", [1, 2])
def test_the_loss_reaches_every_weight(classes: list[dict], stem_stride: int) -> None:
    network = small_network(classes, stem_stride=stem_stride)
    described = card(classes).classes
    lesion = next(n for n, one in enumerate(described) if one.kind == "lesion")
    target, masks = two_meeting_balls()
    kinds = target.class_ids if len(described) == 2 and lesion == 0 else [lesion] * 4
    target = target_of(masks, list(kinds))
    parts = yolact_loss(network(noise(2)), [target, EMPTY], described, SPACING_MM)
    torch.stack(list(parts.values())).sum().backward()
    assert silent_weights(network) == []
    assert gradients_are_finite(network)


def test_a_batch_gives_what_its_windows_give_alone() -> None:
    network = small_network().eval()
    images = noise(2)
    with torch.inference_mode():
        both, alone = network(images), network(images[1:])
    for name in ("coefficients", "quality", "prototypes"):
        assert torch.allclose(getattr(both, name)[1:], getattr(alone, name), atol=1e-5)
    first, second = (decoder(doubtful=0.021).decode(raw)[-1] for raw in (both, alone))
    assert [item.box for item in first] == [item.box for item in second]


@pytest.mark.parametrize("stem_stride", [1, 2])
def test_masks_of_features_are_those_of_the_prototypes_made_of_them(stem_stride: int) -> None:
    network = small_network(stem_stride=stem_stride).eval()
    with torch.inference_mode():
        raw = network.coarse(noise())
        raw.found.objectness[:] = -10.0
        place = (3, 4, 2) if stem_stride == 2 else (6, 8, 3)
        raw.found.objectness[0, *place] = 4.0
        raw.found.boxes[0, :, *place] = torch.tensor([11.2, 15.0, 6.4, 15.6, 21.7, 12.0])
        alone, everywhere = (
            refine(noise(), raw) for refine in (network.refine_found, network.head.refine)
        )
        mine, theirs = (decoder().decode(one)[0] for one in (alone, everywhere))
    assert len(mine) == len(theirs) == 1 and mine[0].box == theirs[0].box
    np.testing.assert_allclose(mine[0].probability, theirs[0].probability, atol=1e-3)


def test_the_static_part_exports_and_gives_the_same_numbers() -> None:
    network = small_network().eval()
    static = exported(network, noise())
    with torch.inference_mode():
        wanted, given = network.coarse(noise()), static(noise())
    for mine, theirs in ((wanted.found, given.found), (wanted, given)):
        for name in ("objectness", "kind", "boxes", "coefficients", "quality"):
            if hasattr(mine, name):
                torch.testing.assert_close(getattr(mine, name), getattr(theirs, name))


def test_autocast_leaves_boxes_and_masks_in_full_floats() -> None:
    network = small_network()
    with torch.autocast("cpu", torch.bfloat16):
        raw = network(noise())
    for part in (raw.found.boxes, raw.found.objectness, raw.coefficients, raw.prototypes):
        assert part.dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"doubtful": 0.0}, "doubtful = 0 is not above 0"),
        ({"doubtful": 0.4}, "score_threshold = 0.3 is below 0.4"),
        ({"score_threshold": 0.04}, "score_threshold = 0.04 is below 0.05"),
        ({"most": 0}, "most = 0 is not above 0"),
        ({"most": 0.5}, "most is an integer"),
        ({"mask_overlap": "half"}, "mask_overlap is a number"),
    ],
)
def test_decoder_arguments_that_make_no_sense_are_refused(arguments: dict, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        decoder(**arguments)


def test_a_card_without_a_lesion_class_is_refused() -> None:
    with pytest.raises(ModelError, match="no class is one"):
        small_network(ORGANS)


def test_organs_have_a_decoder_where_there_are_organs() -> None:
    mixed = decoder_of(card([ORGANS[0], LESIONS[1]], head={"name": "yolact"}))
    assert [one.name for one in mixed.organs.classes] == ["left"]
    assert decoder().organs is None and "classes" not in decoder().settings

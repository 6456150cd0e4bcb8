"""Both query heads: what a perfect network gives is decoded to what was drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from head_cases import (
    EMPTY,
    SHAPE,
    SPACING_MM,
    ball,
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
from query_cases import QUERIES, meeting_balls, perfect_raw, small_network

from medseg.errors import ModelError
from medseg.heads import HEADS
from medseg.heads.contract import WindowTarget
from medseg.heads.query_parts import QueryRaw
from medseg.heads.set_loss import set_loss
from medseg.heads.set_targets import in_order
from medseg.models import InstanceNetwork, decoder_of

CLASSES = card(LESIONS).classes
MIXED = [ORGANS[0], LESIONS[1]]
both_heads = pytest.mark.parametrize("name", ["detr", "mask2former"])


def decoder(**arguments: Any) -> Any:
    return decoder_of(card(LESIONS, head={"name": "detr", "decoder": arguments}))


def losses(raw: QueryRaw, targets: list[WindowTarget]) -> dict[str, float]:
    parts = set_loss(raw, targets, CLASSES, SPACING_MM)
    return {name: float(part.detach()) for name, part in parts.items()}


@pytest.mark.parametrize("with_boxes", [True, False])
def test_targets_come_back_from_a_perfect_network_with_their_shared_voxels(
    with_boxes: bool,
) -> None:
    target, masks = meeting_balls()
    found, nothing = decoder().decode(perfect_raw([target, EMPTY], with_boxes=with_boxes))
    assert nothing == [] and len(found) == len(masks)
    for mask, kind in zip(masks, target.class_ids, strict=True):
        overlap = [
            (full_mask(item) & mask).sum() / (full_mask(item) | mask).sum() for item in found
        ]
        item = found[int(np.argmax(overlap))]
        # So much of a small ball a mask on cells of stride 2 keeps.
        assert max(overlap) > 0.75 and item.class_id == kind and item.score > 0.75
    assert (masks[0] & masks[1]).sum() > 50


def test_a_perfect_network_has_next_to_no_loss() -> None:
    target, _ = meeting_balls()
    parts = losses(perfect_raw([target, EMPTY], with_boxes=True), [target, EMPTY])
    assert parts["class"] < 1e-3 and parts["box"] == 0
    assert parts["giou"] == pytest.approx(0, abs=1e-5)
    # Cells that a border cuts cost something even where their share is known exactly.
    exact = [one.share.astype(float) for one in in_order(target, [0, 1]).crops()]
    dice = [1 - (2 * (one**2).sum() + 1) / (2 * one.sum() + 1) for one in exact]
    assert parts["dice"] == pytest.approx(np.mean(dice), abs=0.08) and parts["mask"] < 0.15


def test_the_loss_knows_which_mask_is_whose() -> None:
    target, _ = meeting_balls()
    raw = perfect_raw([target], with_boxes=False)
    swapped = raw.mask_features.clone()
    swapped[:, [0, 1]] = swapped[:, [1, 0]]
    right, wrong = losses(raw, [target]), losses(raw._replace(mask_features=swapped), [target])
    assert wrong["class"] + wrong["mask"] + wrong["dice"] > 1 + right["mask"] + right["dice"]


def test_an_object_counts_as_much_as_another_whatever_its_size() -> None:
    masks = [ball((12, 12, 8), 7), ball((19, 27, 6), 2)]
    target = target_of(masks, [0, 0])
    raw = perfect_raw([target], with_boxes=False)
    raw.mask_features[:, 1] *= 0.2
    together = losses(raw, [target])
    alone = [losses(raw, [target_of([mask], [0])]) for mask in masks]
    for name in ("mask", "dice"):
        first, second = (one[name] for one in alone)
        assert together[name] == pytest.approx((first + second) / 2, rel=1e-4)
        assert second != pytest.approx(first, rel=0.2)


@both_heads
def test_windows_without_objects_learn_and_decode_to_nothing(name: str) -> None:
    network = small_network(name)
    raw = network(noise(2), [EMPTY, EMPTY])
    parts = set_loss(raw, [EMPTY, EMPTY], CLASSES, SPACING_MM)
    assert all(bool(torch.isfinite(part)) for part in parts.values())
    assert float(parts["mask"].detach()) == 0 and float(parts["dice"].detach()) == 0
    assert set(parts) <= set(HEADS[name].loss_weights)
    raw.objects.class_logits[..., -1] += 20.0
    with torch.inference_mode():
        assert decoder().decode(raw) == [[], []] and decoder().fired(raw) == [0.0, 0.0]


@both_heads
@pytest.mark.parametrize("part", ["classify", "mask_features.3", "masks.predict.2"])
def test_a_network_that_gives_nan_is_refused_instead_of_finding_nothing(
    name: str, part: str
) -> None:
    network = small_network(name).eval()
    with torch.inference_mode():
        network.head.parts.get_submodule(part).weight.fill_(float("nan"))
        raw = network.refine_found(noise(), network.coarse(noise()))
    with pytest.raises(ModelError, match="the network gave NaN"):
        decoder().decode(raw)


@both_heads
def test_more_objects_than_queries_give_a_finite_loss(name: str) -> None:
    target = crowd(SHAPE)
    parts = losses(small_network(name)(noise()), [target])
    assert all(np.isfinite(part) for part in parts.values()) and parts["mask"] > 0


@both_heads
def test_the_order_of_objects_does_not_change_the_loss(name: str) -> None:
    target, _ = meeting_balls()
    raw = small_network(name)(noise())
    turned = shuffled(target, [2, 0, 3, 1])
    assert losses(raw, [target]) == pytest.approx(losses(raw, [turned]), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "classes", "changes"),
    [
        ("detr", LESIONS, {}),
        ("detr", MIXED, {"denoising": 2, "encoder_layers": 0}),
        ("mask2former", LESIONS, {"denoising": 1}),
        ("mask2former", MIXED, {}),
        ("mask2former", ORGANS, {}),
    ],
)
@pytest.mark.parametrize("stem_stride", [1, 2])
def test_the_loss_reaches_every_weight(
    name: str, classes: list[dict[str, Any]], changes: dict[str, Any], stem_stride: int
) -> None:
    network = small_network(name, classes, {"stem_stride": stem_stride}, **changes)
    target, _ = meeting_balls()
    parts = HEADS[name].loss(
        network(noise(2), [target, EMPTY]), [target, EMPTY], card(classes).classes, SPACING_MM
    )
    torch.stack(list(parts.values())).sum().backward()
    # At stride 2 the dense part's organ layer gives way to the queries' masks.
    alone = classes is ORGANS and stem_stride == 2
    assert silent_weights(network) == (["head.dense.classify.weight"] if alone else [])
    assert gradients_are_finite(network)


@both_heads
def test_without_an_object_every_weight_still_has_a_gradient(name: str) -> None:
    network = small_network(name)
    parts = set_loss(network(noise(), [EMPTY]), [EMPTY], CLASSES, SPACING_MM)
    torch.stack(list(parts.values())).sum().backward()
    assert [name for name, one in network.named_parameters() if one.grad is None] == []


@both_heads
def test_a_batch_gives_what_its_windows_give_alone(name: str) -> None:
    network = small_network(name).eval()
    images = noise(2)
    with torch.inference_mode():
        both, alone = network(images), network(images[1:])
    for mine, theirs in zip(flat(both.objects), flat(alone.objects), strict=True):
        torch.testing.assert_close(mine[:, 1:], theirs, atol=1e-4, rtol=1e-4)
    first, second = (decoder().decode(raw)[-1] for raw in (both, alone))
    assert [item.box for item in first] == [item.box for item in second] and first


@both_heads
@pytest.mark.parametrize("lengths", [(16, 16, 16), (16, 48, 32)])
@pytest.mark.parametrize("channels", [[8, 16], [8, 16, 16], [8, 16, 16, 16]])
@pytest.mark.parametrize("stem_stride", [1, 2])
def test_windows_of_any_shape_and_pyramids_of_any_depth_are_decoded(
    name: str, lengths: tuple[int, ...], channels: list[int], stem_stride: int
) -> None:
    backbone = {"channels": channels, "blocks": [1] * len(channels), "stem_stride": stem_stride}
    network = small_network(name, MIXED, backbone).eval()
    image = noise(1, lengths)
    with torch.inference_mode():
        raw = network.refine_found(image, network.coarse(image))
    assert raw.mask_features.shape[2:] == tuple(length // 2 for length in lengths)
    assert raw.dense.organ.shape == (1, 2, *lengths)
    (found,) = decoder_of(card(MIXED, head={"name": name})).decode(raw)
    assert all(item.class_id == 1 for item in found)
    assert all(part.stop <= n for item in found for part, n in zip(item.box, lengths, strict=True))


@both_heads
def test_four_hundred_queries_are_as_good_as_any_number(name: str) -> None:
    network = small_network(name, queries=400).eval()
    with torch.inference_mode():
        raw = network.coarse(noise())
    assert raw.objects.class_logits.shape == (4, 1, 400, 3)


@both_heads
def test_the_static_part_exports_and_gives_the_same_numbers(name: str) -> None:
    network = small_network(name, MIXED).eval()
    static = exported(network, noise())
    with torch.inference_mode():
        wanted, given = network.coarse(noise()), static(noise())
    for mine, theirs in zip(flat(wanted), flat(given), strict=True):
        torch.testing.assert_close(mine, theirs)


@both_heads
def test_autocast_leaves_places_in_full_floats(name: str) -> None:
    network = small_network(name)
    with torch.autocast("cpu", torch.bfloat16):
        raw = network(noise(), None)
    assert raw.objects.masks.paraboloid.dtype == torch.float32
    target, _ = meeting_balls()
    parts = set_loss(raw, [target], CLASSES, SPACING_MM)
    assert all(bool(torch.isfinite(part)) for part in parts.values())
    assert parts["mask"].dtype == torch.float32
    if name == "detr":
        assert raw.objects.boxes.dtype == torch.float32


def test_masks_of_one_class_that_repeat_each_other_are_one_object() -> None:
    target, _ = meeting_balls()
    raw = perfect_raw([target], with_boxes=False)
    raw.objects.class_logits[0, 0, 0] = torch.tensor([3.0, -12.0, 0.0])
    raw.objects.masks.weights[0, 0, 0] = raw.objects.masks.weights[0, 0, QUERIES - 1]
    items = decoder().decode(raw)[0]
    assert len(items) == 4 and max(item.score for item in items) > 0.8
    assert len(decoder(double_iou=0.999999).decode(raw)[0]) == 4


def test_one_mask_of_two_classes_is_one_object_of_the_likelier() -> None:
    target, _ = meeting_balls()
    raw = perfect_raw([target], with_boxes=False)
    wanted = [(one.class_id, one.box) for one in decoder().decode(raw)[0]]
    raw.objects.class_logits[0, 0, 0] = torch.tensor([-12.0, 3.0, 0.0])
    raw.objects.masks.weights[0, 0, 0] = raw.objects.masks.weights[0, 0, QUERIES - 1]
    assert [(one.class_id, one.box) for one in decoder().decode(raw)[0]] == wanted


def test_a_mask_that_is_hardly_there_is_no_object() -> None:
    target, _ = meeting_balls()
    raw = perfect_raw([target], with_boxes=False)
    # Above a half in 32-bit floats, a half in the 16 bits that are kept.
    raw.mask_features[:] = raw.mask_features.clamp(max=1e-5)
    assert decoder().decode(raw) == [[]]


def test_the_share_of_queries_that_fire_is_told() -> None:
    target, _ = meeting_balls()
    raw = perfect_raw([target, EMPTY], with_boxes=False)
    assert decoder().fired(raw) == pytest.approx([4 / QUERIES, 0.0])
    raw.objects.class_logits[0, 0, :11] = torch.tensor([12.0, -12.0, -12.0])
    assert decoder().fired(raw)[0] >= 0.9


def test_a_mask_is_interpolated_as_in_the_whole_window() -> None:
    features = torch.randn(1, 12, 12, 16, 8, generator=torch.Generator().manual_seed(0))
    raw = perfect_raw([EMPTY], with_boxes=False)._replace(mask_features=features)
    raw.objects.class_logits[0, 0, 3] = torch.tensor([12.0, -12.0, -12.0])
    # A steep paraboloid, so that the mask stays small.
    raw.objects.masks.paraboloid[0, 0, 3] = torch.tensor([25.0, 25, 25, 1.6, 2.1, 1.0, 4.0])
    (item,) = decoder().decode(raw)[0]
    place = [torch.arange(n) * 2.0 + 0.5 for n in features.shape[2:]]
    grid = torch.stack(torch.meshgrid(*place, indexing="ij")) / 8
    middle = torch.tensor([1.6, 2.1, 1.0]).view(3, 1, 1, 1)
    slow = features[0, QUERIES - 1 - 3] + 4.0 - 25 * ((grid - middle) ** 2).sum(0)
    fine = torch.nn.functional.interpolate(slow[None, None], scale_factor=2.0, mode="trilinear")
    probability = fine[0, 0].sigmoid().numpy()
    assert np.array_equal(full_mask(item), probability > 0.5)
    np.testing.assert_allclose(item.probability, probability[item.box], atol=2e-3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"score_threshold": 1.5}, "head.decoder.score_threshold = 1.5 is not above 0 and below 1"),
        ({"score_threshold": 0.04}, "score_threshold = 0.04 is below 0.05"),
        ({"double_iou": "half"}, "double_iou is a number"),
        ({"threshold": 0.5}, "unexpected keyword argument 'threshold'"),
    ],
)
def test_decoder_arguments_that_make_no_sense_are_refused(
    arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        decoder(**arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("mask2former", {"queries": 0}, "head.network.queries is an integer from 1; got 0"),
        ("detr", {"encoder_layers": -1}, "head.network.encoder_layers is an integer from 0"),
        ("detr", {"mask_channels": 12}, "mask_channels is a multiple of 8; got 12"),
        ("detr", {"width": 32}, "head.network.width is a multiple of 6; got 32"),
        ("detr", {"attention_heads": 5}, "no multiple of the number of attention heads 5"),
        ("mask2former", {"encoder_layers": 2}, "unexpected keyword argument 'encoder_layers'"),
    ],
)
def test_network_arguments_that_make_no_sense_are_refused(
    name: str, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        small_network(name, **arguments)


def test_denoising_queries_learn_in_training_alone_and_stand_near_their_objects() -> None:
    target, _ = meeting_balls()
    for name in ("detr", "mask2former"):
        network: InstanceNetwork = small_network(name, denoising=2)
        raw = network(noise(2), [target, EMPTY])
        owner = raw.denoised.owner
        assert owner.tolist() == [[0, 1, 2, 3, 0, 1, 2, 3], [-1] * 8]
        assert float(set_loss(raw, [target, EMPTY], CLASSES, SPACING_MM)["denoising"].detach()) > 0
        # The queries that are decoded know nothing of the targets.
        alone = network(noise(2))
        assert alone.denoised is None
        for mine, theirs in zip(flat(raw.objects), flat(alone.objects), strict=True):
            assert torch.equal(mine, theirs)
        assert network.eval()(noise(2), [target, EMPTY]).denoised is None


def test_other_groups_and_fillers_do_not_change_what_a_denoising_query_gives() -> None:
    target, _ = meeting_balls()
    few = target_of([ball((8, 8, 8), 4)], [0])
    network = small_network("detr", denoising=1)
    alone = network(noise(2)[:1], [few]).denoised
    beside = network(noise(2), [few, target]).denoised
    torch.testing.assert_close(
        beside.outputs.class_logits[:, 0, 0], alone.outputs.class_logits[:, 0, 0]
    )


def flat(one: Any) -> list[torch.Tensor]:
    """All tensors of nested tuples."""
    if isinstance(one, torch.Tensor):
        return [one]
    return [] if one is None else [tensor for part in one for tensor in flat(part)]

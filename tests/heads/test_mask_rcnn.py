"""Mask R-CNN and PointRend: what a perfect network gives is decoded to what was drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from head_cases import silent_weights, untrained
from modelling import LESIONS, ORGANS
from region_cases import (
    CPU,
    eager,
    iou_of,
    lesion_window,
    loss_of,
    perfect,
    permuted,
    small_card,
    target_of,
)
from torch import Tensor, nn

from medseg.errors import ModelError
from medseg.heads import HEADS
from medseg.heads.contract import WindowTarget
from medseg.heads.mask_rcnn.loss import region_mask_loss, varifocal_loss
from medseg.heads.mask_rcnn.pasting import pasted
from medseg.heads.mask_rcnn.sampling import lesion_objects, sample_regions
from medseg.models import build, decoder_of

BOTH = pytest.mark.parametrize("name", ["mask_rcnn", "pointrend"])
SHAPE = (24, 24, 24)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def ball(radius: int) -> np.ndarray:
    from_middle = np.indices((2 * radius,) * 3) - (radius - 0.5)
    return (from_middle**2).sum(axis=0) < radius**2


@pytest.mark.parametrize("size", [14, 28])
def test_targets_are_decoded_to_the_objects_they_show(size: int) -> None:
    windows = [lesion_window(seed, (32, 48, 32)) for seed in range(3)]
    targets = [one.target for one in windows]
    decoded = decoder_of(small_card("mask_rcnn")).decode(perfect(targets, (32, 48, 32), size))
    for items, target in zip(decoded, targets, strict=True):
        assert len(items) == len(target.class_ids)
        for n, class_id in enumerate(target.class_ids):
            fits = [iou_of(one, target, n, (32, 48, 32)) for one in items]
            assert max(fits) > 0.75
            assert items[int(np.argmax(fits))].class_id == class_id


def test_objects_that_share_most_of_their_voxels_stay_where_their_classes_differ() -> None:
    crossed = target_of((0, (4, 4, 4), ball(6)), (0, (8, 4, 4), ball(6)), (1, (5, 4, 4), ball(6)))
    (items,) = decoder_of(small_card("mask_rcnn")).decode(perfect([crossed], SHAPE))
    assert sorted(one.class_id for one in items) == [0, 0, 1]
    assert len({tuple(part.start for part in one.box) for one in items}) == 3


def test_of_one_object_found_twice_the_better_stays() -> None:
    raw = perfect([target_of((0, (4, 4, 4), ball(6)), (0, (5, 4, 4), ball(6)))], SHAPE)
    assert raw.found is not None
    scores = torch.tensor([0.5, 0.8])
    (items,) = decoder_of(small_card("mask_rcnn")).decode(
        raw._replace(found=raw.found._replace(scores=scores))
    )
    assert [one.score for one in items] == [pytest.approx(0.8)]


@pytest.mark.parametrize("low", [(0, 0, 0), (23, 23, 23)])
def test_an_object_of_one_voxel_in_a_corner_is_found(low: tuple[int, int, int]) -> None:
    target = target_of((1, low, np.ones((1, 1, 1), dtype=bool)))
    ((item,),) = decoder_of(small_card("mask_rcnn")).decode(perfect([target], SHAPE))
    assert np.argwhere(item.probability > 0.5).tolist() == [
        [a - part.start for a, part in zip(low, item.box, strict=True)]
    ]


def test_pasting_interpolates_a_ramp_exactly_and_stops_at_the_window() -> None:
    ramp = (torch.arange(4.0) + 0.5)[:, None, None].expand(4, 4, 4)
    corner, values = pasted(ramp, torch.tensor([-4.0, 0, 0, 12, 4, 4]), (6, 8, 8))
    assert corner == [0, 0, 0] and values.shape == (6, 4, 4)
    # Voxel i's middle lies (i + 4.5) / 4 cells into the box.
    assert values[:, 0, 0].tolist() == pytest.approx([(i + 4.5) / 4 for i in range(6)])
    corner, values = pasted(ramp, torch.tensor([0.6, 9, 0, 1.4, 12, 4]), (6, 8, 8))
    assert values.numel() == 0


@BOTH
def test_no_object_gives_a_finite_loss_and_an_empty_window_no_instance(name: str) -> None:
    what = small_card(name)
    network = untrained(what)
    parts = loss_of(what, network, noise(2, 1, 16, 24, 16), [target_of(), target_of()])
    assert all(torch.isfinite(part) for part in parts.values())
    zero = ["proposal_class", "proposal_box", "region_box", "mask"]
    assert [float(parts[part].detach()) for part in zero] == [0.0] * 4
    torch.stack(list(parts.values())).sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())
    with torch.inference_mode():
        image = torch.zeros(1, 1, 16, 16, 16)
        raw = network.eval().refine_found(image, network.coarse(image))
    assert decoder_of(what).decode(raw) == [[]]


@BOTH
@pytest.mark.parametrize("classes", [LESIONS, [ORGANS[0], LESIONS[1]]])
def test_the_loss_reaches_every_weight(name: str, classes: list[dict[str, object]]) -> None:
    what = small_card(name, classes, channels=(8, 16, 16))
    network = untrained(what)
    window = lesion_window(2)
    target = window.target
    if classes is not LESIONS:
        target = replace(target, class_ids=np.arange(len(target.class_ids)) % 2)
    parts = loss_of(what, network, window.image[None], [target])
    torch.stack(list(parts.values())).sum().backward()
    assert silent_weights(network) == []
    assert all(weight.grad is not None for weight in network.parameters())


@BOTH
def test_the_order_of_objects_does_not_change_the_loss(name: str) -> None:
    what, window = small_card(name), lesion_window(1)
    network = untrained(what)
    first, second = (
        loss_of(what, network, window.image[None], [target])
        for target in (window.target, permuted(window.target, 0))
    )
    assert {place: float(part.detach()) for place, part in first.items()} == pytest.approx(
        {place: float(part.detach()) for place, part in second.items()}, rel=1e-4
    )


@BOTH
def test_a_batch_gives_what_its_windows_give_alone(name: str) -> None:
    what = small_card(name, most=6)
    network = eager(what)
    windows = [lesion_window(seed, (16, 24, 16)) for seed in (3, 4)]
    images = torch.stack([one.image for one in windows])
    targets = [one.target for one in windows]
    with torch.inference_mode():
        both = network(images, targets)
        alone = [network(images[n : n + 1], targets[n : n + 1]) for n in range(2)]
        found = network.refine_found(images, network.coarse(images))
        apart = [network.refine_found(one[None], network.coarse(one[None])) for one in images]
    for n, one in enumerate(alone):
        rows = both.sampled.window == n
        assert torch.allclose(both.sampled.boxes[rows], one.sampled.boxes, atol=1e-4)
        assert torch.allclose(both.sampled.class_logits[rows], one.sampled.class_logits, atol=1e-4)
        assert torch.equal(both.sampled.target[rows], one.sampled.target)
    together = decoder_of(what).decode(found)
    for items, one in zip(together, apart, strict=True):
        (wanted,) = decoder_of(what).decode(one)
        assert len(items) == len(wanted) > 0
        for item, other in zip(items, wanted, strict=True):
            assert item.box == other.box and item.score == pytest.approx(other.score, abs=1e-5)


@BOTH
def test_the_static_part_exports_and_gives_the_same_numbers(name: str) -> None:
    network = untrained(small_card(name, channels=(8, 16, 16))).eval()

    class Coarse(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: Tensor) -> object:
            return self.network.coarse(image)

    image = noise(1, 1, 16, 32, 16)
    with torch.no_grad():
        exported = torch.export.export(Coarse(), (image,)).module()(image)
        plain = network.coarse(image)
    for left, right in zip(
        torch.utils._pytree.tree_leaves(exported),
        torch.utils._pytree.tree_leaves(plain),
        strict=True,
    ):
        assert left is right is None or torch.allclose(left, right, atol=1e-5)


@BOTH
@pytest.mark.parametrize("shape", [(16, 40, 24), (48, 16, 16)])
def test_windows_of_uneven_shape_and_hundreds_of_lesions_learn(
    name: str, shape: tuple[int, int, int]
) -> None:
    what = small_card(name, channels=(8, 16, 16))
    rng = np.random.default_rng(0)
    objects = [
        (
            int(rng.integers(2)),
            tuple(rng.integers(0, np.array(shape) - 3)),
            np.ones((2, 3, 2), bool),
        )
        for _ in range(200)
    ]
    parts = loss_of(what, untrained(what), noise(1, 1, *shape), [target_of(*objects)])
    assert all(bool(torch.isfinite(part) & (part > 0)) for part in parts.values())


def test_every_object_gets_a_region_before_any_gets_a_second() -> None:
    target = target_of(*[(0, (8 * n, 0, 0), ball(4)) for n in range(3)])
    objects = lesion_objects(target, (0, 1), CPU)
    many = objects.boxes[:1].repeat(20, 1) + 0.1 * noise(20, 6)
    far = torch.tensor([[0.0, 16, 16, 4, 20, 20]])
    generator = torch.Generator().manual_seed(0)
    boxes, shown = sample_regions(
        torch.cat([many, far]), objects, SHAPE, generator, positives=8, negatives=4
    )
    # The first object has proposals enough; the others get truth, a little moved, once.
    assert torch.bincount(shown[shown >= 0]).tolist() == [6, 1, 1]
    assert sorted(shown[:3].tolist()) == [0, 1, 2]
    assert boxes[shown == -1].tolist() == far.tolist()


def test_objects_count_alike_whatever_their_size_and_number_of_regions() -> None:
    # A mask that is wrong everywhere: cross entropy of sure logits, and a Dice of nearly 1.
    logits = torch.full((1, 100), -10.0)
    wrong = float(region_mask_loss(logits, torch.ones(1, 100)))
    assert wrong == pytest.approx(10.0 + 1 - 1 / 101, abs=0.01)
    small = float(region_mask_loss(-logits, torch.ones(1, 100)))
    assert small == pytest.approx(0.0, abs=0.001)


def test_the_varifocal_loss_has_its_closed_form() -> None:
    loss = varifocal_loss(torch.zeros(2), torch.tensor([0.6, 0.0]))
    assert loss.tolist() == pytest.approx([0.6 * np.log(2), 0.75 * 0.25 * np.log(2)])


def test_lesions_keep_an_order_of_their_own_and_organs_are_left_out() -> None:
    mask = np.ones((2, 2, 2), dtype=bool)
    target = target_of((2, (4, 0, 0), mask), (0, (8, 8, 8), mask), (1, (0, 0, 0), mask))
    objects = lesion_objects(target, (1, 2), CPU)
    assert objects.channel.tolist() == [0, 1]
    assert objects.boxes[:, 0].tolist() == [0.0, 4.0]


def test_a_network_that_gives_nan_is_refused_instead_of_finding_nothing() -> None:
    network = untrained(small_card("mask_rcnn")).eval()
    image = torch.full((1, 1, 16, 16, 16), float("nan"))
    with torch.inference_mode(), pytest.raises(ModelError, match="the network gave NaN"):
        network.head.refine_found(image, network.coarse(image))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"classes": ORGANS}, "box heads find lesions"),
        ({"mask_regions": 0}, "mask_regions is 1 or more; got 0"),
        ({"overlap": 1.5}, "overlap lies between 0 and 1"),
        ({"anchor_sizes": [0.0]}, "anchor_sizes are above 0"),
        ({"regions": 3}, "unexpected keyword argument 'regions'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        build(small_card("mask_rcnn", **arguments))


def test_settings_of_the_decoder_are_checked_and_kept() -> None:
    what = small_card("mask_rcnn")
    assert decoder_of(what).settings == {
        "score_threshold": 0.3,
        "smallest_mm3": 30.0,
        "double_iou": 0.5,
    }
    head = what.head.model_copy(update={"decoder": {"double_iou": 2.0}})
    with pytest.raises(ModelError, match="double_iou = 2 is not above 0 and below 1"):
        decoder_of(what.model_copy(update={"head": head}))


def organ_window() -> WindowTarget:
    return target_of((0, (2, 2, 2), ball(5)), (1, (4, 4, 4), ball(3)))


def test_a_lesion_inside_an_organ_leaves_it_whole() -> None:
    what = small_card("mask_rcnn", [ORGANS[0], LESIONS[1]])
    parts = loss_of(what, untrained(what), noise(1, 1, 16, 16, 16), [organ_window()])
    assert {"organ", "lesion", "mask"} <= set(parts)
    both = small_card("pointrend", dense={"width": 8, "refine": "pointrend"})
    parts = loss_of(both, untrained(both), noise(1, 1, 16, 16, 16), [organ_window()])
    assert {"points", "mask_points"} <= set(parts) <= set(HEADS["pointrend"].loss_weights)
    decoder = decoder_of(what)
    assert decoder.organs is not None and [spec.name for spec in decoder.organs.maps] == ["organ"]
    assert decoder_of(small_card("mask_rcnn")).organs is None

"""The border-core head: what a perfect network gives is decoded to what was drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from border_core_cases import (
    SHAPE,
    UNIT,
    Classes,
    decoder,
    noise,
    perfect_maps,
    small_network,
    two_blocks,
)
from fringe_cases import ball, blurred, cut_slabs, whole_slab
from head_cases import (
    EMPTY,
    crowd,
    exported,
    gradients_are_finite,
    silent_weights,
    target_of,
)
from modelling import LESIONS, ORGANS, card
from scipy import ndimage

from medseg.errors import ModelError
from medseg.evaluation.detection import average_precision
from medseg.heads.border_core.loss import WEIGHTS, border_core_loss, object_core_loss
from medseg.heads.border_core.network import BorderCore
from medseg.heads.border_core.targets import CoreTarget
from medseg.heads.contract import WindowTarget
from medseg.models import decoder_of
from medseg.phantom import touching_lesions
from medseg.training.datasets import LoadedCase
from medseg.training.grid_cases import on_model_grid
from medseg.training.windows import whole_window
from medseg.transforms.grids import GridMap
from medseg.types import Instance, Instances

CLASSES = card(LESIONS).classes


def full_mask(item: Instance, shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[item.box] = item.mask
    return mask


def losses(raw: BorderCore, targets: list[WindowTarget]) -> dict[str, float]:
    parts = border_core_loss(raw, targets, CLASSES, UNIT)
    return {name: float(part.detach()) for name, part in parts.items()}


def perfect_raw(target: WindowTarget) -> BorderCore:
    """Logits that are sure of the target."""
    raw = small_network()(noise())
    maps = perfect_maps(target, SHAPE)
    lesion, core = (torch.from_numpy(maps[name])[None] * 40 - 20 for name in ("lesion", "core"))
    coarse = torch.nn.functional.max_pool3d(torch.cat([lesion, core], dim=1), 2)
    dense = raw.dense._replace(lesion=torch.cat([lesion, core], dim=1), coarse=coarse)
    return BorderCore(None, lesion, core, dense)


def test_touching_blocks_come_back_voxel_for_voxel_where_components_merge_them() -> None:
    target, masks = two_blocks()
    slab = whole_slab(perfect_maps(target, SHAPE))
    items = decoder().group([slab], UNIT)
    assert [item.class_name for item in items] == ["ellipsoid", "ellipsoid", "shell"]
    assert np.array_equal(full_mask(items[2], SHAPE), masks[2])
    # The small one's border is as thick as the large one's, or a way would lead round the corner.
    wrong = sum(
        np.count_nonzero(full_mask(item, SHAPE) != mask)
        for item, mask in zip(items[:2], masks[:2], strict=True)
    )
    assert wrong == 0
    assert [item.score for item in items] == [1.0] * 3
    merged = decoder_of(card(LESIONS, head={"name": "components"})).group([slab], UNIT)
    assert len(merged) == 2


def test_targets_of_touching_lesions_are_decoded_to_the_objects_they_show() -> None:
    shape, pairs = (48, 64, 64), []
    for seed in range(5):
        phantom = touching_lesions(seed, shape=shape)
        case = on_model_grid(
            LoadedCase("one", {"mr": phantom.volume}, phantom.truth), card(LESIONS)
        )
        slab = whole_slab(perfect_maps(whole_window(case).target, shape))
        items = decoder().group([slab], UNIT)
        pairs.append(
            (Instances(phantom.truth.geometry, items, phantom.truth.classes), phantom.truth)
        )
    found, wanted = (sum(len(pair[n].items) for pair in pairs) for n in (0, 1))
    assert abs(found - wanted) <= 1
    assert average_precision(pairs, 0.5)["pooled"] > 0.95


@pytest.mark.parametrize("scale", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("depth", [4, 8, 14])
def test_slabs_give_the_same_objects_as_one_piece(depth: int, scale: float) -> None:
    rng, maps = np.random.default_rng(5), {}
    for name, level, width in (("lesion", 0.2, 2.0), ("core", 0.6, 1.2)):
        hills = ndimage.gaussian_filter(rng.normal(size=(2, 40, 24, 26)), (0, *[width] * 3))
        maps[name] = (1 / (1 + np.exp(4 * (level - hills / hills.std())))).astype(np.float32)
    grid, shape = GridMap((scale, 1.5, 0.5), (0.2, 0.0, 0.1)), (int(39 / scale), 15, 50)
    small = decoder(smallest_core_mm3=1.0)
    one = small.group([whole_slab(maps, grid, shape)], UNIT)
    several = small.group(cut_slabs(small, maps, depth, grid, shape), UNIT)
    plain = decoder_of(card(LESIONS, head={"name": "components"}))
    assert len(one) == len(several) > len(plain.group([whole_slab(maps, grid, shape)], UNIT)) > 0
    for left, right in zip(one, several, strict=True):
        same = (left.box, left.probability_box, left.class_name)
        assert same == (right.box, right.probability_box, right.class_name)
        assert left.score == pytest.approx(right.score, abs=1e-5)
        np.testing.assert_array_equal(left.mask, right.mask)
        np.testing.assert_allclose(left.probability, right.probability, atol=1e-3)


def test_a_component_without_a_core_is_an_object_and_small_cores_can_be_left_out() -> None:
    maps = {name: np.zeros((2, *SHAPE), dtype=np.float32) for name in ("lesion", "core")}
    maps["lesion"][0, 2:6, 2:6, 2:6] = 0.8
    maps["lesion"][0, 8:13, 2:20, 2:6] = 0.9
    maps["core"][0, 9:12, 4:8, 3:5] = 1.0
    maps["core"][0, 10, 16, 3] = 0.75
    slab = whole_slab(maps)
    bare, large, small = decoder().group([slab], UNIT)
    assert bare.voxel_count == 4**3 and bare.score == pytest.approx(0.8 * 0.5)
    assert large.score == pytest.approx(0.9) and small.score == pytest.approx(0.9 * 0.75)
    assert large.voxel_count + small.voxel_count == 5 * 18 * 4
    assert small.box[1].stop == 20 and large.box[1].start == 2
    assert len(decoder(smallest_core_mm3=2.0).group([slab], UNIT)) == 2
    assert len(decoder(smallest_mm3=100.0).group([slab], UNIT)) == 2
    alone = decoder(core_threshold=0.3, smallest_core_mm3=1e6).group([slab], UNIT)
    assert [item.score for item in alone] == pytest.approx([0.8 * 0.3, 0.9 * 0.3])


def test_an_object_of_one_voxel_and_one_on_the_border_of_the_image_come_back() -> None:
    masks = [np.zeros(SHAPE, dtype=bool) for _ in range(2)]
    masks[0][0, 0, 0], masks[1][12:, 18:, 11:] = True, True
    items = decoder(smallest_mm3=0.5).group(
        [whole_slab(perfect_maps(target_of(masks), SHAPE))], UNIT
    )
    assert len(items) == 2
    for item, mask in zip(items, masks, strict=True):
        assert np.array_equal(full_mask(item, SHAPE), mask)


def test_organs_and_the_fringe_of_a_lesion_are_as_those_of_the_centre_offset_head() -> None:
    shape, classes = (20, 22, 24), [ORGANS[0], LESIONS[1]]
    values = blurred(ball((9.5, 10.5, 11.5), 5.0), shape, UNIT, 0.8)
    maps = {
        "organ": np.stack([1 - values, values]),
        "lesion": values[None],
        "core": (values > 0.98).astype(np.float32)[None],
    }
    organ, lesion = decoder(classes).group([whole_slab(maps)], UNIT)
    plain = decoder_of(card(classes, head={"name": "components"})).group([whole_slab(maps)], UNIT)
    for item, wanted in zip((organ, lesion), plain, strict=True):
        assert (item.class_name, item.box) == (wanted.class_name, wanted.box)
        assert item.probability_box == wanted.probability_box is not None
        assert np.array_equal(item.probability, wanted.probability)
        assert item.probability.sum(dtype=float) == pytest.approx(values.sum(), rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"core_threshold": 1.0}, "core_threshold = 1 is not above 0 and below 1"),
        ({"smallest_core_mm3": "no"}, "smallest_core_mm3 is a number"),
        ({"reach_mm": 1.0}, "unexpected keyword argument 'reach_mm'"),
    ],
)
def test_decoder_arguments_that_make_no_sense_are_refused(arguments: dict, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        decoder(**arguments)


def test_no_object_gives_a_finite_loss_and_no_instance() -> None:
    parts = losses(small_network()(noise(2)), [EMPTY, EMPTY])
    assert set(parts) == {"lesion", "coarse", "core", "object"} < set(WEIGHTS)
    assert all(map(math.isfinite, parts.values())) and parts["core"] == parts["object"] == 0
    assert decoder().group([whole_slab(perfect_maps(EMPTY, SHAPE))], UNIT) == []


def test_a_perfect_network_has_next_to_no_loss() -> None:
    target, _ = two_blocks()
    parts = losses(perfect_raw(target), [target])
    assert parts["core"] == pytest.approx(0, abs=1e-4)
    assert parts["lesion"] == pytest.approx(0, abs=1e-4)


def test_the_order_of_objects_does_not_change_the_loss() -> None:
    target, masks = two_blocks()
    turned = target_of([masks[n] for n in (2, 1, 0)], [1, 0, 0])
    raw = small_network()(noise())
    assert losses(raw, [turned]) == pytest.approx(losses(raw, [target]), rel=1e-5)


def test_a_lost_core_costs_the_same_in_a_small_object_as_in_a_large_one() -> None:
    owner, core = (torch.zeros(1, 1, 8, 8, 16) for _ in range(2))
    owner[..., 0:8], owner[..., 2:5, 2:5, 10:13] = 1, 2
    core[..., 1:7, 1:7, 1:7], core[..., 3, 3, 11] = 1.0, 1.0
    target = CoreTarget(core, owner.to(torch.int32))
    costs = []
    for lost in (1, 2):
        logits = 200 * core - 100
        logits[(owner == lost) & (core == 1)] = -100.0
        costs.append(float(object_core_loss(logits, target)))
    # Of two objects one is wrong: cross entropy 100 in its core, 0 in its border, and Dice 0.
    assert costs == pytest.approx([(50 + 1) / 2] * 2)
    assert float(object_core_loss(torch.zeros_like(core), target)) == pytest.approx(
        math.log(2) + 1 - (6**3 / (6**3 + 8**3 / 2) + 1 / (1 + 27 / 2)) / 2
    )


@pytest.mark.parametrize("classes", [LESIONS, ORGANS, [ORGANS[0], LESIONS[1]]])
@pytest.mark.parametrize(
    ("stem_stride", "refine"), [(2, "convolution"), (1, "convolution"), (2, "pointrend")]
)
def test_the_loss_reaches_every_weight(classes: Classes, stem_stride: int, refine: str) -> None:
    network = small_network(classes, stem_stride=stem_stride, refine=refine)
    target, masks = two_blocks()
    target = target_of(masks, [0, 1, 1])
    parts = border_core_loss(network(noise(2)), [target, EMPTY], card(classes).classes, UNIT)
    torch.stack(list(parts.values())).sum().backward()
    assert silent_weights(network) == []
    assert gradients_are_finite(network)


def test_hundreds_of_objects_on_one_place_give_a_finite_loss() -> None:
    target = crowd((11, 11, 11))
    parts = losses(small_network()(noise()), [target])
    assert all(map(math.isfinite, parts.values())) and parts["core"] > 0


def test_a_batch_gives_what_its_windows_give_alone() -> None:
    network = small_network().eval()
    with torch.inference_mode():
        both, alone = network(noise(2)), network(noise(2)[1:])
    for name in ("lesion", "core"):
        assert torch.allclose(getattr(both, name)[1:], getattr(alone, name), atol=1e-5)
    assert both.organ is None and both.core.shape == (2, 2, *SHAPE)


def test_refining_around_what_was_found_equals_refining_everywhere() -> None:
    network = small_network().eval()
    image = torch.randn(1, 1, 48, 48, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        raw = network.coarse(image)
        coarse = torch.full_like(raw.dense.coarse, -20.0)
        coarse[:, 2, 10:13, 9:12, 11:13] = 20.0  # a core alone
        raw = raw._replace(dense=raw.dense._replace(coarse=coarse))
        everywhere, around = network.head.refine(image, raw), network.refine_found(image, raw)
    inside = (slice(None), slice(None), slice(18, 28), slice(16, 26), slice(20, 28))
    for name in ("lesion", "core"):
        wanted, found = getattr(everywhere, name), getattr(around, name)
        assert torch.allclose(wanted[inside], found[inside], atol=1e-5)
        assert (found[:, :, :8] == -20).all() and not (wanted[:, :, :8] == -20).all()


def test_shifting_an_organ_moves_its_logits_alone() -> None:
    network = small_network([ORGANS[0], LESIONS[1]]).eval()
    with torch.inference_mode():
        before = network(noise())
        network.shift_organs([1.5])
        after = network(noise())
    assert torch.allclose(after.organ - before.organ, torch.tensor([0, 1.5]).view(1, 2, 1, 1, 1))
    assert torch.equal(after.lesion, before.lesion) and torch.equal(after.core, before.core)


def test_the_static_part_exports_and_gives_the_same_numbers() -> None:
    network = small_network().eval()
    static = exported(network, noise())
    with torch.inference_mode():
        wanted, given = network.coarse(noise()), static(noise())
    for name in ("lesion", "core"):
        torch.testing.assert_close(getattr(wanted, name), getattr(given, name))
    torch.testing.assert_close(wanted.dense.features, given.dense.features)

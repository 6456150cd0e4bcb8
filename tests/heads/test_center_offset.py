"""The centre-offset head: what a perfect network gives is decoded to what was drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from head_cases import shuffled, silent_weights
from modelling import LESIONS, ORGANS, card

from medseg.errors import ModelError
from medseg.evaluation.detection import average_precision
from medseg.heads import HEADS
from medseg.heads.center_offset.loss import center_offset_loss, focal_loss
from medseg.heads.center_offset.network import CenterOffset
from medseg.heads.center_offset.targets import dense_target
from medseg.heads.contract import Slab, WindowTarget
from medseg.models import build, decoder_of
from medseg.phantom import touching_lesions
from medseg.training.datasets import LoadedCase
from medseg.training.grid_cases import on_model_grid
from medseg.training.windows import whole_window
from medseg.transforms.grids import GridMap
from medseg.types import Instances

SPACING_MM = (1.0, 1.0, 1.0)
SHAPE = (48, 64, 64)
SAME = GridMap((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))


def lesion_target(seed: int) -> tuple[WindowTarget, Instances]:
    phantom = touching_lesions(seed, shape=SHAPE)
    loaded = LoadedCase("one", {"mr": phantom.volume}, phantom.truth)
    return whole_window(on_model_grid(loaded, card(LESIONS))).target, phantom.truth


def one_slab(target: WindowTarget) -> Slab:
    """What a perfect network would have left of a window, as one slab."""
    drawn = dense_target([target], card(LESIONS).classes, SHAPE, SPACING_MM)
    maps = {
        "lesion": drawn.lesion[0].numpy(),
        "centre": drawn.centre[0].numpy(),
        "offset_mm": drawn.offset_mm[0].numpy(),
    }
    strides = {"lesion": 1, "centre": 2, "offset_mm": 2}
    return Slab(
        0,
        SHAPE[0],
        SHAPE,
        maps,
        {name: SAME.strided(stride) for name, stride in strides.items()},
        dict.fromkeys(maps, 0),
        dict.fromkeys(maps, (0, 0)),
    )


def empty_target() -> WindowTarget:
    return WindowTarget(
        np.zeros(0, dtype=np.int64),
        np.zeros((0, 6), dtype=np.int64),
        (),
        np.zeros(0, dtype=bool),
        np.zeros((0, 3)),
    )


def test_targets_of_touching_lesions_are_decoded_to_the_objects_they_show() -> None:
    decoder = decoder_of(card(LESIONS))
    pairs = []
    for seed in range(6):
        target, truth = lesion_target(seed)
        items = decoder.group([one_slab(target)], SPACING_MM)
        pairs.append((Instances(truth.geometry, items, card(LESIONS).instance_classes), truth))
    assert average_precision(pairs, 0.5)["pooled"] > 0.95
    found, wanted = (sum(len(pair[n].items) for pair in pairs) for n in (0, 1))
    assert abs(found - wanted) <= 1


def test_equal_neighbours_in_the_heat_map_are_one_centre() -> None:
    slab = one_slab(empty_target())
    slab.maps["lesion"][0, 8:20, 8:20, 8:20] = 1.0
    slab.maps["centre"][0, 6:8, 6:8, 6:8] = 1.0
    rng = np.random.default_rng(0)
    slab.maps["offset_mm"][:3] = rng.normal(0, 1, slab.maps["offset_mm"][:3].shape)
    items = decoder_of(card(LESIONS)).group([slab], SPACING_MM)
    assert [item.voxel_count for item in items] == [12**3]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"threshold": "high"}, "threshold is a number"),
        ({"threshold": 5.0}, "threshold = 5 is not above 0 and below 1"),
        ({"reach_mm": -1.0}, "reach_mm = -1 is not above 0"),
        ({"reach": 1.0}, "unexpected keyword argument 'reach'"),
    ],
)
def test_decoder_arguments_that_make_no_sense_are_refused(arguments: dict, said: str) -> None:
    head = {"name": "center_offset", "decoder": arguments}
    with pytest.raises(ModelError, match=said):
        decoder_of(card(LESIONS, head=head))


def test_components_of_the_same_targets_merge_what_touches() -> None:
    small = card(LESIONS, head={"name": "components"})
    target, truth = lesion_target(3)
    items = decoder_of(small).group([one_slab(target)], SPACING_MM)
    assert 0 < len(items) < len(truth.items)


def test_objects_are_numbered_by_class_and_then_by_place() -> None:
    target, _ = lesion_target(3)
    items = decoder_of(card(LESIONS)).group([one_slab(target)], SPACING_MM)
    names = [item.class_name for item in items]
    assert names == sorted(names) and [item.id for item in items] == list(range(1, len(items) + 1))
    corners = [tuple(p.start for p in item.box) for item in items if item.class_name == "shell"]
    assert corners == sorted(corners)


def test_no_object_gives_a_finite_loss_and_no_instance() -> None:
    parts = loss_of(build_small(LESIONS), [empty_target()])
    assert set(parts) == {"lesion", "coarse", "centre", "offset", "object"}
    assert all(torch.isfinite(part) for part in parts.values())
    assert decoder_of(card(LESIONS)).group([one_slab(empty_target())], SPACING_MM) == []


def test_the_order_of_objects_does_not_change_the_loss() -> None:
    target, _ = lesion_target(1)
    turned = shuffled(target, np.random.default_rng(0).permutation(len(target.class_ids)).tolist())
    network = build_small(LESIONS)
    first, second = loss_of(network, [target]), loss_of(network, [turned])
    assert {name: float(part.detach()) for name, part in first.items()} == pytest.approx(
        {name: float(part.detach()) for name, part in second.items()}, rel=1e-5
    )


@pytest.mark.parametrize("classes", [LESIONS, ORGANS, [ORGANS[0], LESIONS[1]]])
def test_the_loss_reaches_every_weight(classes: list[dict[str, object]]) -> None:
    network = build_small(classes)
    target, _ = lesion_target(2)
    torch.stack(list(loss_of(network, [target], classes).values())).sum().backward()
    assert silent_weights(network) == []


def test_a_batch_gives_what_its_windows_give_alone() -> None:
    network = build_small(LESIONS).eval()
    images = torch.randn(2, 1, 16, 24, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        both, first = network(images), network(images[:1])
    for name in CenterOffset._fields:
        left, right = getattr(both, name), getattr(first, name)
        assert left is None or torch.allclose(left[:1], right, atol=1e-5)


def test_refining_around_what_was_found_equals_refining_all_where_something_is() -> None:
    network = build_small(ORGANS).eval()
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 1, 48, 48, 48, generator=generator)
    with torch.inference_mode():
        raw = network.coarse(image)
        coarse = torch.zeros_like(raw.coarse)
        coarse[:, 0] = 20.0
        coarse[:, 1, 10:13, 9:12, 11:13] = 40.0
        raw = raw._replace(coarse=coarse)
        everywhere, around = network.head.refine(image, raw), network.refine_found(image, raw)
    inside = (slice(None), slice(None), slice(18, 28), slice(16, 26), slice(20, 28))
    assert torch.allclose(everywhere.organ[inside], around.organ[inside], atol=1e-5)
    assert torch.equal(
        around.organ[:, :, :8],
        torch.zeros_like(around.organ[:, :, :8])
        + 20.0 * (torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1, 1)),
    )


def test_the_focal_loss_has_its_closed_form_at_one_centre() -> None:
    logits, heat = torch.zeros(1, 1, 1, 1, 2), torch.zeros(1, 1, 1, 1, 2)
    heat[..., 0] = 1.0
    # -(1 - 0.5)^2 log 0.5 at the centre, and -0.5^2 log 0.5 where the heat is 0.
    assert float(focal_loss(logits, heat)) == pytest.approx(2 * 0.25 * np.log(2))


def test_offsets_lead_from_a_cell_to_the_centre_in_millimetres() -> None:
    mask = np.ones((4, 4, 4), dtype=bool)
    target = WindowTarget(
        np.array([0]),
        np.array([[4, 4, 4, 8, 8, 8]]),
        (mask,),
        np.array([False]),
        np.array([[5.5, 5.5, 5.5]]),
    )
    drawn = dense_target([target], card(LESIONS).classes, (16, 16, 16), (3.0, 1.0, 0.5))
    # Cell (2, 2, 2) holds voxels 4 and 5: its middle lies one voxel before the centre.
    assert drawn.offset_mm[0, :3, 2, 2, 2].tolist() == pytest.approx([3.0, 1.0, 0.5])
    assert drawn.owned[0, 0].sum() == 8 and not drawn.owned[0, 1].any()
    assert float(drawn.centre[0, 0].max()) == 1.0 and not drawn.centre[0, 1].any()


def test_heads_are_found_by_name() -> None:
    assert set(HEADS) == {
        "border_core", "center_offset", "components", "detr", "mask2former", "mask_rcnn",
        "pointrend", "yolact",
    }  # fmt: skip


def build_small(classes: list[dict[str, object]]) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(card(classes))


def loss_of(
    network: torch.nn.Module,
    targets: list[WindowTarget],
    classes: list[dict[str, object]] | None = None,
) -> dict[str, torch.Tensor]:
    image = torch.randn(len(targets), 1, *SHAPE, generator=torch.Generator().manual_seed(1))
    raw = network(image)
    return center_offset_loss(raw, targets, card(classes or LESIONS).classes, SPACING_MM)

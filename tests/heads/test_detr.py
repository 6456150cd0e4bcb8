"""The DETR head: boxes that layers refine, and attention in and around them."""

from __future__ import annotations

import pytest
import torch
from head_cases import EMPTY, SPACING_MM, noise
from modelling import LESIONS, ORGANS, card
from monai.data.box_utils import box_pair_giou
from query_cases import meeting_balls, perfect_raw, small_network

from medseg.errors import ModelError
from medseg.heads.detr.network import DetrNetwork
from medseg.heads.query_parts import QueryRaw
from medseg.heads.set_loss import set_loss
from medseg.heads.set_targets import in_order

CLASSES = card(LESIONS).classes


def loss_of(raw: QueryRaw, name: str) -> float:
    target, _ = meeting_balls()
    return float(set_loss(raw, [target], CLASSES, SPACING_MM)[name].detach())


def slow_giou(one: list[float], other: list[float]) -> float:
    """Generalised IoU of two boxes z0 y0 x0 z1 y1 x1 (Rezatofighi et al. 2019)."""

    def volume(box: list[float]) -> float:
        lengths = [max(box[n + 3] - box[n], 0.0) for n in range(3)]
        return lengths[0] * lengths[1] * lengths[2]

    pick = [(max, min), (min, max)]
    both, around = (
        [pair[n // 3](a, b) for n, (a, b) in enumerate(zip(one, other, strict=True))]
        for pair in pick
    )
    union = volume(one) + volume(other) - volume(both)
    return volume(both) / union - (volume(around) - union) / volume(around)


def test_boxes_moved_by_known_amounts_have_a_known_loss() -> None:
    target, _ = meeting_balls()
    raw = perfect_raw([target], with_boxes=True)
    boxes = raw.objects.boxes
    boxes[..., [0, 3]] += 2.0  # the middle of z
    boxes[..., 4] += 4.0  # the length of y, and its middle by half of that
    assert loss_of(raw, "box") == pytest.approx((2 + 4 + 2) / 64, rel=1e-5)
    moved = [
        slow_giou(box, [box[0] + 2, box[1], box[2], box[3] + 2, box[4] + 4, box[5]])
        for box in in_order(target, [0, 1]).boxes.astype(float).tolist()
    ]
    assert loss_of(raw, "giou") == pytest.approx(1 - sum(moved) / 4, rel=1e-4)


def test_the_generalised_iou_is_its_definition() -> None:
    generator = torch.Generator().manual_seed(0)
    low = 5 * torch.rand(2, 30, 3, generator=generator)
    boxes = torch.cat([low, low + 0.5 + 8 * torch.rand(2, 30, 3, generator=generator)], dim=-1)
    given = box_pair_giou(boxes[0], boxes[1]).tolist()
    wanted = [slow_giou(a, b) for a, b in zip(boxes[0].tolist(), boxes[1].tolist(), strict=True)]
    assert given == pytest.approx(wanted, abs=1e-4)
    assert min(wanted) < 0 < max(wanted)


def test_boxes_decide_between_queries_whose_masks_are_equal() -> None:
    target, _ = meeting_balls()
    raw = perfect_raw([target], with_boxes=True)
    raw.mask_features[:] = 0.0
    raw.objects.class_logits[..., :2] = raw.objects.class_logits[..., :2].amax(-1, keepdim=True)
    assert loss_of(raw, "box") == 0 and loss_of(raw, "giou") == pytest.approx(0, abs=1e-5)


def test_first_boxes_stand_at_the_queries_places() -> None:
    network = small_network("detr").eval()
    with torch.no_grad():
        network.head.move.weight.zero_()
        raw = network.coarse(noise())
        reference = raw.objects.masks
        boxes = raw.objects.boxes
    for output in boxes[1:]:
        torch.testing.assert_close(output, boxes[0])
    middle = (boxes[0, ..., :3] + boxes[0, ..., 3:] - 1) / 2
    # Middles of cells of stride 2 lie between two voxels.
    torch.testing.assert_close(middle % 2, torch.full_like(middle, 0.5))
    torch.testing.assert_close(boxes[0, ..., 3:] - boxes[0, ..., :3], torch.full_like(middle, 12.0))
    assert reference.paraboloid.shape == (4, 1, 12, 7)


def test_no_gradient_passes_from_a_box_to_the_layers_before() -> None:
    network = small_network("detr")
    boxes = network(noise()).objects.boxes
    # Were the box before not taken as given, its own shift would come through too.
    for output in boxes:
        (slope,) = torch.autograd.grad(output.sum(), [network.head.move.bias], retain_graph=True)
        assert slope[:3].tolist() == pytest.approx([2 * 8.0 * 12] * 3, rel=1e-5)
    first, last = (layer.mix[0].weight for layer in (network.head.parts.layers[n] for n in (0, 2)))
    own, later = torch.autograd.grad(boxes[1].sum(), [first, last])
    assert float(own.abs().sum()) > 0 and float(later.abs().sum()) == 0


def test_only_cells_in_and_around_boxes_are_seen() -> None:
    network = small_network("detr", encoder_layers=0, queries=1, layers=1).eval()
    head: DetrNetwork = network.head
    with torch.inference_mode():
        memory = head.parts.memory(network.backbone(noise()))
        begun = head.parts.begin(memory, torch.tensor([[0]]), torch.tensor([[[1, 1, 1]]]))
        first = head._decode(memory, begun)
        # With a box of 12 at 2.5 to 9 + 4 voxels: the cells of stride 4 from 16 on are not seen.
        beyond = memory.coarse.clone()
        stride = head.parts.strides[0]
        beyond[:, :, 24 // stride :] += 9.0
        second = head._decode(memory._replace(coarse=beyond), begun)
        beyond[:, :, 0] += 9.0
        third = head._decode(memory._replace(coarse=beyond), begun)
    torch.testing.assert_close(first.class_logits[1], second.class_logits[1])
    assert not torch.allclose(first.class_logits[1], third.class_logits[1])


def test_organs_alone_are_refused() -> None:
    with pytest.raises(ModelError, match="no class of kind lesion"):
        small_network("detr", ORGANS)


def test_a_window_without_objects_has_no_box_loss() -> None:
    parts = set_loss(small_network("detr")(noise()), [EMPTY], CLASSES, SPACING_MM)
    assert float(parts["box"].detach()) == 0 and float(parts["giou"].detach()) == 0

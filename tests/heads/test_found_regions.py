"""Mask R-CNN and PointRend: one object a region, in little memory, and nothing lost in silence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from head_cases import noise
from region_cases import eager, lesion_window, perfect, small_card

from medseg.errors import ModelError
from medseg.heads.mask_rcnn.raw import MaskRCNN, Proposals
from medseg.heads.mask_rcnn.settings import CONSIDERED
from medseg.models import InstanceNetwork, decoder_of

BOTH = pytest.mark.parametrize("name", ["mask_rcnn", "pointrend"])
SHAPE = (24, 24, 24)


def found_by(network: InstanceNetwork) -> MaskRCNN:
    image = noise(shape=SHAPE)
    with torch.inference_mode():
        raw: MaskRCNN = network.refine_found(image, network.coarse(image))
    return raw


@BOTH
@pytest.mark.parametrize("likelier", [0, 1])
def test_a_region_with_two_likely_classes_is_one_object_of_the_likelier(
    name: str, likelier: int
) -> None:
    network = eager(small_card(name, most=6))
    with torch.no_grad():
        network.head.regions.box.classify.weight.zero_()
        bias = torch.tensor([0.0, 3.0, 3.0])
        bias[1 + likelier] += 0.1
        network.head.regions.box.classify.bias.copy_(bias)
    found = found_by(network).found
    assert 0 < len(found.scores) <= 6
    assert found.channel.tolist() == [likelier] * len(found.scores)
    share = float(torch.softmax(bias, dim=0).max())
    assert torch.allclose(found.scores / share, found.slots[0, : len(found.scores)], rtol=0.2)


@pytest.mark.parametrize(
    "part",
    [
        "propose.objectness",
        "propose.classify",
        "propose.change",
        "regions.box.classify",
        "regions.box.change",
        "regions.mask.layers.6",
        "regions.points.last",
    ],
)
def test_a_network_that_gives_nan_anywhere_is_refused_instead_of_finding_nothing(part: str) -> None:
    network = eager(small_card("pointrend", most=6))
    with torch.no_grad():
        network.head.get_submodule(part).bias.fill_(float("nan"))
    with pytest.raises(ModelError, match="the network gave NaN"):
        found_by(network)


@BOTH
def test_what_is_found_is_kept_without_what_it_was_cut_from(name: str) -> None:
    what = small_card(name, most=20)
    raw = found_by(eager(what))
    assert len(raw.found.masks) > 3
    for mask, corner in zip(raw.found.masks, raw.found.corners, strict=True):
        assert mask.dtype == torch.float16 and bool((mask > 0.5).any())
        assert mask.untyped_storage().nbytes() == 2 * mask.numel()
        ends = corner + torch.tensor(mask.shape)
        assert bool((corner >= 0).all() & (ends <= torch.tensor(SHAPE)).all())
    (items,) = decoder_of(what).decode(raw)
    assert {one.probability.dtype for one in items} == {np.dtype(np.float16)}


def test_the_share_of_places_that_likely_proposals_take_is_told() -> None:
    target = lesion_window(1).target
    raw = perfect([target, target], SHAPE)
    slots = torch.zeros(2, 10)
    slots[0, :9], slots[1, :10] = 0.3, 0.2
    raw = raw._replace(found=raw.found._replace(slots=slots))
    decoder = decoder_of(small_card("mask_rcnn"))
    assert decoder.fired(raw) == pytest.approx([0.9, 0.0])
    # So many likely boxes that some were not even compared.
    cells = CONSIDERED + 500
    objectness = torch.full((2, cells), -9.0)
    objectness[1, : CONSIDERED - 50] = 9.0
    none = torch.zeros(2, cells, 6)
    raw = raw._replace(proposals=Proposals(objectness, none[..., :2], none, ()))
    assert decoder.fired(raw) == pytest.approx([0.9, 0.95])


def test_a_network_without_room_for_more_says_so_and_one_with_room_does_not() -> None:
    full, spacious = (small_card("mask_rcnn", most=most) for most in (6, 400))
    assert decoder_of(full).fired(found_by(eager(full))) == [1.0]
    assert decoder_of(spacious).fired(found_by(eager(spacious)))[0] < 0.9


def test_scores_below_what_is_looked_at_are_no_threshold() -> None:
    what = small_card("mask_rcnn")
    for score, said in ((0.05, None), (0.04, "score_threshold = 0.04 is below 0.05")):
        head = what.head.model_copy(update={"decoder": {"score_threshold": score}})
        changed = what.model_copy(update={"head": head})
        if said is None:
            assert decoder_of(changed).score_threshold == score
        else:
            with pytest.raises(ModelError, match=said):
                decoder_of(changed)

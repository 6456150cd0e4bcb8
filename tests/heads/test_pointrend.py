"""Points that sharpen masks: in regions, and in the class logits of the dense head."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from head_cases import SPACING_MM, silent_weights, untrained
from modelling import LESIONS, ORGANS, card
from region_cases import lesion_window, small_card, target_of
from torch import Tensor, nn

from medseg.errors import ModelError
from medseg.heads.center_offset.loss import center_offset_loss
from medseg.heads.mask_rcnn.regions import Regions, Seen
from medseg.models import build
from medseg.networks.point_refinement import VolumeRefinement, interpolated, mask_uncertainty
from medseg.networks.point_sampling import window_generator
from medseg.networks.roi_align import grown

LENGTH = 32


def dense_card(classes: list[dict[str, object]], **network: object) -> object:
    """A dense head that points refine, from stride 4."""
    arguments = {"width": 8, "refine": "pointrend", **network}
    return card(classes, head={"name": "center_offset", "network": arguments})


def bright_ball(radius: float) -> Tensor:
    """An image (1, 1, 32, 32, 32) of 8 inside a ball and -8 outside it."""
    from_middle = np.indices((LENGTH,) * 3) - (LENGTH - 1) / 2
    inside = (from_middle**2).sum(axis=0) < radius**2
    return torch.from_numpy(np.where(inside, 8.0, -8.0)).float()[None, None]


class Brightness(nn.Module):
    """Points whose class is where the image, the first of their features, is bright."""

    def forward(self, features: Tensor, logits: Tensor, place: Tensor) -> Tensor:
        return features[..., :1].expand_as(logits)


def test_points_give_a_volume_the_outline_of_the_image() -> None:
    image = bright_ball(11.3)
    coarse = nn.functional.avg_pool3d(image, 4)
    volume = VolumeRefinement(1, 4, 1)
    volume.refine = Brightness()  # type: ignore[assignment]
    features = torch.zeros(1, 4, 16, 16, 16)

    def unsure(logits: Tensor) -> Tensor:
        return mask_uncertainty(logits[0])

    fine = volume.everywhere(image, features, coarse, unsure)
    wrong = int(((fine > 0) != (image > 0)).sum())
    rough = int(((interpolated(coarse, image.shape[2:]) > 0) != (image > 0)).sum())
    assert wrong < rough / 4


def test_points_without_a_correction_are_the_interpolated_logits() -> None:
    volume = VolumeRefinement(1, 4, 2)
    nn.init.zeros_(volume.refine.last.weight)
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn((2, 2, 4, 6, 4), generator=generator)
    image, features = torch.zeros(2, 1, 16, 24, 16), torch.zeros(2, 4, 8, 12, 8)
    fine = volume.everywhere(image, features, coarse, lambda x: mask_uncertainty(x).amax(dim=0))
    direct = interpolated(coarse, (16, 24, 16))
    assert torch.allclose(fine, direct, atol=1e-5)
    points = volume.learned(image, features, coarse, lambda x: mask_uncertainty(x).amax(dim=0))
    assert points.places.shape == (2, 2048, 3) and points.logits.shape == (2, 2048, 2)
    alone = volume.learned(
        image[1:], features[1:], coarse[1:], lambda x: mask_uncertainty(x).amax(dim=0)
    )
    # Both images are empty, so both windows draw the same points.
    assert torch.allclose(alone.logits[0], points.logits[1], atol=0.5)


@pytest.mark.parametrize("logit", [3.0, 5.0, -3.0, -5.0])
def test_points_predict_what_is_uncertain_up_to_four(logit: float) -> None:
    dark = torch.full((1, 1, 16, 16, 16), -8.0)
    coarse = torch.full((1, 1, 4, 4, 4), logit)
    wanted = -8.0 if abs(logit) < 4 else logit
    volume = VolumeRefinement(1, 4, 1)
    volume.refine = Brightness()  # type: ignore[assignment]
    fine = volume.everywhere(
        dark, torch.zeros(1, 4, 8, 8, 8), coarse, lambda logits: mask_uncertainty(logits[0])
    )
    assert torch.allclose(fine, torch.full((1, 1, 16, 16, 16), wanted), atol=1e-5)
    stage = untrained(small_card("pointrend")).eval().head.regions
    stage.points = Brightness()
    seen = Seen(dark, torch.zeros(1, 8, 8, 8, 8)).ready()
    covered = Regions(torch.tensor([0]), torch.tensor([[0.0, 0, 0, 16, 16, 16]]))
    with torch.inference_mode():
        mask = stage.one_mask(seen, covered, torch.full((1, 2, 7, 7, 7), logit), 1)
    assert torch.allclose(mask, torch.full((16, 16, 16), wanted), atol=1e-5)


def test_a_region_mask_is_doubled_until_its_cells_are_voxels() -> None:
    network = untrained(small_card("pointrend")).eval()
    stage = network.head.regions
    stage.points = Brightness()
    image = bright_ball(11.3)
    seen = Seen(image, torch.zeros(1, 8, 16, 16, 16)).ready()
    low, lengths = np.array([3.0, 3.0, 13.5]), np.array([26.0, 26.0, 5.2])
    box = torch.tensor([[*low, *(low + lengths)]], dtype=torch.float32)
    covered = Regions(torch.tensor([0]), box)
    cut = image[:, :, 3:29, 3:29, 13:19]
    coarse = nn.functional.interpolate(cut, size=(7, 7, 7), mode="area")
    with torch.inference_mode():
        mask = stage.one_mask(seen, covered, coarse.expand(-1, 2, -1, -1, -1) / 4, 1)
    # Along x the coarse mask is finer than voxels already.
    assert mask.shape == (26, 26, 7)
    middles = [
        (np.arange(cells) + 0.5) / cells * length + first - 0.5
        for cells, length, first in zip(mask.shape, lengths, low, strict=True)
    ]
    from_middle = np.stack(np.meshgrid(*middles, indexing="ij")) - (LENGTH - 1) / 2
    inside = torch.from_numpy((from_middle**2).sum(axis=0) < 11.3**2)
    assert float(((mask > 0) == inside).float().mean()) > 0.97


def test_a_refined_mask_covers_whole_voxels_around_its_box_and_a_coarse_one_does_not() -> None:
    stage = untrained(small_card("pointrend")).head.regions
    boxes = torch.tensor([[2.2, 4.0, 6.5, 12.2, 14.0, 16.5]])
    covered = stage.covered(boxes)
    assert torch.equal(covered, covered.round())
    assert (covered[:, :3] <= boxes[:, :3]).all() and (covered[:, 3:] >= boxes[:, 3:]).all()
    assert (stage.covered(boxes + 100) - covered == 100).all()
    stage.points = None
    coarse = stage.covered(boxes)
    assert torch.equal(coarse, grown(boxes))
    assert ((coarse - covered).abs() < 1).all()


@pytest.mark.parametrize("classes", [LESIONS, ORGANS, [ORGANS[0], LESIONS[1]]])
def test_the_dense_head_learns_by_points_with_every_weight(
    classes: list[dict[str, object]],
) -> None:
    what, window = dense_card(classes), lesion_window(2)
    network = untrained(what)  # type: ignore[arg-type]
    raw = network(window.image[None])
    assert raw.coarse.shape[2:] == (6, 6, 6)
    parts = center_offset_loss(raw, [window.target], what.classes, SPACING_MM)  # type: ignore[attr-defined]
    assert "points" in parts and "coarse" not in parts
    torch.stack(list(parts.values())).sum().backward()
    assert silent_weights(network) == []
    with torch.inference_mode():
        found = network.refine_found(window.image[None], network.coarse(window.image[None]))
    full = found.organ if found.organ is not None else found.lesion
    assert full.shape[2:] == (24, 24, 24) and torch.isfinite(full).all()


def test_points_of_the_dense_head_see_the_class_of_the_voxel_that_holds_them() -> None:
    what = dense_card([ORGANS[0], LESIONS[1]])
    network = untrained(what)  # type: ignore[arg-type]
    mask = np.ones((8, 8, 8), dtype=bool)
    target = target_of((0, (0, 0, 0), mask), (1, (0, 0, 8), mask))
    image = torch.randn((1, 1, 16, 16, 16), generator=torch.Generator().manual_seed(0))
    raw = network(image)
    places = raw.points.places[0]
    in_organ = (places < 0.5).all(dim=1)
    in_lesion = (places[:, :2] < 0.5).all(dim=1) & (places[:, 2] >= 0.5)
    right = torch.stack([~in_organ, in_organ, in_lesion], dim=1).float() * 40 - 20
    points = raw.points._replace(logits=right[None])
    classes = what.classes  # type: ignore[attr-defined]
    parts = center_offset_loss(raw._replace(points=points), [target], classes, SPACING_MM)
    assert float(parts["points"].detach()) == pytest.approx(0.0, abs=1e-3)


def test_chance_is_that_of_the_window_alone() -> None:
    image = torch.randn((2, 1, 8, 8, 8), generator=torch.Generator().manual_seed(0))
    first, second = (torch.rand(3, generator=window_generator(one)) for one in image)
    again = torch.rand(3, generator=window_generator(image[0].clone()))
    assert torch.equal(first, again) and not torch.equal(first, second)


def test_a_refinement_of_another_name_is_refused() -> None:
    names = "convolution, pointrend, repeat"
    with pytest.raises(ModelError, match=f"refine is one of {names}; got 'points'"):
        build(dense_card(LESIONS, refine="points"))  # type: ignore[arg-type]

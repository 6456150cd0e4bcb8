"""Windows around a click: their middle, their axes, and what lies beyond the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from modelling import card
from pydantic import ValidationError
from training_cases import recipe

from medseg.heads.center_offset.loss import center_offset_loss
from medseg.heads.center_offset.network import CenterOffset
from medseg.training.augmentation import RandThickSlicesd, augmentation
from medseg.training.recipe import LEFT_TO_TRAINING, Recipe
from medseg.training.sections import Augmentation, TrainingSection
from medseg.training.windows import GridCase, GridObject, sample_window
from medseg.types import Box

SIDE = 16
SPOT = [{"name": "spot", "kind": "lesion", "label": 1}]


def training(**changes: object) -> TrainingSection:
    return recipe(crop_shape=[SIDE] * 3, click_jitter=0.5, **changes).training


def case(shape: tuple[int, int, int], box: Box) -> GridCase:
    """One object, whose voxels are 1 in the image; all others are 0."""
    image = torch.zeros((1, *shape))
    image[0][box] = 1.0
    mask = np.ones([part.stop - part.start for part in box], dtype=bool)
    return GridCase("a", image, (GridObject(0, exclusive=False, box=box, mask=mask),))


def box_of(first: tuple[int, int, int], lengths: tuple[int, int, int]) -> Box:
    z, y, x = (slice(a, a + n) for a, n in zip(first, lengths, strict=True))
    return z, y, x


def windows(one: GridCase, section: TrainingSection, count: int = 40, **augmented: object):
    augment = augmentation(Augmentation.model_validate(augmented), (1.0, 1.0, 1.0))
    for seed in range(count):
        augment.set_random_state(seed=seed)
        rng = np.random.default_rng(seed)
        yield sample_window(one, section, augment, margin=0.2, rng=rng)


def test_clicks_lie_within_half_of_each_half_length_of_the_object_and_reach_that_far() -> None:
    lengths = np.array([4, 8, 12])
    one = case((60, 60, 60), box_of((28, 26, 24), (4, 8, 12)))
    boxes = [window.target.boxes[0] for window in windows(one, training())]
    middles = [box.reshape(2, 3).mean(axis=0) for box in boxes]
    off = np.abs(np.array(middles) - SIDE / 2)
    assert (off <= lengths / 4 + 1).all()
    assert (off.max(axis=0) >= lengths / 4 - 1).all()


def test_a_click_near_the_image_s_border_stays_in_the_window_s_middle() -> None:
    one = case((60, 60, 60), box_of((0, 56, 30), (4, 4, 4)))
    for window in windows(one, training(), count=10):
        middle = window.target.boxes[0].reshape(2, 3).mean(axis=0)
        np.testing.assert_allclose(middle, SIDE / 2, atol=2)


def test_a_click_near_the_image_s_border_stays_there_also_when_the_window_is_mirrored() -> None:
    one = case((60, 60, 60), box_of((0, 56, 30), (4, 4, 4)))
    flip = {"prob": 1.0, "axes": ["z", "y", "x"]}
    for window in windows(one, training(), count=10, flip=flip):
        middle = window.target.boxes[0].reshape(2, 3).mean(axis=0)
        np.testing.assert_allclose(middle, SIDE / 2, atol=2)


def test_voxels_beyond_the_image_are_told_apart_where_they_are_ignored() -> None:
    one = case((6, 60, 60), box_of((0, 28, 28), (6, 4, 4)))
    section = training(beyond_image="ignored")
    (window,) = windows(one, section, count=1)
    beyond = window.target.beyond
    assert beyond is not None and beyond.shape == (SIDE,) * 3
    assert beyond.sum() == (SIDE - 6) * SIDE * SIDE
    (z, _, _) = np.nonzero(~beyond)
    box = window.target.boxes[0]
    assert (z.min(), z.max() + 1) == (box[0], box[3])
    (known,) = windows(one, training(), count=1)
    assert known.target.beyond is None
    assert torch.equal(known.image, window.image)


def test_what_lies_beyond_turns_with_the_image() -> None:
    one = case((6, 60, 60), box_of((0, 28, 28), (6, 4, 4)))
    turn = {"rotation": {"prob": 1.0, "max_degrees": [0.0, 45.0, 0.0]}}
    for window in windows(one, training(beyond_image="ignored"), count=5, **turn):
        beyond = window.target.beyond
        assert beyond is not None
        z, y, x = (
            slice(int(a), int(b))
            for a, b in zip(window.target.boxes[0][:3], window.target.boxes[0][3:], strict=True)
        )
        assert not beyond[z, y, x][window.target.masks[0]].any()
        assert 0.3 < beyond.mean() < 0.8


def loss_of(beyond: np.ndarray | None, amount: float) -> dict[str, float]:
    """Losses of logits that are `amount` in one half of a window, where nothing is known or is."""
    one = case((SIDE,) * 3, box_of((6, 6, 2), (4, 4, 4)))
    (window,) = windows(one, training(), count=1)
    target = window.target
    target = type(target)(**{**vars(target), "beyond": beyond})
    logits = torch.full((1, 1, SIDE, SIDE, SIDE), -1.0)
    logits[..., SIDE // 2 + 2 :] = amount
    raw = CenterOffset(None, logits, None, None, logits[..., ::2, ::2, ::2], logits)
    parts = center_offset_loss(raw, [target], card(SPOT).classes, (1.0, 1.0, 1.0))
    assert set(parts) == {"lesion", "coarse", "object"}
    return {name: float(part) for name, part in parts.items()}


def test_no_loss_asks_for_what_is_beyond_the_image() -> None:
    beyond = np.zeros((SIDE,) * 3, dtype=bool)
    beyond[..., SIDE // 2 + 2 :] = True
    assert loss_of(beyond, -5.0) == pytest.approx(loss_of(beyond, 5.0))
    assert loss_of(None, 5.0)["lesion"] > loss_of(None, -5.0)["lesion"] + 0.1


@pytest.mark.parametrize("axes", [(1, 2, 0), (2, 1, 0), (0, 2, 1)])
def test_a_case_with_other_axes_is_the_same_case_seen_from_elsewhere(axes) -> None:
    rng = np.random.default_rng(0)
    image = torch.as_tensor(rng.normal(size=(2, 5, 7, 9)).astype(np.float32))
    mask = rng.random((2, 3, 4)) > 0.5
    one = GridCase("a", image, (GridObject(0, False, box_of((1, 2, 3), (2, 3, 4)), mask),))
    turned = one.transposed(axes)
    np.testing.assert_array_equal(turned.image[1], image[1].numpy().transpose(axes))
    (item,) = turned.objects
    drawn = np.zeros((5, 7, 9), dtype=bool)
    drawn[one.objects[0].box] = mask
    there = np.zeros(turned.image.shape[1:], dtype=bool)
    there[item.box] = item.mask
    np.testing.assert_array_equal(there, drawn.transpose(axes))


def test_thick_slices_average_along_one_axis_and_keep_the_grid() -> None:
    image = torch.zeros((1, 12, 12, 12))
    image[:, 6, 6, 6] = 12.0
    thick = RandThickSlicesd("image", low=3.0, high=3.0, prob=1.0)
    axes = set()
    for seed in range(20):
        thick.set_random_state(seed=seed)
        seen = thick({"image": image})["image"][0]
        wide = [int((seen > 0).any(dim=axis).sum()) for axis in range(3)]
        assert seen.shape == (12, 12, 12) and float(seen.max()) == pytest.approx(4.0)
        assert float(seen.sum()) == pytest.approx(12.0)
        axes.add(thick.axis)
        assert sorted(wide)[0] == 1
    assert axes == {0, 1, 2}


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("training", {"beyond_image": "ignored"}, "yolact cannot ignore"),
        ("augmentation", {"transpose": 1.0}, "one model.spacing_mm along all axes"),
    ],
)
def test_what_a_recipe_s_model_cannot_do_is_refused(part, changes, message) -> None:
    plain = recipe().model_dump(mode="json", exclude_none=True)
    model = {**plain["model"], "head": {"name": "yolact"}, "spacing_mm": [3.0, 1.0, 1.0]}
    model = {key: one for key, one in model.items() if key not in LEFT_TO_TRAINING}
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate({**plain, "model": model, part: {**plain[part], **changes}})


def test_an_object_that_ends_with_the_image_keeps_its_volume_when_it_is_turned() -> None:
    one = case((10, 60, 60), box_of((0, 26, 26), (6, 8, 8)))
    turn = {"rotation": {"prob": 1.0, "max_degrees": [0.0, 30.0, 30.0]}}
    section = training(beyond_image="ignored")
    found = [window.target for window in windows(one, section, count=60, **turn)]
    sizes = [int(target.masks[0].sum()) for target in found if not target.cut[0]]
    assert len(sizes) > 20
    assert np.mean(sizes) == pytest.approx(6 * 8 * 8, rel=0.02)

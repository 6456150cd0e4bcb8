"""Augmentation of contrast: what changes, what is kept, and that seeds repeat."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medseg.training.augmentation import augmentation
from medseg.training.contrast import KNOTS, RandHollowd, RandObjectContrastd, RandRemapd
from medseg.training.sections import Augmentation

SHAPE = (12, 24, 24)


def tissues() -> torch.Tensor:
    """Air, muscle, tumour and fat in slabs along x, 0, 0.3, 0.35 and 1, as on T1."""
    image = torch.zeros(1, *SHAPE)
    for n, value in enumerate((0.0, 0.3, 0.35, 1.0)):
        image[..., 6 * n : 6 * n + 6] = value
    return image


def block() -> torch.Tensor:
    mask = torch.zeros(1, *SHAPE)
    mask[:, 3:9, 6:18, 6:18] = 1.0
    return mask


def remapped(seed: int, image: torch.Tensor, maximum: float = 0.3) -> tuple[RandRemapd, np.ndarray]:
    transform = RandRemapd("image", maximum=maximum, prob=1.0)
    transform.set_random_state(seed=seed)
    return transform, transform({"image": image})["image"].numpy()


def test_a_remapped_image_keeps_mean_deviation_and_where_tissues_are() -> None:
    image = tissues()
    for seed in range(10):
        _, out = remapped(seed, image)
        assert out.mean() == pytest.approx(float(image.mean()), abs=1e-5)
        assert out.std(ddof=1) == pytest.approx(float(image.std()), rel=1e-4)
        for n in range(4):
            assert np.ptp(out[..., 6 * n : 6 * n + 6]) < 1e-5


def test_remapping_is_along_the_curve_that_was_drawn() -> None:
    image = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(0))
    transform, out = remapped(4, image)
    low, high = float(image.min()), float(image.max())
    knots = np.linspace(low, high, KNOTS)
    expected = np.interp(image[0].numpy(), knots, transform.curves[0])
    assert np.corrcoef(expected.ravel(), out.ravel())[0, 1] == pytest.approx(1.0, abs=1e-5)


def test_remapping_turns_tissues_brighter_and_darker_than_their_neighbour() -> None:
    apart = [remapped(seed, tissues())[1][0, 0, 0] for seed in range(60)]
    signs = {bool(row[13] > row[7]) for row in apart}
    assert signs == {True, False}


def test_a_constant_channel_is_left_alone_by_remapping() -> None:
    image = torch.cat([torch.full((1, *SHAPE), 2.0), tissues()])
    _, out = remapped(0, image)
    assert (out[0] == 2.0).all()
    assert not np.allclose(out[1], tissues()[0])


def test_an_object_changes_and_what_is_far_from_it_does_not() -> None:
    image, mask = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(1)), block()
    transform = RandObjectContrastd("image", "masks", maximum=0.5, prob=1.0)
    transform.set_random_state(seed=2)
    out = transform({"image": image, "masks": mask})
    change = (out["image"] - image)[0]
    assert torch.equal(out["masks"], mask)
    assert (change[:2] == 0).all() and (change[..., :5] == 0).all()
    assert (change[2, 7:17, 7:17] != 0).any()
    inside = change[4:8, 7:17, 7:17]
    assert inside.abs().max() <= 2 * 0.5 * image.std()
    assert inside.abs().mean() > 0.02 and inside.std() > 0.01


def test_without_objects_nothing_changes() -> None:
    transform = RandObjectContrastd("image", "masks", maximum=0.5, prob=1.0)
    transform.set_random_state(seed=0)
    image = tissues()
    out = transform({"image": image, "masks": torch.zeros(1, *SHAPE)})
    assert torch.equal(out["image"], image)


def test_an_object_is_hollowed_in_its_middle_and_keeps_its_rim() -> None:
    image, mask = torch.full((1, 20, 24, 24), 0.3), torch.zeros(1, 20, 24, 24)
    mask[:, 4:17, 5:19, 5:19] = 1.0
    image[mask > 0] = 8.0
    emptied = []
    for seed in range(8):
        transform = RandHollowd("image", "masks", maximum=1.0, prob=1.0)
        transform.set_random_state(seed=seed)
        out = transform({"image": image, "masks": mask})["image"]
        assert (out <= 8.0).all() and (out >= 0.3 - 1e-5).all()
        rim = mask[0].bool()
        rim[5:16, 6:18, 6:18] = False
        assert (out[0][rim] == 8.0).all() and (out[0][mask[0] == 0] == image[0, 0, 0, 0]).all()
        emptied.append(float(out[0, 10, 12, 12]))
    assert min(emptied) < 4.0 < max(emptied)


def test_what_fills_the_whole_window_is_not_hollowed() -> None:
    transform = RandHollowd("image", "masks", maximum=1.0, prob=1.0)
    image = tissues()
    assert torch.equal(transform({"image": image, "masks": torch.ones(1, *SHAPE)})["image"], image)


def test_a_recipe_asks_for_all_three_and_seeds_repeat() -> None:
    recipe = Augmentation.model_validate(
        {
            "remap": {"prob": 1.0, "maximum": 0.2},
            "object_contrast": {"prob": 1.0, "maximum": 0.5},
            "hollow": {"prob": 1.0, "maximum": 1.0},
        }
    )
    transform = augmentation(recipe, (4.0, 2.5, 2.5))
    made = [type(one) for one in transform.transforms]
    assert made == [RandHollowd, RandObjectContrastd, RandRemapd]
    outs = []
    for seed in (3, 3, 4):
        transform.set_random_state(seed=seed)
        outs.append(transform({"image": tissues(), "masks": block()})["image"])
    assert torch.equal(outs[0], outs[1]) and not torch.equal(outs[0], outs[2])


def test_with_probability_0_nothing_changes() -> None:
    image = tissues()
    for transform in (
        RandRemapd("image", maximum=0.3, prob=0.0),
        RandObjectContrastd("image", "masks", maximum=0.3, prob=0.0),
        RandHollowd("image", "masks", maximum=0.3, prob=0.0),
    ):
        assert torch.equal(transform({"image": image, "masks": block()})["image"], image)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandRemapd("image", maximum=0.0, prob=1.0),
        lambda: RandObjectContrastd("image", "masks", maximum=-1.0, prob=1.0),
        lambda: RandHollowd("image", "masks", maximum=0.0, prob=1.0),
    ],
)
def test_a_strength_that_is_not_above_0_is_refused(make) -> None:
    with pytest.raises(ValueError, match="maximum"):
        make()

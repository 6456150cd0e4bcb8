"""Augmentation: image and masks move together, in millimetres, and seeds repeat."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medseg.training.augmentation import RandElasticd, RandTurnd, augmentation
from medseg.training.sections import Augmentation

SPACING_MM = (5.0, 1.0, 1.0)
SHAPE = (13, 65, 65)


def rod(length_mm: float, axis: int) -> torch.Tensor:
    """A soft rod around the middle along one axis."""
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    place = (index - (np.array(SHAPE) - 1) / 2) * SPACING_MM
    along = np.abs(place[..., axis]) < length_mm / 2
    across = np.linalg.norm(np.delete(place, axis, axis=-1), axis=-1) < 4.0
    return torch.as_tensor((along & across)[None].astype(np.float32))


def extent_mm(mask: torch.Tensor) -> np.ndarray:
    """Standard deviations along the principal axes, in millimetres, largest first."""
    place = np.argwhere(mask[0].numpy() > 0.5) * np.array(SPACING_MM)
    return np.sqrt(np.linalg.eigvalsh(np.cov(place.T)))[::-1]


def turn(**changes: object) -> RandTurnd:
    arguments = {
        "spacing_mm": SPACING_MM,
        "max_degrees": (0.0, 30.0, 0.0),
        "turn_prob": 1.0,
        "low": 1.0,
        "high": 1.0,
        "stretch_prob": 0.0,
    }
    return RandTurnd(["image", "masks"], **{**arguments, **changes})


def test_a_turned_rod_keeps_its_length_on_thick_slices() -> None:
    original = rod(44.0, axis=2)
    lengths = []
    for seed in range(5):
        transform = turn()
        transform.set_random_state(seed=seed)
        moved = transform({"image": original, "masks": original})["masks"]
        lengths.append(extent_mm(moved)[0] / extent_mm(original)[0])
    assert np.abs(np.array(lengths) - 1).max() < 0.06


def test_a_turn_is_by_the_angle_that_was_drawn() -> None:
    original = rod(50.0, axis=2)
    transform = turn(max_degrees=(30.0, 0.0, 0.0))
    transform.set_random_state(seed=3)
    moved = transform({"image": original, "masks": original})["masks"]
    place = np.argwhere(moved[0].numpy() > 0.5) * np.array(SPACING_MM)
    direction = np.linalg.eigh(np.cov(place.T))[1][:, -1]
    drawn = np.degrees(np.arccos(transform.matrix[1, 1]))
    assert np.degrees(np.arctan2(abs(direction[1]), abs(direction[2]))) == pytest.approx(
        drawn, abs=1.5
    )


def test_a_stretch_is_by_the_factor_that_was_drawn() -> None:
    original = rod(40.0, axis=1)
    transform = turn(turn_prob=0.0, low=1.2, high=1.2, stretch_prob=1.0)
    moved = transform({"image": original, "masks": original})["masks"]
    assert extent_mm(moved)[0] / extent_mm(original)[0] == pytest.approx(1.2, abs=0.04)


def test_image_and_masks_move_together_and_seeds_repeat() -> None:
    recipe = Augmentation.model_validate(
        {
            "rotation": {"prob": 1.0, "max_degrees": [20, 10, 10]},
            "scale": {"prob": 1.0, "low": 0.9, "high": 1.1},
            "elastic": {"prob": 1.0, "magnitude_mm": 2, "spacing_mm": 20},
            "flip": {"prob": 0.5, "axes": ["z", "y", "x"]},
        }
    )
    seen = []
    for _ in range(2):
        augment = augmentation(recipe, SPACING_MM)
        augment.set_random_state(seed=5)
        original = rod(40.0, axis=2)
        moved = augment({"image": original, "masks": original.clone()})
        seen.append(np.asarray(moved["image"]))
        assert np.abs(np.asarray(moved["image"]) - np.asarray(moved["masks"])).max() < 1e-5
    np.testing.assert_array_equal(seen[0], seen[1])
    assert np.abs(seen[0] - original.numpy()).max() > 0.5


def test_elastic_displacement_stays_within_its_magnitude() -> None:
    line = torch.arange(65.0).expand(1, *SHAPE).contiguous()
    transform = RandElasticd(
        ["image"], spacing_mm=SPACING_MM, magnitude_mm=3.0, control_spacing_mm=20.0, prob=1.0
    )
    transform.set_random_state(seed=1)
    moved = transform({"image": line})["image"]
    assert 0.5 < float((moved - line).abs().max()) <= 3.0 + 1e-3


def test_nothing_asked_for_changes_nothing() -> None:
    original = rod(40.0, axis=2)
    moved = augmentation(Augmentation(), SPACING_MM)({"image": original, "masks": original})
    assert torch.equal(torch.as_tensor(np.asarray(moved["image"])), original)


def test_every_intensity_change_leaves_the_masks_alone() -> None:
    recipe = Augmentation.model_validate(
        {
            "gamma": {"prob": 1.0, "low": 0.7, "high": 1.4},
            "contrast": {"prob": 1.0, "low": 0.8, "high": 1.2},
            "brightness": {"prob": 1.0, "maximum": 0.2},
            "noise": {"prob": 1.0, "maximum": 0.2},
            "bias_field": {"prob": 1.0, "maximum": 0.2},
            "blur": {"prob": 1.0, "maximum": 1.0},
            "low_resolution": {"prob": 1.0, "low": 1.0, "high": 2.0},
        }
    )
    augment = augmentation(recipe, SPACING_MM)
    augment.set_random_state(seed=2)
    original = rod(40.0, axis=2)
    moved = augment({"image": original + 0.1, "masks": original})
    assert torch.equal(torch.as_tensor(np.asarray(moved["masks"])), original)
    assert bool(torch.isfinite(torch.as_tensor(np.asarray(moved["image"]))).all())


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_low_resolution_moves_nothing(axis: int) -> None:
    """The middle of a ramp stays where it is, whatever the resolution in between."""
    recipe = Augmentation.model_validate({"low_resolution": {"prob": 1.0, "low": 1.0, "high": 1.8}})
    augment = augmentation(recipe, SPACING_MM)
    shape = [1, 16, 16, 16]
    shape[axis] = 64
    steps = torch.arange(64.0).reshape([64 if n == axis else 1 for n in range(4)])
    ramp = steps.expand(shape).contiguous()
    for seed in range(10):
        augment.set_random_state(seed=seed)
        moved = augment({"image": ramp, "masks": torch.zeros(shape)})["image"]
        off = torch.as_tensor(np.asarray(moved)) - ramp
        assert float(off.narrow(axis, 8, 48).mean().abs()) < 0.01


def test_a_bias_field_multiplies_what_lies_above_the_darkest() -> None:
    """As a scanner does: the background stays, bright tissue changes most, up and down alike."""
    recipe = Augmentation.model_validate({"bias_field": {"prob": 1.0, "maximum": 0.1}})
    augment = augmentation(recipe, SPACING_MM)
    image = torch.full((1, 24, 24, 24), -3.0)
    image[:, 6:18] = 0.0  # tissue at the mean of a normalised image
    gains = []
    for seed in range(60):
        augment.set_random_state(seed=seed)
        moved = torch.as_tensor(np.asarray(augment({"image": image, "masks": image * 0})["image"]))
        assert torch.equal(moved[:, :6], image[:, :6])
        gains.append(float(moved[:, 6:18].mean()) / 3 + 1)
    assert min(gains) < 0.95
    assert max(gains) > 1.05
    assert np.mean(gains) == pytest.approx(1.0, abs=0.05)

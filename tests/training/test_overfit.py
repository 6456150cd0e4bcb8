"""Every head learns one small window by heart, and what that window is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from modelling import LESIONS, ORGANS, card

from medseg.errors import InputRefused
from medseg.heads import HEADS
from medseg.training import overfit_one
from medseg.training.overfit import cut_case
from medseg.training.recipe import LEFT_TO_TRAINING, Recipe
from medseg.training.windows import GridCase, GridObject

pytest.importorskip("lightning_fabric", reason="the extra train is not installed")

TOUCHING, APART = 1000, 65
"""Phantoms of 24 voxels a side: five objects that touch; four of which none touches its class."""


def recipe(head: str, seed: int) -> Recipe:
    backbone = {
        "name": "residual_pyramid",
        "arguments": {"channels": [16, 32, 64], "blocks": [1, 1, 1]},
    }
    model = card(LESIONS, backbone=backbone, head={"name": head, "network": {}})
    raw = model.model_dump(mode="json", exclude_none=True)
    return Recipe.model_validate(
        {
            "model": {k: v for k, v in raw.items() if k not in LEFT_TO_TRAINING},
            "data": {
                "kind": "phantom",
                "name": "touching lesions",
                "generator": "touching_lesions",
                "training_seeds": [seed, seed + 1],
                "validation_seeds": [seed + 1, seed + 2],
                "shape": [24, 24, 24],
            },
            "training": {
                "seed": 0,
                "steps": 2000,
                "batch_size": 2,
                "crop_shape": [24, 24, 24],
                "learning_rate": 2e-3,
                "schedule": "cosine",
                "warmup_steps": 50,
                "validate_every": 500,
                "threads": 1,
            },
            "augmentation": {"flip": {"prob": 0.5, "axes": ["z"]}},
        }
    )


@pytest.mark.slow
@pytest.mark.parametrize("head", sorted(HEADS))
def test_a_window_is_learned_by_heart_within_300_steps(head: str, tmp_path: Path) -> None:
    # Connected components cannot part what touches.
    plan = recipe(head, APART if head == "components" else TOUCHING)
    found = overfit_one(plan, data_root=tmp_path, device="cpu")
    assert found.ap50 == 1.0
    assert found.steps <= 300
    assert found.objects >= 4
    assert found.shape == (24, 24, 24)


@pytest.mark.parametrize("head", sorted(HEADS))
def test_every_head_takes_a_step_in_half_precision(head: str, tmp_path: Path) -> None:
    plan = recipe(head, APART)
    half = plan.training.model_copy(update={"precision": "bf16"})
    plan = plan.model_copy(update={"training": half})
    assert overfit_one(plan, data_root=tmp_path, device="cpu", steps=1).steps == 1


def test_too_few_steps_are_not_enough(tmp_path: Path) -> None:
    found = overfit_one(recipe("center_offset", TOUCHING), data_root=tmp_path, steps=2)
    assert (found.steps, found.ap50 < 1) == (2, True)


def mask_of(*lengths: int) -> np.ndarray:
    return np.ones(lengths, dtype=bool)


def case() -> GridCase:
    """A lesion that lies whole at z 2..6, one at 8..14, an organ at 0..16; image is z."""
    image = torch.arange(16.0).view(1, 16, 1, 1).expand(1, 16, 8, 8).contiguous()
    box = (slice(0, 8), slice(0, 8))
    return GridCase(
        "one",
        image,
        (
            GridObject(0, False, (slice(2, 6), *box), mask_of(4, 8, 8)),
            GridObject(1, False, (slice(8, 14), *box), mask_of(6, 8, 8)),
            GridObject(2, True, (slice(0, 16), *box), mask_of(16, 8, 8)),
        ),
    )


def test_a_cut_window_holds_lesions_with_half_of_them_inside_and_any_organ() -> None:
    window = cut_case(case(), (3, 0, 0), (8, 8, 8))  # z 3 to 11: 3 of 4, 3 of 6, 8 of 16
    assert window.image[0, :, 0, 0].tolist() == [3, 4, 5, 6, 7, 8, 9, 10]
    spans = [(one.class_id, one.box[0].start, one.box[0].stop) for one in window.objects]
    assert spans == [(0, 0, 3), (1, 5, 8), (2, 0, 8)]
    lower = cut_case(case(), (2, 0, 0), (8, 8, 8))  # now 2 of 6
    assert [one.class_id for one in lower.objects] == [0, 2]


def test_a_window_beyond_the_image_repeats_its_outermost_voxels() -> None:
    window = cut_case(case(), (12, 0, 0), (8, 8, 8))
    assert window.image[0, :, 0, 0].tolist() == [12, 13, 14, 15, 15, 15, 15, 15]
    (organ,) = window.objects
    assert (organ.box[0].start, organ.box[0].stop) == (0, 4)


def test_cases_without_objects_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medseg.training import overfit

    empty = GridCase("none", torch.zeros(1, 24, 24, 24), ())
    monkeypatch.setattr(overfit, "on_model_grid", lambda *_: empty)
    with pytest.raises(InputRefused, match="dataset-invalid"):
        overfit_one(recipe("center_offset", TOUCHING), data_root=tmp_path)


def test_organs_are_asked_for_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medseg.training import overfit

    lit = torch.zeros(1, 24, 24, 24)
    boxes = [tuple(slice(a, a + 8) for _ in range(3)) for a in (2, 14)]
    objects = []
    for n, box in enumerate(boxes):
        lit[0][box] = 1.0 + n
        objects.append(GridObject(n, True, box, mask_of(8, 8, 8)))
    made = GridCase("two", lit, tuple(objects))
    monkeypatch.setattr(overfit, "on_model_grid", lambda *_: made)
    plan = recipe("center_offset", TOUCHING)
    plan = plan.model_copy(update={"model": card(ORGANS)})
    monkeypatch.setattr(overfit, "load_case", lambda *_: None)
    found = overfit_one(plan, data_root=tmp_path, device="cpu", steps=2)
    assert (found.objects, found.steps) == (2, 2)
    assert 0 <= found.ap50 <= 1

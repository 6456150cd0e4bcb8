"""Left and right mirrored: the picture turns round, and what lay on one side is the other's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from training_cases import recipe

from medseg.training.datasets import Case
from medseg.training.grid_cases import WindowDataset
from medseg.training.recipe import LEFT_TO_TRAINING, Recipe
from medseg.training.windows import GridCase, GridObject

RIGHT, LEFT, MIDDLE = 0, 1, 2
SHAPE = (8, 8, 10)


def with_sides(sides: dict[str, Any], kinds: tuple[str, str] = ("organ", "organ")) -> Recipe:
    """Windows of the whole case, of a right and a left organ and one between."""
    plain = recipe(crop_shape=list(SHAPE), foreground_fraction=0.0)
    content = plain.model_dump(mode="json", exclude_none=True)
    classes = [
        {"name": name, "kind": kind, "label": label}
        for label, (name, kind) in enumerate(
            zip(("gland_right", "gland_left", "cord"), (*kinds, "organ"), strict=True), start=1
        )
    ]
    model = {key: one for key, one in content["model"].items() if key not in LEFT_TO_TRAINING}
    content["model"] = {**model, "classes": classes, "spacing_mm": [1.0] * 3}
    content["augmentation"] = {"sides": sides}
    return Recipe.model_validate(content)


def case() -> GridCase:
    """A right gland of 6 voxels, a cord that is no mirror image of itself; nobody drew the left."""
    rng = np.random.default_rng(0)
    gland, cord = np.ones((1, 2, 3), dtype=bool), rng.random((3, 3, 3)) > 0.4
    objects = (
        GridObject(RIGHT, True, (slice(2, 3), slice(4, 6), slice(1, 4)), gland),
        GridObject(MIDDLE, True, (slice(2, 5), slice(0, 3), slice(4, 7)), cord),
    )
    image = torch.as_tensor(rng.normal(size=(1, *SHAPE)).astype(np.float32))
    return GridCase("a", image, objects, undrawn=(LEFT,))


def drawn(one: GridCase) -> np.ndarray:
    labels = np.zeros(SHAPE, dtype=np.int64)
    for item in one.objects:
        labels[item.box][item.mask] = item.class_id + 1
    return labels


def test_a_mirrored_case_is_the_case_in_a_mirror_with_the_sides_exchanged() -> None:
    one = case()
    other = one.mirrored({RIGHT: LEFT, LEFT: RIGHT})
    np.testing.assert_array_equal(other.image, one.image.numpy()[..., ::-1])
    exchanged = np.array([0, LEFT + 1, RIGHT + 1, MIDDLE + 1])
    np.testing.assert_array_equal(drawn(other), exchanged[drawn(one)][..., ::-1])
    assert other.undrawn == (RIGHT,)
    again = other.mirrored({RIGHT: LEFT, LEFT: RIGHT})
    np.testing.assert_array_equal(drawn(again), drawn(one))


@pytest.mark.parametrize(("prob", "shares"), [(0.0, (0, 0)), (1.0, (1, 1)), (0.5, (0.2, 0.8))])
def test_windows_are_mirrored_as_often_as_the_recipe_says(prob, shares, tmp_path) -> None:
    asked = with_sides({"prob": prob, "pairs": [["gland_right", "gland_left"]]})
    windows = WindowDataset([Case("a", {}, tmp_path)], asked)
    windows.kept[0] = case()
    seen = [windows[number].target for number in range(30)]
    mirrored = [LEFT in target.class_ids for target in seen]
    assert shares[0] <= np.mean(mirrored) <= shares[1]
    for target, is_mirrored in zip(seen, mirrored, strict=True):
        assert sorted(target.class_ids) == sorted([LEFT if is_mirrored else RIGHT, MIDDLE])
        assert target.undrawn == ((RIGHT,) if is_mirrored else (LEFT,))


@pytest.mark.parametrize(
    ("pairs", "kinds", "message"),
    [
        ([["gland_right", "gland_lift"]], ("organ", "organ"), "no class 'gland_lift'.*gland_left"),
        ([["gland_right", "gland_right"]], ("organ", "organ"), "name each once"),
        ([["gland_right", "gland_left"]], ("organ", "lesion"), "both of a pair are organs"),
        ([], ("organ", "organ"), "pairs"),
    ],
)
def test_pairs_that_are_none_are_refused(pairs, kinds, message) -> None:
    with pytest.raises(ValidationError, match=message):
        with_sides({"prob": 0.5, "pairs": pairs}, kinds)

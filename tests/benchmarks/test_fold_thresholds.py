"""The threshold of each fold is chosen by cases that are not in it."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Load = Callable[[str], ModuleType]


@pytest.fixture
def thresholds(load: Load) -> ModuleType:
    return load("fold_thresholds")


def row(fold: int, low: float, high: float) -> dict[str, object]:
    return {"fold": fold, "case": f"c{fold}", "values": {0.2: low, 0.5: high}}


def test_a_fold_has_no_part_in_its_own_choice(thresholds: ModuleType) -> None:
    rows = [row(1, 0.1, 0.9), row(2, 0.8, 0.7), row(3, 0.8, 0.7)]
    assert thresholds.chosen(rows) == {1: 0.2, 2: 0.5, 3: 0.5}
    assert thresholds.best(rows) == 0.5
    assert thresholds.best(rows[1:]) == 0.2
    assert thresholds.best([row(1, 0.5, 0.5)]) == 0.2


def test_masks_are_chosen_by_dice_and_scores_by_the_lesions_found(thresholds: ModuleType) -> None:
    assert {name: one.figure for name, one in thresholds.CHOICES.items()} == {
        "threshold": "Dice",
        "score_threshold": "F1",
    }


def test_card_and_recipe_say_the_threshold_and_keep_all_else(
    thresholds: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "card.toml").write_text('name = "x"\n[head]\nname = "border_core"\n')
    (tmp_path / "recipe.toml").write_text(
        '[model]\nname = "x"\n[model.head]\nname = "b"\ndecoder = { smallest_mm3 = 5.0 }\n'
    )
    thresholds.write(tmp_path, "threshold", 0.15)
    thresholds.write(tmp_path, "score_threshold", 0.8)
    card, recipe = (
        tomllib.loads((tmp_path / name).read_text()) for name in ("card.toml", "recipe.toml")
    )
    said = {"threshold": 0.15, "score_threshold": 0.8}
    assert card == {"name": "x", "head": {"name": "border_core", "decoder": said}}
    assert recipe["model"]["head"]["decoder"] == {"smallest_mm3": 5.0, **said}

"""How long shipped recipes train: what is timed, and what is said of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from medseg.models.packages import RECIPE, package_folder
from medseg.training.recipe import read_recipe

Load = Callable[[str], ModuleType]


def test_a_short_run_is_that_recipe_without_what_comes_after_it(load: Load) -> None:
    whole = read_recipe(package_folder("headneck-organs-ct") / RECIPE)
    short = load("recipe_hours").short(whole, 25, 2)
    assert (short.training.steps, short.training.threads) == (25, 2)
    assert not short.training.balance_volumes
    same = ("batch_size", "crop_shape", "precision")
    assert all(getattr(short.training, one) == getattr(whole.training, one) for one in same)
    assert (short.model, short.data, short.augmentation) == (
        whole.model,
        whole.data,
        whole.augmentation,
    )


@pytest.mark.parametrize(("seconds", "status", "said"), [(1.0, 0, "met"), (3.0, 1, "NOT MET")])
def test_a_fold_may_take_45_minutes(
    load: Load, seconds: float, status: int, said: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    script = load("recipe_hours")
    (tmp_path / "ms_lesion_mr").mkdir()
    monkeypatch.setattr(script, "seconds_a_step", lambda recipe, data: seconds)
    monkeypatch.setattr(sys, "argv", ["recipe_hours", "ms-lesion-mr", "--data", str(tmp_path)])
    assert script.main() == status
    printed = capsys.readouterr().out
    assert "a fold" in printed
    assert said in printed

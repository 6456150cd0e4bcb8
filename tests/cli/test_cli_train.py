"""`medseg train` passes on what was said; the loop itself is tested beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

import medseg.training
from medseg.models import recipe_path, shipped_recipes
from medseg.training.checkpoint import CHECKPOINT


@pytest.fixture
def said(monkeypatch) -> dict[str, object]:
    """What the command hands to a training that does nothing."""
    seen: dict[str, object] = {}

    def train(recipe, out, **options):
        seen.update(options, recipe=recipe, out=out)
        options["progress"](1, 1)
        return out / "package"

    monkeypatch.setitem(vars(medseg.training), "train", train)
    return seen


@pytest.fixture
def recipe() -> Path:
    """A shipped recipe, as a file."""
    path = recipe_path(shipped_recipes()[0])
    assert path is not None
    return path


def test_a_recipe_is_trained_with_what_was_said(run, said, recipe, tmp_path) -> None:
    words = ["--data", tmp_path, "--device", "cpu", "--max-minutes", "2", "--leave-out-faulty"]
    outcome = run("train", recipe, "-o", tmp_path / "out", *words)
    assert outcome.code == 0, outcome
    assert f"the model package is {tmp_path / 'out' / 'package'}" in outcome.out
    assert said["recipe"].model.name
    assert (said["out"], said["data_root"]) == (tmp_path / "out", tmp_path)
    assert (said["device"], said["max_minutes"]) == ("cpu", 2.0)
    assert (said["resume"], said["leave_out_faulty"]) == (True, True)


def test_training_resumes_unless_told_to_begin_anew(run, said, recipe, tmp_path) -> None:
    run("train", recipe, "-o", tmp_path / "out", "--restart")
    assert said["resume"] is False
    run("train", recipe, "-o", tmp_path / "out", "--resume")
    assert said["resume"] is True


def test_without_a_root_paths_start_from_the_recipe(run, said, recipe, tmp_path) -> None:
    run("train", recipe, "-o", tmp_path / "out")
    assert said["data_root"] == recipe.parent


def test_the_name_of_a_model_is_its_recipe(run, said, tmp_path) -> None:
    name = shipped_recipes()[0]
    assert run("train", name, "-o", tmp_path / "out").code == 0
    assert said["recipe"].model.name == name


@pytest.mark.usefixtures("said")
def test_a_file_in_the_way_is_found_before_training(run, recipe, tmp_path) -> None:
    (tmp_path / "out").write_text("mine")
    outcome = run("train", recipe, "-o", tmp_path / "out")
    assert outcome.code == 1
    (line,) = outcome.error_lines
    assert "[not-a-folder]" in line


def test_without_a_folder_for_results_nothing_is_trained(run, said, recipe) -> None:
    outcome = run("train", recipe)
    assert outcome.code == 2
    assert "--out" in outcome.err
    assert not said


@pytest.mark.parametrize(("ap50", "code"), [(1.0, 0), (0.75, 1)])
def test_overfit_one_prints_its_ap_and_fails_below_one(
    run, recipe, tmp_path, monkeypatch, ap50: float, code: int
) -> None:
    from medseg.training.overfit import Overfit

    def learned(plan, **options):
        assert options["data_root"] == tmp_path
        return Overfit(ap50, 125, 4, (24, 24, 24))

    monkeypatch.setitem(vars(medseg.training), "overfit_one", learned)
    outcome = run("train", recipe, "--overfit-one", "--data", tmp_path)
    assert outcome.code == code
    assert f"AP50 {ap50:.3f} on a window of 24 × 24 × 24 voxels with 4 object(s)" in outcome.out


@pytest.mark.parametrize("kept", [True, False])
def test_an_interrupt_says_what_is_kept(run, recipe, tmp_path, monkeypatch, kept: bool) -> None:
    def train(plan, out, **options):
        if kept:
            (out / CHECKPOINT).touch()
        raise KeyboardInterrupt

    monkeypatch.setitem(vars(medseg.training), "train", train)
    outcome = run("train", recipe, "-o", tmp_path / "out")
    assert outcome.code == 130
    assert ("the same command goes on from there" in outcome.err) is kept
    again = run("train", recipe, "-o", tmp_path / "out", "--restart")
    assert ("command without --restart goes on from there" in again.err) is kept


def test_what_the_training_says_is_shown(run, recipe, tmp_path, monkeypatch) -> None:
    def train(plan, out, **options):
        options["say"]("begins from m 1: 3 of 4 weights taken")
        return out

    monkeypatch.setitem(vars(medseg.training), "train", train)
    assert "3 of 4 weights" in run("train", recipe, "-o", tmp_path / "out").err

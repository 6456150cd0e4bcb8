"""Training: the same weights whether a run is whole or was killed on the way."""

from __future__ import annotations

import csv
import shutil
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training_cases import recipe

import medseg
from medseg.errors import InputRefused
from medseg.heads import HEADS
from medseg.phantom import touching_lesions
from medseg.training import train
from medseg.training.checkpoint import CHECKPOINT, LOG, load_checkpoint
from medseg.training.run import Run, open_fabric, schedule
from medseg.training.windows import Window

pytest.importorskip("lightning_fabric", reason="the extra train is not installed")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / CHECKPOINT)


@pytest.mark.parametrize("last", [3, 4, 6])
def test_a_run_that_was_killed_ends_with_the_weights_of_an_unbroken_one(
    tmp_path: Path, last: int
) -> None:
    """Also where it was killed before the figures of its last step were made."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(recipe(), whole, data_root=tmp_path, device="cpu")

    def kill(done: int, total: int) -> None:
        if done == last:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe(), broken, data_root=tmp_path, device="cpu", progress=kill)
    seen: list[int] = []
    train(recipe(), broken, data_root=tmp_path, device="cpu", progress=lambda d, n: seen.append(d))
    assert seen == list(range(last + 1, 7))
    first, second = weights(whole), weights(broken)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (whole / LOG).read_text() == (broken / LOG).read_text()


def test_a_step_that_was_interrupted_half_way_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(recipe(), whole, data_root=tmp_path, device="cpu")

    def interrupted(run: Run) -> None:
        if run.progress.step == 4:  # the weights have moved, their average has not
            raise KeyboardInterrupt
        average(run)

    average = Run.average
    with monkeypatch.context() as patched:
        patched.setattr(Run, "average", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(recipe(), broken, data_root=tmp_path, device="cpu")
    train(recipe(), broken, data_root=tmp_path, device="cpu")
    first, second = weights(whole), weights(broken)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_average_forgets_the_weights_of_the_first_steps() -> None:
    """However slow it is, early on it follows; else a short run would be its own beginning."""
    run = Run.start(recipe(ema_decay=0.999), open_fabric("cpu", "32", None))
    for step in range(200):
        run.progress.step = step
        with torch.no_grad():
            for value in run.network.parameters() if step in (0, 10) else ():
                value.fill_(float(step == 0))
        run.average()
    kept = run.averaged[next(name for name, _ in run.network.named_parameters())]
    assert float(kept.abs().max()) < 1e-3


def test_losses_in_the_log_are_means_since_the_row_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each: list[dict[str, float]] = []
    step = Run.step

    def noted(run: Run, batch: Sequence[Window]) -> dict[str, float]:
        each.append(step(run, batch))
        return each[-1]

    monkeypatch.setattr(Run, "step", noted)
    train(recipe(), tmp_path, data_root=tmp_path, device="cpu")
    with (tmp_path / LOG).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["step"]) for row in rows] == [3, 6]
    for row, steps in zip(rows, (each[:3], each[3:]), strict=True):
        for name in ("loss", "loss_lesion", "loss_offset"):
            assert float(row[name]) == pytest.approx(np.mean([one[name] for one in steps]))
    assert float(rows[0]["learning_rate"]) > float(rows[1]["learning_rate"]) > 0


def test_the_loss_is_what_its_weighted_parts_add_up_to(tmp_path: Path) -> None:
    train(recipe(3, loss_weights={"centre": 2.0}), tmp_path, data_root=tmp_path, device="cpu")
    with (tmp_path / LOG).open(newline="") as file:
        (row,) = csv.DictReader(file)
    weights = {**HEADS["center_offset"].loss_weights, "centre": 2.0}
    parts = {name: float(row[f"loss_{name}"]) for name in weights if f"loss_{name}" in row}
    assert len(parts) == 5  # no organ here
    assert float(row["loss"]) == pytest.approx(sum(weights[n] * v for n, v in parts.items()))


def test_tensorboard_shows_each_row_once_also_after_a_kill(tmp_path: Path) -> None:
    def kill(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe(), tmp_path, data_root=tmp_path, device="cpu", progress=kill)
    time.sleep(1.1)  # TensorBoard reads a run's files in the order of the seconds they began in
    train(recipe(), tmp_path, data_root=tmp_path, device="cpu")
    events = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard"
    )
    shown = events.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    with (tmp_path / LOG).open(newline="") as file:
        rows = list(csv.DictReader(file))
    for tag, name in (("loss/total", "loss"), ("loss/centre", "loss_centre")):
        points = [(point.step, point.value) for point in shown.Scalars(tag)]
        assert points == [(3, approx(rows[0][name])), (6, approx(rows[1][name]))]
    assert {"training/learning_rate", "validation/ap50"} <= set(shown.Tags()["scalars"])


def approx(text: str) -> object:
    return pytest.approx(float(text), rel=1e-6)


def test_a_hard_kill_costs_only_the_steps_since_the_last_checkpoint(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    killed.mkdir()

    def keep_a_copy(done: int, total: int) -> None:
        if done == 4:  # what a kill -9 would have left: the checkpoint of step 3
            shutil.copy(whole / CHECKPOINT, killed / CHECKPOINT)

    plan = recipe(checkpoint_every_steps=3)
    train(plan, whole, data_root=tmp_path, device="cpu", progress=keep_a_copy)
    seen: list[int] = []
    train(plan, killed, data_root=tmp_path, device="cpu", progress=lambda d, n: seen.append(d))
    assert seen == [4, 5, 6]
    first, second = weights(whole), weights(killed)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_crop_that_the_backbone_cannot_halve_is_refused_by_its_key(tmp_path: Path) -> None:
    plan = recipe(2, crop_shape=[15, 16, 16])
    with pytest.raises(InputRefused, match=r"training.crop_shape: .*divisible by 4"):
        train(plan, tmp_path, data_root=tmp_path, device="cpu")


def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    train(recipe(2), tmp_path / "a", data_root=tmp_path, device="cpu")
    train(recipe(2, seed=4), tmp_path / "b", data_root=tmp_path, device="cpu")
    first, second = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_a_training_ends_with_a_package_that_loads_and_segments(tmp_path: Path) -> None:
    package = train(recipe(2), tmp_path / "run", data_root=tmp_path, device="cpu")
    assert {path.name for path in package.iterdir()} == {
        "card.toml",
        "weights.safetensors",
        "recipe.toml",
        "figures.json",
        "README.md",
    }
    model = medseg.load_model(package)
    assert model.card.training.cases == 4 and model.card.training.statistics["steps"] == 2
    volume = touching_lesions(1, shape=(24, 24, 24)).volume
    found = medseg.segment(volume, model, device="cpu")
    assert found.geometry == volume.geometry
    kept, stored = weights(tmp_path / "run"), model.network.state_dict()
    assert all(
        torch.equal(stored[name], kept[f"averaged.{name}"].half().float()) for name in stored
    )


def test_the_recipe_in_a_package_trains_again(tmp_path: Path) -> None:
    from medseg.training.recipe import read_recipe

    package = train(recipe(2), tmp_path / "run", data_root=tmp_path, device="cpu")
    assert read_recipe(package / "recipe.toml") == recipe(2)


def test_another_recipe_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    train(recipe(2), tmp_path, data_root=tmp_path, device="cpu")
    with pytest.raises(InputRefused, match="another recipe"):
        train(recipe(3), tmp_path, data_root=tmp_path, device="cpu")


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"not a checkpoint")
    with pytest.raises(InputRefused, match="file-corrupt"):
        train(recipe(2), tmp_path, data_root=tmp_path, device="cpu")


def test_time_up_keeps_what_was_learned(tmp_path: Path) -> None:
    package = train(recipe(50), tmp_path, data_root=tmp_path, device="cpu", max_minutes=0.0)
    assert medseg.load_model(package).card.training.statistics["steps"] == 1
    found = load_checkpoint(tmp_path, recipe(50))
    assert found is not None and found[0].step == 1


def test_minutes_are_those_of_the_clock_that_is_given(tmp_path: Path) -> None:
    hours = count()
    train(
        recipe(50),
        tmp_path,
        data_root=tmp_path,
        device="cpu",
        max_minutes=150,
        clock=lambda: 3600 * next(hours),
    )
    found = load_checkpoint(tmp_path, recipe(50))
    assert found is not None and found[0].step < 5
    assert found[0].minutes % 60 == 0 and found[0].minutes >= 60


@pytest.mark.parametrize("kind", ["polynomial", "cosine"])
def test_the_learning_rate_warms_up_and_decays_to_nothing(kind: str) -> None:
    training = recipe(100, schedule=kind, warmup_steps=10).training
    factors = np.array([schedule(training, step) for step in range(100)])
    assert factors[0] == pytest.approx(0.1) and factors[9] == factors.max() == pytest.approx(1.0)
    assert (np.diff(factors[10:]) < 0).all() and factors[-1] < 0.02


def test_a_constant_learning_rate_stays_where_the_warm_up_ended() -> None:
    training = recipe(100, schedule="constant", warmup_steps=10).training
    assert [schedule(training, step) for step in (0, 9, 50, 99)] == pytest.approx([0.1, 1, 1, 1])


def test_a_trapezoidal_learning_rate_is_constant_then_falls_over_the_last_fifth() -> None:
    training = recipe(100, schedule="trapezoidal", warmup_steps=10).training
    factors = [schedule(training, step) for step in (0, 9, 50, 80, 90, 99)]
    assert factors == pytest.approx([0.1, 1, 1, 1, 0.5, 0.05])


def test_without_the_extra_one_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(medseg.MedsegError, match=r"pip install 'medseg\[train\]'"):
        train(recipe(2), tmp_path, data_root=tmp_path, device="cpu")

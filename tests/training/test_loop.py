"""Training: the same weights whether a run is whole or was killed on the way."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from modelling import LESIONS, card
from safetensors.torch import load_file

import medseg
from medseg.errors import InputRefused
from medseg.phantom import touching_lesions
from medseg.training import train
from medseg.training.checkpoint import CHECKPOINT, LOG, load_checkpoint
from medseg.training.loop import schedule
from medseg.training.recipe import Recipe

pytest.importorskip("lightning_fabric", reason="the extra train is not installed")


def recipe(steps: int = 6, **training: object) -> Recipe:
    model = card(LESIONS).model_dump(mode="json", exclude_none=True)
    for key in ("training", "weights_sha256"):
        model.pop(key)
    return Recipe.model_validate(
        {
            "model": model,
            "data": {
                "kind": "phantom",
                "name": "touching lesions",
                "generator": "touching_lesions",
                "training_seeds": [10, 14],
                "validation_seeds": [20, 21],
                "shape": [24, 24, 24],
            },
            "training": {
                "seed": 3,
                "steps": steps,
                "batch_size": 2,
                "crop_shape": [16, 16, 16],
                "learning_rate": 1e-3,
                "warmup_steps": 1,
                "ema_decay": 0.9,
                "validate_every": 3,
                "threads": 1,
                **training,
            },
            "augmentation": {
                "flip": {"prob": 0.5, "axes": ["x"]},
                "rotation": {"prob": 0.5, "max_degrees": [10, 10, 10]},
                "elastic": {"prob": 0.5, "magnitude_mm": 1, "spacing_mm": 8},
                "noise": {"prob": 0.5, "maximum": 0.1},
            },
        }
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / CHECKPOINT)


def test_a_run_that_was_killed_ends_with_the_weights_of_an_unbroken_one(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(recipe(), whole, data_root=tmp_path, device="cpu")

    def kill(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe(), broken, data_root=tmp_path, device="cpu", progress=kill)
    seen: list[int] = []
    train(recipe(), broken, data_root=tmp_path, device="cpu", progress=lambda d, n: seen.append(d))
    assert seen[0] > 1 and seen[-1] == 6
    first, second = weights(whole), weights(broken)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (whole / LOG).read_text() == (broken / LOG).read_text()


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


@pytest.mark.parametrize("kind", ["polynomial", "cosine"])
def test_the_learning_rate_warms_up_and_decays_to_nothing(kind: str) -> None:
    training = recipe(100, schedule=kind, warmup_steps=10).training
    factors = np.array([schedule(training, step) for step in range(100)])
    assert factors[0] == pytest.approx(0.1) and factors[9] == factors.max() == pytest.approx(1.0)
    assert (np.diff(factors[10:]) < 0).all() and factors[-1] < 0.02


def test_a_constant_learning_rate_stays_where_the_warm_up_ended() -> None:
    training = recipe(100, schedule="constant", warmup_steps=10).training
    assert [schedule(training, step) for step in (0, 9, 50, 99)] == pytest.approx([0.1, 1, 1, 1])


def test_without_the_extra_one_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(medseg.MedsegError, match=r"pip install 'medseg\[train\]'"):
        train(recipe(2), tmp_path, data_root=tmp_path, device="cpu")

"""Fine-tuning: which weights are taken, what is said of the others, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from modelling import LESIONS, ORGANS, card
from safetensors.torch import load_file
from training_cases import recipe

import medseg
from medseg.errors import InputRefused, ModelError
from medseg.models import build
from medseg.training import train
from medseg.training.checkpoint import CHECKPOINT, recipe_hash
from medseg.training.initial import in_words, initial_folder, take_weights
from medseg.training.recipe import Recipe
from medseg.training.sections import TrainingSection

pytest.importorskip("lightning_fabric", reason="the extra train is not installed")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of a training of two steps."""
    root = tmp_path_factory.mktemp("earlier")
    return train(recipe(2), root / "run", data_root=root, device="cpu")


def begun(package: Path, **model: Any) -> Recipe:
    """The same recipe, begun from the package; its model changed where asked."""
    plan = recipe(1, init=package.name, learning_rate=1e-9, warmup_steps=0)
    return plan.model_copy(update={"model": plan.model.model_copy(update=model)})


def test_a_training_of_the_same_network_begins_from_all_its_weights(
    package: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    made = train(begun(package), tmp_path, data_root=package.parent, device="cpu", say=said.append)
    earlier, kept = load_file(package / "weights.safetensors"), load_file(tmp_path / CHECKPOINT)
    assert all(
        torch.allclose(kept[f"network.{name}"], value.float(), atol=1e-6)
        for name, value in earlier.items()
    )
    count = len(earlier)
    assert said == [f"begins from small 1: {count} of {count} weights taken"]
    card = medseg.load_model(made).card
    assert card.training.statistics["initial"]["weights_sha256"] == (
        medseg.load_model(package).card.weights_sha256
    )


def test_weights_of_another_shape_stay_fresh_and_are_named(package: Path) -> None:
    wanted = card([ORGANS[0], {"name": "shell", "kind": "lesion", "label": 2}])
    network = build(wanted)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    taken = take_weights(network, package)
    earlier = load_file(package / "weights.safetensors")
    for name, value in network.state_dict().items():
        fits = name in earlier and earlier[name].shape == value.shape
        assert torch.equal(value, earlier[name].float() if fits else before[name])
    assert {"head.centre", "head.offset"} <= set(taken["fresh"])
    assert not [name for name in taken["fresh"] if name.startswith("backbone")]
    (line,) = in_words(taken, wanted)
    assert f"{taken['taken']} of {len(before)} weights taken; fresh: head." in line


def test_other_terms_of_the_weights_are_said(package: Path) -> None:
    theirs = {"model": "m", "version": "1", "taken": 1, "of": 1, "fresh": []}
    wanted = card(LESIONS)
    lines = in_words({**theirs, "licence": "CC-BY-SA-4.0"}, wanted)
    assert "m is under CC-BY-SA-4.0, this recipe says Apache-2.0" in lines[1]


def test_a_resumed_run_keeps_what_it_began_from(package: Path, tmp_path: Path) -> None:
    plan = recipe(2, init=package.name)
    for minutes in (0.0, None):
        made = train(plan, tmp_path, data_root=package.parent, device="cpu", max_minutes=minutes)
    statistics = medseg.load_model(made).card.training.statistics
    assert (statistics["steps"], statistics["initial"]["model"]) == (2, "small")


def test_an_unknown_model_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"training.init: .*did you mean hippocampus-mr\?"):
        train(recipe(1, init="hipocampus-mr", warmup_steps=0), tmp_path, data_root=tmp_path)
    shipped = initial_folder("hippocampus-mr", tmp_path)
    assert shipped is not None and shipped.name == "hippocampus-mr"
    with pytest.raises(InputRefused, match="recipe-invalid"):
        initial_folder("nothing-alike", tmp_path)


def test_a_folder_that_is_no_package_and_altered_weights_are_refused(
    package: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="holds no card"):
        initial_folder("empty", tmp_path)
    for file in package.iterdir():
        (tmp_path / "empty" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "empty" / "weights.safetensors").write_bytes(b"others")
    with pytest.raises(ModelError, match="SHA-256"):
        take_weights(build(card(LESIONS)), tmp_path / "empty")


def test_a_model_of_which_no_weight_fits_is_refused(package: Path) -> None:
    with pytest.raises(InputRefused, match=r"training.init: no weight of small .*recipe-invalid"):
        take_weights(torch.nn.Sequential(torch.nn.Linear(2, 2)), package)


def test_only_what_a_recipe_changes_of_the_defaults_is_in_its_hash() -> None:
    plan = recipe(2)
    said = plan.training.model_dump(exclude={"init"})
    same = plan.model_copy(update={"training": TrainingSection(**said, init=None)})
    assert recipe_hash(same) == recipe_hash(plan)
    assert recipe_hash(recipe(2, init="x")) != recipe_hash(plan)
    assert '"init"' not in plan.model_dump_json(exclude_defaults=True)

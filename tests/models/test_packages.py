"""Model packages: found by name or folder, trusted only when whole and unaltered."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from modelling import LESIONS, card
from safetensors.torch import save_file

import medseg
from medseg.errors import ModelError
from medseg.models import build, card_of, decoder_of, recipe_path, shipped, shipped_recipes
from medseg.models.packages import package_folder
from medseg.models.readme import render_readme
from medseg.training.datasets import list_cases, split_cases
from medseg.training.package import write_card
from medseg.training.recipe import LEFT_TO_TRAINING, read_recipe
from medseg.training.sections import FolderData

SPDX = re.compile(r"^(CC-BY(-SA)?-[34]\.0|CC0-1\.0|Apache-2\.0|MIT)$")
UNNAMED = ("LicenseRef-CC-BY",)
"""Licences of data for which SPDX has no identifier: CC BY without a version."""
SHARE_ALIKE = ("CC-BY-SA-4.0",)


def patients(cases: Iterable[str]) -> set[int]:
    """Numbers 2n - 1 and 2n of this set are the two sides of one head."""
    return {(int(case[-3:]) + 1) // 2 for case in cases}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of a shipped package, to be spoilt."""
    return Path(shutil.copytree(package_folder("hippocampus-mr"), tmp_path / "copy"))


def test_every_shipped_model_loads_and_names_its_licences() -> None:
    assert "hippocampus-mr" in shipped()
    for name in shipped():
        found = medseg.load_model(name)
        assert found.card.name == name and not found.network.training
        licence = found.card.licence
        assert SPDX.match(licence.data) or licence.data in UNNAMED
        assert SPDX.match(licence.weights)
        if licence.data in SHARE_ALIKE:
            assert licence.weights == licence.data
        assert licence.attribution.strip()


def test_a_shipped_card_is_its_recipe_and_its_page_is_made_from_it() -> None:
    import json

    for name in shipped():
        folder = package_folder(name)
        recipe, found = read_recipe(folder / "recipe.toml"), card_of(name)
        measured = {key: getattr(found, key) for key in LEFT_TO_TRAINING}
        assert recipe.model.model_copy(update=measured) == found
        figures = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
        assert (folder / "README.md").read_text(encoding="utf-8") == render_readme(found, figures)
        for row in figures.get("worst", []):
            assert (folder / row["picture"]).is_file()


def test_a_shipped_package_is_small() -> None:
    for name in shipped():
        size = sum(path.stat().st_size for path in package_folder(name).iterdir())
        assert size <= 20e6


def test_held_out_cases_are_neither_trained_on_nor_validated_on() -> None:
    data = read_recipe(package_folder("hippocampus-mr") / "recipe.toml").data
    assert isinstance(data, FolderData)
    assert len(data.held_out) == 43 and len(data.validation) == 21
    assert not patients(data.held_out) & patients(data.validation)


def test_no_patient_is_both_trained_on_and_held_out(shared_data: Path) -> None:
    recipe = read_recipe(package_folder("hippocampus-mr") / "recipe.toml")
    split = split_cases(recipe.data, list_cases(recipe, shared_data / "hippocampus_mr"))
    cases = (split.training, split.validation, split.held_out)
    assert [len(part) for part in cases] == [176, 21, 43]
    parts = [patients(case.id for case in part) for part in cases]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


def test_a_name_that_is_nearly_right_is_suggested() -> None:
    with pytest.raises(ModelError, match=r"model-unknown.*did you mean hippocampus-mr\?"):
        medseg.load_model("hipocampus-mr")
    assert recipe_path("hipocampus-mr") is None and "hippocampus-mr" in shipped_recipes()


def test_altered_weights_are_refused(package: Path) -> None:
    weights = package / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelError, match=r"hippocampus-mr: .*SHA-256.*model-invalid"):
        medseg.load_model(package)


@pytest.mark.parametrize("part", ["weights.safetensors", "card.toml"])
def test_an_incomplete_package_is_refused(package: Path, part: str) -> None:
    (package / part).unlink()
    with pytest.raises(ModelError, match=rf"{part}.*model-invalid"):
        medseg.load_model(package)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "weights.safetensors"
    save_file({"nothing": torch.zeros(1)}, path)
    found = card(LESIONS, weights_sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    write_card(tmp_path, found)
    with pytest.raises(ModelError, match="do not fit the network"):
        medseg.load_model(tmp_path)


def test_mirrored_views_are_refused_for_heads_that_find_whole_objects() -> None:
    mirrored = card(LESIONS, head={"name": "yolact"}, mirror_axes=("x",))
    with pytest.raises(ModelError, match=r"finds whole objects.*leave mirror_axes out"):
        decoder_of(mirrored)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"head": {"name": "none"}}, r"no head is named 'none'; there are border_core"),
        ({"backbone": {"name": "none"}}, r"no backbone is named 'none'"),
        (
            {"backbone": {"name": "residual_pyramid", "arguments": {"chanels": [8]}}},
            r"unexpected keyword argument 'chanels'",
        ),
        (
            {"backbone": {"name": "residual_pyramid", "arguments": {"channels": [7, 9]}}},
            r"two levels or more, one number of blocks a level",
        ),
    ],
)
def test_a_card_that_names_unknown_parts_is_refused(changes: dict, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        build(card(LESIONS, **changes))

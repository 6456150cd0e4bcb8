"""The command line as a function of words, a model made of a threshold, and images for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cli_cases import (
    MODEL,
    Outcome,
    bright_array,
    find_bright,
    save_nifti,
    threshold_card,
    threshold_figures,
)
from cli_evaluate_cases import blocks

import medseg.inference
import medseg.models
from medseg.card import Card
from medseg.cli import main
from medseg.errors import InputRefused, ModelError

Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Indexes of scanned folders go where they are forgotten."""
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("segment", path, ...)`; sees what compiled libraries write to stderr too."""
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERMINAL_WIDTH", "160")

    def call(*words: object) -> Outcome:
        capfd.readouterr()
        code = main([str(word) for word in words])
        return Outcome(code, *capfd.readouterr())

    return call


@pytest.fixture
def threshold_model(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a model that finds what is bright; nothing of torch is needed."""

    def card_of(name: str) -> Card:
        if str(name) != MODEL:
            raise ModelError(
                "model-unknown", str(name), "there is no such model", "medseg models list"
            )
        return threshold_card()

    # These names load torch when they are first asked for; here they are never asked for.
    monkeypatch.setitem(
        vars(medseg.models), "load_model", lambda name: SimpleNamespace(card=card_of(name))
    )
    monkeypatch.setitem(vars(medseg.inference), "segment", find_bright)
    monkeypatch.setattr(medseg.models, "shipped", lambda: (MODEL,))
    monkeypatch.setattr(medseg.models, "card_of", card_of)
    monkeypatch.setattr(medseg.models, "figures_of", lambda _: threshold_figures())
    return MODEL


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A NIfTI file with two bright blocks, of 0.027 and 0.008 ml."""
    return save_nifti(tmp_path / "study.nii.gz", bright_array())


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """A label map of the two blocks under the values 3 and 7."""
    array = bright_array()
    return save_nifti(
        tmp_path / "labels.nii.gz", (3 * (array == 200) + 7 * (array == 300)).astype(np.uint8)
    )


@pytest.fixture
def refused() -> InputRefused:
    return InputRefused("constant-image", "study.nii.gz", "every voxel\nis 0", "give another")


@pytest.fixture
def ref(tmp_path: Path) -> Path:
    """Two cases of two cubes of 27 and 64 voxels, and a file that has no partner."""
    (tmp_path / "ref").mkdir()
    for case in ("a", "b", "z"):
        save_nifti(tmp_path / "ref" / f"{case}.nii.gz", blocks(v1=(1, 3), v2=(8, 4)))
    return tmp_path / "ref"


@pytest.fixture
def pred(tmp_path: Path) -> Path:
    """Case a as the reference; of case b one cube, and one false alarm."""
    (tmp_path / "pred").mkdir()
    save_nifti(tmp_path / "pred" / "a.nii.gz", blocks(v1=(1, 3), v2=(8, 4)))
    save_nifti(tmp_path / "pred" / "b.nii.gz", blocks(v5=(8, 4), v6=(13, 2)))
    return tmp_path / "pred"

"""Write a model package: card, weights, recipe, figures and a page for people."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from medseg.card import Card, Domain, TrainingData
from medseg.errors import MissingExtraError
from medseg.inference.domain import measured_domain
from medseg.io.atomic import atomic_path, writable_folder
from medseg.models.packages import CARD, FIGURES, RECIPE, WEIGHTS
from medseg.models.readme import render_readme
from medseg.training.checkpoint import Progress
from medseg.training.datasets import Case, PhantomCase, load_case
from medseg.training.recipe import LEFT_TO_TRAINING, Recipe

DOMAIN_CASES = 200
"""Training cases from which the statistics of the out-of-domain check are taken, evenly."""


def write_package(
    folder: Path,
    recipe: Recipe,
    weights: Mapping[str, Tensor],
    *,
    cases: int,
    progress: Progress,
    device: str,
    domain: Domain | None,
) -> Path:
    """Write the package of a training to `folder` and return it.

    `domain` is what its training images have in common, as `training_domain` gives it.

    Weights are stored as fp16, a quarter or less of what a training holds; the card is written
    last, so a folder with a card is a whole package.
    """
    writable_folder(folder)
    half = {
        name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for name, value in weights.items()
    }
    # Weights of one size and order of names are one file: the hash then names the training.
    content = save(dict(sorted(half.items())))
    card = recipe.card(
        training=TrainingData(
            name=recipe.data.name,
            cases=cases,
            minutes=round(progress.minutes, 1),
            device=device,
            statistics={
                "steps": progress.step,
                "torch": torch.__version__.split("+")[0],
                **({"initial": progress.initial} if progress.initial else {}),
            },
        ),
        weights_sha256=hashlib.sha256(content).hexdigest(),
        domain=domain,
    )
    figures = {"validation": [_json_row(row) for row in progress.rows[-1:]]}
    _write(folder / WEIGHTS, content)
    _write(folder / RECIPE, _toml(recipe.model_dump(mode="json", exclude_none=True), "recipe"))
    _write(folder / FIGURES, json.dumps(figures, indent=2, sort_keys=True).encode() + b"\n")
    _write(folder / "README.md", render_readme(card, figures).encode())
    write_card(folder, card)
    return folder


def training_domain(cases: Sequence[Case | PhantomCase], recipe: Recipe) -> Domain | None:
    """What the images of a training have in common, from up to `DOMAIN_CASES` of them."""
    count = min(len(cases), DOMAIN_CASES)
    chosen = [cases[n * len(cases) // count] for n in range(count)]
    volumes = (load_case(case, recipe).volumes for case in chosen)
    return measured_domain(volumes, recipe.model.channels)


def write_card(folder: Path, card: Card) -> None:
    """Write a card as TOML."""
    content = card.model_dump(mode="json", exclude_none=True)
    if not card.calibration:
        content.pop("calibration")
    _write(folder / CARD, _toml(content, "card"))


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _toml(content: dict[str, Any], what: str) -> bytes:
    try:
        import tomli_w
    except ImportError as error:
        raise MissingExtraError("train", f"writing a {what}") from error
    if what == "recipe":
        # The card that a recipe holds says nothing of its own training.
        for key in LEFT_TO_TRAINING:
            content["model"].pop(key, None)
    return tomli_w.dumps(content, multiline_strings=True).encode()


def _json_row(row: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in row.items()}

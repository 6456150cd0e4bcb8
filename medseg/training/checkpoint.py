"""What a training keeps on disk so that a kill costs minutes, not the run."""

from __future__ import annotations

import csv
import hashlib
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from medseg.errors import InputRefused
from medseg.io.atomic import atomic_path
from medseg.training.recipe import Recipe

CHECKPOINT, LOG = "checkpoint.pt", "log.csv"


@dataclass
class Progress:
    """How far a training is: steps done, minutes spent, and a row of figures a validation."""

    step: int = 0
    minutes: float = 0.0
    rows: list[dict[str, float]] = field(default_factory=list)


def recipe_hash(recipe: Recipe) -> str:
    """SHA-256 of all that a recipe says."""
    return hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()


def save_checkpoint(out: Path, recipe: Recipe, progress: Progress, state: dict[str, Any]) -> None:
    """Write tensors and progress to `out`, whole or not at all, and the figures as a table."""
    kept = {
        "recipe": recipe_hash(recipe),
        "step": progress.step,
        "minutes": progress.minutes,
        "rows": progress.rows,
        "state": state,
    }
    with atomic_path(out / CHECKPOINT) as path:
        torch.save(kept, path)
    if progress.rows:
        names = list(dict.fromkeys(name for row in progress.rows for name in row))
        with (
            atomic_path(out / LOG) as path,
            path.open("w", encoding="utf-8", newline="") as file,
        ):
            table = csv.DictWriter(file, names, lineterminator="\n")
            table.writeheader()
            table.writerows(progress.rows)


def load_checkpoint(out: Path, recipe: Recipe) -> tuple[Progress, dict[str, Any]] | None:
    """Progress and tensors of an earlier run of the same recipe; None where there was none.

    Raises InputRefused: `file-corrupt`; `recipe-invalid` where the run was of another recipe.
    """
    path = out / CHECKPOINT
    if not path.is_file():
        return None
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
        found, state = kept["recipe"], kept["state"]
        progress = Progress(kept["step"], kept["minutes"], kept["rows"])
    except (RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
        detail, remedy = "cannot be read as a checkpoint", "remove it to begin anew"
        raise InputRefused("file-corrupt", path.name, detail, remedy) from error
    if found != recipe_hash(recipe):
        detail = "belongs to a training with another recipe"
        remedy = "give another output folder, or remove it to begin anew"
        raise InputRefused("recipe-invalid", path.name, detail, remedy)
    return progress, state

"""What a training keeps on disk so that a kill costs minutes, not the run."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from medseg.errors import InputRefused
from medseg.io.atomic import atomic_path
from medseg.training.recipe import Recipe

CHECKPOINT, LOG = "checkpoint.safetensors", "log.csv"


@dataclass
class Progress:
    """How far a training is: steps done, minutes spent, and a row of figures a validation.

    `losses` holds sum and number of each loss since the last row; `initial` says what the weights
    began from, empty where they were fresh.
    """

    step: int = 0
    minutes: float = 0.0
    rows: list[dict[str, float]] = field(default_factory=list)
    losses: dict[str, list[float]] = field(default_factory=dict)
    initial: dict[str, Any] = field(default_factory=dict)

    def add(self, losses: Mapping[str, float]) -> None:
        """Count the losses of one step."""
        for name, value in losses.items():
            total, steps = self.losses.get(name, (0.0, 0))
            self.losses[name] = [total + value, steps + 1]

    def mean_losses(self) -> dict[str, float]:
        """The mean of each loss over the steps that had it since this was last asked."""
        means = {name: total / steps for name, (total, steps) in self.losses.items()}
        self.losses = {}
        return means


def recipe_hash(recipe: Recipe) -> str:
    """SHA-256 of all that a recipe says besides the defaults.

    So a checkpoint is still of its recipe when a later version knows more keys.
    """
    return hashlib.sha256(recipe.model_dump_json(exclude_defaults=True).encode()).hexdigest()


def save_checkpoint(
    out: Path, recipe: Recipe, progress: Progress, tensors: Mapping[str, Tensor]
) -> None:
    """Write tensors and progress to `out`, whole or not at all, and the figures as a table."""
    said = {"recipe": recipe_hash(recipe), "progress": json.dumps(asdict(progress))}
    with atomic_path(out / CHECKPOINT) as path:
        save_file({name: value.contiguous() for name, value in tensors.items()}, path, said)
    if progress.rows:
        names = list(dict.fromkeys(name for row in progress.rows for name in row))
        with (
            atomic_path(out / LOG) as path,
            path.open("w", encoding="utf-8", newline="") as file,
        ):
            table = csv.DictWriter(file, names, lineterminator="\n")
            table.writeheader()
            table.writerows(progress.rows)


def load_checkpoint(out: Path, recipe: Recipe) -> tuple[Progress, dict[str, Tensor]] | None:
    """Progress and tensors of an earlier run of the same recipe; None where there was none.

    Raises InputRefused: `file-corrupt`; `recipe-invalid` where the run was of another recipe.
    """
    path = out / CHECKPOINT
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            said = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        found, progress = said["recipe"], Progress(**json.loads(said["progress"]))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        detail, remedy = "cannot be read as a checkpoint", "remove it to begin anew"
        raise InputRefused("file-corrupt", path.name, detail, remedy) from error
    if found != recipe_hash(recipe):
        detail = "belongs to a training with another recipe"
        remedy = "give another output folder, or begin anew with --restart"
        raise InputRefused("recipe-invalid", path.name, detail, remedy)
    return progress, tensors

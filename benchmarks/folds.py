"""Packages of a cross-validation, and whom each of them does not know."""

from __future__ import annotations

import re
from pathlib import Path

from medseg.models.packages import RECIPE
from medseg.training.recipe import Recipe, read_recipe
from medseg.training.sections import PhantomData


def fold_package(packages: Path, recipe: Recipe, number: int) -> Path:
    """The package of a recipe's fold, and none that was trained on one of its patients.

    `medseg train NAME --fold N -o PACKAGES/NAME-fold-N` leaves it; its own recipe says whom it held
    out. SystemExit where it is missing or learned from the fold.
    """
    name = recipe.model.name
    folder = packages / f"{name}-fold-{number}" / name
    if not (folder / RECIPE).is_file():
        msg = f"no package {folder}: medseg train {name} --fold {number} -o {folder.parent}"
        raise SystemExit(msg)
    held_out = held_out_of(read_recipe(folder / RECIPE))
    learned = set(held_out_of(recipe.fold(number))) - set(held_out)
    if learned:
        msg = f"{folder} does not hold out {', '.join(sorted(learned))} of fold {number}"
        raise SystemExit(msg)
    return folder


def held_out_of(recipe: Recipe) -> tuple[str, ...]:
    """The cases that a recipe neither trains on nor chooses by."""
    return () if isinstance(recipe.data, PhantomData) else recipe.data.held_out


def patient_of(model: str, case: str) -> str:
    """The patient of a case, by the names that a model's data set gives its files."""
    if model == "hippocampus-mr":  # 2n - 1 and 2n are two sides of one head
        return f"patient {(int(case[-3:]) + 1) // 2}"
    found = re.fullmatch(r"(lidc_\d+)_\d+", case)
    return found.group(1) if found else case

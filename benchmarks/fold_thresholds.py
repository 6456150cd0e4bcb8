"""A threshold of lesions, chosen for each fold of a cross-validation by the others.

    python benchmarks/fold_thresholds.py MODEL --packages FOLDER [--data FOLDER] [--write]
        [--setting threshold|score_threshold] [--thresholds 0.15 0.25 0.35 0.5]

Every case is segmented by the package that does not know it, at each threshold. A fold gets the one
that is best over the cases of the other folds, so that no case is scored by a choice in which it
had a part; what the others' weights learned from it remains. The threshold of a mask is chosen by
mean Dice, the lowest score that counts by mean F1 of the lesions. The model that ships gets the one
that is best over all cases, which nothing is scored by. With `--write` the cards and recipes of
the folds' packages say their thresholds; that of the shipped recipe is written by hand.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w
from checking import SHARED, present
from folds import fold_package
from model_ms import lesion_row
from model_sarcoma import compared, shipped_recipe

import medseg
from medseg.models.packages import CARD, RECIPE
from medseg.training.datasets import list_cases, load_case, split_cases
from medseg.types import Instances

Row = dict[str, Any]


class Choice(NamedTuple):
    """What is chosen by: a figure and the row that holds it, and the thresholds to try."""

    figure: str
    row: Callable[[str, Instances, Instances], Row]
    thresholds: tuple[float, ...]


CHOICES = {
    "threshold": Choice("Dice", compared, (0.15, 0.25, 0.35, 0.5)),
    "score_threshold": Choice("F1", lesion_row, (0.5, 0.7, 0.76, 0.8, 0.82, 0.84, 0.86, 0.9)),
}


def rows_of(
    name: str, data: Path, packages: Path, setting: str, thresholds: Sequence[float]
) -> list[Row]:
    """Of every case its fold, and its figure by threshold."""
    choice = CHOICES[setting]
    recipe, rows = shipped_recipe(name), []
    for number in range(1, len(recipe.data.folds) + 1):
        plan = recipe.fold(number)
        model: Any = medseg.load_model(fold_package(packages, recipe, number))
        for case in split_cases(plan.data, list_cases(plan, data)).held_out:
            loaded, values = load_case(case, plan), {}
            for one in thresholds:
                changed = replace(model, decoder=replace(model.decoder, **{setting: one}))
                found = medseg.segment(loaded.volumes, changed, device="cpu")
                values[one] = choice.row(case.id, found, loaded.truth)[choice.figure]
            rows.append({"fold": number, "case": case.id, "values": values})
            told = "  ".join(f"{values[one]:.3f}" for one in thresholds)
            print(f"  {case.id}  {told}", flush=True)
    return rows


def best(rows: Sequence[Row]) -> float:
    """The threshold with the best mean figure, the lowest of equal ones."""
    thresholds = sorted(rows[0]["values"])
    return max(thresholds, key=lambda one: statistics.fmean(row["values"][one] for row in rows))


def chosen(rows: Sequence[Row]) -> dict[int, float]:
    """The threshold of each fold, by the cases of all others."""
    folds = sorted({row["fold"] for row in rows})
    return {fold: best([row for row in rows if row["fold"] != fold]) for fold in folds}


def write(folder: Path, setting: str, threshold: float) -> None:
    """Say a package's threshold in its card and its recipe."""
    for name, path in ((CARD, ()), (RECIPE, ("model",))):
        content = tomllib.loads((folder / name).read_text(encoding="utf-8"))
        part: Any = content
        for key in (*path, "head"):
            part = part[key]
        part.setdefault("decoder", {})[setting] = threshold
        text = tomli_w.dumps(content, multiline_strings=True)
        (folder / name).write_text(text, encoding="utf-8")


def main() -> int:
    """Print the choices and the mean figure that they lead to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--packages", type=Path, required=True, help="holds MODEL-fold-N")
    parser.add_argument("--data", type=Path, default=SHARED / "data", help="holds the sets")
    parser.add_argument("--setting", choices=list(CHOICES), default="threshold")
    parser.add_argument("--thresholds", type=float, nargs="+")
    parser.add_argument("--write", action="store_true", help="write them to the folds' packages")
    asked = parser.parse_args()
    data = present(asked.data, "--data") / asked.model.replace("-", "_")
    choice = CHOICES[asked.setting]
    thresholds = sorted(asked.thresholds or choice.thresholds)
    rows = rows_of(asked.model, data, asked.packages, asked.setting, thresholds)
    for one in thresholds:
        print(f"{one:g} for all: {statistics.fmean(row['values'][one] for row in rows):.3f}")
    by_fold = chosen(rows)
    nested = statistics.fmean(row["values"][by_fold[row["fold"]]] for row in rows)
    print("by the other folds: " + ", ".join(f"{n}: {one:g}" for n, one in by_fold.items()))
    print(f"mean {choice.figure} by these: {nested:.3f}; best for all cases: {best(rows):g}")
    if asked.write:
        recipe = shipped_recipe(asked.model)
        for number, one in by_fold.items():
            write(fold_package(asked.packages, recipe, number), asked.setting, one)
    return 0


if __name__ == "__main__":
    sys.exit(main())

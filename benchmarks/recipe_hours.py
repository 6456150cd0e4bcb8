"""How long the recipes of the shipped models train on a CPU, from the pace of a short run.

    python benchmarks/recipe_hours.py [MODEL...] [--data FOLDER] [--threads N] [--steps N]

`--data` holds the sets. A short run (25 steps) of each recipe is timed by the clock, its first
steps left out. What a recipe does besides (the check of its data, validation, balancing, the
package) is not in it. Bars: 3 hours for all steps, and 45 minutes where the recipe has folds, for
one of them. Status 1 where one is missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from checking import SHARED, present
from timing import machine, verdict

from medseg.models import shipped
from medseg.models.packages import RECIPE, package_folder
from medseg.training import train
from medseg.training.recipe import Recipe, read_recipe

HOURS_BAR, FOLD_HOURS_BAR = 3.0, 0.75
WARM = 5
"""So many steps come before the first that counts."""


def short(recipe: Recipe, steps: int, threads: int) -> Recipe:
    """The recipe for so many steps, on so many threads."""
    changes = {
        "steps": steps,
        "validate_every": steps,
        "warmup_steps": min(recipe.training.warmup_steps, steps),
        "threads": threads,
        "balance_volumes": False,
    }
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=changes)})


def seconds_a_step(recipe: Recipe, data: Path) -> float:
    """The median over a short run, which is thrown away."""
    ends: list[float] = []

    def note(_done: int, _total: int) -> None:
        ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        train(recipe, Path(folder), data_root=data, device="cpu", progress=note)
    return statistics.median(b - a for a, b in pairwise(ends[WARM:-1]))


def main() -> int:
    """A line a model; 0 where every bar is met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", default=shipped())
    parser.add_argument("--data", type=Path, default=SHARED / "data", help="holds the sets")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=25, help="of the short run, more than 7")
    asked = parser.parse_args()
    if asked.steps < WARM + 3:
        parser.error(f"--steps is {WARM + 3} or more")
    print(machine("medseg", "torch"), f"{asked.threads} thread(s)")
    missed = False
    for name in asked.models:
        recipe = read_recipe(package_folder(name) / RECIPE)
        root = asked.data
        if recipe.data.kind != "phantom":
            root = present(asked.data / name.replace("-", "_"), "--data")
        seconds = seconds_a_step(short(recipe, asked.steps, asked.threads), root)
        hours = seconds * recipe.training.steps / 3600
        folds = bool(getattr(recipe.data, "folds", ()))
        bar = FOLD_HOURS_BAR if folds else HOURS_BAR
        missed |= hours > bar
        what = "a fold" if folds else "the recipe"
        print(
            f"{name}: {seconds:.2f} s a step, {recipe.training.steps} steps; "
            f"{what} {hours:.2f} h, {verdict(hours, bar, at_least=False)}",
            flush=True,
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

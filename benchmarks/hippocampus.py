"""The held-out table of the shipped model `hippocampus-mr`.

    python benchmarks/hippocampus.py [--data FOLDER] [--write]

Segments every held-out case of the recipe with the shipped package, exactly as `medseg segment`
does, and prints Dice and volume error of each class beside the bars. With `--write` the figures,
the pictures of the three worst cases and the model's page go into the package.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
from checking import SHARED, present

import medseg
from medseg.evaluation.overlap import class_dice, volume_error
from medseg.io.preview import write_preview
from medseg.models.packages import CARD, FIGURES, RECIPE, package_folder, read_card
from medseg.models.readme import render_readme
from medseg.training.datasets import list_cases, load_case, split_cases
from medseg.training.recipe import read_recipe

MODEL = "hippocampus-mr"
DATA = SHARED / "data" / "hippocampus_mr"
BARS = {"hippocampus_anterior": 0.89, "hippocampus_posterior": 0.875}
BOTH = "both parts as one"
VOLUME_BAR, FAILURE = 0.05, 0.6
WORST = 3


def bootstrap_interval(values: list[float], *, rounds: int = 2000) -> tuple[float, float]:
    """The middle 95 % of means over cases drawn with replacement."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(np.asarray(values), size=(rounds, len(values))).mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def class_row(name: str, dice: list[float], error: list[float]) -> dict[str, Any]:
    """One class's figures over the cases."""
    low, high = bootstrap_interval(dice)
    return {
        "class": name,
        "mean Dice": statistics.fmean(dice),
        "95 % interval": f"{low:.3f} to {high:.3f}",
        "worst Dice": min(dice),
        "median absolute volume error": statistics.median(map(abs, error)),
        "mean volume error": statistics.fmean(error),
        "failed (Dice < 0.6)": sum(value < FAILURE for value in dice),
    }


def main() -> int:
    """Print the table; 0 where every bar is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="holds images/ and labels/")
    parser.add_argument("--model", default=MODEL, help="a shipped name or a package's folder")
    parser.add_argument("--write", action="store_true", help="write the figures to the package")
    arguments = parser.parse_args()
    data = present(arguments.data, "--data")
    model = medseg.load_model(arguments.model)
    folder = package_folder(arguments.model)
    recipe = read_recipe(folder / RECIPE)
    cases = split_cases(recipe.data, list_cases(recipe, data)).held_out
    dice: dict[str, list[float]] = {name: [] for name in (*BARS, BOTH)}
    error: dict[str, list[float]] = {name: [] for name in (*BARS, BOTH)}
    found = {}
    for case in cases:
        loaded = load_case(case, recipe)
        result = medseg.segment(loaded.volumes, model, device="cpu")
        found[case.id] = (loaded, result)
        scores = class_dice(result, loaded.truth)
        errors = volume_error(result, loaded.truth)
        whole = [one.to_labelmap() > 0 for one in (result, loaded.truth)]
        scores[BOTH] = (
            2 * float((whole[0] & whole[1]).sum()) / float(whole[0].sum() + whole[1].sum())
        )
        errors[BOTH] = float(whole[0].sum()) / float(whole[1].sum()) - 1
        for name, values in dice.items():
            values.append(scores[name])
            error[name].append(errors[name])
    rows = [class_row(name, values, error[name]) for name, values in dice.items()]
    met = print_table(rows, len(cases))
    means = dict(zip(found, np.mean([dice[name] for name in BARS], axis=0), strict=True))
    worst = sorted(means, key=lambda case: means[case])[:WORST]
    print("worst:", ", ".join(f"{case} {means[case]:.3f}" for case in worst))
    if arguments.write:
        write_figures(folder, rows, len(cases), [(one, means[one], *found[one]) for one in worst])
    return 0 if met else 1


def print_table(rows: list[dict[str, Any]], cases: int) -> bool:
    """Print the figures beside their bars; whether all are met."""
    print(f"{MODEL}: {cases} held-out cases")
    met = True
    for row in rows:
        bar = BARS.get(row["class"], 0.0)
        good = (
            row["mean Dice"] >= bar
            and row["median absolute volume error"] <= VOLUME_BAR
            and row["failed (Dice < 0.6)"] == 0
        )
        met = met and good
        print(
            f"  {row['class']:<22} Dice {row['mean Dice']:.4f} ({row['95 % interval']}; bar {bar})"
            f"  worst {row['worst Dice']:.3f}"
            f"  |volume error| median {100 * row['median absolute volume error']:.2f} %"
            f" (bar {100 * VOLUME_BAR:g} %)  mean {100 * row['mean volume error']:+.2f} %"
            f"  failed {row['failed (Dice < 0.6)']} (bar 0)  {'met' if good else 'NOT MET'}"
        )
    return met


def write_figures(
    folder: Path, rows: list[dict[str, Any]], cases: int, worst: list[tuple[Any, ...]]
) -> None:
    """Put the figures, the pictures of the worst cases and the page into the package."""
    kept = json.loads((folder / FIGURES).read_text(encoding="utf-8"))
    kept["held_out"] = {"cases": cases, "table": rows}
    kept["worst"] = []
    for n, (case, dice, loaded, result) in enumerate(worst, start=1):
        volume = next(iter(loaded.volumes.values()))
        for what, instances in (("found", result), ("truth", loaded.truth)):
            picture = f"worst-{n}-{what}.png"
            write_preview(volume, instances, folder / picture, title=f"{case}: {what}")
            kept["worst"].append({"case": f"{case}, {what}", "dice": dice, "picture": picture})
    (folder / FIGURES).write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    page = render_readme(read_card(folder / CARD), kept)
    (folder / "README.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

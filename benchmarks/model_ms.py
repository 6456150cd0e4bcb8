"""Table of `ms-lesion-mr` with one brain left out at a time, with T1 and without.

    python benchmarks/model_ms.py [--data FOLDER] --packages FOLDER

`--data` holds the sets, or is the folder `ms_lesion_mr` itself. `--packages` holds what
`medseg train ms-lesion-mr --fold N -o PACKAGES/ms-lesion-mr-fold-N` wrote, for each fold: every
brain is segmented by the one package that was not trained on it, which is made sure of.

Lesions are connected parts (26) of 3 mm³ and more, in the truth as in the result. One counts as
found where they share a voxel, a found one as a false alarm where it shares none; F1 is of the two
shares, as in the challenges. "F1, one to one" lets a found lesion stand for one true one only.
Dice is of all voxels. Brains of three patients are no sample: there is no interval over them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from checking import SHARED, present
from folds import fold_package
from model_sarcoma import dice, print_table, shipped_recipe

import medseg
from medseg.evaluation import MatchingRule, detection_scores, froc, pair_overlaps
from medseg.measurement.size import volumes_ml
from medseg.training.datasets import LoadedCase, list_cases, load_case, split_cases
from medseg.types import Instances

Row = dict[str, Any]
Pair = tuple[Instances, Instances]

MODEL, FOLDER = "ms-lesion-mr", "ms_lesion_mr"
SMALLEST_ML = 0.003
DICE_BAR, F1_BAR, COUNT_BAR = 0.60, 0.60, 0.25
ALARMS = (2.0, 5.0, 10.0, 20.0)
"""False alarms a brain at which sensitivity is read from the FROC."""

ONE_TO_ONE = MatchingRule(threshold=1e-9, assignment="optimal", many_to_one=True)
"""Any shared voxel; further parts of a lesion that was found are no false alarms."""


def large(instances: Instances) -> Instances:
    """The lesions that count, those of 3 mm³ and more."""
    kept = volumes_ml(instances) >= SMALLEST_ML - 1e-9
    items = [item for item, keep in zip(instances.items, kept, strict=True) if keep]
    return replace(instances, items=items)


def lesion_row(case: str, found: Instances, truth: Instances) -> Row:
    """The figures of one brain; both sides on its grid."""
    masks = [one.to_labelmap("higher_score") > 0 for one in (found, truth)]
    found, truth = large(found), large(truth)
    overlaps = pair_overlaps(found, truth)
    hit, alarm = len(set(overlaps.ref.tolist())), len(found) - len(set(overlaps.pred.tolist()))
    recall = hit / len(truth) if len(truth) else float("nan")
    precision = 1 - alarm / len(found) if len(found) else 0.0
    both = recall + precision
    return {
        "case": case,
        "Dice": dice(*masks),
        "TP": hit,
        "FP": alarm,
        "FN": len(truth) - hit,
        "F1": 2 * recall * precision / both if both else 0.0,
        "F1, one to one": detection_scores([(found, truth)], ONE_TO_ONE).f1,
        "lesions": len(found),
        "of": len(truth),
        "count off": len(found) / len(truth) - 1 if len(truth) else float("nan"),
        "ml": float(np.count_nonzero(masks[0])) * truth.geometry.voxel_ml,
        "of ml": float(np.count_nonzero(masks[1])) * truth.geometry.voxel_ml,
    }


def froc_row(what: str, pairs: Sequence[Pair]) -> Row:
    """Sensitivity at so many false alarms a brain, by the lesions' scores."""
    curve = froc([(large(found), large(truth)) for found, truth in pairs], ONE_TO_ONE, ALARMS)
    named = {f"at {at:g}": value for at, value in zip(ALARMS, curve.values, strict=True)}
    return {"what": what, **named, "mean": curve.cpm}


def left_out(data: Path, packages: Path) -> list[tuple[LoadedCase, medseg.Model]]:
    """Every brain with the package that does not know it."""
    recipe, found = shipped_recipe(MODEL), []
    own = data / FOLDER
    data = own if own.is_dir() else data
    for number in range(1, len(recipe.data.folds) + 1):
        model = medseg.load_model(fold_package(packages, recipe, number))
        plan = recipe.fold(number)
        cases = split_cases(plan.data, list_cases(plan, data)).held_out
        found += [(load_case(case, plan), model) for case in cases]
    return found


def tables(data: Path, packages: Path) -> dict[str, list[Row]]:
    """All tables, by a title that names the model first."""
    rows: dict[str, list[Row]] = {}
    curves = []
    known = left_out(data, packages)
    for title, channels in (("FLAIR and T1", ("flair", "t1")), ("FLAIR alone", ("flair",))):
        pairs, lines = [], []
        for case, model in known:
            volumes = {name: case.volumes[name] for name in channels}
            found = medseg.segment(volumes, model, device="cpu")
            pairs.append((found, case.truth))
            lines.append(lesion_row(case.id, found, case.truth))
        rows[f"{MODEL}, one brain left out, {title}"] = [*lines, mean_row(lines)]
        curves.append(froc_row(title, pairs))
    return rows | {f"{MODEL}, sensitivity at false alarms a brain": curves}


def mean_row(rows: Sequence[Row]) -> Row:
    """The mean brain: each counts as much as any other."""
    named = rows[0].keys() - {"case"}
    means = {name: float(np.mean([row[name] for row in rows])) for name in named}
    means["count off"] = float(np.mean([abs(row["count off"]) for row in rows]))
    return {name: "mean" if name == "case" else means[name] for name in rows[0]}


def missed(found: dict[str, list[Row]]) -> list[str]:
    """The bars that are not met, in words: Dice and F1 of the mean brain, the count of each."""
    words = []
    for title, rows in found.items():
        if "left out" not in title:
            continue
        *brains, mean = rows
        for name, bar in (("Dice", DICE_BAR), ("F1", F1_BAR)):
            if mean[name] < bar:
                words.append(f"{title}: {name} {mean[name]:.3f}, bar {bar:g}")
        words += [
            f"{title}: {row['case']} has {row['lesions']} lesions of {row['of']}"
            for row in brains
            if abs(row["count off"]) > COUNT_BAR
        ]
    return words


def main() -> int:
    """Print the tables; 0 where every bar is met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=SHARED / "data", help="holds the sets")
    parser.add_argument("--packages", type=Path, required=True, help=f"holds {MODEL}-fold-N")
    asked = parser.parse_args()
    found = tables(present(asked.data, "--data"), present(asked.packages, "--packages"))
    for title, rows in found.items():
        print_table(title, rows)
    words = missed(found)
    print("\nall bars met" if not words else "\nNOT MET\n  " + "\n  ".join(words))
    return 1 if words else 0


if __name__ == "__main__":
    sys.exit(main())

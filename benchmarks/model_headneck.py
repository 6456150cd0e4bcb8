"""The tables of `headneck-organs-ct`: surfaces, sides, one object an organ, what it learned from.

    python benchmarks/model_headneck.py [--data FOLDER] [--packages FOLDER]

`--data` holds `headneck_organs_ct`. The shipped package is judged, or `headneck-organs-ct` in the
folder of `--packages`, on the recipe's held-out patients. An organ counts in the cases where
somebody drew it. A side is swapped where what was found as one parotid shares more voxels with the
other's contour. The last table is of patients that the weights learned from: those of new patients
can hardly be outlined better.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from checking import SHARED, present

import medseg
from medseg.evaluation.overlap import class_dice, volume_error
from medseg.evaluation.surface import average_symmetric_mm, hausdorff_mm, surface_distances
from medseg.models.packages import RECIPE, package_folder
from medseg.training.datasets import LoadedCase, list_cases, load_case, split_cases
from medseg.training.recipe import read_recipe
from medseg.types import Instances

Row = dict[str, Any]
Pair = tuple[Instances, Instances]

MODEL, FOLDER = "headneck-organs-ct", "headneck_organs_ct"
SIDES = ("parotid_right", "parotid_left")
EVERY = 3
"""Of the patients that were learned from, every so manyth is segmented."""


def tables(data: Path, packages: Path | None) -> dict[str, list[Row]]:
    """All tables by title; `packages` holds `headneck-organs-ct`, None is the shipped one."""
    package = package_folder(MODEL) if packages is None else packages / MODEL
    model, recipe = medseg.load_model(str(package)), read_recipe(package_folder(MODEL) / RECIPE)
    split = split_cases(recipe.data, list_cases(recipe, data / FOLDER))
    pairs, learned = (
        [found_and_true(load_case(case, recipe), model) for case in cases]
        for cases in (split.held_out, split.training[::EVERY])
    )
    names = [one.name for one in model.card.classes]
    return {
        "surfaces": [surface_row(name, pairs) for name in names],
        "sides and objects": objects_rows(names, pairs),
        "patients that it learned from": [overlap_row(name, learned) for name in names],
    }


def found_and_true(case: LoadedCase, model: medseg.Model) -> Pair:
    """What the model finds in a case, beside what was drawn."""
    return medseg.segment(case.volumes, model, device="cpu"), case.truth


def mask_of(instances: Instances, name: str) -> np.ndarray | None:
    """The mask of a class on the whole grid, None where it has no object."""
    items = [item for item in instances if item.class_name == name]
    if not items:
        return None
    whole = np.zeros(instances.geometry.shape, dtype=np.bool_)
    for item in items:
        whole[item.box] |= item.mask
    return whole


def overlap_row(name: str, pairs: Sequence[Pair]) -> Row:
    """Dice and volume error of an organ over the cases where it was drawn."""
    drawn = [pair for pair in pairs if mask_of(pair[1], name) is not None]
    errors = [volume_error(*pair)[name] for pair in drawn]
    return {
        "organ": name,
        "drawn": len(drawn),
        "mean Dice": statistics.fmean(class_dice(*pair)[name] for pair in drawn) if drawn else None,
        "median volume error": statistics.median(errors) if errors else None,
    }


def surface_row(name: str, pairs: Sequence[Pair]) -> Row:
    """Distances of an organ's surfaces over the cases where it was drawn and found."""
    mean_mm, far_mm, drawn, missed = [], [], 0, 0
    for found, truth in pairs:
        wanted, got = mask_of(truth, name), mask_of(found, name)
        drawn += wanted is not None
        missed += wanted is not None and got is None
        if wanted is None or got is None:
            continue
        apart = surface_distances(got, wanted, truth.geometry.spacing_mm)
        mean_mm.append(average_symmetric_mm(apart))
        far_mm.append(hausdorff_mm(apart))
    return {
        "organ": name,
        "drawn": drawn,
        "missed": missed,
        "mean distance mm": statistics.fmean(mean_mm) if mean_mm else None,
        "95 % distance mm, median": statistics.median(far_mm) if far_mm else None,
    }


def objects_rows(names: Sequence[str], pairs: Sequence[Pair]) -> list[Row]:
    """How often each organ is exactly one object, and how often the sides are swapped."""
    several = sum(
        sum(item.class_name == name for item in found) > 1 for found, _ in pairs for name in names
    )
    swapped = sum(is_swapped(found, truth, *sides) for found, truth in pairs for sides in _BOTH)
    return [
        {"what": "organs of several objects", "count": several, "of": len(names) * len(pairs)},
        {"what": "parotids on the wrong side", "count": swapped, "of": 2 * len(pairs)},
    ]


_BOTH = (SIDES, SIDES[::-1])


def is_swapped(found: Instances, truth: Instances, name: str, other: str) -> bool:
    """Whether what was found as `name` shares more voxels with the contour of `other`."""
    got, own, opposite = mask_of(found, name), mask_of(truth, name), mask_of(truth, other)
    if got is None or opposite is None:
        return False
    right = 0 if own is None else np.count_nonzero(got & own)
    return bool(np.count_nonzero(got & opposite) > right)


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--packages", type=Path)
    asked = parser.parse_args()
    for title, rows in tables(present(asked.data, "--data"), asked.packages).items():
        print(f"\n{title}")
        for row in rows:
            print("  ".join(f"{key}: {value}" for key, value in row.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

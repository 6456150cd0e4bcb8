"""Cross-validated tables of `sarcoma-mr` and `sarcoma-pet`, beside thresholds and readers.

    python benchmarks/model_sarcoma.py [--data FOLDER] [--packages FOLDER]

`--data` holds `sarcoma_mr`, `sarcoma_pet` and `dicom`. `--packages` holds what
`medseg train NAME --fold N -o PACKAGES/NAME-fold-N` wrote, for each fold of one model or both:
every patient is segmented by the one package that was not trained on it, which is made sure of.
The same patient's DICOM series is compared with the contours of its structure set. Thresholds of
the PET need no package: without `--packages` theirs is the only table.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from checking import SHARED, present
from folds import fold_package
from numpy.typing import NDArray

import medseg
from medseg.evaluation.bootstrap import case_weights, interval
from medseg.io.dicom_out.source import read_source
from medseg.io.rtstruct import read_rtstruct
from medseg.measurement.parts import labelled_parts
from medseg.models import recipe_path
from medseg.training.datasets import LoadedCase, list_cases, load_case, split_cases
from medseg.training.recipe import Recipe, read_recipe
from medseg.types import Instances

Row = dict[str, Any]
Mask = NDArray[np.bool_]

MR, PET = "sarcoma-mr", "sarcoma-pet"
FOLDERS = {MR: "sarcoma_mr", PET: "sarcoma_pet"}
DICOM = {MR: "sarcoma_mr_t1_rtstruct", PET: "sarcoma_pet_rtstruct"}
DICOM_PATIENT = "sts_025"
"""Both series are of this patient: their PatientID says so, and their voxels are the set's."""

DICE_BARS = {MR: 0.75, PET: 0.80}
ONE_OBJECT_BAR = 0.8
THRESHOLDS: Mapping[str, Callable[[float], float]] = {
    "41 % of SUVmax": lambda highest: 0.41 * highest,
    "50 % of SUVmax": lambda highest: 0.50 * highest,
    "SUV > 2.5": lambda _: 2.5,
}
READER, NO_READER = "the part on the tumour", "the whole image"


def dice(found: Mask, wanted: Mask) -> float:
    """Dice of two masks, of which the second is not empty."""
    both = np.count_nonzero(found) + np.count_nonzero(wanted)
    return 2.0 * float(np.count_nonzero(found & wanted)) / float(both)


def case_row(case: str, found: Mask, objects: int, wanted: Mask, voxel_ml: float) -> Row:
    """The figures of one case."""
    return {
        "case": case,
        "volume ml": float(np.count_nonzero(wanted)) * voxel_ml,
        "Dice": dice(found, wanted),
        "volume error": float(np.count_nonzero(found)) / float(np.count_nonzero(wanted)) - 1.0,
        "objects": objects,
    }


def summary(what: str, rows: Sequence[Row]) -> Row:
    """The figures over cases, one a patient; the interval is a bootstrap's over patients."""
    values = np.array([row["Dice"] for row in rows])
    weights = case_weights([row["case"] for row in rows], 2000, 0)
    low, high = interval(weights @ values / weights.sum(axis=1), 0.95)
    return {
        "what": what,
        "cases": len(rows),
        "mean Dice": float(values.mean()),
        "95 % interval": f"{low:.3f} to {high:.3f}",
        "median Dice": float(np.median(values)),
        "worst Dice": float(values.min()),
        "median absolute volume error": statistics.median(abs(row["volume error"]) for row in rows),
        "exactly one object": sum(row["objects"] == 1 for row in rows) / len(rows),
    }


def threshold_mask(suv: NDArray[np.floating[Any]], wanted: Mask, rule: str, where: str) -> Mask:
    """What lies above a threshold, as it is used in clinics or without anyone who looks.

    A reader takes SUVmax in the tumour and keeps the connected parts (26) that meet it; without
    one SUVmax is the image's and everything above the threshold counts.
    """
    by_reader = where == READER
    highest = float(suv[wanted].max() if by_reader else suv.max())
    limit = THRESHOLDS[rule](highest)
    above = suv > limit if rule.startswith("SUV") else suv >= limit
    if not by_reader:
        return np.asarray(above)
    parts, _ = labelled_parts(above)
    met = np.unique(parts[wanted & above])
    return np.asarray(np.isin(parts, met) & above)


def threshold_rows(cases: Iterable[LoadedCase]) -> dict[str, list[Row]]:
    """The figures of each case by each threshold, by a name that says how it was used."""
    found: dict[str, list[Row]] = {}
    for case in cases:
        (volume,) = case.volumes.values()
        wanted = case.truth.to_labelmap() > 0
        for where in (READER, NO_READER):
            for rule in THRESHOLDS:
                mask = threshold_mask(volume.array, wanted, rule, where)
                row = case_row(
                    case.id, mask, labelled_parts(mask)[1], wanted, case.truth.geometry.voxel_ml
                )
                found.setdefault(f"{rule}, {where}", []).append(row)
    return found


def shipped_recipe(name: str) -> Recipe:
    """The recipe whose folds are compared."""
    path = recipe_path(name)
    if path is None:
        msg = f"medseg ships no recipe {name!r}"
        raise SystemExit(msg)
    return read_recipe(path)


def loaded_cases(recipe: Recipe, root: Path) -> list[LoadedCase]:
    """All cases of a recipe."""
    return [load_case(case, recipe) for case in list_cases(recipe, root)]


def cross_validated(name: str, data: Path, packages: Path) -> list[Row]:
    """The figures of every patient, each by the package that does not know it."""
    recipe, root = shipped_recipe(name), data / FOLDERS[name]
    rows = []
    for number in range(1, len(recipe.data.folds) + 1):
        model = medseg.load_model(fold_package(packages, recipe, number))
        plan = recipe.fold(number)
        for case in split_cases(plan.data, list_cases(plan, root)).held_out:
            loaded = load_case(case, plan)
            found = medseg.segment(loaded.volumes, model, device="cpu")
            rows.append({"fold": number, **compared(case.id, found, loaded.truth)})
    return sorted(rows, key=lambda row: str(row["case"]))


def compared(case: str, found: Instances, truth: Instances) -> Row:
    """The figures of one result, whatever its classes are called."""
    masks = [one.to_labelmap("higher_score") > 0 for one in (found, truth)]
    return case_row(case, masks[0], len(found.items), masks[1], truth.geometry.voxel_ml)


def dicom_row(name: str, data: Path, packages: Path) -> Row:
    """The DICOM series of a patient against its contours, by the package that does not know it."""
    recipe = shipped_recipe(name)
    number = next(n for n, fold in enumerate(recipe.data.folds, start=1) if DICOM_PATIENT in fold)
    folder = data / "dicom" / DICOM[name]
    model = medseg.load_model(fold_package(packages, recipe, number))
    found = medseg.segment(medseg.read(folder), model, device="cpu")
    truth = read_rtstruct(folder / "RS.dcm", read_source(folder))
    return {"fold": number, **compared(DICOM_PATIENT, found, truth)}


def tables(data: Path, packages: Path | None) -> dict[str, list[Row]]:
    """All tables, by a title that names the model first; without packages the thresholds alone."""
    by_threshold = threshold_rows(loaded_cases(shipped_recipe(PET), data / FOLDERS[PET]))
    thresholds = [summary(what, rows) for what, rows in by_threshold.items()]
    if packages is None:
        return {PET: thresholds}
    found: dict[str, list[Row]] = {}
    for name in with_packages(packages):
        rows = cross_validated(name, data, packages)
        found[name] = [summary(f"{name}, five-fold", rows)]
        found[f"{name}, DICOM series"] = [dicom_row(name, data, packages)]
        found[f"{name}, cases"] = rows
    if PET in found:
        found[PET] += thresholds
    return found


def with_packages(packages: Path) -> list[str]:
    """The models of which there are folds; SystemExit where there is none of either."""
    found = [name for name in (MR, PET) if (packages / f"{name}-fold-1").is_dir()]
    if not found:
        msg = f"no {MR}-fold-1 or {PET}-fold-1 in {packages}"
        raise SystemExit(msg)
    return found


def missed(found: Mapping[str, Sequence[Row]]) -> list[str]:
    """The bars that are not met, in words."""
    words = []
    for name, bar in DICE_BARS.items():
        mean = found[name][0]["mean Dice"] if name in found else bar
        if mean < bar:
            words.append(f"{name}: mean Dice {mean:.3f}, bar {bar:g}")
    one = found[MR][0]["exactly one object"] if MR in found else ONE_OBJECT_BAR
    if one < ONE_OBJECT_BAR:
        words.append(f"{MR}: one object in {one:.0%}, bar {ONE_OBJECT_BAR:.0%}")
    if PET in found:
        ours, *others = found[PET]
        words += [
            f"{PET}: not better than {row['what']}"
            for row in others
            if row["mean Dice"] >= ours["mean Dice"]
        ]
    return words


def print_table(title: str, rows: Sequence[Row]) -> None:
    """A table as plain text; a row may lack a column of the first."""
    columns = list(rows[0])
    cells = [columns, *([_printed(row.get(name, "")) for name in columns] for row in rows)]
    widths = [max(len(line[n]) for line in cells) for n in range(len(columns))]
    print(f"\n{title}")
    for line in cells:
        print("  " + "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)))


def _printed(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def main() -> int:
    """Print the tables; 0 where every bar is met, or where there are no packages to judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=SHARED / "data", help="holds the sets")
    parser.add_argument("--packages", type=Path, help="holds NAME-fold-N of one model or both")
    asked = parser.parse_args()
    data = present(asked.data, "--data")
    packages = None if asked.packages is None else present(asked.packages, "--packages")
    found = tables(data, packages)
    for title, rows in found.items():
        print_table(title, rows)
    if packages is None:
        return 0
    words = missed(found)
    print("\nall bars met" if not words else "\nNOT MET\n  " + "\n  ".join(words))
    return 1 if words else 0


if __name__ == "__main__":
    sys.exit(main())

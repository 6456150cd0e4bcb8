"""Every case that a package did not learn from, segmented once and kept as plain figures.

A record is one JSON file a case, in a folder named by the hash of the card: a second run reads
it, a run that was stopped goes on, and new weights begin anew.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from folds import fold_package, patient_of

import medseg
from medseg.evaluation.overlap import class_dice, pair_overlaps, volume_error
from medseg.inference.domain import CODE
from medseg.io.atomic import atomic_path
from medseg.models import Model, card_of
from medseg.training.datasets import Case, LoadedCase, list_cases, load_case, split_cases
from medseg.training.recipe import Recipe
from medseg.training.sections import PhantomData
from medseg.types import Instances

Record = dict[str, Any]

HELD_OUT, VALIDATION = "held out", "validation"
ALL = "all classes as one"


@dataclass(frozen=True)
class Trial:
    """A case, the package that did not learn from it, and whether it served to watch training."""

    case: Case
    package: Path
    part: str


def trials(recipe: Recipe, data: Path, package: Path, packages: Path | None) -> list[Trial]:
    """What may be tried: each case of a fold with that fold's package, else the held-out cases.

    The validation cases of a recipe without folds come last.

    Raises ValueError for folds without their packages, SystemExit as `fold_package` does.
    """
    if isinstance(recipe.data, PhantomData):
        msg = "a model of phantoms has no cases in files"
        raise ValueError(msg)
    cases = {case.id: case for case in list_cases(recipe, data)}
    if not recipe.data.folds:
        split = split_cases(recipe.data, list(cases.values()))
        return [
            *(Trial(_file(case), package, HELD_OUT) for case in split.held_out),
            *(Trial(_file(case), package, VALIDATION) for case in split.validation),
        ]
    if packages is None:
        msg = f"{recipe.model.name} is cross-validated: give the folder of its folds' packages"
        raise ValueError(msg)
    found = []
    for number, fold in enumerate(recipe.data.folds, start=1):
        folder = fold_package(packages, recipe, number)
        found += [Trial(cases[case], folder, HELD_OUT) for case in fold if case in cases]
    return found


def _file(case: object) -> Case:
    if not isinstance(case, Case):
        msg = "only cases in files are tried"
        raise TypeError(msg)
    return case


@cache
def raw_model(package: Path) -> Model:
    """The model of a package, with the head's own scores."""
    model = medseg.load_model(package)
    return replace(model, card=model.card.model_copy(update={"calibration": ()}))


def records(
    todo: Sequence[Trial], recipe: Recipe, results: Path, *, smallest_mm3: float = 0.0
) -> list[Record]:
    """The record of each trial, read where it is there, else made and kept."""
    found = []
    for n, trial in enumerate(todo, start=1):

        def made(trial: Trial = trial, n: int = n) -> Record:
            print(f"  {n} of {len(todo)}: {trial.case.id}", flush=True)
            loaded = load_case(trial.case, recipe)
            result = medseg.segment(loaded.volumes, raw_model(trial.package), device="cpu")
            return record(loaded, result, smallest_mm3)

        folder = folder_of(results, trial.package, smallest_mm3)
        place = folder / f"{trial.case.id}.json"
        patient = patient_of(recipe.model.name, trial.case.id)
        found.append({**kept(place, made), "patient": patient, "part": trial.part})
    return found


def folder_of(results: Path, package: Path, smallest_mm3: float = 0.0) -> Path:
    """Where the records of a package lie: another for other weights, decoding, domain or limit."""
    card = card_of(package)
    said = card.model_dump_json(exclude={"calibration", "training"}).encode()
    said += f"{smallest_mm3:g}".encode() if smallest_mm3 else b""
    return results / card.name / hashlib.sha256(said).hexdigest()[:12]


def kept(place: Path, make: Callable[[], Record]) -> Record:
    """The record at `place`; made and written there first where it is not."""
    if not place.is_file():
        content = json.dumps(make(), indent=1) + "\n"
        place.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(place) as temporary:
            temporary.write_text(content, encoding="utf-8")
    found: Record = json.loads(place.read_text(encoding="utf-8"))
    return found


def record(loaded: LoadedCase, result: Instances, smallest_mm3: float = 0.0) -> Record:
    """What is kept of one case: figures of each class, every found object, what was warned of.

    Lesions below `smallest_mm3` are left out on both sides where objects are counted.
    """
    truth = loaded.truth
    dice, error = class_dice(result, truth), volume_error(result, truth)
    counted = [_large(one, smallest_mm3) for one in (result, truth)]
    classes = {
        one.name: {
            "dice": _plain(dice[one.name]),
            "volume_error": _plain(error[one.name]),
            "found": sum(item.class_name == one.name for item in counted[0]),
            "true": sum(item.class_name == one.name for item in counted[1]),
            **_met(counted[0], counted[1], one.name),
        }
        for one in result.classes
    }
    return {
        "case": loaded.id,
        "classes": {**classes, ALL: _as_one(result, truth)},
        "objects": _objects(counted[0], counted[1]),
        "out_of_domain": [one.detail for one in result.warnings if one.code == CODE],
    }


def _large(instances: Instances, smallest_mm3: float) -> Instances:
    least = smallest_mm3 / (1000 * instances.geometry.voxel_ml)
    return instances.filter(lambda item: item.kind == "organ" or item.voxel_count >= least)


def _met(found: Instances, truth: Instances, name: str) -> dict[str, int]:
    """How many objects of a class on either side share a voxel with one of the other side."""
    one, other = (side.filter(lambda item: item.class_name == name) for side in (found, truth))
    pairs = pair_overlaps(one, other)
    return {"found_met": len(np.unique(pairs.pred)), "true_met": len(np.unique(pairs.ref))}


def _objects(found: Instances, truth: Instances) -> list[dict[str, Any]]:
    """Each found object with its raw score and its best overlap with a true one of its class."""
    pairs = pair_overlaps(found, truth)
    same = [
        found.items[n].class_name == truth.items[m].class_name
        for n, m in zip(pairs.pred, pairs.ref, strict=True)
    ]
    best = np.zeros((2, len(found)))
    for row, values in enumerate((pairs.dice, pairs.iou)):
        np.maximum.at(best[row], pairs.pred[same], values[same])
    return [
        {"class": item.class_name, "score": item.score, "dice": dice, "iou": iou}
        for item, dice, iou in zip(found.items, *best.tolist(), strict=True)
    ]


def _as_one(result: Instances, truth: Instances) -> dict[str, Any]:
    masks = [one.to_labelmap(on_overlap="higher_score") > 0 for one in (result, truth)]
    found, wanted = (int(np.count_nonzero(one)) for one in masks)
    shared = int(np.count_nonzero(masks[0] & masks[1]))
    return {
        "dice": 2 * shared / (found + wanted) if found + wanted else None,
        "volume_error": found / wanted - 1 if wanted else None,
    }


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None

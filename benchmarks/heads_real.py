"""One head on real images, by a short budget that is the same for all: nodules, MS lesions.

    python benchmarks/heads_real.py --head NAME --set nodules|ms --minutes M [--brain 7|19|26]
        [--data FOLDER] [--out FOLDER]
    python benchmarks/heads_real.py --head NAME --set nodules|ms --steps N --device cuda
    python benchmarks/heads_real.py --table FOLDER...

The recipe is that of `heads.py` with what `heads_real/SET.toml` says of the data. Nodules are split
by patient; the score above which an object counts is chosen on patients of their own. Of the three
MS brains one is left out; there the score is chosen on the two that were learned from, which
flatters no figure of the third but may suit it badly. Minutes and steps are planned and kept as
`heads.py` does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import tomllib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from checking import SHARED, present
from heads import ROW, base_of, merged
from heads_figures import Found, balanced_score, figures, with_doubtful
from heads_tables import print_row, print_tables
from heads_training import (
    DECAYED,
    PLAN,
    Budget,
    add_length,
    planned,
    refuse_wrong_length,
    trained,
    write_json,
)
from timing import machine, resident_mb

import medseg
from medseg.evaluation.overlap import class_dice
from medseg.heads import HEADS
from medseg.models import Model
from medseg.training.datasets import Case, list_cases, load_case, split_cases
from medseg.training.recipe import Recipe

RECIPES = Path(__file__).with_suffix("")
FOLDERS = {"nodules": "lung_nodule_ct", "ms": "ms_lesion_mr"}
BRAINS = (7, 19, 26)
LEFT_OUT = ("lidc_0807_4",)
VALIDATED = 40
"""So many nodules choose the score; others of the patients that may choose take part in nothing."""


def recipe_of(head: str, name: str, brain: int, data: Path, steps: int) -> Recipe:
    """What all heads share, with what the set says, for so many steps."""
    said = tomllib.loads((RECIPES / f"{name}.toml").read_text(encoding="utf-8"))
    raw = base_of(head)
    backbone = raw.pop("backbones")["residual_pyramid"]
    for part in ("data", "augmentation"):
        raw.pop(part)
    raw["training"]["warmup_steps"] = min(raw["training"]["warmup_steps"], steps // 10)
    recipe = merged(raw, said)
    recipe["model"]["head"] = {"name": head, **recipe["model"].get("head", {})}
    recipe["model"]["backbone"] = {"name": "residual_pyramid", "arguments": backbone}
    recipe["training"] |= {"seed": 0, "steps": steps, "validate_every": steps}
    recipe["data"] |= split_of(name, brain, data)
    return Recipe.model_validate(recipe)


def split_of(name: str, brain: int, data: Path) -> dict[str, list[str]]:
    """Which cases are held out, choose the score, or are left out."""
    if name == "ms":
        return {"held_out": [f"ms_{brain:02}"]}
    ids = sorted(path.name.removesuffix(".nii.gz") for path in (data / "images").iterdir())
    patient = {one: int(one.split("_")[1]) for one in ids}
    left_out = [one for one in ids if patient[one] in {patient[out] for out in LEFT_OUT}]
    others = [one for one in ids if one not in left_out]
    choosing = [one for one in others if patient[one] % 5 == 1]
    return {
        "held_out": [one for one in others if patient[one] % 5 == 0],
        "validation": choosing[:VALIDATED],
        "exclude": left_out + choosing[VALIDATED:],
    }


def segmented(model: Model, cases: Sequence[Case], recipe: Recipe, device: str) -> Found:
    """Every case segmented as a user would, doubtful objects kept."""
    found = Found([], [])
    wary = with_doubtful(model)
    for case in cases:
        loaded = load_case(case, recipe)
        began = time.process_time()
        pred = medseg.segment(loaded.volumes, wary, device=device)
        found.seconds.append(time.process_time() - began)
        found.pairs.append((pred, loaded.truth))
    return found


def measured(asked: argparse.Namespace, data: Path, folder: Path) -> dict[str, Any]:
    """Train, choose the score, test once: the row."""
    make = partial(recipe_of, asked.head, asked.set, asked.brain, data)
    length = {"minutes": asked.minutes, "asked_steps": asked.steps, "device": asked.device}
    said = {"head": asked.head, "set": asked.set, "brain": asked.brain, **length}
    budget = Budget(said, make, asked.minutes, asked.steps, asked.device, data)
    plan = planned(budget, folder)
    package, progress = trained(budget, plan["steps"], folder)
    peak_mb = max(resident_mb()[1], plan.get("peak_mb", 0.0))
    write_json(folder / PLAN, {**plan, "peak_mb": peak_mb})
    model, recipe = medseg.load_model(package), make(plan["steps"])
    split = split_cases(recipe.data, list_cases(recipe, data))
    tuning = segmented(model, split.validation or split.training, recipe, asked.device)
    test = segmented(model, split.held_out, recipe, asked.device)
    dice = [value for pair in test.pairs for value in class_dice(*pair).values()]
    return {
        "head": asked.head,
        "backbone": "residual_pyramid",
        "phantom": asked.set,
        **length,
        "seed": asked.brain if asked.set == "ms" else 0,
        "windows": len(test.pairs) if asked.set == "nodules" else 1,
        "threshold_windows": len(tuning.pairs),
        "shape": list(recipe.model.window_shape),
        **figures(test.pairs, balanced_score(tuning.pairs)),
        "dice": statistics.fmean(dice),
        "seconds": statistics.median(test.seconds),
        "parameters": sum(one.numel() for one in model.network.parameters()),
        "peak_mb": peak_mb,
        "training_minutes": progress.minutes,
        "steps": progress.step,
        "planned_steps": plan["steps"],
        "decayed": progress.step >= DECAYED * plan["steps"],
        "machine": machine("medseg", "torch", "monai"),
    }


def main() -> int:
    """Print a row or the tables; of MS the "seed" is the brain left out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--head", choices=sorted(HEADS))
    parser.add_argument("--set", choices=sorted(FOLDERS), default="nodules")
    parser.add_argument("--brain", type=int, choices=BRAINS, default=BRAINS[0])
    add_length(parser)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path, nargs="+", metavar="FOLDER")
    asked = parser.parse_args()
    if asked.table:
        print_tables([json.loads((one / ROW).read_text(encoding="utf-8")) for one in asked.table])
        return 0
    if asked.head is None:
        parser.error("give --head or --table")
    refuse_wrong_length(parser, asked)
    torch.set_num_threads(1)
    data = present(asked.data or SHARED / "data" / FOLDERS[asked.set], "--data")
    brain = f"-{asked.brain}" if asked.set == "ms" else ""
    length = f"{asked.minutes:g}" if asked.minutes else f"{asked.steps}steps"
    folder = asked.out or Path("heads-runs") / f"{asked.set}{brain}-{asked.head}-{length}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ROW).is_file():
        write_json(folder / ROW, measured(asked, data, folder))
    row = json.loads((folder / ROW).read_text(encoding="utf-8"))
    print_row(row)
    print(f"  mean Dice of the class {row['dice']:.3f} over {row['windows']} cases")
    return 0


if __name__ == "__main__":
    sys.exit(main())

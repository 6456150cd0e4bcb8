"""One head, trained from scratch on phantoms, and its figures: the rows of the published tables.

    python benchmarks/heads.py --head NAME [--backbone NAME] --minutes M --seed S
        [--phantom touching|nested|toy] [--out FOLDER]
    python benchmarks/heads.py --head NAME --steps N --device cuda --seed S
    python benchmarks/heads.py --table FOLDER...
    python benchmarks/heads.py --ceilings [--phantom touching|nested]

The recipe is `heads/base.toml` with what `heads/NAME.toml` changes. A short run first measures the
seconds of a step; from them comes, once, how many steps fit the minutes, so that the rate has
fallen to zero at their end. The minutes are those of training, of all runs in the folder together;
the same command goes on after a kill (which costs at most a minute of them) and prints the row
again once there is one. With `--steps` so many are taken, however long that lasts: so a GPU may
train, on which minutes would say nothing of a CPU. The score above which an object counts is chosen
on phantoms of their own (seeds 3000 up), where the total count is right; the test (seeds 0 up) is
seen once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from heads_ceilings import print_ceilings
from heads_figures import balanced_score, figures, segmented
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
from medseg.heads import HEADS
from medseg.networks import BACKBONES
from medseg.phantom import Phantom, nested_lesions, touching_lesions
from medseg.phantom.toy import CLASSES as TOY_CLASSES
from medseg.phantom.toy import toy_cubes
from medseg.phantom.windows import CLASSES
from medseg.training.recipe import Recipe
from medseg.types import InstanceClass, Shape

RECIPES = Path(__file__).with_suffix("")
TEST_SEEDS, THRESHOLD_SEEDS = 0, 3000
ROW = "row.json"


class Scene(NamedTuple):
    """A phantom to compare heads on: the recipe's name for it, its maker, its classes."""

    generator: str
    make: Callable[..., Phantom]
    classes: tuple[InstanceClass, ...]


SCENES = {
    "touching": Scene("touching_lesions", touching_lesions, CLASSES),
    "nested": Scene("nested_lesions", nested_lesions, CLASSES),
    "toy": Scene("toy_cubes", toy_cubes, TOY_CLASSES),
}


@dataclass(frozen=True)
class Task:
    """What a row is of."""

    head: str
    backbone: str
    phantom: str
    minutes: float | None
    seed: int
    shape: tuple[int, ...]
    asked_steps: int | None = None
    device: str = "cpu"

    @property
    def folder(self) -> Path:
        """Where it goes by default."""
        length = f"{self.asked_steps}steps" if self.minutes is None else f"{self.minutes:g}min"
        parts = (self.phantom, self.head, self.backbone, length, f"seed{self.seed}")
        return Path("heads-runs") / "-".join(parts)


def recipe_of(task: Task, steps: int) -> Recipe:
    """The base with the head's changes, for this task and so many steps."""
    raw = base_of(task.head)
    scene, shape = SCENES[task.phantom], list(task.shape)
    arguments = raw.pop("backbones").get(task.backbone, {})
    training = raw["training"]
    said = {
        "model": {
            "window_shape": shape,
            "classes": [
                {"name": one.name, "kind": one.kind, "label": one.label} for one in scene.classes
            ],
            "backbone": {"name": task.backbone, "arguments": arguments},
            "head": {"name": task.head},
        },
        "data": {"name": f"medseg.phantom: {scene.generator}", "generator": scene.generator},
        "training": {
            "seed": task.seed,
            "steps": steps,
            "validate_every": steps,
            "warmup_steps": min(training["warmup_steps"], steps // 10),
            "crop_shape": shape,
        },
    }
    said["data"]["shape"] = shape
    return Recipe.model_validate(merged(raw, said))


def base_of(head: str) -> dict[str, Any]:
    """What all heads share, with the head's changes."""
    raw = tomllib.loads((RECIPES / "base.toml").read_text(encoding="utf-8"))
    own = RECIPES / f"{head}.toml"
    return merged(raw, tomllib.loads(own.read_text(encoding="utf-8"))) if own.is_file() else raw


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes`, table by table; what is no table is replaced."""
    both = dict(base)
    for key, value in changes.items():
        old = both.get(key)
        both[key] = (
            merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return both


def budget_of(task: Task) -> Budget:
    """What `heads_training` trains for the row."""
    said = asdict(task)
    return Budget(said, partial(recipe_of, task), task.minutes, task.asked_steps, task.device)


def measured(task: Task, folder: Path, windows: int, threshold_windows: int) -> dict[str, Any]:
    """Train, choose the score, test once: the row."""
    budget = budget_of(task)
    plan = planned(budget, folder)
    package, progress = trained(budget, plan["steps"], folder)
    peak_mb = max(resident_mb()[1], plan.get("peak_mb", 0.0))
    write_json(folder / PLAN, {**plan, "peak_mb": peak_mb})
    model = medseg.load_model(package)
    make = partial(SCENES[task.phantom].make, shape=task.shape)
    tuning, test = (
        segmented(model, [partial(make, seed) for seed in range(first, first + count)], task.device)
        for first, count in ((THRESHOLD_SEEDS, threshold_windows), (TEST_SEEDS, windows))
    )
    return {
        **asdict(task),
        "windows": windows,
        "threshold_windows": threshold_windows,
        **figures(test.pairs, balanced_score(tuning.pairs)),
        "seconds": statistics.median(test.seconds),
        "parameters": sum(one.numel() for one in model.network.parameters()),
        "peak_mb": peak_mb,
        "training_minutes": progress.minutes,
        "steps": progress.step,
        "planned_steps": plan["steps"],
        "decayed": progress.step >= DECAYED * plan["steps"],
        "machine": machine("medseg", "torch", "monai"),
    }


def arguments_of(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--head", choices=sorted(HEADS))
    parser.add_argument("--backbone", choices=sorted(BACKBONES), default="residual_pyramid")
    add_length(parser)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--phantom", choices=list(SCENES), default="touching")
    parser.add_argument("--out", type=Path, help="folder of the run, resumed where there is one")
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--threshold-windows", type=int, default=200)
    parser.add_argument("--shape", type=int, nargs=3, default=(48, 64, 64), metavar=("Z", "Y", "X"))
    parser.add_argument("--table", type=Path, nargs="+", metavar="FOLDER", help="print the tables")
    parser.add_argument("--ceilings", action="store_true", help="print what each mask can give")
    found = parser.parse_args(words)
    if not (found.table or found.ceilings):
        if found.head is None:
            parser.error("give --head, --table or --ceilings")
        refuse_wrong_length(parser, found)
    return found


def main(words: Sequence[str] | None = None) -> int:
    """Print a row, the tables or the ceilings."""
    asked = arguments_of(words)
    shape: Shape = (asked.shape[0], asked.shape[1], asked.shape[2])
    if asked.table:
        print_tables([json.loads((one / ROW).read_text(encoding="utf-8")) for one in asked.table])
        return 0
    if asked.ceilings:
        make = SCENES[asked.phantom].make
        print_ceilings([make(seed, shape=shape).truth for seed in range(asked.windows)])
        return 0
    torch.set_num_threads(1)
    task = Task(
        asked.head,
        asked.backbone,
        asked.phantom,
        asked.minutes,
        asked.seed,
        shape,
        asked.steps,
        asked.device,
    )
    folder = asked.out or task.folder
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ROW).is_file():
        write_json(folder / ROW, measured(task, folder, asked.windows, asked.threshold_windows))
    print_row(json.loads((folder / ROW).read_text(encoding="utf-8")))
    return 0


if __name__ == "__main__":
    sys.exit(main())

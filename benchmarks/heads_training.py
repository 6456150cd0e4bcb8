"""A training of so many minutes, resumable; its steps are planned from a short one's pace.

The minutes are those of the processor, on one thread: what else a machine does leaves them alone.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from medseg.io.atomic import atomic_path
from medseg.training import train
from medseg.training.checkpoint import Progress, load_checkpoint
from medseg.training.recipe import Recipe

PACE_STEPS = 25
"""Steps of the short run; the first few, which warm the memory up, do not count."""
SPARE = 0.87
"""The share of the minutes that is planned for: a busy machine slows down."""
DECAYED = 0.9
"""A run that ends before this share of its steps has not been trained to its end."""
PLAN = "plan.json"


@dataclass(frozen=True)
class Budget:
    """What is trained, for how long: a recipe for so many steps, and where its data lies.

    `said` tells the run from others: a folder holds one. Without `minutes` there are `steps`.
    """

    said: Mapping[str, Any]
    recipe: Callable[[int], Recipe]
    minutes: float | None
    steps: int | None = None
    device: str = "cpu"
    root: Path = Path()


def add_length(parser: argparse.ArgumentParser) -> None:
    """The options that say how long is trained, and where."""
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float)
    length.add_argument("--steps", type=int, help="train so many steps instead")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")


def refuse_wrong_length(parser: argparse.ArgumentParser, found: argparse.Namespace) -> None:
    """Ask for minutes or steps where neither is given; minutes are a CPU's alone."""
    if not (found.minutes or found.steps):
        parser.error("give --minutes or --steps")
    if found.minutes and found.device != "cpu":
        parser.error("--minutes are a CPU's; give --steps on another device")


def planned(budget: Budget, folder: Path) -> dict[str, Any]:
    """The folder's plan: what it is of, seconds a step, steps; measured where there is none yet."""
    path = folder / PLAN
    said = json.loads(json.dumps(dict(budget.said)))
    if path.is_file():
        plan: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if plan["task"] != said:
            msg = f"{folder} holds another row: {plan['task']}"
            raise SystemExit(msg)
        return plan
    if budget.minutes is None:
        plan = {"task": said, "steps": budget.steps}
    else:
        seconds = seconds_a_step(budget, budget.minutes, folder / "pace")
        steps = max(math.floor(SPARE * 60 * budget.minutes / seconds), 1)
        plan = {"task": said, "seconds_a_step": seconds, "steps": steps}
    write_json(path, plan)
    return plan


def seconds_a_step(budget: Budget, minutes: float, folder: Path) -> float:
    """The mean over a short run, which is thrown away."""
    ends = [time.process_time()]

    def note(_done: int, _total: int) -> None:
        ends.append(time.process_time())

    train(
        budget.recipe(PACE_STEPS),
        folder,
        data_root=budget.root,
        device="cpu",
        resume=False,
        progress=note,
        max_minutes=max(minutes / 10, 0.05),
        clock=time.process_time,
    )
    shutil.rmtree(folder)
    each = [b - a for a, b in pairwise(ends)]
    warm = each[min(5, len(each) // 2) :]
    return statistics.fmean(warm)


def trained(budget: Budget, steps: int, folder: Path) -> tuple[Path, Progress]:
    """The package once all steps are taken or the minutes spent, and how far that went."""
    recipe = budget.recipe(steps)
    before = load_checkpoint(folder, recipe)
    spent = Progress() if before is None else before[0]
    package = folder / recipe.model.name
    left = math.inf if budget.minutes is None else budget.minutes - spent.minutes
    if before is None or not (package / "card.toml").is_file() or (left > 0 and spent.step < steps):
        train(
            recipe,
            folder,
            data_root=budget.root,
            device=budget.device,
            progress=partial(show_progress, time.process_time()),
            max_minutes=max(left, 0.0),
            clock=time.process_time,
        )
    after = load_checkpoint(folder, recipe)
    return package, spent if after is None else after[0]


def show_progress(began: float, done: int, total: int) -> None:
    """A line every 100 steps."""
    if done % 100 == 0:
        minutes = (time.process_time() - began) / 60
        print(f"  step {done} of {total}, {minutes:.1f} min", flush=True)


def write_json(path: Path, value: object) -> None:
    """Write a file whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")

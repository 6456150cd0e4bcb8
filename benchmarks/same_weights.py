"""Whether a training gives the same weights again: so many steps of a recipe, twice, bit for bit.

    python benchmarks/same_weights.py MODEL --data FOLDER [--fold N] [--steps N]

Compared are weights, their average and the optimiser's moments of both checkpoints. On a CPU, with
the recipe's threads; another processor or another number of threads may round otherwise.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import torch
from checking import present
from model_sarcoma import shipped_recipe
from torch import Tensor

from medseg.training import train
from medseg.training.checkpoint import load_checkpoint
from medseg.training.recipe import Recipe


class EnoughError(Exception):
    """The steps that were asked for are taken."""


def after(recipe: Recipe, data: Path, steps: int) -> dict[str, Tensor]:
    """What a checkpoint holds after the first steps."""

    def stop(done: int, _total: int) -> None:
        if done == steps:
            raise EnoughError

    with tempfile.TemporaryDirectory() as folder:
        with suppress(EnoughError):
            train(recipe, Path(folder), data_root=data, device="cpu", progress=stop)
        kept = load_checkpoint(Path(folder), recipe)
        if kept is None:
            msg = "no checkpoint was left"
            raise SystemExit(msg)
        return dict(kept[1])


def main() -> int:
    """Print how many tensors are the same; 0 where all are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a shipped name")
    parser.add_argument("--data", type=Path, required=True, help="the folder of its set")
    parser.add_argument("--fold", type=int)
    parser.add_argument("--steps", type=int, default=20)
    asked = parser.parse_args()
    recipe = shipped_recipe(asked.model)
    if asked.fold is not None:
        recipe = recipe.fold(asked.fold)
    data = present(asked.data, "--data")
    once, again = (after(recipe, data, asked.steps) for _ in range(2))
    same = sum(name in again and torch.equal(value, again[name]) for name, value in once.items())
    print(f"{asked.model}, {asked.steps} steps twice: {same} of {len(once)} tensors are the same")
    return 0 if same == len(once) == len(again) else 1


if __name__ == "__main__":
    sys.exit(main())

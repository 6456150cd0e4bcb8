"""The training loop: one, explicit, the same for every head."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from medseg.errors import InputRefused
from medseg.io.atomic import writable_folder
from medseg.models import build
from medseg.training.check import check_cases, expected_by, refuse_faulty
from medseg.training.checkpoint import Progress, load_checkpoint
from medseg.training.datasets import Split, list_cases, load_case, phantom_split, split_cases
from medseg.training.grid_cases import WindowDataset
from medseg.training.initial import in_words, initial_folder
from medseg.training.package import training_domain, write_package
from medseg.training.recipe import Recipe
from medseg.training.run import ProgressCallback, Run, open_fabric
from medseg.training.sections import PhantomData
from medseg.training.synthesis import painter_of

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Kept = tuple[Progress, dict[str, Tensor]]
"""What a checkpoint holds."""


def train(  # noqa: PLR0913 - what a user may say of a training
    recipe: Recipe,
    out: Path,
    *,
    data_root: Path,
    device: str = "auto",
    devices: int | None = None,
    resume: bool = True,
    leave_out_faulty: bool = False,
    progress: ProgressCallback | None = None,
    max_minutes: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Train what a recipe describes and return the folder of the model package.

    The same recipe, device and data give the same weights, also when a run was killed and
    resumed: every window is drawn from the recipe's seed and its own number. (On a CPU: some of
    torch's operations in 3D are not deterministic on a GPU.) `devices` is how many to use, by
    default every GPU or one CPU process; each takes a batch of its own every step, and gradients
    are averaged (the command starts its other processes itself). `progress(done, total)` counts
    steps. After `max_minutes` of this call the run stops where it is, with a checkpoint to resume
    from and a package of the weights so far. `clock` tells the seconds of which those minutes are
    made: `time.process_time` counts the processor's alone. `say` is given lines that a user should
    read, such as which weights of `init` were taken.

    Raises:
        InputRefused: `dataset-invalid` for a faulty data set, unless `leave_out_faulty`; what
            reading a case raises; `recipe-invalid` where `out` holds a run of another recipe, or
            where `init` names no model or one of which no weight fits.
        MissingExtraError: the extra "train" is not installed.
    """
    fabric = open_fabric(device, recipe.training.precision, devices)
    fabric.launch()
    _check_crop(recipe)
    begun = initial_folder(recipe.training.init, data_root)
    folder = writable_folder(out)
    split = _split(recipe, data_root, leave_out_faulty=leave_out_faulty)
    run = _started(recipe, fabric, load_checkpoint(folder, recipe) if resume else None, begun)
    if say is not None and fabric.is_global_zero:
        for line in in_words(run.progress.initial, recipe.model):
            say(line)
    validation = [load_case(case, recipe) for case in split.validation]
    windows = _windows(split, recipe, data_root, fabric)
    stop_at = None if max_minutes is None else clock() + 60 * max_minutes
    threads = torch.get_num_threads()
    torch.set_num_threads(recipe.training.threads or threads)
    try:
        run.fit(windows, validation, folder, progress=progress, stop_at=stop_at, clock=clock)
    finally:
        torch.set_num_threads(threads)
    package = folder / recipe.model.name
    if not fabric.is_global_zero:
        return package
    balance = recipe.training.balance_volumes and run.progress.step == recipe.training.steps
    return write_package(
        package,
        recipe,
        run.balanced(validation) if balance else run.averaged,
        cases=len(split.training),
        progress=run.progress,
        device=str(fabric.device),
        domain=training_domain(split.training, recipe),
    )


def _windows(split: Split, recipe: Recipe, data_root: Path, fabric: Fabric) -> WindowDataset:
    """The windows to train on, with lesions of others in them where the recipe says so."""
    painter = painter_of(recipe, data_root)
    return WindowDataset(split.training, recipe, device=fabric.device, painter=painter)


def _started(recipe: Recipe, fabric: Fabric, kept: Kept | None, initial: Path | None) -> Run:
    """A run at its checkpoint, or at step 0."""
    run = Run.start(recipe, fabric, initial=initial if kept is None else None)
    if kept is not None:
        run.restore(*kept)
    return run


def _check_crop(recipe: Recipe) -> None:
    multiple = build(recipe.model).multiple
    shape = recipe.training.crop_shape
    if any(length % multiple for length in shape):
        raise InputRefused(
            code="recipe-invalid",
            subject="training.crop_shape",
            detail=f"{list(shape)} is not divisible by {multiple}, the backbone's last stride",
            remedy=f"give multiples of {multiple}",
        )


def _split(recipe: Recipe, data_root: Path, *, leave_out_faulty: bool) -> Split:
    if isinstance(recipe.data, PhantomData):
        return phantom_split(recipe.data)
    cases = list_cases(recipe, data_root)
    report = check_cases(recipe.data.name, cases, expected_by(recipe))
    return split_cases(recipe.data, refuse_faulty(report, leave_out=leave_out_faulty))

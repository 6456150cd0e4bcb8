"""The training loop: one, explicit, the same for every head."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from medseg.errors import InputRefused, MissingExtraError
from medseg.heads import HEADS
from medseg.inference.engines import choose_device
from medseg.io.atomic import writable_folder
from medseg.models import InstanceNetwork, Model, build, decoder_of
from medseg.training.balance import balance_volumes
from medseg.training.check import check_cases, expected_by, refuse_faulty
from medseg.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from medseg.training.datasets import (
    LoadedCase,
    Split,
    list_cases,
    load_case,
    phantom_split,
    split_cases,
)
from medseg.training.grid_cases import WindowDataset
from medseg.training.package import write_package
from medseg.training.recipe import PhantomData, Recipe, TrainingSection
from medseg.training.validation import validate
from medseg.training.windows import Window

if TYPE_CHECKING:
    from lightning_fabric import Fabric

ProgressCallback = Callable[[int, int], None]


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
) -> Path:
    """Train what a recipe describes and return the folder of the model package.

    The same recipe, device and data give the same weights, also when a run was killed and
    resumed: every window is drawn from the recipe's seed and its own number. (On a CPU: some of
    torch's operations in 3D are not deterministic on a GPU.) `devices` is how many
    to use, by default every GPU or one CPU process; each takes a batch of its own every step, and
    gradients are averaged (the command starts its other processes itself). `progress(done,
    total)` counts steps. After `max_minutes` of this call the run stops where it is, with a
    checkpoint to resume from and a package of the weights so far.

    Raises:
        InputRefused: `dataset-invalid` for a faulty data set, unless `leave_out_faulty`; what
            reading a case raises; `recipe-invalid` where `out` holds a run of another recipe.
        MissingExtraError: the extra "train" is not installed.
    """
    fabric = _fabric(device, recipe.training.precision, devices)
    fabric.launch()
    _check_crop(recipe)
    folder = writable_folder(out)
    split = _split(recipe, data_root, leave_out_faulty=leave_out_faulty)
    run = _Run.start(recipe, fabric, folder, resume=resume)
    validation = [load_case(case, recipe) for case in split.validation]
    windows = WindowDataset(split.training, recipe)
    stop_at = None if max_minutes is None else time.monotonic() + 60 * max_minutes
    threads = torch.get_num_threads()
    torch.set_num_threads(recipe.training.threads or threads)
    try:
        run.fit(windows, validation, folder, progress=progress, stop_at=stop_at)
    finally:
        torch.set_num_threads(threads)
    package = folder / recipe.model.name
    if not fabric.is_global_zero:
        return package
    weights = run.averaged
    if recipe.training.balance_volumes and run.progress.step == recipe.training.steps:
        weights = run.balanced(validation)
    return write_package(
        package,
        recipe,
        weights,
        cases=len(split.training),
        progress=run.progress,
        device=str(fabric.device),
    )


@dataclass
class _Run:
    """A training in memory: everything that a checkpoint keeps."""

    recipe: Recipe
    fabric: Fabric
    network: InstanceNetwork
    wrapped: Any
    optimizer: Any
    averaged: dict[str, Tensor]
    progress: Progress

    @classmethod
    def start(cls, recipe: Recipe, fabric: Fabric, folder: Path, *, resume: bool) -> _Run:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.training.seed)
            network = build(recipe.model)
        training = recipe.training
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
        )
        wrapped, optimizer = fabric.setup(network, optimizer)
        run = cls(recipe, fabric, network, wrapped, optimizer, {}, Progress())
        run.averaged = {name: value.detach().clone() for name, value in run.weights()}
        if resume and (found := load_checkpoint(folder, recipe)) is not None:
            run.progress, tensors = found
            run.restore(tensors)
        return run

    def weights(self) -> list[tuple[str, Tensor]]:
        """The network's weights by name, without the wrapper's prefix."""
        return list(self.network.state_dict().items())

    def fit(
        self,
        windows: WindowDataset,
        validation: Sequence[Any],
        folder: Path,
        *,
        progress: ProgressCallback | None,
        stop_at: float | None,
    ) -> None:
        """Take the steps that are left, validating and keeping checkpoints on the way."""
        training = self.recipe.training
        spent, began = self.progress.minutes, time.monotonic()
        kept_at, kept_step = began, self.progress.step
        try:
            for batch in _batches(windows, training, self.progress.step, self.fabric):
                losses = self.step(batch)
                self.progress.step += 1
                self.progress.minutes = spent + (time.monotonic() - began) / 60
                step = self.progress.step
                if progress is not None and self.fabric.is_global_zero:
                    progress(step, training.steps)
                if step % training.validate_every == 0 or step == training.steps:
                    self.note(losses, validation)
                    self.fabric.barrier()
                noted = step % training.validate_every == 0
                due = noted or time.monotonic() - kept_at > 60 * training.checkpoint_every_minutes
                every = training.checkpoint_every_steps
                if due or (every is not None and step % every == 0):
                    self.keep(folder)
                    kept_at, kept_step = time.monotonic(), step
                if self._time_is_up(stop_at):
                    break
        finally:
            # Also when the user interrupts: the steps since the last checkpoint are not lost.
            if self.progress.step > kept_step:
                self.keep(folder)

    def _time_is_up(self, stop_at: float | None) -> bool:
        """The first device's word for all: one that stopped alone would leave others waiting."""
        over = stop_at is not None and time.monotonic() > stop_at
        return bool(self.fabric.broadcast(over)) if self.fabric.world_size > 1 else over

    def step(self, batch: Sequence[Window]) -> dict[str, float]:
        """One step of the optimiser; the losses by name, unweighted."""
        recipe, training = self.recipe, self.recipe.training
        for group in self.optimizer.param_groups:
            group["lr"] = training.learning_rate * schedule(training, self.progress.step)
        image = torch.stack([window.image for window in batch]).to(self.fabric.device)
        head = HEADS[recipe.model.head.name]
        raw = self.wrapped(image)
        targets = [window.target for window in batch]
        parts = head.loss(raw, targets, recipe.model.classes, recipe.model.spacing_mm)
        weights = {**head.loss_weights, **training.loss_weights}
        total = torch.stack([weights.get(name, 1.0) * part for name, part in parts.items()]).sum()
        self.optimizer.zero_grad()
        self.fabric.backward(total)
        self.fabric.clip_gradients(
            self.wrapped, self.optimizer, max_norm=training.gradient_clip, error_if_nonfinite=True
        )
        self.optimizer.step()
        self.average()
        return {name: float(part.detach()) for name, part in parts.items()}

    def average(self) -> None:
        """Move the averaged weights towards the present ones; early on, quickly."""
        decay = min(self.recipe.training.ema_decay, (1 + self.progress.step) / 10)
        with torch.no_grad():
            for name, value in self.weights():
                kept = self.averaged[name]
                if kept.is_floating_point():
                    kept.lerp_(value, 1 - decay)
                else:
                    kept.copy_(value)

    def note(self, losses: Mapping[str, float], validation: Sequence[Any]) -> None:
        """Validate the averaged weights, on the first device, and add a row of figures."""
        if not self.fabric.is_global_zero:
            return
        row = {"step": float(self.progress.step), **{f"loss_{k}": v for k, v in losses.items()}}
        if validation:
            row |= validate(self.model(), validation, _device_name(self.fabric))
        self.progress.rows.append(row)

    def model(self) -> Model:
        """The averaged weights as a model."""
        network = build(self.recipe.model)
        network.load_state_dict(self.averaged)
        return Model(self.recipe.model, network.eval(), decoder_of(self.recipe.model))

    def balanced(self, validation: Sequence[LoadedCase]) -> dict[str, Tensor]:
        """The averaged weights with organ volumes balanced; the last row of figures is theirs."""
        model, device = self.model(), _device_name(self.fabric)
        shifts = balance_volumes(model, validation, device)
        names = [one.name for one in self.recipe.model.classes if one.kind == "organ"]
        self.progress.rows.append(
            {"step": float(self.progress.step)}
            | {f"shift_{name}": one for name, one in zip(names, shifts, strict=True)}
            | validate(model, validation, device)
        )
        return dict(model.network.state_dict())

    def keep(self, folder: Path) -> None:
        """Write a checkpoint, from the first device."""
        if not self.fabric.is_global_zero:
            return
        moments = {
            f"optimizer.{number}.{name}": value
            for number, kept in self.optimizer.state_dict()["state"].items()
            for name, value in kept.items()
        }
        tensors = {
            **{f"network.{name}": value for name, value in self.weights()},
            **{f"averaged.{name}": value for name, value in self.averaged.items()},
            **moments,
        }
        save_checkpoint(folder, self.recipe, self.progress, tensors)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take weights, their average and the optimiser's moments from a checkpoint."""
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "averaged": {}, "optimizer": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["optimizer"].items():
            number, _, moment = name.partition(".")
            moments.setdefault(int(number), {})[moment] = value
        self.network.load_state_dict(parts["network"])
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.averaged = {k: v.to(self.fabric.device) for k, v in parts["averaged"].items()}


def schedule(training: TrainingSection, step: int) -> float:
    """The factor of the learning rate at a step: linear warm-up, then decay to zero, or none."""
    if step < training.warmup_steps:
        return (step + 1) / training.warmup_steps
    if training.schedule == "constant":
        return 1.0
    done = (step - training.warmup_steps) / (training.steps - training.warmup_steps)
    if training.schedule == "cosine":
        return float(0.5 * (1 + torch.cos(torch.tensor(done * torch.pi))))
    return float((1 - done) ** 0.9)


def _batches(
    windows: WindowDataset, training: TrainingSection, first_step: int, fabric: Fabric
) -> DataLoader[Window]:
    """The batches that are left, a device's own: every device sees other windows."""
    size, count, rank = training.batch_size, fabric.world_size, fabric.global_rank
    numbers = [
        (step * count + rank) * size + place
        for step in range(first_step, training.steps)
        for place in range(size)
    ]
    return DataLoader(
        Subset(windows, numbers), batch_size=training.batch_size, collate_fn=list, num_workers=0
    )


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


def _fabric(device: str, precision: str, devices: int | None) -> Fabric:
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise MissingExtraError("train", "training") from error
    accelerator = choose_device(device).type
    return Fabric(
        accelerator=accelerator,
        devices=devices or (1 if accelerator == "cpu" else "auto"),
        precision="bf16-mixed" if precision == "bf16" else "32-true",
    )


def _device_name(fabric: Fabric) -> str:
    return "cuda" if fabric.device.type == "cuda" else "cpu"

"""A training in memory: one step after the other, and what a checkpoint keeps of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from medseg.errors import MissingExtraError
from medseg.heads import HEADS
from medseg.heads.contract import WindowTarget
from medseg.inference.engines import choose_device
from medseg.models import InstanceNetwork, Model, build, decoder_of
from medseg.training.balance import balance_volumes
from medseg.training.checkpoint import Progress, save_checkpoint
from medseg.training.curves import Curves
from medseg.training.datasets import LoadedCase
from medseg.training.grid_cases import WindowDataset
from medseg.training.initial import take_weights
from medseg.training.recipe import Recipe
from medseg.training.sections import TrainingSection
from medseg.training.short_convolutions import ExactShortConvolutions
from medseg.training.validation import validate
from medseg.training.windows import Window

if TYPE_CHECKING:
    from lightning_fabric import Fabric

COOL_DOWN = 0.2
"""The part of a run over which the trapezoidal schedule's rate falls."""

ProgressCallback = Callable[[int, int], None]


@dataclass
class Run:
    """Network, optimiser, averaged weights and progress of one training.

    `is_whole` is False within a step, while some of the weights have moved and others have not.
    """

    recipe: Recipe
    fabric: Fabric
    network: InstanceNetwork
    wrapped: Any
    optimizer: Any
    averaged: dict[str, Tensor]
    progress: Progress
    is_whole: bool = True

    @classmethod
    def start(cls, recipe: Recipe, fabric: Fabric, *, initial: Path | None = None) -> Run:
        """A run at step 0: weights from the recipe's seed, then those that fit of a package."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.training.seed)
            network = build(recipe.model)
        progress = Progress()
        if initial is not None:
            progress.initial = take_weights(network, initial)
        training = recipe.training
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
        )
        wrapped, optimizer = fabric.setup(network, optimizer)
        run = cls(recipe, fabric, network, wrapped, optimizer, {}, progress)
        run.averaged = {name: value.detach().clone() for name, value in run.weights()}
        return run

    def weights(self) -> list[tuple[str, Tensor]]:
        """The network's weights by name, without the wrapper's prefix."""
        return list(self.network.state_dict().items())

    def fit(
        self,
        windows: WindowDataset,
        validation: Sequence[LoadedCase],
        folder: Path,
        *,
        progress: ProgressCallback | None,
        stop_at: float | None,
        clock: Callable[[], float],
    ) -> None:
        """Take the steps that are left, validating and keeping checkpoints on the way.

        `stop_at` is a time of `clock`, in seconds.
        """
        training = self.recipe.training
        spent, began = self.progress.minutes, clock()
        kept_at, kept_step = time.monotonic(), self.progress.step
        curves = Curves(folder, self.progress.step)
        try:
            if self._lacks_row():  # it was interrupted while it validated
                self.note(validation, curves)
                self.keep(folder)
            for batch in _batches(windows, training, self.progress.step, self.fabric):
                self.progress.add(self.step(batch))
                self.progress.step += 1
                self.is_whole = True
                self.progress.minutes = spent + (clock() - began) / 60
                step = self.progress.step
                if progress is not None and self.fabric.is_global_zero:
                    progress(step, training.steps)
                if self._lacks_row():
                    self.note(validation, curves)
                    self.fabric.barrier()
                noted = step % training.validate_every == 0
                due = noted or time.monotonic() - kept_at > 60 * training.checkpoint_every_minutes
                every = training.checkpoint_every_steps
                if due or (every is not None and step % every == 0):
                    self.keep(folder)
                    kept_at, kept_step = time.monotonic(), step
                if self._is_over(stop_at is not None and clock() > stop_at):
                    break
        finally:
            curves.close()
            # Also when the user interrupts: the steps since the last checkpoint are not lost.
            if self.is_whole and self.progress.step > kept_step:
                self.keep(folder)

    def _lacks_row(self) -> bool:
        """Whether figures are due at this step and not there."""
        training, step, rows = self.recipe.training, self.progress.step, self.progress.rows
        due = step > 0 and (step % training.validate_every == 0 or step == training.steps)
        return due and not (rows and rows[-1]["step"] == step)

    def _is_over(self, over: bool, /) -> bool:  # noqa: FBT001 - the one thing it is about
        """The first device's word for all: one that stopped alone would leave others waiting."""
        return bool(self.fabric.broadcast(over)) if self.fabric.world_size > 1 else over

    def step(self, batch: Sequence[Window]) -> dict[str, float]:
        """One step of the optimiser; "loss" as it was minimised, and its parts, unweighted."""
        recipe, training = self.recipe, self.recipe.training
        for group in self.optimizer.param_groups:
            group["lr"] = training.learning_rate * schedule(training, self.progress.step)
        image = torch.stack([window.image for window in batch]).to(self.fabric.device)
        head = HEADS[recipe.model.head.name]
        targets = [window.target for window in batch]
        with ExactShortConvolutions():
            raw = self.wrapped(image, _Untouched(targets))
        parts = head.loss(raw, targets, recipe.model.classes, recipe.model.spacing_mm)
        weights = {**head.loss_weights, **training.loss_weights}
        total = torch.stack([weights.get(name, 1.0) * part for name, part in parts.items()]).sum()
        self.optimizer.zero_grad()
        self.fabric.backward(total)
        self.fabric.clip_gradients(
            self.wrapped, self.optimizer, max_norm=training.gradient_clip, error_if_nonfinite=True
        )
        self.is_whole = False
        self.optimizer.step()
        self.average()
        found = {"loss": total, **{f"loss_{name}": part for name, part in parts.items()}}
        return {name: float(value.detach()) for name, value in found.items()}

    def average(self) -> None:
        """Move the averaged weights towards the present ones; early on, quickly."""
        step = self.progress.step
        decay = min(self.recipe.training.ema_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in self.weights():
                kept = self.averaged[name]
                if kept.is_floating_point():
                    kept.lerp_(value, 1 - decay)
                else:
                    kept.copy_(value)

    def note(self, validation: Sequence[LoadedCase], curves: Curves) -> None:
        """Validate the averaged weights, on the first device, and add a row of figures.

        Losses are that device's means over the steps since the row before.
        """
        if not self.fabric.is_global_zero:
            self.progress.mean_losses()
            return
        training, step = self.recipe.training, self.progress.step
        rate = training.learning_rate * schedule(training, step - 1)
        found = validate(self.model(), validation, _device_name(self.fabric)) if validation else {}
        losses = self.progress.mean_losses()
        row = {"step": float(step), "learning_rate": rate, **losses, **found}
        self.progress.rows.append(row)
        curves.add(row)

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

    def restore(self, progress: Progress, tensors: Mapping[str, Tensor]) -> None:
        """Take progress, weights, their average and the optimiser's moments from a checkpoint."""
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
        self.progress = progress


class _Untouched:
    """The targets of a batch as a sequence that Fabric takes for no collection.

    It casts what is in lists and dataclasses to another precision, and refuses frozen ones.
    """

    def __init__(self, targets: Sequence[WindowTarget]) -> None:
        self._targets = targets

    def __len__(self) -> int:
        return len(self._targets)

    def __getitem__(self, n: int) -> WindowTarget:
        return self._targets[n]


def schedule(training: TrainingSection, step: int) -> float:
    """The factor of the learning rate at a step: linear warm-up, then decay to zero, or none.

    "trapezoidal" is constant, then falls in a line over the last `COOL_DOWN` of the steps: how
    long a run becomes may be decided while it goes (Hägele et al. 2024).
    """
    if step < training.warmup_steps:
        return (step + 1) / training.warmup_steps
    if training.schedule == "constant":
        return 1.0
    if training.schedule == "trapezoidal":
        return min(1.0, (training.steps - step) / (COOL_DOWN * training.steps))
    done = (step - training.warmup_steps) / (training.steps - training.warmup_steps)
    if training.schedule == "cosine":
        return float(0.5 * (1 + torch.cos(torch.tensor(done * torch.pi))))
    return float((1 - done) ** 0.9)


def open_fabric(device: str, precision: str, devices: int | None) -> Fabric:
    """What runs a training on `devices` of a kind, by default every GPU or one CPU process.

    Raises MissingExtraError without the extra "train".
    """
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


def _device_name(fabric: Fabric) -> str:
    return "cuda" if fabric.device.type == "cuda" else "cpu"

"""`medseg train`: a recipe in, a model package out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.cli.console import progress_bar
from medseg.cli.errors import reported
from medseg.cli.options import Debug, Device, Quiet, model_names

if TYPE_CHECKING:
    from medseg.training.recipe import Recipe


def train(  # noqa: PLR0913 - one parameter an option
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE|NAME",
            autocompletion=model_names,
            help="A recipe (TOML file), or the name of a shipped model, for its own recipe.",
        ),
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="OUT",
            help="Folder for the results, made if missing; results of the same name are replaced.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="ROOT",
            help="Folder that paths in the recipe start from; without it the recipe's own.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume/--restart", help="Go on from the checkpoint in OUT, or begin anew."),
    ] = True,
    device: Device = "auto",
    devices: Annotated[
        int | None,
        typer.Option("--devices", min=1, help="How many of them; by default every GPU, one CPU."),
    ] = None,
    fold: Annotated[
        int | None,
        typer.Option(
            "--fold",
            min=1,
            metavar="N",
            help="Hold out the recipe's fold N, for a cross-validation: train on all the others.",
        ),
    ] = None,
    leave_out_faulty: Annotated[
        bool,
        typer.Option(
            "--leave-out-faulty",
            help="Train without the cases that [bold]medseg check-data[/bold] finds fault with.",
            show_default=False,
        ),
    ] = False,
    max_minutes: Annotated[
        float | None,
        typer.Option("--max-minutes", min=0.0, help="Stop after this time; resume later."),
    ] = None,
    overfit_one: Annotated[
        bool,
        typer.Option(
            "--overfit-one",
            help="Only see whether one window of 24 voxels a side can be learned by heart in 300 "
            "steps: print its AP at IoU 0.5, exit 1 below 1. Writes nothing.",
            show_default=False,
        ),
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a model by a recipe and write a model package to OUT.

    The same command goes on from the last checkpoint after Ctrl-C or a kill.
    A data set with faults is refused.
    """
    if out is None and not overfit_one:
        msg = "say where the model package goes"
        raise typer.BadParameter(msg, param_hint="--out")
    with reported(debug=debug):
        from medseg.models import recipe_path
        from medseg.training.recipe import read_recipe

        path = recipe_path(recipe) or Path(recipe)
        read_recipe(path)  # what is wrong without knowing heads and backbones costs no torch

        from medseg.heads import HEADS
        from medseg.io.atomic import writable_folder
        from medseg.networks import BACKBONES
        from medseg.training import train as run

        plan = read_recipe(path, heads=HEADS, backbones=BACKBONES)
        plan = plan if fold is None else plan.fold(fold)
        root = data or path.parent
        if out is None or overfit_one:
            _overfit(plan, root, device, quiet=quiet)
            return
        with _kept(out, resume=resume), progress_bar("train", quiet=quiet) as progress:
            package = run(
                plan,
                writable_folder(out),
                data_root=root,
                device=device,
                devices=devices,
                resume=resume,
                leave_out_faulty=leave_out_faulty,
                progress=progress,
                max_minutes=max_minutes,
                say=lambda line: typer.echo(line, err=True),
            )
        typer.echo(f"the model package is {package}")


@contextmanager
def _kept(out: Path, *, resume: bool) -> Iterator[None]:
    """Say with an interruption what it did not cost."""
    from medseg.training.checkpoint import CHECKPOINT

    try:
        yield
    except KeyboardInterrupt:
        if not (out / CHECKPOINT).is_file():
            raise
        which = "the same command" if resume else "the same command without --restart"
        msg = f"the steps so far are kept in {out}; {which} goes on from there"
        raise KeyboardInterrupt(msg) from None


def _overfit(plan: Recipe, root: Path, device: str, *, quiet: bool) -> None:
    """Print how well one window was learned; exit 1 where not by heart."""
    from medseg.training import overfit_one
    from medseg.training.overfit import STEPS

    with progress_bar("overfit", quiet=quiet) as progress:
        found = overfit_one(plan, data_root=root, device=device, progress=progress)
    shape = " × ".join(str(length) for length in found.shape)
    typer.echo(
        f"AP50 {found.ap50:.3f} on a window of {shape} voxels with {found.objects} object(s), "
        f"after {found.steps} of at most {STEPS} steps"
    )
    if found.ap50 < 1:
        raise typer.Exit(1)

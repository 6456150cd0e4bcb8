"""`medseg train`: a recipe in, a model package out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medseg.cli.console import progress_bar
from medseg.cli.errors import reported
from medseg.cli.options import Debug, Device, OutFolder, Quiet, model_names


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
    out: OutFolder,
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
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a model by a recipe and write a model package to OUT.

    The same command goes on from the last checkpoint after Ctrl-C or a kill.
    A data set with faults is refused.
    """
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
        with progress_bar("train", quiet=quiet) as progress:
            package = run(
                plan,
                writable_folder(out),
                data_root=data or path.parent,
                device=device,
                devices=devices,
                resume=resume,
                leave_out_faulty=leave_out_faulty,
                progress=progress,
                max_minutes=max_minutes,
            )
        typer.echo(f"the model package is {package}")

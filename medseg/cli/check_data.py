"""`medseg check-data`: what is wrong with a training data set, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medseg.cli.console import progress_bar, rows_of, show_json, show_table
from medseg.cli.errors import reported
from medseg.cli.options import Debug, Json, Quiet, TableFile
from medseg.errors import InputRefused


def check_data(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="Folder with images and labels, or with a dataset.json."
        ),
    ],
    *,
    recipe: Annotated[
        Path | None,
        typer.Option(
            "--recipe",
            metavar="RECIPE",
            help="Recipe whose classes, channels and folders the data has to fit.",
        ),
    ] = None,
    out: TableFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Find what is wrong with a data set before training finds out.

    Looks for missing partners, other grids, wrong classes, labels that are
    no whole numbers, impossible sizes, constant or NaN images, one case twice.
    Exit code 3 where there are faults.
    """
    with reported(debug=debug, as_json=as_json):
        from medseg.io.tables import table_as_rows, write_table
        from medseg.training.check import check_folder
        from medseg.training.recipe import read_recipe

        plan = None if recipe is None else read_recipe(recipe)
        with progress_bar("check", quiet=quiet) as progress:
            report = check_folder(folder, recipe=plan, progress=progress)
        frame = report.as_frame()
        columns = [str(name) for name in frame.columns]
        if out is not None:
            write_table(frame, out)
        if as_json:
            show_json({"cases": len(report.cases), "ok": report.ok, "faults": table_as_rows(frame)})
        elif not quiet:
            if len(frame):
                show_table(folder.name, columns, rows_of(frame, columns))
            typer.echo(f"{len(report.cases)} cases, {len(report.faulty)} of them faulty")
    with reported(debug=debug):  # apart, so that JSON is one document
        if not report.ok:
            raise InputRefused(
                code="dataset-invalid",
                subject=folder.name,
                detail=f"{len(report.faulty)} of {len(report.cases)} cases are faulty",
                remedy="mend or exclude them, or train with --leave-out-faulty",
            )

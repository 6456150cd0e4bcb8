"""`medseg measure`: a label map in, a table of measures out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from medseg.cli.console import show_json, show_warnings
from medseg.cli.errors import about, reported
from medseg.cli.measures import show_measures
from medseg.cli.options import Debug, Json, Series, TableFile, VolumeNumber


def measure(  # noqa: PLR0913 - one parameter an option
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS", help="Label map (NIfTI, NRRD, MHA) or segmentation (.seg.nrrd)."
        ),
    ],
    *,
    out: TableFile = None,
    image: Annotated[
        Path | None,
        typer.Option(
            "--image",
            metavar="IMAGE",
            help="Image on the same grid, for the intensities; without it they are empty.",
        ),
    ] = None,
    series: Series = None,
    volume: VolumeNumber = None,
    values: Annotated[
        Literal["instance", "class"],
        typer.Option(
            "--values", help="What a value of a label map is: one object, or all of one class."
        ),
    ] = "instance",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure every object of a label map: volume in ml, position in LPS mm, intensity.

    The numbers of objects are those of the file. Without -o the table is printed.
    --series and --volume hold for IMAGE.
    """
    if image is None and (series is not None or volume is not None):
        msg = "--series and --volume choose from a DICOM folder given as --image; there is none"
        raise typer.BadParameter(msg)
    with reported(debug=debug, as_json=as_json):
        from medseg import measurement
        from medseg.inference.results import table_as_rows, write_table
        from medseg.io import read, read_instances, require_same_grid

        instances = read_instances(labels, values=values)
        grey = None
        if image is not None:
            with about(image):
                grey = read(image, series=series, volume=volume)
            require_same_grid(instances.geometry, grey.geometry, labels.name)
        show_warnings([*instances.warnings, *(grey.warnings if grey else ())])
        table = measurement.measure(instances, grey)
        if out is not None:
            write_table(table, out)
        if as_json:
            show_json({"instances": table_as_rows(table)})
        elif out is None:
            show_measures(labels.name, table)
        else:
            typer.echo(f"{len(table)} objects are in {out}")

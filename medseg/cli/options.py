"""Options that commands share, and what the shell completes for them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

DEBUG = "medseg.debug"


def _debug(context: typer.Context, value: bool) -> bool:  # noqa: FBT001 - typer's signature
    """Whether `--debug` stands before or after the command's name."""
    debug = value or bool(context.meta.get(DEBUG))
    context.meta[DEBUG] = debug
    return debug


def model_names(incomplete: str) -> list[str]:
    """Names of shipped models that begin so; nothing, where they cannot be listed."""
    try:
        from medseg.models import shipped

        return [name for name in shipped() if name.startswith(incomplete)]
    except (ImportError, OSError):
        return []


TABLE_SUFFIXES = (".csv", ".parquet", ".json")
GROUPS = ("size", "shape", "recist", "intensity", "suv", "relations")
"""As in `medseg.io.tables` and `medseg.measurement`, which --help does not wait for."""


def table_file(value: Path | None) -> Path | None:
    """The path, if its name says what is written there."""
    if value is not None and value.suffix.lower() not in TABLE_SUFFIXES:
        msg = f"give a name that ends in {', '.join(TABLE_SUFFIXES)}, not {value.name!r}"
        raise typer.BadParameter(msg)
    return value


def group_names(value: str | None) -> str | None:
    """The words of `--groups`, if each is one of `GROUPS`."""
    names = [] if value is None else [name.strip() for name in value.split(",")]
    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        msg = f"no group is named {unknown[0]!r}; there are {', '.join(GROUPS)}"
        raise typer.BadParameter(msg)
    return None if value is None else ",".join(names)


def above_zero(value: float | None) -> float | None:
    """The number, if it is finite and above 0."""
    if value is not None and not 0 < value < float("inf"):
        msg = f"a number above 0 is wanted; got {value:g}"
        raise typer.BadParameter(msg)
    return value


Debug = Annotated[
    bool,
    typer.Option(
        "--debug",
        callback=_debug,
        help="On an error, print the traceback and what libraries warn of.",
        show_default=False,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print JSON on stdout; on an error it is an object named error.",
        show_default=False,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="No progress and no table; warnings stay.", show_default=False
    ),
]
DeviceName = Literal["auto", "cpu", "cuda"]
Device = Annotated[
    DeviceName,
    typer.Option("--device", help="Where to compute; auto takes a GPU if there is one."),
]
ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        autocompletion=model_names,
        help="Name from [bold]medseg models list[/bold], or the folder of a model package.",
    ),
]
Series = Annotated[
    str | None,
    typer.Option(
        "--series",
        metavar="ID",
        help="Which series of a DICOM folder, as [bold]medseg inspect[/bold] names it.",
    ),
]
VolumeNumber = Annotated[
    int | None,
    typer.Option(
        "--volume",
        metavar="N",
        min=1,
        help="Which volume of a series, as [bold]medseg inspect[/bold] counts them from 1.",
    ),
]
ModalityName = Annotated[
    Literal["CT", "MR", "PT"] | None,
    typer.Option("--modality", help="What the image is, where its file does not say."),
]
UnitName = Annotated[
    Literal["HU", "SUVbw", "Bq/ml", "arbitrary"] | None,
    typer.Option("--unit", help="What its values are, where its file does not say."),
]
OutFolder = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        metavar="OUT",
        help="Folder for the results, made if missing; results of the same name are replaced.",
    ),
]
TableFile = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="TABLE.csv",
        callback=table_file,
        help="Write the table here, as CSV, Parquet or JSON by its name's end.",
    ),
]
GroupNames = Annotated[
    str | None,
    typer.Option(
        "--groups",
        metavar="A,B",
        callback=group_names,
        help=f"Measure these only: {', '.join(GROUPS)}. All of them by default.",
    ),
]
SliceThickness = Annotated[
    float | None,
    typer.Option(
        "--slice-thickness-mm",
        metavar="MM",
        callback=above_zero,
        help="Thickness of slices, where no image says it; RECIST judges by it.",
    ),
]
PlaneName = Annotated[
    Literal["axial", "coronal", "sagittal"] | None,
    typer.Option("--plane", help="Plane of acquisition, where no image says it, for RECIST."),
]

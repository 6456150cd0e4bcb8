"""Options that commands share, and what the shell completes for them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from medseg.io.dicom import PetUnits

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


ByName = Literal["instance", "component"]
ValuesName = Literal["instance", "class"]
_CONNECTED: Mapping[str, Literal[6, 18, 26]] = MappingProxyType({"6": 6, "18": 18, "26": 26})
PANEL_OBJECTS = "What is an object"
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


def pet_units(unit: str | None, *, raw: bool) -> PetUnits:
    """What PET is read in: SUV, unless its unit or that it be raw is said."""
    if raw:
        if unit == "SUVbw":
            msg = "--raw-units takes PET as it is stored, and --unit SUVbw wants it in SUV"
            raise typer.BadParameter(msg)
        return "stored"
    return "SUVbw" if unit in (None, "SUVbw") else "physical"


def site_secret(path: Path | None) -> bytes | None:
    """The content of the file of `--secret`, without white space at its ends."""
    if path is None:
        return None
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        msg = f"the file of --secret cannot be read ({error.strerror})"
        raise typer.BadParameter(msg) from error
    if len(secret) < 16:
        msg = f"the file of --secret holds {len(secret)} bytes; at least 16 are wanted"
        raise typer.BadParameter(msg)
    return secret


def chosen_values(values: ValuesName | None, names: Path | None) -> ValuesName:
    """What a value of a label map is: as said, else a class where a file names them."""
    if names is not None and values == "instance":
        msg = "--names names classes, and --values instance says that values are objects"
        raise typer.BadParameter(msg)
    return values or ("instance" if names is None else "class")


def chosen_connectivity(by: ByName, said: str | None) -> Literal[6, 18, 26] | None:
    """What connects the parts that become objects; None where objects stay as drawn."""
    if said is not None and by == "instance":
        msg = "--connectivity says how components are made; give --by component too"
        raise typer.BadParameter(msg)
    return _CONNECTED[said or "26"] if by == "component" else None


def dicom_formats(names: list[str] | None) -> list[str] | None:
    """The words of `--format`, if each is one of `DICOM_FORMATS`."""
    unknown = [name for name in names or () if name not in DICOM_FORMATS]
    if unknown:
        msg = f"no such format: {unknown[0]!r}; there are {', '.join(DICOM_FORMATS)}"
        raise typer.BadParameter(msg)
    return names


def view_names(names: list[str] | None) -> list[str] | None:
    """The words of `--as`, if each is one of `VIEWS`."""
    unknown = [name for name in names or () if name not in VIEWS]
    if unknown:
        msg = f"no such view: {unknown[0]!r}; there are {', '.join(VIEWS)}"
        raise typer.BadParameter(msg)
    return names


def moment(text: str | None) -> str | None:
    """The text of `--timestamp`, if it is a date with or without a time, in local time."""
    if text is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        msg = f"a date and time such as 2026-01-31T12:00:00 is wanted; got {text!r}"
        raise typer.BadParameter(msg) from error
    if parsed.tzinfo is not None:
        msg = f"a local time without a zone is wanted, as DICOM has it; got {text!r}"
        raise typer.BadParameter(msg)
    return text


def as_moment(text: str | None) -> datetime | None:
    """The moment that `moment` let pass."""
    return None if text is None else datetime.fromisoformat(text)


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
    typer.Option("--modality", help="What the image is, where its file does not say; PT is PET."),
]
UnitName = Annotated[
    Literal["HU", "SUVbw", "Bq/ml", "arbitrary"] | None,
    typer.Option("--unit", help="What its values are, where its file does not say."),
]
RawUnits = Annotated[
    bool,
    typer.Option(
        "--raw-units",
        help="Take DICOM PET in the unit it is stored in, not in SUV by body weight.",
        show_default=False,
    ),
]
SecretFile = Annotated[
    Path | None,
    typer.Option(
        "--secret",
        metavar="FILE",
        help="File of at least 16 bytes that only your site knows: patients get the same codes in "
        "every listing. Without it they are P1, P2, ...",
    ),
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
VIEWS = ("semantic", "instance", "panoptic")
Views = Annotated[
    list[str] | None,
    typer.Option(
        "--as",
        metavar="|".join(VIEWS),
        callback=view_names,
        autocompletion=lambda: list(VIEWS),
        help="Write this view of the result too; repeatable. instance is always there.",
        show_default=False,
    ),
]
PANEL_DICOM = "DICOM results"
DICOM_FORMATS = ("seg", "sr", "rtstruct")
"""As in `medseg.io.dicom_out`, which --help does not wait for."""
DicomFormats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        metavar="|".join(DICOM_FORMATS),
        callback=dicom_formats,
        autocompletion=lambda: list(DICOM_FORMATS),
        help="Write DICOM of the study of INPUT too; repeatable. sr brings the SEG it refers to.",
        show_default=False,
        rich_help_panel=PANEL_DICOM,
    ),
]
CodesFile = Annotated[
    Path | None,
    typer.Option(
        "--codes",
        metavar="FILE",
        help="Codes of the classes, as JSON or CSV with the columns class and type.",
        rich_help_panel=PANEL_DICOM,
    ),
]
Probabilities = Annotated[
    bool,
    typer.Option(
        "--probabilities",
        help="Write the probabilities too, as a fractional SEG.",
        show_default=False,
        rich_help_panel=PANEL_DICOM,
    ),
]
Timestamp = Annotated[
    str | None,
    typer.Option(
        "--timestamp",
        metavar="TIME",
        callback=moment,
        help="Date and time of DICOM results, now by default; a rerun then gives the same bytes.",
        rich_help_panel=PANEL_DICOM,
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
By = Annotated[
    ByName,
    typer.Option(
        "--by",
        help="An object as it is drawn, or each connected part of it, as masks need.",
        rich_help_panel=PANEL_OBJECTS,
    ),
]
ConnectivityName = Annotated[
    Literal["6", "18", "26"] | None,
    typer.Option(
        "--connectivity",
        help="What connects the parts: faces, edges too, or corners too (26, the default).",
        rich_help_panel=PANEL_OBJECTS,
    ),
]
Values = Annotated[
    ValuesName | None,
    typer.Option(
        "--values",
        help="What a value of a label map is: one object (the default), or all of a class "
        "(the default with --names).",
        rich_help_panel=PANEL_OBJECTS,
    ),
]
NamesFile = Annotated[
    Path | None,
    typer.Option(
        "--names",
        metavar="FILE",
        help="Names of the values, as JSON, dataset.json or CSV.",
        rich_help_panel=PANEL_OBJECTS,
    ),
]
LeastVolume = Annotated[
    float | None,
    typer.Option(
        "--min-volume-ml",
        metavar="ML",
        callback=above_zero,
        help="Leave out what is smaller; how many is said.",
        rich_help_panel=PANEL_OBJECTS,
    ),
]

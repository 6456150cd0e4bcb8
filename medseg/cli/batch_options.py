"""Options that `medseg batch` and `medseg watch` share."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.cli.options import above_zero, model_names, pet_units
from medseg.errors import MissingExtraError

if TYPE_CHECKING:
    from medseg_workflows.records import Settings

PANEL_WHERE = "Where and how long"
PANEL_PRIVACY = "Privacy"

BatchFolder = Annotated[
    Path,
    typer.Option(
        "--out", "-o", metavar="OUT", help="Folder for the results, new or of this batch."
    ),
]
ModelNames = Annotated[
    list[str],
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        autocompletion=model_names,
        help="Name from [bold]medseg models list[/bold], or the folder of a package; repeatable.",
    ),
]
RulesFile = Annotated[
    Path | None,
    typer.Option(
        "--select",
        metavar="RULES.toml",
        help="Which series go to which model; without it the model's card decides.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on in an OUT that was begun with another ROOT, model, option or version: what has "
        "changed is computed anew. The same command goes on without it.",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        help="Processes on this machine, one core each; by default as many as fit.",
        rich_help_panel=PANEL_WHERE,
    ),
]
SchedulerAddress = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="A running scheduler of Dask: tls://, tcp://, or its file.json.",
        rich_help_panel=PANEL_WHERE,
    ),
]
ClusterToml = Annotated[
    Path | None,
    typer.Option(
        "--cluster",
        metavar="CLUSTER.toml",
        help="A cluster to start: local, ssh, slurm, kubernetes; or a running one with TLS.",
        rich_help_panel=PANEL_WHERE,
    ),
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure",
        help="Allow a scheduler on the network without TLS. Whoever reaches it can run code.",
        show_default=False,
        rich_help_panel=PANEL_WHERE,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        metavar="S",
        callback=above_zero,
        help="Seconds that one study may take.",
        rich_help_panel=PANEL_WHERE,
    ),
]
Memory = Annotated[
    float | None,
    typer.Option(
        "--memory",
        metavar="GB",
        callback=above_zero,
        help="Memory that one study may take; by default the workers share the machine.",
        rich_help_panel=PANEL_WHERE,
    ),
]
PseudonymousDicom = Annotated[
    bool,
    typer.Option(
        "--pseudonymous-dicom",
        help="DICOM results name codes instead of the patient, without dates, accession number, "
        "physicians and institution; UIDs stay, since they refer to the images.",
        show_default=False,
        rich_help_panel=PANEL_PRIVACY,
    ),
]
KeepMap = Annotated[
    bool,
    typer.Option(
        "--keep-map",
        help="Write OUT/pseudonyms.csv: whom the codes stand for.",
        show_default=False,
        rich_help_panel=PANEL_PRIVACY,
    ),
]
SiteSecret = Annotated[
    Path | None,
    typer.Option(
        "--secret",
        metavar="FILE",
        help="The site's secret, that codes are made with; by default one in your settings, made "
        "on first use.",
        rich_help_panel=PANEL_PRIVACY,
    ),
]


def require_one_place(*places: object) -> None:
    """Refuse more than one option that says where a batch runs."""
    if sum(one is not None for one in places) > 1:
        msg = "only one of --workers, --scheduler and --cluster says where a batch runs"
        raise typer.BadParameter(msg)


def require_extra(command: str) -> None:
    """Refuse in one line where packages of the extra are not there."""
    wanted = ("cryptography", "distributed", "psutil", "pynetdicom")
    if not all(find_spec(name) for name in wanted):
        raise MissingExtraError("batch", command)


def settings_of(  # noqa: PLR0913 - one parameter an option
    *,
    formats: Sequence[str] | None,
    views: Sequence[str] | None,
    probabilities: bool,
    pseudonymous_dicom: bool,
    modality: str | None,
    unit: str | None,
    raw_units: bool,
    timestamp: str | None,
) -> Settings:
    """What changes results, as the options say it."""
    from medseg_workflows.records import Settings

    return Settings(
        formats=tuple(formats or ()),
        views=tuple(one for one in views or () if one != "instance"),
        probabilities=probabilities,
        pseudonymous_dicom=pseudonymous_dicom,
        modality=modality or "",
        unit=unit or "",
        pet=pet_units(unit, raw=raw_units),
        timestamp=timestamp or "",
    )

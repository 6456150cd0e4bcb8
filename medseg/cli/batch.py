"""`medseg batch`: a folder of studies in, every one measured or explained."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medseg.cli.console import show_json
from medseg.cli.errors import INTERRUPTED, reported
from medseg.cli.folders import index_folder
from medseg.cli.options import (
    Debug,
    DicomFormats,
    Json,
    ModalityName,
    Probabilities,
    Quiet,
    RawUnits,
    Timestamp,
    UnitName,
    Views,
    above_zero,
    model_names,
    pet_units,
)
from medseg.errors import MissingExtraError

if TYPE_CHECKING:
    from medseg_workflows.options import BatchOptions
    from medseg_workflows.records import Plan, Settings

PANEL_WHERE = "Where and how long"
PANEL_PRIVACY = "Privacy"


def batch(  # noqa: PLR0913 - one parameter an option
    root: Annotated[
        Path,
        typer.Argument(metavar="ROOT", help="Folder of studies: DICOM, NIfTI, NRRD or MHA."),
    ],
    *,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="OUT", help="Folder for the results, new or of this batch."
        ),
    ],
    model: Annotated[
        list[str],
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            autocompletion=model_names,
            help="Name from [bold]medseg models list[/bold], or the folder of a package; "
            "repeatable.",
        ),
    ],
    select: Annotated[
        Path | None,
        typer.Option(
            "--select",
            metavar="RULES.toml",
            help="Which series go to which model; without it the model's card decides.",
        ),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Print what would be done, and stop.", show_default=False),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on in an OUT that was begun with another ROOT, model, option or version: what "
            "has changed is computed anew. The same command goes on without it.",
            show_default=False,
        ),
    ] = False,
    retry_quarantined: Annotated[
        bool,
        typer.Option(
            "--retry-quarantined", help="Do failed studies once more.", show_default=False
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            help="Processes on this machine, one core each; by default as many as fit.",
            rich_help_panel=PANEL_WHERE,
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="A running scheduler of Dask: tls://, tcp://, or its file.json.",
            rich_help_panel=PANEL_WHERE,
        ),
    ] = None,
    cluster: Annotated[
        Path | None,
        typer.Option(
            "--cluster",
            metavar="CLUSTER.toml",
            help="A cluster to start: local, ssh, slurm, kubernetes; or a running one with TLS.",
            rich_help_panel=PANEL_WHERE,
        ),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            help="Allow a scheduler on the network without TLS. Whoever reaches it can run code.",
            show_default=False,
            rich_help_panel=PANEL_WHERE,
        ),
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="S",
            callback=above_zero,
            help="Seconds that one study may take.",
            rich_help_panel=PANEL_WHERE,
        ),
    ] = 3600.0,
    memory: Annotated[
        float | None,
        typer.Option(
            "--memory",
            metavar="GB",
            callback=above_zero,
            help="Memory that one study may take; by default the workers share the machine.",
            rich_help_panel=PANEL_WHERE,
        ),
    ] = None,
    modality: ModalityName = None,
    unit: UnitName = None,
    raw_units: RawUnits = False,
    views: Views = None,
    formats: DicomFormats = None,
    probabilities: Probabilities = False,
    timestamp: Timestamp = None,
    pseudonymous_dicom: Annotated[
        bool,
        typer.Option(
            "--pseudonymous-dicom",
            help="DICOM results name codes instead of the patient, without dates, accession "
            "number, physicians and institution; UIDs stay, since they refer to the images.",
            show_default=False,
            rich_help_panel=PANEL_PRIVACY,
        ),
    ] = False,
    keep_map: Annotated[
        bool,
        typer.Option(
            "--keep-map",
            help="Write OUT/pseudonyms.csv: whom the codes stand for.",
            show_default=False,
            rich_help_panel=PANEL_PRIVACY,
        ),
    ] = False,
    secret: Annotated[
        Path | None,
        typer.Option(
            "--secret",
            metavar="FILE",
            help="The site's secret, that codes are made with; by default one in your settings, "
            "made on first use.",
            rich_help_panel=PANEL_PRIVACY,
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Segment and measure every study in a folder; say why where it cannot be.

    OUT gets:

    done/: for each study what [bold]medseg segment[/bold] writes, under a code.
    lesions.csv, .parquet: one row a lesion of any study.
    studies.csv: one row a study. quarantine.csv: what failed, why, and what to do.
    report.html: all of it, to look at. plan.csv: which series went to which model.

    The same command goes on where it was stopped, and does nothing twice. An OUT of another ROOT,
    model, option or version is refused unless --resume is given.

    Exit codes here: 0 all done, 4 some quarantined, 3 nothing selected or nothing done.
    """
    _require_one_place(workers, scheduler, cluster)
    pet = pet_units(unit, raw=raw_units)
    with reported(debug=debug, as_json=as_json):
        _require_extra()
        from medseg_workflows.options import BatchOptions, chosen_cluster
        from medseg_workflows.records import Settings

        memory_mb = None if memory is None else 1024 * memory
        settings = Settings(
            formats=tuple(formats or ()),
            views=tuple(one for one in views or () if one != "instance"),
            probabilities=probabilities,
            pseudonymous_dicom=pseudonymous_dicom,
            modality=modality or "",
            unit=unit or "",
            pet=pet,
            timestamp=timestamp or "",
        )
        options = BatchOptions(
            cluster=chosen_cluster(workers, scheduler, cluster, memory_mb=memory_mb),
            timeout_s=timeout,
            memory_mb=memory_mb,
            select=select,
            secret=secret,
            index=index_folder(),
            resume=resume,
            retry_quarantined=retry_quarantined,
            keep_map=keep_map,
            insecure=insecure,
        )
        given = {"root": root, "out": out, "models": model}
        act = _plan if plan else _run
        act(given, settings, options, as_json=as_json, quiet=quiet)


def _require_one_place(*said: object) -> None:
    if sum(one is not None for one in said) > 1:
        msg = "only one of --workers, --scheduler and --cluster says where a batch runs"
        raise typer.BadParameter(msg)


def _require_extra() -> None:
    """Refuse in one line where packages of the extra are not there."""
    if not all(find_spec(name) for name in ("cryptography", "distributed", "psutil")):
        raise MissingExtraError("batch", "medseg batch")


def _plan(
    given: dict[str, Any], settings: Settings, options: BatchOptions, *, as_json: bool, quiet: bool
) -> None:
    from medseg_workflows import plan_batch
    from medseg_workflows.progress import shown

    with shown(quiet=quiet) as screen:
        found = plan_batch(**given, settings=settings, options=options, screen=screen)
    _show_plan(found, as_json=as_json)


def _show_plan(found: Plan, *, as_json: bool) -> None:
    from medseg_workflows.plan_output import plan_as_dict, plan_lines, plan_table
    from rich.console import Console

    if as_json:
        show_json(plan_as_dict(found))
        return
    Console().print(plan_table(found))
    for line in plan_lines(found):
        typer.echo(line)


def _run(
    given: dict[str, Any], settings: Settings, options: BatchOptions, *, as_json: bool, quiet: bool
) -> None:
    from medseg_workflows import run_batch
    from medseg_workflows.progress import shown

    try:
        with shown(quiet=quiet) as screen:
            found = run_batch(**given, settings=settings, options=options, screen=screen)
    except KeyboardInterrupt as stop:
        typer.echo(f"interrupted: {stop}" if str(stop) else "interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from stop
    if as_json:
        show_json(found.as_dict())
    elif not quiet:
        typer.echo(found.in_words())
        typer.echo(f"report.html and the tables are in {given['out']}")
    raise typer.Exit(found.exit_code)

"""`medseg batch`: a folder of studies in, every one measured or explained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medseg.cli.batch_options import (
    BatchFolder,
    ClusterToml,
    Insecure,
    KeepMap,
    Memory,
    ModelNames,
    PseudonymousDicom,
    Resume,
    RulesFile,
    SchedulerAddress,
    SiteSecret,
    Timeout,
    Workers,
    require_extra,
    require_one_place,
    settings_of,
)
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
)

if TYPE_CHECKING:
    from medseg_workflows.options import BatchOptions
    from medseg_workflows.records import Plan, Settings


def batch(  # noqa: PLR0913 - one parameter an option
    root: Annotated[
        Path,
        typer.Argument(metavar="ROOT", help="Folder of studies: DICOM, NIfTI, NRRD or MHA."),
    ],
    *,
    out: BatchFolder,
    model: ModelNames,
    select: RulesFile = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Print what would be done, and stop.", show_default=False),
    ] = False,
    resume: Resume = False,
    retry_quarantined: Annotated[
        bool,
        typer.Option(
            "--retry-quarantined", help="Do failed studies once more.", show_default=False
        ),
    ] = False,
    workers: Workers = None,
    scheduler: SchedulerAddress = None,
    cluster: ClusterToml = None,
    insecure: Insecure = False,
    timeout: Timeout = 3600.0,
    memory: Memory = None,
    modality: ModalityName = None,
    unit: UnitName = None,
    raw_units: RawUnits = False,
    views: Views = None,
    formats: DicomFormats = None,
    probabilities: Probabilities = False,
    timestamp: Timestamp = None,
    pseudonymous_dicom: PseudonymousDicom = False,
    keep_map: KeepMap = False,
    secret: SiteSecret = None,
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

    It ends with 0 where all is done, 4 where some is quarantined, 3 where nothing is selected or
    nothing done.
    """
    require_one_place(workers, scheduler, cluster)
    settings = settings_of(
        formats=formats,
        views=views,
        probabilities=probabilities,
        pseudonymous_dicom=pseudonymous_dicom,
        modality=modality,
        unit=unit,
        raw_units=raw_units,
        timestamp=timestamp,
    )
    with reported(debug=debug, as_json=as_json):
        require_extra("medseg batch")
        from medseg_workflows.options import BatchOptions, chosen_cluster

        memory_mb = None if memory is None else 1024 * memory
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


def _plan(
    given: dict[str, Any], settings: Settings, options: BatchOptions, *, as_json: bool, quiet: bool
) -> None:
    from medseg_workflows import plan_batch
    from medseg_workflows.plan_output import BATCH
    from medseg_workflows.progress import shown

    with shown(quiet=quiet) as screen:
        found = plan_batch(**given, settings=settings, options=options, screen=screen)
    _show_plan(found, as_json=as_json)
    if not as_json and (given["out"] / BATCH).exists():
        typer.echo("OUT holds a batch: its plan.csv is that of its last run (--json: all of this)")


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

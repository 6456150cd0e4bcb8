"""`medseg watch`: studies that arrive in an inbox, each measured once it is quiet."""

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
from medseg.cli.errors import INTERRUPTED, reported
from medseg.cli.folders import index_folder
from medseg.cli.options import (
    Debug,
    DicomFormats,
    ModalityName,
    Probabilities,
    Quiet,
    RawUnits,
    Timestamp,
    UnitName,
    Views,
    above_zero,
)

if TYPE_CHECKING:
    from medseg_workflows.options import BatchOptions
    from medseg_workflows.receiver import Listen
    from medseg_workflows.records import Settings
    from medseg_workflows.watch import WatchOptions

PANEL_ARRIVAL = "What arrives"


def watch(  # noqa: PLR0913 - one parameter an option
    inbox: Annotated[
        Path,
        typer.Argument(metavar="INBOX", help="Folder that studies arrive in; made if missing."),
    ],
    *,
    out: BatchFolder,
    model: ModelNames,
    quiet_for: Annotated[
        float,
        typer.Option(
            "--quiet-for",
            metavar="S",
            callback=above_zero,
            help="Seconds without any change after which a folder is taken for complete.",
            rich_help_panel=PANEL_ARRIVAL,
        ),
    ] = 120.0,
    every: Annotated[
        float,
        typer.Option(
            "--every",
            metavar="S",
            callback=above_zero,
            help="Seconds between two looks.",
            rich_help_panel=PANEL_ARRIVAL,
        ),
    ] = 10.0,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen",
            metavar="AE@PORT",
            help="Receive DICOM (C-STORE) into INBOX under this AE title, from this machine alone; "
            "AE@HOST:PORT for others.",
            rich_help_panel=PANEL_ARRIVAL,
        ),
    ] = None,
    peers: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="AE",
            help="An AE title that may send, by default any; repeatable. It is no password.",
            rich_help_panel=PANEL_ARRIVAL,
        ),
    ] = None,
    select: RulesFile = None,
    resume: Resume = False,
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
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Segment and measure studies as they arrive, until Ctrl-C.

    Each folder of INBOX, and the files in INBOX itself together, are taken once nothing in them
    has changed for a while: DICOM has no sign that a study is complete. OUT is what
    [bold]medseg batch[/bold] writes, made anew after each arrival. A study that changes later is
    done again, and its older result superseded.
    """
    require_one_place(workers, scheduler, cluster)
    if peers and listen is None:
        msg = "--from says who may send to --listen, which is not given"
        raise typer.BadParameter(msg)
    listening = _listen(listen)
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
    with reported(debug=debug):
        require_extra("medseg watch")
        from medseg_workflows.options import BatchOptions, chosen_cluster
        from medseg_workflows.watch import WatchOptions

        memory_mb = None if memory is None else 1024 * memory
        options = BatchOptions(
            cluster=chosen_cluster(workers, scheduler, cluster, memory_mb=memory_mb),
            timeout_s=timeout,
            memory_mb=memory_mb,
            select=select,
            secret=secret,
            index=index_folder(),
            resume=resume,
            keep_map=keep_map,
            insecure=insecure,
        )
        arrival = WatchOptions(quiet_for, every, listening, tuple(peers or ()))
        given = {"inbox": inbox, "out": out, "models": model}
        _watch(given, settings, options, arrival, quiet=quiet)


def _watch(
    given: dict[str, Any],
    settings: Settings,
    options: BatchOptions,
    arrival: WatchOptions,
    *,
    quiet: bool,
) -> None:
    from medseg_workflows.watch import watch_inbox

    say = (lambda _line: None) if quiet else typer.echo
    try:
        watch_inbox(**given, settings=settings, options=options, watch=arrival, say=say, warn=_warn)
    except KeyboardInterrupt as stop:
        typer.echo("stopped: what is done is kept, and the same command goes on", err=True)
        raise typer.Exit(INTERRUPTED) from stop


def _warn(line: str) -> None:
    """What goes wrong is told whatever else is not."""
    typer.echo(line, err=True)


def _listen(words: str | None) -> Listen | None:
    from medseg_workflows.receiver import Listen

    if words is None:
        return None
    try:
        return Listen.parse(words)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error

"""`medseg watch`: studies that arrive in an inbox, each measured once it is quiet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    pet_units,
)

if TYPE_CHECKING:
    from medseg_workflows.receiver import Listen

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
    with reported(debug=debug):
        from medseg_workflows.options import BatchOptions, chosen_cluster
        from medseg_workflows.records import Settings
        from medseg_workflows.watch import WatchOptions, watch_inbox

        memory_mb = None if memory is None else 1024 * memory
        try:
            where = chosen_cluster(workers, scheduler, cluster, memory_mb=memory_mb)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        settings = Settings(
            formats=tuple(formats or ()),
            views=tuple(one for one in views or () if one != "instance"),
            probabilities=probabilities,
            pseudonymous_dicom=pseudonymous_dicom,
            modality=modality or "",
            unit=unit or "",
            pet=pet_units(unit, raw=raw_units),
            timestamp=timestamp or "",
        )
        options = BatchOptions(
            cluster=where,
            timeout_s=timeout,
            memory_mb=memory_mb,
            select=select,
            secret=secret,
            index=index_folder(),
            resume=resume,
            keep_map=keep_map,
            insecure=insecure,
        )
        arrival = WatchOptions(quiet_for, every, _listen(listen), tuple(peers or ()))
        try:
            watch_inbox(
                inbox,
                out,
                model,
                settings=settings,
                options=options,
                watch=arrival,
                say=(lambda _line: None) if quiet else typer.echo,
            )
        except KeyboardInterrupt as stop:
            typer.echo("stopped: what is done is kept, and the same command goes on", err=True)
            raise typer.Exit(INTERRUPTED) from stop


def _listen(words: str | None) -> Listen | None:
    from medseg_workflows.receiver import Listen

    if words is None:
        return None
    try:
        return Listen.parse(words)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error

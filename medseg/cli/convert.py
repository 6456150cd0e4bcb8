"""`medseg convert`: sound volumes as files, and why others are not; label maps as DICOM."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, cast

import typer

from medseg.cli.console import progress_bar, show_json, show_table, show_warnings
from medseg.cli.errors import about, one_line, reported
from medseg.cli.options import (
    PANEL_DICOM,
    CodesFile,
    Debug,
    Json,
    NamesFile,
    OutFolder,
    Quiet,
    RawUnits,
    SecretFile,
    Series,
    Timestamp,
    Values,
    ValuesName,
    VolumeNumber,
    as_moment,
    chosen_values,
    pet_units,
    site_secret,
)
from medseg.cli.output import output_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from medseg.io.conversion import Entry, ImageFormat, Report
    from medseg.io.dicom import PetUnits
    from medseg.io.dicom_out import DicomFormat, DicomObjects, Source
    from medseg.types import Instances, Kind

NOTHING_READ = 3
PARTLY_REFUSED = 4
_COLUMNS = ("patient", "study", "what", "files", "status", "modality", "unit", "output", "reason")


def convert(  # noqa: PLR0913 - one parameter an option
    study: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT", help="DICOM folder or file, an image file, or a label map (LABELS)."
        ),
    ],
    *,
    out: OutFolder,
    to: Annotated[
        Literal["nifti", "nrrd", "seg", "sr", "rtstruct"],
        typer.Option("--format", help="What is written: images, or a label map as DICOM."),
    ] = "nifti",
    source: Annotated[
        Path | None,
        typer.Option(
            "--source",
            metavar="DICOM",
            help="The series that LABELS were drawn on, for seg, sr and rtstruct.",
            rich_help_panel=PANEL_DICOM,
        ),
    ] = None,
    series: Series = None,
    volume: VolumeNumber = None,
    codes: CodesFile = None,
    names: NamesFile = None,
    values: Values = None,
    timestamp: Timestamp = None,
    raw_units: RawUnits = False,
    secret: SecretFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write every sound volume of a study as a file, or a label map as DICOM.

    Images: OUT gets one file for each volume, named by the number and the
    code of its series, and report.json: what became of each series, and why.
    All of it appears at the end, or nothing does. Exit code 0 where all
    images are read, 4 where some are refused, 3 where none is read. What is
    no image is skipped and changes nothing.

    Label maps of any program: with --source, and --format seg, sr or
    rtstruct, OUT gets DICOM objects of the study that they belong to.
    --series, --volume and --raw-units hold for --source.
    """
    site, pet = site_secret(secret), pet_units(None, raw=raw_units)
    about_labels = {
        "--source": source,
        "--series": series,
        "--volume": volume,
        "--codes": codes,
        "--names": names,
        "--values": values,
        "--timestamp": timestamp,
    }
    _check_options(about_labels, to, secret)
    if source is not None:
        drawn = _Drawn(study, names, chosen_values(values, names))
        with reported(debug=debug, as_json=as_json), output_folder(out) as folder:
            place = _Source(source, series, volume, pet)
            made = _write_dicom(drawn, place, folder, to, codes, as_moment(timestamp))
            show_warnings(made.warnings)
            if as_json:
                show_json({"files": list(made.files)})
            elif not quiet:
                typer.echo(f"{', '.join(made.files) or 'nothing'} in {out}")
        return
    with reported(debug=debug, as_json=as_json), output_folder(out) as folder:
        from medseg.io.conversion import convert as write_volumes

        kind = cast("ImageFormat", to)
        with progress_bar("convert", quiet=quiet) as progress:
            report = write_volumes(
                study, folder, image_format=kind, pet=pet, secret=site, progress=progress
            )
        if as_json:
            show_json(report.as_dict())
        else:
            _show(report, out, quiet=quiet)
    if code := exit_code(report):
        raise typer.Exit(code)


class _Drawn(NamedTuple):
    """A label map, and what its values are."""

    path: Path
    names: Path | None
    values: ValuesName


class _Source(NamedTuple):
    """The series that a label map belongs to, and the unit in which PET is measured."""

    path: Path
    series: str | None
    volume: int | None
    pet: PetUnits


def _check_options(about_labels: Mapping[str, object], to: str, secret: Path | None) -> None:
    """Refuse options that mean nothing together."""
    given = [name for name, value in about_labels.items() if value is not None]
    if to in ("nifti", "nrrd"):
        if given:
            msg = f"{given[0]} is for --format seg, sr and rtstruct"
            raise typer.BadParameter(msg)
    elif about_labels["--source"] is None:
        msg = f"--format {to} needs --source, the DICOM series that the label map belongs to"
        raise typer.BadParameter(msg)
    elif secret is not None:
        msg = "--secret is for the report of images"
        raise typer.BadParameter(msg)


def _write_dicom(
    drawn: _Drawn,
    place: _Source,
    folder: Path,
    to: str,
    codes: Path | None,
    timestamp: datetime | None,
) -> DicomObjects:
    from medseg.io.dicom_out import read_codes, read_source, write_dicom

    with about(place.path):
        source = read_source(place.path, place.series, place.volume)
    found = _instances(drawn, source)
    table = None
    if to == "sr":
        from medseg.io.grids import on_grid
        from medseg.measurement import measure

        found = on_grid(found, source.geometry, drawn.path.name)
        table = measure(found, source.volume(pet=place.pet))
    return write_dicom(
        found,
        source,
        folder,
        formats=(cast("DicomFormat", to),),
        table=table,
        codes=None if codes is None else read_codes(codes),
        timestamp=timestamp,
    )


def _instances(drawn: _Drawn, source: Source) -> Instances:
    from medseg.io import read_instances
    from medseg.io.names import read_names

    kind: Kind = "organ" if drawn.values == "class" else "lesion"
    classes = None if drawn.names is None else read_names(drawn.names, kind=kind)
    return read_instances(
        drawn.path, values=drawn.values, kind=kind, classes=classes, source=source
    )


def exit_code(report: Report) -> int:
    """0 where every image is read, 4 where something is refused, 3 where nothing is read."""
    if not report.written:
        return NOTHING_READ
    return PARTLY_REFUSED if report.count("refused") else 0


def _show(report: Report, out: Path, *, quiet: bool) -> None:
    if not quiet:
        show_table("series", _COLUMNS, [_row(entry) for entry in report.entries])
    for line in (line for entry in report.entries for line in _reasons(entry)):
        typer.echo(f"refused: {one_line(line)}", err=True)
    if not quiet:
        counts = ", ".join(f"{report.count(one)} {one}" for one in ("read", "refused", "skipped"))
        files = f"{report.written} {'volume is' if report.written == 1 else 'volumes are'}"
        typer.echo(f"{len(report.entries)} series: {counts}; {files} in {out}")


def _row(entry: Entry) -> list[object]:
    units = sorted({one.unit for one in entry.volumes if one.output})
    return [
        entry.patient,
        entry.study,
        entry.what.removesuffix(f" ({entry.series})"),
        entry.files,
        entry.status,
        entry.modality,
        ", ".join(units),
        "".join(entry.output) if len(entry.output) < 2 else f"{len(entry.output)} files",
        entry.reason,
    ]


def _reasons(entry: Entry) -> Iterator[str]:
    if not entry.volumes and entry.reason:
        yield f"{entry.what}: {entry.detail} [{entry.reason}]; {entry.remedy}"
    for one in entry.volumes:
        if one.reason:
            which = f", volume {one.number}" if len(entry.volumes) > 1 else ""
            yield f"{entry.what}{which}: {one.detail} [{one.reason}]; {one.remedy}"

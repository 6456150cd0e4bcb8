"""`medseg inspect`: what a file or folder holds, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.cli.console import progress_bar, show_json, show_table, show_warnings
from medseg.cli.errors import one_line, reported
from medseg.cli.folders import index_folder
from medseg.cli.options import Debug, Json, Quiet, SecretFile, site_secret

if TYPE_CHECKING:
    from medseg.io.dicom.report import VolumeReport
    from medseg.io.inspection import Finding, Survey

_COLUMNS = (
    "patient",
    "study",
    "what",
    "format",
    "files",
    "status",
    "shape z y x",
    "mm z y x",
    "axes",
    "modality",
    "unit",
    "series",
    "problem",
)


def _png(value: Path | None) -> Path | None:
    if value is not None and value.suffix.lower() != ".png":
        msg = f"give a name that ends in .png, not {value.name!r}"
        raise typer.BadParameter(msg)
    return value


def inspect(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Image file, or a folder of images or DICOM.")
    ],
    *,
    preview: Annotated[
        Path | None,
        typer.Option(
            "--preview",
            metavar="FILE.png",
            callback=_png,
            help="Write a picture with the middle slice of every sound volume.",
        ),
    ] = None,
    secret: SecretFile = None,
    no_index: Annotated[
        bool,
        typer.Option(
            "--no-index",
            help="Keep nothing of a folder for a quick second look (no names; user's cache).",
        ),
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Say what is at PATH without segmenting it.

    Patients and studies by codes, series, volumes and images with their
    geometry, and why one would be refused: no name, id, date or description.
    What is wrong with an image is no error here: the exit code is 0.
    """
    site = site_secret(secret)
    with reported(debug=debug, as_json=as_json):
        from medseg.io.inspection import survey as look

        survey = look(path, secret=site, index=None if no_index else index_folder())
        if preview is not None:
            _write_preview(survey, preview, quiet=quiet)
        findings = survey.findings
        if as_json:
            show_json({"findings": [finding.as_dict() for finding in findings]})
            return
        if not findings:
            typer.echo(f"nothing that medseg reads is in {path}")
            return
        rows = [row for finding in findings for row in _rows(finding)]
        show_table(path.name or str(path), _COLUMNS, rows)
        for finding in findings:
            for line in _remarks(finding):
                typer.echo(one_line(line))


def _write_preview(survey: Survey, path: Path, *, quiet: bool) -> None:
    from medseg.io.inspection import thumbnails
    from medseg.io.preview_strip import MOST_THUMBNAILS, write_strip

    with progress_bar("preview", quiet=quiet) as progress:
        shown, notes = thumbnails(survey, most=MOST_THUMBNAILS, progress=progress)
    there = len(survey.volumes)
    title = f"{there} sound volume{'' if there == 1 else 's'}"
    write_strip(shown, path, title=title, left_out=there - len(shown))
    show_warnings(notes)


def _rows(finding: Finding) -> Iterator[list[object]]:
    """The row of a finding, and one for each volume where it holds several."""
    yield [
        finding.patient,
        finding.study,
        finding.what.removesuffix(f" ({finding.series})"),
        finding.format,
        finding.files,
        finding.status,
        *_place(finding),
        finding.modality,
        finding.unit,
        finding.series,
        finding.code,
    ]
    for one in finding.volumes if len(finding.volumes) > 1 else ():
        status = "refused" if one.code else "read"
        name, empty = f"- volume {one.number}", ""
        about = [empty, empty, name, empty, None, status]
        yield [*about, *_place(one), empty, one.unit, empty, one.code]


def _place(what: Finding | VolumeReport) -> list[object]:
    return [
        " ".join(str(length) for length in what.shape or ()),
        " ".join(f"{mm:.4g}" for mm in what.spacing_mm or ()),
        what.orientation,
    ]


def _remarks(finding: Finding) -> Iterator[str]:
    """The volumes of a series, its warnings, and why it is refused, a line each."""
    several = finding.volumes if len(finding.volumes) > 1 else ()
    for one in several:
        yield f"{finding.what}: volume {one.number} is {one.label}"
    for warning in finding.warnings:
        yield f"{finding.what}: warning: {warning.detail} [{warning.code}]"
    for one in several:
        if one.code:
            where = f"{finding.what}: volume {one.number}"
            yield f"{where}: {one.detail} [{one.code}]; {one.remedy}"
    if finding.code:
        yield f"{finding.what}: {finding.detail} [{finding.code}]; {finding.remedy}"

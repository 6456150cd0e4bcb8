"""`medseg inspect`: what a file or folder holds, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.cli.console import show_json, show_table
from medseg.cli.errors import one_line, reported
from medseg.cli.options import Debug, Json

if TYPE_CHECKING:
    from medseg.io.inspection import Finding

_COLUMNS = (
    "what",
    "format",
    "files",
    "status",
    "shape z y x",
    "spacing z y x (mm)",
    "axes",
    "modality",
    "unit",
    "series",
)


def inspect(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Image file, or a folder of images or DICOM.")
    ],
    *,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say what is at PATH without segmenting it.

    Images and DICOM series with their geometry, and why one would be refused.
    What is wrong with an image is no error here: the exit code is 0.
    """
    with reported(debug=debug, as_json=as_json):
        from medseg.io.inspection import inspect as look

        findings = look(path)
        if as_json:
            show_json({"findings": [finding.as_dict() for finding in findings]})
            return
        if not findings:
            typer.echo(f"nothing that medseg reads is in {path}")
            return
        show_table(path.name or str(path), _COLUMNS, [_row(finding) for finding in findings])
        for finding in findings:
            for line in _remarks(finding):
                typer.echo(one_line(line))


def _row(finding: Finding) -> list[object]:
    return [
        finding.what,
        finding.format,
        finding.files,
        finding.status,
        " ".join(str(length) for length in finding.shape or ()),
        " ".join(f"{mm:.4g}" for mm in finding.spacing_mm or ()),
        finding.orientation,
        finding.modality,
        finding.unit,
        finding.series,
    ]


def _remarks(finding: Finding) -> list[str]:
    """The volumes of a series, its warnings, and why it is refused, a line each."""
    lines = []
    if len(finding.volumes) > 1:
        numbered = enumerate(finding.volumes, 1)  # as --volume counts
        lines += [f"{finding.what}: volume {n} is {one}" for n, one in numbered]
    lines += [f"{finding.what}: warning: {one.detail} [{one.code}]" for one in finding.warnings]
    if finding.code:
        lines.append(f"{finding.what}: {finding.detail} [{finding.code}]; {finding.remedy}")
    return lines

"""`medseg evaluate`: predictions and references in, how good the predictions are out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from medseg.cli.console import progress_bar, show_json, show_table, show_warnings
from medseg.cli.errors import reported
from medseg.cli.options import (
    PANEL_OBJECTS,
    By,
    ConnectivityName,
    Debug,
    Json,
    LeastVolume,
    NamesFile,
    Quiet,
    Values,
    chosen_connectivity,
    chosen_values,
)
from medseg.cli.output import output_folder

if TYPE_CHECKING:
    from medseg.evaluation.evaluation import Evaluation, EvaluationSettings
    from medseg.evaluation.wording import About

_CRITERIA: Mapping[str, Any] = {"iou": "iou", "dice": "dice", "centre": "centre_mm"}
_DEFAULT_OVERLAP = 0.5
_PANEL_COUNT = "How objects are counted"


def _edges(text: str) -> str:
    """The words of `--size-edges-ml`, if they are rising numbers above 0."""
    try:
        edges = [float(word) for word in text.split(",") if word.strip()]
    except ValueError:
        edges = [0.0]
    if not all(low < high < inf for low, high in zip([0.0, *edges], edges, strict=False)):
        msg = f"rising numbers above 0 are wanted, such as 0.1,1,10; got {text!r}"
        raise typer.BadParameter(msg)
    return text


def evaluate(  # noqa: PLR0913 - one parameter an option
    pred: Annotated[
        Path,
        typer.Argument(
            metavar="PRED", help="Predicted label map or segmentation, or a folder of them."
        ),
    ],
    ref: Annotated[
        Path,
        typer.Argument(metavar="REF", help="Reference, or a folder with files of these names."),
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="REPORT",
            help="Folder for the report, made if missing; files of the same name are replaced.",
        ),
    ] = None,
    values: Values = None,
    by: By = "instance",
    connectivity: ConnectivityName = None,
    names: NamesFile = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--source",
            metavar="DICOM",
            help="The series that SEG or RTSTRUCT were drawn on, which an RTSTRUCT needs.",
            rich_help_panel=PANEL_OBJECTS,
        ),
    ] = None,
    min_volume_ml: LeastVolume = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            "--scores",
            metavar="CSV",
            help="Score of each predicted object (case, instance_id, score); label maps hold none.",
            rich_help_panel=PANEL_OBJECTS,
        ),
    ] = None,
    match: Annotated[
        Literal["greedy", "optimal"],
        typer.Option(
            "--match",
            help="By falling score, or the most pairs and of these the best.",
            rich_help_panel=_PANEL_COUNT,
        ),
    ] = "greedy",
    criterion: Annotated[
        Literal["iou", "dice", "centre"],
        typer.Option(
            "--criterion",
            help="What makes a pair: overlap, or the distance of centroids in mm.",
            rich_help_panel=_PANEL_COUNT,
        ),
    ] = "iou",
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            metavar="T",
            help="Least IoU or Dice (0.5 by default), or largest distance in mm.",
            rich_help_panel=_PANEL_COUNT,
        ),
    ] = None,
    many_to_one: Annotated[
        bool,
        typer.Option(
            "--many-to-one",
            help="Further predictions of a found object are no false alarms.",
            show_default=False,
            rich_help_panel=_PANEL_COUNT,
        ),
    ] = False,
    across_classes: Annotated[
        bool,
        typer.Option(
            "--across-classes",
            help="Objects may match whatever their classes.",
            show_default=False,
            rich_help_panel=_PANEL_COUNT,
        ),
    ] = False,
    score_threshold: Annotated[
        float,
        typer.Option(
            "--score-threshold",
            metavar="S",
            min=0,
            max=1,
            help="Leave predicted objects of a lower score out of all but curves and AP.",
            rich_help_panel=_PANEL_COUNT,
        ),
    ] = 0.0,
    tolerance_mm: Annotated[
        float,
        typer.Option(
            "--tolerance-mm",
            metavar="MM",
            min=0,
            help="Distance that surface Dice allows.",
            rich_help_panel=_PANEL_COUNT,
        ),
    ] = 1.0,
    no_surface: Annotated[
        bool,
        typer.Option(
            "--no-surface",
            help="Measure no surfaces: no surface Dice, HD95 and ASSD, in less time.",
            show_default=False,
            rich_help_panel=_PANEL_COUNT,
        ),
    ] = False,
    size_edges_ml: Annotated[
        str,
        typer.Option(
            "--size-edges-ml",
            metavar="A,B",
            callback=_edges,
            help="Volumes that part the size classes.",
            rich_help_panel=_PANEL_COUNT,
        ),
    ] = "0.1,1,10",
    patients: Annotated[
        Path | None,
        typer.Option(
            "--patients",
            metavar="CSV",
            help="Patient of each case (case, patient), for the intervals; else each case is one.",
            rich_help_panel=_PANEL_COUNT,
        ),
    ] = None,
    bootstrap: Annotated[
        int,
        typer.Option(
            "--bootstrap",
            metavar="N",
            min=0,
            help="Resamples of patients for the intervals; 0 gives none.",
            rich_help_panel=_PANEL_COUNT,
        ),
    ] = 1000,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="N",
            min=0,
            help="Of the resamples; the same seed gives the same intervals.",
            rich_help_panel=_PANEL_COUNT,
        ),
    ] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Say how good predictions are, object by object.

    PRED and REF are two files, or two folders whose files are paired by
    name. Objects that overlap are compared as they are. Without -o the main
    figures are printed; REPORT gets report.html, the tables as CSV, all of
    it as evaluation.json, and the plots as PNG. Those of an earlier report
    there are replaced, all together; other files stay.
    """
    said = {
        "values": chosen_values(values, names),
        "names": names,
        "source": source,
        "scores": scores,
        "patients": patients,
    }
    rule = {"assignment": match, "many_to_one": many_to_one, "within_class": not across_classes}
    settings = {
        "min_volume_ml": min_volume_ml or 0.0,
        "score_threshold": score_threshold,
        "tolerance_mm": tolerance_mm,
        "surface": not no_surface,
        "size_edges_ml": tuple(float(word) for word in size_edges_ml.split(",") if word.strip()),
        "connectivity": chosen_connectivity(by, connectivity),
        "bootstrap_samples": bootstrap,
        "seed": seed,
    }
    chosen = _settings(criterion, threshold, rule, settings)
    with reported(debug=debug, as_json=as_json):
        from medseg.evaluation.wording import overview

        with nullcontext() if out is None else output_folder(out):
            found, about = _compared(pred, ref, chosen, said, quiet=quiet)
            if out is not None:
                from medseg.evaluation.report import write_report

                write_report(found, out, about)
        show_warnings(about.warnings)
        if as_json:
            from medseg.evaluation.document import document

            show_json(document(found, about))
        elif out is not None:
            typer.echo(f"{overview(found)}: {out / 'report.html'}")
        elif not quiet:
            _show(found, about)


def _settings(
    criterion: str, threshold: float | None, rule: Mapping[str, Any], others: Mapping[str, Any]
) -> EvaluationSettings:
    """The settings; a number that makes no sense is a bad call."""
    from medseg.evaluation.evaluation import EvaluationSettings
    from medseg.evaluation.matching import MatchingRule

    if threshold is None and criterion == "centre":
        msg = "--criterion centre needs --threshold, the largest distance of centroids in mm"
        raise typer.BadParameter(msg)
    least = _DEFAULT_OVERLAP if threshold is None else threshold
    try:
        matching = MatchingRule(_CRITERIA[criterion], least, **rule)
        return EvaluationSettings(rule=matching, **others)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _compared(
    pred: Path, ref: Path, settings: EvaluationSettings, said: Mapping[str, Any], *, quiet: bool
) -> tuple[Evaluation, About]:
    """Read and compare one case after the other."""
    from medseg.evaluation import evaluate as compare
    from medseg.evaluation.files import FileCases, Reading
    from medseg.evaluation.wording import About
    from medseg.io.pairs import pair_files

    files = pair_files(pred, ref)
    source = None
    if said["source"] is not None:
        from medseg.io.dicom_out import read_source

        source = read_source(said["source"])
    reading = Reading(said["values"], settings.connectivity, said["names"], source)
    several = len(files.pairs) > 1
    with progress_bar("evaluate", quiet=quiet or not several) as progress:
        cases = FileCases(
            files,
            reading,
            scores=said["scores"],
            patients=said["patients"],
            progress=progress,
        )
        found = compare(cases.pred, cases.ref, settings, patients=cases.patients)
        progress(len(files.pairs), len(files.pairs))
    return found, About(pred.resolve().name, ref.resolve().name, reading.in_words(), cases.warnings)


def _show(found: Evaluation, about: About) -> None:
    """The main figures, all classes and sizes, and how they were counted."""
    from medseg.evaluation.wording import EMPTY, key_figures, overview, settings_in_words

    rows = [["" if cell == EMPTY else cell for cell in row[:3]] for row in key_figures(found)]
    show_table(f"{about.pred} against {about.ref}", ("all classes", "value", "interval"), rows)
    typer.echo(overview(found))
    for name, text in settings_in_words(found, about):
        typer.echo(f"{name}: {text}")

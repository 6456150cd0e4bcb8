"""One HTML page of an evaluation that needs no other file: text, tables and pictures."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from medseg.evaluation.agreement import BlandAltman, Concordance
from medseg.evaluation.document import agreement
from medseg.evaluation.evaluation import Evaluation
from medseg.evaluation.lesionwise import FALSE_ALARM, MATCHED, MISSED
from medseg.evaluation.pictures import PICTURES, WIDE, one_case_a_patient
from medseg.evaluation.sizes import size_names
from medseg.evaluation.terms import ALL
from medseg.evaluation.wording import (
    EMPTY,
    About,
    interval,
    key_figures,
    number,
    overview,
    rows_of,
    settings_in_words,
    short_name,
    with_unit,
)

MOST_SHOWN = 20
"""Rows of a list of objects or cases on the page; the files beside it hold all."""

_PACKAGE, _TEMPLATE = "medseg.evaluation", "page.html.jinja"
_OF_CLASS = ("tp", "fp", "fn", "recall", "precision", "f1", "pq", "map", "dice", "hd95_mm")
_OF_SIZE = tuple(name for name in _OF_CLASS if name != "map")
_OBJECT_HEADS = {
    "case": "case",
    "class_name": "class",
    "ref_id": "reference",
    "pred_id": "prediction",
    "score": "score",
    "volume_ref_ml": "reference ml",
    "volume_pred_ml": "prediction ml",
    "iou": "IoU",
    "dice": "Dice",
    "hd95_mm": "HD95 mm",
}


_TEXT_HEADS = frozenset(("class", "object", "parts"))


class Table(NamedTuple):
    """A table of the page: its caption, heads, and cells as text."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    more: str = ""

    @property
    def sides(self) -> list[str]:
        """Class of style of each column: words stand left, numbers right."""
        return ["text" if head in _TEXT_HEADS else "" for head in self.heads]


def rendered(package: str, template: str, **values: Any) -> str:
    """A page from a template in a package's folder, escaped; a name without a value is an error.

    With `{% include "house.css.jinja" %}` it has the style that the pages of medseg share.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(one, "") for one in (package, _PACKAGE)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def page(evaluation: Evaluation, pictures: Mapping[str, bytes], about: About) -> str:
    """The page as text; `pictures` are the PNG files of `PICTURES` by name.

    Names and warnings are escaped. The same values give the same text.
    """
    figures, conditions = _every_figure(evaluation)
    return rendered(
        _PACKAGE,
        _TEMPLATE,
        about=about,
        overview=overview(evaluation),
        keys=list(key_figures(evaluation)),
        settings=list(settings_in_words(evaluation, about)),
        pictures=[
            (PICTURES[name], name in WIDE, base64.b64encode(content).decode())
            for name, content in pictures.items()
        ],
        results=[one for one in _result_tables(evaluation) if one.rows],
        objects=[one for one in _object_tables(evaluation) if one.rows],
        figures=figures,
        conditions=conditions,
        version=version("medseg"),
    )


def _result_tables(evaluation: Evaluation) -> Iterator[Table]:
    summary = evaluation.summary
    classes = [name for name in summary["class_name"].unique() if name != ALL]
    if len(classes) > 1:
        by_class = {one: rows_of(summary, one) for one in classes}
        yield _pivot("By class", "class", _names(_OF_CLASS, evaluation), by_class)
    sizes = size_names(evaluation.settings.size_edges_ml)
    by_size = {one: rows_of(summary, ALL, one) for one in sizes}
    yield _pivot("By size, all classes", "size", _names(_OF_SIZE, evaluation), by_size)
    yield _agreement_table(evaluation)
    yield _case_table(evaluation)


def _names(metrics: Sequence[str], evaluation: Evaluation) -> dict[str, str]:
    """Those metrics that were taken, and what they are called."""
    taken = set(evaluation.summary["metric"])
    return {
        name: short_name(name, evaluation.settings) + (" (mm)" if name.endswith("_mm") else "")
        for name in metrics
        if name in taken
    }


def _pivot(
    caption: str, head: str, names: Mapping[str, str], of: Mapping[str, pd.DataFrame]
) -> Table:
    rows = []
    for one, figures in of.items():
        cells = [
            number(figures["value"].get(name), figures["unit"].get(name, "")) for name in names
        ]
        rows.append([one, *cells])
    return Table(caption, (head, *names.values()), rows)


def _agreement_table(evaluation: Evaluation) -> Table:
    rows = []
    for name, found in agreement(evaluation).items():
        what, unit = (
            ("total volume", " in ml") if name == "volume_ml" else ("number of objects", "")
        )
        for key, shown in (("difference", unit), ("percent", " in % of the mean")):
            one = found[key]
            if isinstance(one, BlandAltman):
                ends = (
                    (one.bias, one.bias_low, one.bias_high),
                    (one.lower, one.lower_low, one.lower_high),
                    (one.upper, one.upper_low, one.upper_high),
                )
                cells = [_spanned(*three, "signed") for three in ends]
                rows.append([f"{what}{shown}", str(one.n), *cells])
        ccc = found["concordance"]
        if isinstance(ccc, Concordance):
            shown = _spanned(ccc.ccc, ccc.low, ccc.high, "share")
            rows.append([f"{what}, concordance (CCC)", str(ccc.n), shown, "", ""])
    heads = ("a case, prediction minus reference", "n", "bias or CCC", "lower limit", "upper limit")
    said = []
    if not one_case_a_patient(evaluation):
        said.append("Some patients have several cases, so these intervals are too narrow.")
    if evaluation.summary["low"].notna().any():
        said.append("Those by resampling patients, which ask for neither, are with every figure.")
    caption = "Agreement of cases, with intervals for independent cases and normal differences"
    return Table(caption, heads, rows, " ".join(said))


def _case_table(evaluation: Evaluation) -> Table:
    names = {
        "case": "case",
        "count_ref": "reference",
        "count_pred": "predicted",
        "tp": "found",
        "fn": "missed",
        "fp": "false alarms",
        "f1": "F1",
        "pq": "PQ",
        "volume_ref_ml": "reference ml",
        "volume_pred_ml": "predicted ml",
        "splits": "splits",
        "merges": "merges",
    }
    cases = evaluation.cases.sort_values("f1", kind="stable")
    return _listed("Cases, the lowest F1 first", cases, names, "cases.csv")


def _object_tables(evaluation: Evaluation) -> Iterator[Table]:
    objects = evaluation.objects

    def of(status: str, by: str, *, rising: bool = False) -> pd.DataFrame:
        rows = objects[objects["status"] == status]
        return rows.sort_values(by, ascending=rising, kind="stable")

    heads, file = _OBJECT_HEADS, "objects.csv"
    missing = ("pred_id", "score", "volume_pred_ml", "iou", "dice", "hd95_mm")
    alone = ("ref_id", "volume_ref_ml", "iou", "dice", "hd95_mm")
    missed = {name: head for name, head in heads.items() if name not in missing}
    invented = {name: head for name, head in heads.items() if name not in alone}
    yield _listed("Missed, the largest first", of(MISSED, "volume_ref_ml"), missed, file)
    yield _listed("False alarms, the highest score first", of(FALSE_ALARM, "score"), invented, file)
    worst = of(MATCHED, "iou", rising=True)
    yield _listed("Pairs, the lowest IoU first", worst, heads, file)
    relations = evaluation.splits_and_merges.assign(
        what=[
            f"{kind} of {'reference' if kind == 'split' else 'prediction'} {one}"
            for kind, one in zip(
                evaluation.splits_and_merges["kind"],
                evaluation.splits_and_merges["id"],
                strict=True,
            )
        ]
    )
    names = {"case": "case", "class_name": "class", "what": "object", "parts": "parts"}
    yield _listed("Splits and merges", relations, names, "splits_and_merges.csv")


def _listed(caption: str, rows: pd.DataFrame, heads: Mapping[str, str], file: str) -> Table:
    shown = rows[list(heads)].head(MOST_SHOWN)
    units = ["mm" if name.endswith(("_mm", "_ml")) else "share" for name in heads]
    cells = [
        [
            str(value) if isinstance(value, int) else number(value, unit)
            for value, unit in zip(row, units, strict=True)
        ]
        for row in shown.astype(object).itertuples(index=False, name=None)
    ]
    more = f"{len(rows) - MOST_SHOWN} more are in {file}." if len(rows) > MOST_SHOWN else ""
    return Table(f"{caption} ({len(rows)})", tuple(heads.values()), cells, more)


def _every_figure(evaluation: Evaluation) -> tuple[list[list[str]], list[str]]:
    """Every figure over all classes and sizes, and the conditions that they are numbered by."""
    rows: list[list[str]] = []
    conditions: dict[str, int] = {}
    for name, row in rows_of(evaluation.summary, ALL).iterrows():
        how = conditions.setdefault(row["conditions"], len(conditions) + 1)
        cells = [str(name), with_unit(row), interval(row), number(row["n"], "objects")]
        rows.append([*cells, row["definition"], str(how)])
    return rows, list(conditions)


def _spanned(value: float, low: float, high: float, unit: str) -> str:
    text = number(value, unit)
    ends = number(low, unit), number(high, unit)
    return text if EMPTY in ends else f"{text} ({ends[0]} to {ends[1]})"

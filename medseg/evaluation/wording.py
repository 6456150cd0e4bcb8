"""An evaluation in words: settings, figures and names as people read them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pandas as pd

from medseg.evaluation.evaluation import Evaluation, EvaluationSettings
from medseg.evaluation.figures import intervals_in_words
from medseg.evaluation.lesionwise import FALSE_ALARM, FURTHER, MATCHED, MISSED
from medseg.evaluation.sizes import size_names
from medseg.evaluation.terms import ALL
from medseg.measurement.selection import several
from medseg.types import InputWarning

EMPTY = "–"
"""What stands for a figure that cannot be told."""

_KEYS = (
    *("recall", "precision", "f1", "pq", "map", "cpm", "dice", "hd95_mm"),
    *("volume_error_absolute", "volume_ccc", "count_ccc"),
)
_SHORT_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "recall": "Recall",
        "precision": "Precision",
        "f1": "F1",
        "pq": "Panoptic quality",
        "cpm": "CPM",
        "dice": "Dice of pairs",
        "hd95_mm": "HD95 of pairs",
        "volume_error_absolute": "Absolute volume error of pairs",
        "volume_ccc": "CCC of volumes",
        "count_ccc": "CCC of counts",
        "tp": "Found",
        "fp": "False alarms",
        "fn": "Missed",
    }
)


@dataclass(frozen=True)
class About:
    """What an evaluation does not know itself: names of its sides, how they were read."""

    pred: str = "prediction"
    ref: str = "reference"
    reading: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[InputWarning, ...] = ()


def settings_in_words(evaluation: Evaluation, about: About) -> Iterator[tuple[str, str]]:
    """What was compared and how it was counted, as lines of name and text."""
    settings = evaluation.settings
    yield from about.reading.items()
    yield "unit", "the object, by its mask; objects that overlap are kept as they are"
    if settings.connectivity is None:
        yield "connectivity", "none applied: objects were given as such"
    else:
        yield "connectivity", f"objects are {settings.connectivity}-connected components"
    least = settings.min_volume_ml
    yield "minimum size", f"{least:g} ml, on both sides" if least > 0 else "none"
    yield "matching", settings.rule.in_words()
    yield "scores", _scores_in_words(evaluation)
    ious = ", ".join(f"{iou:g}" for iou in settings.iou_thresholds)
    classes = "within class" if settings.rule.within_class else "whatever the class"
    how = f"by falling score, one to one, {classes}, without a cap on objects"
    yield "AP and mAP", f"101 recalls, IoU of at least {ious}, {how}" if ious else "not taken"
    rates = ", ".join(f"{rate:g}" for rate in settings.fp_per_case)
    froc = f"read by step, without interpolation, at {rates} false alarms a case"
    yield "FROC and CPM", froc if rates else "not taken"
    surface = f"tolerance {settings.tolerance_mm:g} mm" if settings.surface else "not measured"
    yield "surface Dice", surface
    sizes = ", ".join(size_names(settings.size_edges_ml))
    yield "size classes", f"{sizes}, by the volume of the reference object" if sizes else "none"
    yield "pooling", "objects of all cases and classes as one pool, unless a table says otherwise"
    yield "intervals", intervals_in_words(settings, evaluation.cases["patient"].nunique())


def overview(evaluation: Evaluation) -> str:
    """How many cases, patients and objects were compared."""
    cases, objects = evaluation.cases, evaluation.objects
    status = objects["status"].value_counts()
    found = sum(int(status.get(one, 0)) for one in (MATCHED, FALSE_ALARM, FURTHER))
    wanted = sum(int(status.get(one, 0)) for one in (MATCHED, MISSED))
    of = f"{several(len(cases), 'case')} of {several(cases['patient'].nunique(), 'patient')}"
    both = several(wanted, "reference object"), several(found, "predicted object")
    return f"{of}, {both[0]}, {both[1]}"


def short_name(metric: str, settings: EvaluationSettings) -> str:
    """What a main figure is called on cards and in tables; of mAP also over which IoU it is."""
    if metric != "map":
        return _SHORT_NAMES[metric]
    ious = settings.iou_thresholds
    ends = [f"{iou:.2f}" if round(iou, 2) == iou else f"{iou:g}" for iou in (ious[0], ious[-1])]
    return f"mAP at IoU {ends[0]}" if len(ious) == 1 else f"mAP over IoU {'–'.join(ends)}"


def key_figures(evaluation: Evaluation) -> Iterator[tuple[str, str, str, str]]:
    """Name, value, interval and definition of the main figures over all classes and sizes."""
    rows = {str(name): row for name, row in rows_of(evaluation.summary, ALL).iterrows()}
    for name in _KEYS:
        if name in rows:
            row = rows[name]
            called = short_name(name, evaluation.settings)
            yield called, with_unit(row), interval(row), str(row["definition"])


def rows_of(summary: pd.DataFrame, class_name: str, size: str = ALL) -> pd.DataFrame:
    """The figures of one class and size, by metric."""
    of = (summary["class_name"] == class_name) & (summary["size_class"] == size)
    return summary[of].set_index("metric")


def number(value: Any, unit: str = "share") -> str:
    """A figure as text: whole numbers as such, shares with 3 decimals, else 3 digits that count."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return EMPTY
    if isinstance(value, str):
        return value or EMPTY
    if math.isinf(value):
        return "∞" if value > 0 else "\N{MINUS SIGN}∞"
    if unit not in ("share", "") and (value == 0 or (unit == "objects" and value == round(value))):
        return f"{value:.0f}"
    if unit in ("share", ""):
        text = f"{round(value, 3) + 0.0:.3f}"  # + 0.0: no "-0.000"
    else:
        text = f"{value:.0f}" if abs(value) >= 1000 else f"{value:#.3g}".removesuffix(".")
    return text.replace("-", "\N{MINUS SIGN}")


def with_unit(row: pd.Series[Any]) -> str:
    """The value of a row of the summary, with mm or mL behind it."""
    unit = row["unit"] if row["unit"] in ("mm", "mL") else ""
    text = number(row["value"], row["unit"])
    return f"{text} {unit}" if unit and text != EMPTY else text


def interval(row: pd.Series[Any]) -> str:
    """Both ends of a row's interval; nothing where there is none."""
    low, high = (number(row[end], row["unit"]) for end in ("low", "high"))
    return "" if EMPTY in (low, high) else f"{low} to {high}"


def _scores_in_words(evaluation: Evaluation) -> str:
    scores = evaluation.objects["score"].dropna().unique()
    least = evaluation.settings.score_threshold
    text = f"at least {least:g}, but every score in curves and AP" if least > 0 else "every score"
    if len(scores) == 1:
        text += (
            f"; all predicted objects have {scores[0]:g}, so AP and FROC know one operating point "
            "and rank nothing"
        )
    return text

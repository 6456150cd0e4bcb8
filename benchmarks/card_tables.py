"""The tables of a model's card, from the records of its cases."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from card_trials import ALL, Record

from medseg.card import Card
from medseg.evaluation.bootstrap import LEAST_PATIENTS, case_weights, interval

Row = dict[str, Any]

FAILURE = 0.6
SAMPLES = 2000
CONFIDENCE = 0.95
WORST = 3


def mean_interval(values: Sequence[float], patients: Sequence[str]) -> str:
    """The middle 95 % of means over patients drawn with replacement, in words."""
    few = len(set(patients))
    if few < LEAST_PATIENTS:
        return f"none: {few} patients"
    weights = case_weights(patients, SAMPLES, seed=0)
    means = weights @ np.asarray(values) / weights.sum(axis=1)
    low, high = interval(means, CONFIDENCE)
    return f"{low:.3f} to {high:.3f}"


def class_rows(records: Sequence[Record], card: Card, *, together: bool) -> list[Row]:
    """A row a class: Dice and volume error over the cases in which it was drawn.

    An organ that nobody drew counts neither way; a lesion that is not there counts as 0 where one
    was found. `together` adds a row of all classes as one.
    """
    names = [one.name for one in card.classes] + ([ALL] if together else [])
    rows = []
    for name in names:
        drawn = [one for one in records if _was_drawn(one, name, card)]
        if drawn:
            rows.append(_class_row(name, drawn))
    return rows


def _was_drawn(record: Record, name: str, card: Card) -> bool:
    found = record["classes"][name]
    kinds = {one.name: one.kind for one in card.classes}
    if name != ALL and kinds[name] == "organ" and found["true"] == 0:
        return False
    return found["dice"] is not None


def _class_row(name: str, drawn: Sequence[Record]) -> Row:
    dice = [one["classes"][name]["dice"] for one in drawn]
    errors = [one["classes"][name]["volume_error"] for one in drawn]
    known = [one for one in errors if one is not None]
    return {
        "class": name,
        "cases": len(drawn),
        "mean Dice": statistics.fmean(dice),
        "95 % interval": mean_interval(dice, [one["patient"] for one in drawn]),
        "worst Dice": min(dice),
        "median absolute volume error": statistics.median(map(abs, known)) if known else None,
        "mean volume error": statistics.fmean(known) if known else None,
        f"failed (Dice < {FAILURE})": sum(one < FAILURE for one in dice),
    }


def lesion_rows(records: Sequence[Record], card: Card) -> list[Row]:
    """A row a class of lesions: counts, and precision, sensitivity and F1 where any voxel meets."""
    rows = []
    for one in card.classes:
        if one.kind != "lesion":
            continue
        parts = [record["classes"][one.name] for record in records]
        patients = [record["patient"] for record in records]
        sums = {key: np.array([part[key] for part in parts]) for key in _COUNTS}
        true, found = int(sums["true"].sum()), int(sums["found"].sum())
        rows.append(
            {
                "class": one.name,
                "true objects": true,
                "found objects": found,
                "count right in": f"{sum(p['found'] == p['true'] for p in parts)} of {len(parts)}",
                "count error": _quotient(found - true, true),
                "precision": _quotient(sums["found_met"].sum(), sums["found"].sum()),
                "sensitivity": _quotient(sums["true_met"].sum(), sums["true"].sum()),
                "F1": f1(sums),
                "95 % interval of F1": _f1_interval(sums, patients),
            }
        )
    return rows


_COUNTS = ("true", "found", "true_met", "found_met")


def f1(sums: Mapping[str, Any]) -> float | None:
    """Harmonic mean of precision and sensitivity over all objects; None without any."""
    precision = _quotient(sums["found_met"].sum(), sums["found"].sum())
    sensitivity = _quotient(sums["true_met"].sum(), sums["true"].sum())
    if precision is None or sensitivity is None:
        return None
    both = precision + sensitivity
    return 2 * precision * sensitivity / both if both else 0.0


def _f1_interval(sums: Mapping[str, Any], patients: Sequence[str]) -> str:
    few = len(set(patients))
    if few < LEAST_PATIENTS:
        return f"none: {few} patients"
    weights = case_weights(patients, SAMPLES, seed=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = weights @ sums["found_met"] / (weights @ sums["found"])
        sensitivity = weights @ sums["true_met"] / (weights @ sums["true"])
        values = 2 * precision * sensitivity / (precision + sensitivity)
    low, high = interval(values, CONFIDENCE)
    return f"{low:.3f} to {high:.3f}"


def _quotient(above: float, below: float) -> float | None:
    return float(above / below) if below else None


def case_dice(record: Record, card: Card) -> float:
    """The mean Dice of a case over the classes that were drawn in it; NaN without one."""
    values = [
        record["classes"][one.name]["dice"]
        for one in card.classes
        if _was_drawn(record, one.name, card)
    ]
    return statistics.fmean(values) if values else math.nan


def worst_cases(records: Sequence[Record], card: Card) -> list[tuple[str, float]]:
    """The cases with the lowest mean Dice, worst first."""
    means = [(one["case"], case_dice(one, card)) for one in records]
    return sorted((one for one in means if math.isfinite(one[1])), key=lambda one: one[1])[:WORST]


def domain_row(records: Sequence[Record]) -> Row:
    """How many of the cases that the model should know were called out of its domain."""
    flagged = [one for one in records if one["out_of_domain"]]
    share = len(flagged) / len(records)
    return {"cases": len(records), "called out of domain": len(flagged), "share": share}


def printed(title: str, rows: Sequence[Row], show: Callable[[str], None] = print) -> None:
    """Print rows, a line each."""
    show(f"\n{title}")
    for row in rows:
        show("  " + "  ".join(f"{key}: {figure(value)}" for key, value in row.items()))


def figure(value: Any) -> str:
    """A value as tables show it."""
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)

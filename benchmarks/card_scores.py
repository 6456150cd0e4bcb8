"""Calibration of a model's scores: the map for its card, how well it holds, and its picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from card_trials import HELD_OUT, VALIDATION, Record
from matplotlib.figure import Figure
from numpy.typing import NDArray

from medseg.card import Card, ScoreMap
from medseg.inference.calibration import BINS, apply_map, expected_calibration_error, fit_map

Row = dict[str, Any]

ECE_BAR, OBJECTS_FOR_BAR = 0.08, 200
LEAST_OBJECTS = 20
"""Below this many objects of validation cases, held-out ones are taken too, case by case."""


class Scored:
    """The found objects of one class: raw scores, whether each is true, and of which patient."""

    def __init__(self, records: Sequence[Record], name: str, criterion: str) -> None:
        found = [
            (one["score"], _is_true(one, criterion), record["patient"], record["part"])
            for record in records
            for one in record["objects"]
            if one["class"] == name
        ]
        self.scores = np.array([one[0] for one in found], dtype=np.float64)
        self.true = np.array([one[1] for one in found], dtype=bool)
        self.patients = np.array([one[2] for one in found], dtype=object)
        self.parts = np.array([one[3] for one in found], dtype=object)


def _is_true(found: dict[str, Any], criterion: str) -> bool:
    return {
        "overlap": found["dice"] > 0,
        "iou 0.5": found["iou"] >= 0.5,
        "dice 0.7": found["dice"] >= 0.7,
    }[criterion]


def calibration(
    records: Sequence[Record], card: Card, criterion: str
) -> tuple[tuple[ScoreMap, ...], list[Row], dict[str, tuple[NDArray[Any], NDArray[Any]]]]:
    """The maps of all classes, a row of figures each, and what those rest on.

    Where validation cases gave `LEAST_OBJECTS` of a class, its map is fitted on them and judged on
    the held-out cases. Where they did not, the map is fitted on all cases that were not trained
    on, and judged by maps that each leave one patient out.
    """
    maps, rows, points = [], [], {}
    for one in card.classes:
        asked = "dice 0.7" if one.kind == "organ" else criterion
        scored = Scored(records, one.name, asked)
        if not scored.scores.size:
            continue
        chosen, said, judged, how = _fitted(scored, one.name, asked)
        maps.append(chosen)
        true = scored.true[judged]
        rows.append(
            {
                "class": one.name,
                "true means": asked,
                "objects": int(judged.sum()),
                "of them true": int(true.sum()),
                "calibration error, raw score": expected_calibration_error(
                    scored.scores[judged], true
                ),
                "calibration error": expected_calibration_error(said, true),
                "map fitted on": f"{chosen.objects} objects {how}",
            }
        )
        points[one.name] = (said, true)
    return tuple(maps), rows, points


def _fitted(
    scored: Scored, name: str, criterion: str
) -> tuple[ScoreMap, NDArray[np.float64], NDArray[np.bool_], str]:
    """The map for the card, probabilities of the objects it is judged on, which those are, how."""

    def fit(chosen: NDArray[np.bool_]) -> ScoreMap:
        return fit_map(
            scored.scores[chosen], scored.true[chosen], class_name=name, criterion=criterion
        )

    watched, judged = scored.parts == VALIDATION, scored.parts == HELD_OUT
    if watched.sum() >= LEAST_OBJECTS:
        found = fit(watched)
        return found, apply_map(found, scored.scores[judged]), judged, "of validation cases"
    said = np.empty(scored.scores.size)
    for patient in np.unique(scored.patients):
        left_out = scored.patients == patient
        said[left_out] = (
            apply_map(fit(~left_out), scored.scores[left_out])
            if not left_out.all()
            else scored.scores[left_out]
        )
    whole = fit(np.ones(scored.scores.size, dtype=bool))
    return whole, said[judged], judged, "of all cases, judged with each patient left out"


def missed(rows: Sequence[Row]) -> list[str]:
    """What of the bar on calibration was not met, in words."""
    return [
        f"{row['class']}: calibration error {row['calibration error']:.3f}, bar {ECE_BAR}"
        for row in rows
        if row["objects"] >= OBJECTS_FOR_BAR and row.get("calibration error", 0.0) > ECE_BAR
    ]


def write_reliability(
    points: dict[str, tuple[NDArray[Any], NDArray[Any]]], path: Path, title: str
) -> None:
    """The picture of probabilities against rates: a point a bin, its area the objects in it."""
    figure = Figure(figsize=(4.6, 4.6), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, zorder=1)
    for name, (said, true) in points.items():
        place = np.minimum((said * BINS).astype(int), BINS - 1)
        used = np.unique(place)
        x = [float(said[place == n].mean()) for n in used]
        y = [float(true[place == n].mean()) for n in used]
        count = np.array([int((place == n).sum()) for n in used])
        sizes = 15 + 300 * count / count.sum()
        axes.scatter(x, y, s=sizes, alpha=0.75, label=f"{name} ({count.sum()} objects)", zorder=2)
    axes.set(
        xlim=(-0.03, 1.03),
        ylim=(-0.03, 1.03),
        xlabel="probability that the score states",
        ylabel="share that is true",
        title=title,
    )
    axes.legend(loc="upper left", fontsize=8, markerscale=0.5)
    figure.savefig(path, metadata={"Software": None})

"""The pictures of one evaluation, from its tables."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from medseg.evaluation.evaluation import Evaluation
from medseg.evaluation.figures import sensitivity_name
from medseg.evaluation.froc import froc_points
from medseg.evaluation.lesionwise import FALSE_ALARM, MATCHED, MISSED
from medseg.evaluation.plots import (
    Comparison,
    Estimates,
    bland_altman_figure,
    froc_figure,
    recall_by_size_figure,
)
from medseg.evaluation.sizes import size_names
from medseg.evaluation.terms import ALL
from medseg.measurement.selection import several

FROC, VOLUMES, COUNTS, SIZES = (
    "froc.png",
    "bland_altman_volume.png",
    "bland_altman_count.png",
    "recall_by_size.png",
)
PICTURES: Mapping[str, str] = {
    FROC: "Recall against false alarms a case, all classes pooled",
    SIZES: "Recall of reference objects by their volume, all classes pooled",
    VOLUMES: "Volume of the prediction minus that of the reference, against their mean",
    COUNTS: "Number of predicted objects minus that of reference objects, against their mean",
}
"""Name of each picture's file, and what it shows, for who cannot see it."""
WIDE = (VOLUMES,)
"""Pictures of two panels."""


def figures_of(evaluation: Evaluation) -> dict[str, Figure]:
    """The figures that are `PICTURES`, by file name; what cannot be drawn is said on them."""
    return {
        FROC: _froc(evaluation),
        SIZES: _recall_by_size(evaluation),
        VOLUMES: _volumes(evaluation),
        COUNTS: _counts(evaluation),
    }


def one_case_a_patient(evaluation: Evaluation) -> bool:
    """Whether cases are independent of each other, as intervals of agreement need them."""
    return bool(evaluation.cases["patient"].is_unique)


def _froc(evaluation: Evaluation) -> Figure:
    settings = evaluation.settings
    rates = settings.fp_per_case
    rows = [_row(evaluation, sensitivity_name(rate)) for rate in rates]
    cases, objects = len(evaluation.cases), evaluation.objects
    wanted = int(objects["status"].isin([MATCHED, MISSED]).sum())
    note = f"{several(cases, 'case')}, {several(wanted, 'reference object')}"
    if settings.score_threshold > 0:
        note += f"; the curve ends at score {settings.score_threshold:g}"
    elif objects["score"].nunique() == 1:
        note += "; all scores are equal, so the curve is one point"
    counted = objects[objects["status"].isin([MATCHED, FALSE_ALARM])]
    _, alarms, recall = froc_points(
        counted["score"].to_numpy(),
        counted["status"].eq(MATCHED).to_numpy(dtype=np.bool_),
        wanted=wanted,
        cases=cases,
    )
    return froc_figure(alarms, recall, rates=rates, at_rates=_estimates(rows), note=note)


def _volumes(evaluation: Evaluation) -> Figure:
    cases = evaluation.cases
    pairs = evaluation.objects[evaluation.objects["status"] == MATCHED]
    names = "volume_pred_ml", "volume_ref_ml"
    whole, single = ((rows[names[0]], rows[names[1]]) for rows in (cases, pairs))
    panels = (
        Comparison(
            "Total volume of a case", *whole, "ml", independent=one_case_a_patient(evaluation)
        ),
        Comparison("Volume of matched objects", *single, "ml", independent=False, log=True),
    )
    return bland_altman_figure(panels, confidence=evaluation.settings.confidence)


def _counts(evaluation: Evaluation) -> Figure:
    cases = evaluation.cases
    panel = Comparison(
        "Objects of a case",
        cases["count_pred"],
        cases["count_ref"],
        "objects",
        independent=one_case_a_patient(evaluation),
        whole=True,
    )
    return bland_altman_figure([panel], confidence=evaluation.settings.confidence)


def _recall_by_size(evaluation: Evaluation) -> Figure:
    names = size_names(evaluation.settings.size_edges_ml) or (ALL,)
    rows = [_row(evaluation, "recall", size) for size in names]
    return recall_by_size_figure(
        names,
        _estimates(rows),
        [0 if np.isnan(row["n"]) else int(row["n"]) for row in rows],
        overall=evaluation.value("recall"),
    )


def _estimates(rows: list[Mapping[str, float]]) -> Estimates:
    return Estimates(*([row[name] for row in rows] for name in ("value", "low", "high")))


def _row(evaluation: Evaluation, metric: str, size: str = ALL) -> Mapping[str, float]:
    """The row of one figure over all classes; of NaN where there is none."""
    rows = evaluation.summary
    found = rows[
        (rows["metric"] == metric) & (rows["class_name"] == ALL) & (rows["size_class"] == size)
    ]
    if found.empty:
        return dict.fromkeys(("value", "low", "high", "n"), float("nan"))
    return {name: float(found[name].iloc[0]) for name in ("value", "low", "high", "n")}

"""The table of figures: each with its interval, how many objects or cases it rests on, and how."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medseg.evaluation.agreement import normal_quantile
from medseg.evaluation.bootstrap import (
    LEAST_PATIENTS,
    Ranking,
    Weights,
    agreements,
    case_aurocs,
    case_weights,
    interval,
    medians,
    quotients,
)
from medseg.evaluation.detection import Findings, pooled
from medseg.evaluation.evaluation import EvaluationSettings
from medseg.evaluation.figures import (
    SURFACE_FIGURES,
    Pooled,
    ap_name,
    conditions,
    figure,
    sensitivity_name,
)
from medseg.evaluation.lesionwise import FALSE_ALARM, MATCHED, MISSED, CaseRecord
from medseg.evaluation.sizes import size_names
from medseg.evaluation.tallies import Tallies, table
from medseg.evaluation.terms import ALL

SUMMARY_COLUMNS = {
    "metric": "str",
    "class_name": "str",
    "size_class": "str",
    "value": "float64",
    "low": "float64",
    "high": "float64",
    "n": "int64",
    "unit": "str",
    "definition": "str",
    "conditions": "str",
}

_Floats = NDArray[np.float64]


class Row(NamedTuple):
    """One figure of all samples, (1 + samples,), and how many objects or cases it rests on."""

    metric: str
    values: _Floats
    n: float


class Samples:
    """How often each sample holds each case, (samples, cases), for sums and for compiled loops."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self._float = weights.astype(np.float64)

    def sums(self, per_case: NDArray[Any]) -> _Floats:
        """Sum over the cases of each sample, (samples,)."""
        total: _Floats = self._float @ per_case.astype(np.float64)
        return total


def summary_table(
    records: Sequence[CaseRecord],
    objects: pd.DataFrame,
    found: Tallies,
    patients: Sequence[str],
    settings: EvaluationSettings,
) -> pd.DataFrame:
    """Every figure of all classes and of each, and those of objects in every size class too."""
    enough = len(set(patients)) >= LEAST_PATIENTS
    drawn = settings.bootstrap_samples if enough else 0
    samples = Samples(case_weights(patients, drawn, settings.seed))
    place = {name: n for n, name in enumerate(found.cases)}
    of_case = np.asarray([place[name] for name in objects["case"]], dtype=np.int64)
    numbered = objects.assign(case_of=of_case)
    pooled_from = Pooled(
        len(records),
        len(set(patients)),
        int(found["too_small_ref"][:, -1].sum()),
        int(found["too_small_pred"][:, -1].sum()),
    )
    rows: list[dict[str, Any]] = []
    for name in (ALL, *found.names[:-1]):
        of_class = numbered if name == ALL else numbered[numbered["class_name"] == name]
        for size in (ALL, *size_names(settings.size_edges_ml)):
            part = of_class if size == ALL else of_class[of_class["size_class"] == size]
            of_part = list(object_rows(part, samples, surface=settings.surface))
            if size == ALL:
                of_part += curve_rows(records, name, found, samples, settings)
                of_part += case_rows(records, name, found, samples)
            rows += [
                {
                    "metric": row.metric,
                    "class_name": name,
                    "size_class": size,
                    "value": row.values[0],
                    **dict(
                        zip(("low", "high"), interval(row.values, settings.confidence), strict=True)
                    ),
                    "n": row.n,
                    "unit": figure(row.metric).unit,
                    "definition": figure(row.metric).definition,
                    "conditions": conditions(
                        row.metric, name, size, settings=settings, pooled=pooled_from
                    ),
                }
                for row in of_part
            ]
    return table(rows, SUMMARY_COLUMNS)


def object_rows(objects: pd.DataFrame, samples: Samples, *, surface: bool) -> Iterator[Row]:
    """Figures of some rows of the table of objects; without a row they are NaN or 0."""
    case_of = objects["case_of"].to_numpy()
    matched, invented, missed = (
        (objects["status"] == status).to_numpy() for status in (MATCHED, FALSE_ALARM, MISSED)
    )
    cases = samples.weights.shape[1]

    def total(chosen: NDArray[np.bool_], values: _Floats | None = None) -> _Floats:
        drawn = None if values is None else values[chosen]
        return samples.sums(np.bincount(case_of[chosen], drawn, cases))

    tp, fp, fn = total(matched), total(invented), total(missed)
    yield Row("tp", tp, (tp + fn)[0])
    yield Row("fp", fp, (tp + fp)[0])
    yield Row("fn", fn, (tp + fn)[0])
    yield Row("precision", quotients(tp, tp + fp), (tp + fp)[0])
    yield Row("recall", quotients(tp, tp + fn), (tp + fn)[0])
    both = tp + fp / 2 + fn / 2
    every = (tp + fp + fn)[0]
    iou = total(matched, objects["iou"].to_numpy())
    yield Row("f1", quotients(tp, both), every)
    yield Row("pq", quotients(iou, both), every)
    yield Row("sq", quotients(iou, tp), tp[0])
    yield Row("rq", quotients(tp, both), every)
    for metric in ("dice", *(SURFACE_FIGURES if surface else ())):
        values = objects[metric].to_numpy()
        yield Row(metric, quotients(total(matched, values), tp), tp[0])
    dice = total(matched, objects["dice"].to_numpy())
    yield Row("dice_all_objects", quotients(dice, tp + fp + fn), every)
    errors = objects["volume_error"].to_numpy()[matched]
    for metric, values in (("volume_error", errors), ("volume_error_absolute", np.abs(errors))):
        yield Row(metric, medians(values, case_of[matched], samples.weights), tp[0])


def curve_rows(
    records: Sequence[CaseRecord],
    name: str,
    found: Tallies,
    samples: Samples,
    settings: EvaluationSettings,
) -> Iterator[Row]:
    """Average precisions and sensitivities of one class or of all as one pool.

    Matched across classes a prediction has no class of its own to be ranked in: all but those of
    the pool are NaN.
    """
    within = settings.rule.within_class
    told = name == ALL or within
    wanted = found["count_ref"][:, found.names.index(name)].sum() if told else 0
    precisions = _average_precisions(records, name, samples, told=told)
    for iou, values in zip(settings.iou_thresholds, precisions, strict=True):
        yield Row(ap_name(iou), values, wanted)
    if settings.iou_thresholds:
        yield Row("map", precisions.mean(axis=0), wanted)
        if name == ALL:
            of_classes = np.asarray(
                [
                    _average_precisions(records, one, samples, told=within).mean(axis=0)
                    for one in found.names[:-1]
                ]
            ).reshape(-1, len(samples.weights))
            there = ~np.isnan(of_classes)
            total = np.where(there, of_classes, 0.0).sum(axis=0)
            yield Row("map_of_classes", quotients(total, there.sum(axis=0)), there[:, 0].sum())
    if settings.fp_per_case:
        ranking = _ranking([record.found for record in records], name)
        curve = ranking.sensitivities(samples.weights, settings.fp_per_case).T
        curve = curve if told else np.full_like(curve, np.nan)
        for rate, values in zip(settings.fp_per_case, curve, strict=True):
            yield Row(sensitivity_name(rate), values, wanted)
        yield Row("cpm", curve.mean(axis=0), wanted)


def _average_precisions(
    records: Sequence[CaseRecord], name: str, samples: Samples, *, told: bool
) -> _Floats:
    """At each IoU threshold and of each sample, (thresholds, samples); NaN where not `told`."""
    at_each = zip(*(record.at_iou for record in records), strict=True)
    found = [_ranking(at, name).average_precisions(samples.weights) for at in at_each]
    shaped = np.asarray(found, dtype=np.float64).reshape(len(found), len(samples.weights))
    return shaped if told else np.full_like(shaped, np.nan)


def _ranking(found: Sequence[Findings], name: str) -> Ranking:
    pool = pooled(found)
    case_of = np.repeat(np.arange(len(found)), [one.scores.size for one in found])
    of_class = np.ones(case_of.size, dtype=np.bool_) if name == ALL else pool.names == name
    counts = [one.wanted for one in found]
    wanted = [sum(one.values()) if name == ALL else one.get(name, 0) for one in counts]
    return Ranking(
        pool.scores[of_class],
        pool.hits[of_class],
        case_of[of_class],
        np.asarray(wanted, dtype=np.int64),
    )


def case_rows(
    records: Sequence[CaseRecord], name: str, found: Tallies, samples: Samples
) -> Iterator[Row]:
    """Figures of which a case is the unit, of one class or of all."""
    place = found.names.index(name)
    ref, pred = found["count_ref"][:, place], found["count_pred"][:, place]
    wanted, drawn = samples.sums(ref), samples.sums(pred)
    yield Row("splits", samples.sums(found["splits"][:, place]), wanted[0])
    yield Row("merges", samples.sums(found["merges"][:, place]), drawn[0])
    yield Row("count_error", quotients(drawn, wanted) - 1, len(records))
    apart = samples.sums(np.abs(pred - ref))
    yield Row("count_error_absolute", quotients(apart, wanted), len(records))
    dice = found.dice[:, place]
    there = ~np.isnan(dice)
    total, known = samples.sums(np.where(there, dice, 0.0)), samples.sums(there)
    yield Row("class_dice", quotients(total, known), known[0])
    best = [
        max(record.top_scores.values(), default=-np.inf)
        if name == ALL
        else record.top_scores.get(name, -np.inf)
        for record in records
    ]
    auroc = case_aurocs(np.asarray(best, dtype=np.float64), ref > 0, samples.weights)
    yield Row("case_auroc", auroc, len(records))
    volumes = found["volume_pred_ml"][:, place], found["volume_ref_ml"][:, place]
    yield from _agreement_rows("volume_{}_ml", "volume_ccc", volumes, samples)
    yield from _agreement_rows("count_{}", "count_ccc", (pred, ref), samples)


def _agreement_rows(
    names: str, ccc_name: str, sides: tuple[_Floats, _Floats], samples: Samples
) -> Iterator[Row]:
    bias, deviation, ccc = agreements(*sides, samples.weights)
    half = normal_quantile(0.95) * deviation
    n = len(sides[0])
    yield Row(names.format("bias"), bias, n)
    yield Row(names.format("limit_low"), bias - half, n)
    yield Row(names.format("limit_high"), bias + half, n)
    yield Row(ccc_name, ccc, n)

"""Whether the right objects were found: average precision, recall, precision and counts.

Every figure is over masks, pooled over all cases; no object is left out for its size. Each takes
cases and a rule. Intervals by resampling come from `summary`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from medseg.evaluation.matching import MatchingRule, match, scores_of
from medseg.evaluation.overlap import PairOverlaps, class_names, pair_overlaps, ratio
from medseg.types import Instances

Cases = Sequence[tuple[Instances, Instances]]
"""Pairs of (prediction, reference), one a case."""

Points = Literal["coco101", "every"]
"""Where a precision-recall curve is read: at 101 recalls, or at each score."""

IOUS_3D = tuple(twentieths / 20 for twentieths in range(2, 11))
"""IoU 0.1, 0.15, ... 0.5, each the closest number to its decimals (a running sum is not)."""

_RECALL_PERCENT = np.arange(101)


@dataclass(frozen=True, eq=False)
class Findings:
    """What one rule says of one case: all that the figures over many cases need.

    Shapes: scores, hits, iou (P,) of the predictions that count, in the order of `items`, with
    names (P,) of their classes: further ones of a many-to-one rule are left out. iou is NaN where
    there is no hit. `wanted` holds the number of references of every class that either side
    knows.
    """

    rule: MatchingRule
    scores: NDArray[np.float64]
    hits: NDArray[np.bool_]
    iou: NDArray[np.float64]
    names: tuple[str, ...]
    wanted: dict[str, int]


class AveragePrecision(TypedDict):
    """Average precision by one rule: of each class, their mean, and of all classes as one pool.

    NaN where the references hold no object of the class, or at all; the mean leaves NaN out.
    Of a rule across classes `per_class` is empty and the mean NaN.
    """

    per_class: dict[str, float]
    mean: float
    pooled: float


class MeanAveragePrecision(TypedDict):
    """Average precision at several thresholds, and its mean over them; NaN as in each of them."""

    thresholds: tuple[float, ...]
    at: tuple[AveragePrecision, ...]
    per_class: dict[str, float]
    mean: float
    pooled: float


class DetectionScores(NamedTuple):
    """What was found (tp), invented (fp) and missed (fn), and the rates; NaN where 0 / 0."""

    tp: int
    fp: int
    fn: int
    precision: float
    recall: float
    f1: float


class CountError(NamedTuple):
    """Errors of the number of objects.

    `bias` is sum(pred) / sum(ref) - 1; `absolute` is the mean of |pred - ref| over cases divided
    by the mean of ref. Without a reference object: NaN where none was predicted, else infinite.
    """

    bias: float
    absolute: float


def as_rule(rule: MatchingRule | float) -> MatchingRule:
    """The rule; of a number COCO's with that IoU."""
    return rule if isinstance(rule, MatchingRule) else MatchingRule(threshold=rule)


def findings(
    pred: Instances,
    ref: Instances,
    rule: MatchingRule,
    *,
    overlaps: PairOverlaps | None = None,
) -> Findings:
    """Match one case and keep what counts; `overlaps` are those of the two, where known already.

    Raises ValueError for a score that is NaN, InputRefused (`grid-mismatch`).
    """
    matching = match(pred, ref, rule, overlaps=overlaps)
    scores = scores_of(pred)
    iou = np.full(len(pred), np.nan)
    iou[matching.pred] = matching.iou
    hits = np.zeros(len(pred), dtype=np.bool_)
    hits[matching.pred] = True
    counts = np.ones(len(pred), dtype=np.bool_)
    counts[matching.further_pred] = False
    wanted = dict.fromkeys(class_names(pred, ref), 0)
    for item in ref.items:
        wanted[item.class_name] += 1
    return Findings(
        rule,
        scores[counts],
        hits[counts],
        iou[counts],
        tuple(pred.items[n].class_name for n in np.flatnonzero(counts)),
        wanted,
    )


class Pool(NamedTuple):
    """The findings of all cases one after the other, as in `Findings`; `rule` None of no case."""

    rule: MatchingRule | None
    scores: NDArray[np.float64]
    hits: NDArray[np.bool_]
    iou: NDArray[np.float64]
    names: NDArray[np.str_]
    wanted: dict[str, int]


def pooled(found: Sequence[Findings]) -> Pool:
    """All cases as one; ValueError where they were matched by different rules."""
    rules = {one.rule for one in found}
    if len(rules) > 1:
        msg = "the findings were made by different rules, and cannot be pooled"
        raise ValueError(msg)
    wanted: dict[str, int] = {}
    for one in found:
        for name, count in one.wanted.items():
            wanted[name] = wanted.get(name, 0) + count
    return Pool(
        next(iter(rules), None),
        np.concatenate([np.zeros(0), *(one.scores for one in found)]),
        np.concatenate([np.zeros(0, dtype=np.bool_), *(one.hits for one in found)]),
        np.concatenate([np.zeros(0), *(one.iou for one in found)]),
        np.asarray([name for one in found for name in one.names], dtype=np.str_),
        wanted,
    )


def average_precision(
    cases: Cases, rule: MatchingRule | float, *, points: Points = "coco101"
) -> AveragePrecision:
    """Average precision by one rule (a number: COCO's, with that IoU), without a cap of 100.

    `coco101` is the mean, over recalls 0, 0.01, ... 1, of the best precision at that recall or a
    higher one (COCO); `every` sums precision times the recall gained over the scores (PI-CAI,
    scikit-learn). Cases are pooled before precision is taken, and matched once, with all
    predictions. Objects of equal score, in whatever case, enter together, so the order of the
    cases does not matter (COCO's code takes them in its order).

    Raises ValueError for a threshold outside (0, 1], InputRefused (`grid-mismatch`).
    """
    one = as_rule(rule)
    return average_precision_of([findings(*case, one) for case in cases], points=points)


def average_precision_of(
    found: Sequence[Findings], *, points: Points = "coco101"
) -> AveragePrecision:
    """`average_precision` of cases that are matched already."""
    if points not in ("coco101", "every"):
        msg = f"points is 'coco101' or 'every'; got {points!r}"
        raise ValueError(msg)
    pool = pooled(found)
    per_class: dict[str, float] = {}
    if pool.rule is not None and pool.rule.within_class:
        for name, wanted in pool.wanted.items():
            of_class = pool.names == name
            per_class[name] = _area(pool.scores[of_class], pool.hits[of_class], wanted, points)
    return {
        "per_class": per_class,
        "mean": _mean_of_defined(per_class.values()),
        "pooled": _area(pool.scores, pool.hits, sum(pool.wanted.values()), points),
    }


def mean_average_precision(
    cases: Cases,
    thresholds: Sequence[float] = IOUS_3D,
    *,
    rule: MatchingRule | None = None,
    points: Points = "coco101",
) -> MeanAveragePrecision:
    """The mean of `average_precision` over thresholds of one rule, by default COCO's.

    The default thresholds are nnDetection's for 3D, IoU 0.1:0.05:0.5, over masks.

    Raises ValueError without a threshold or for one that the rule cannot have.
    """
    if not thresholds:
        msg = "mean average precision needs at least one threshold"
        raise ValueError(msg)
    rules = [replace(rule or MatchingRule(), threshold=threshold) for threshold in thresholds]
    shared = [pair_overlaps(*case) for case in cases]
    at = []
    for one in rules:
        found = [findings(*case, one, overlaps=o) for case, o in zip(cases, shared, strict=True)]
        at.append(average_precision_of(found, points=points))
    return {
        "thresholds": tuple(thresholds),
        "at": tuple(at),
        "per_class": {
            name: float(np.mean([each["per_class"][name] for each in at]))
            for name in at[0]["per_class"]
        },
        "mean": float(np.mean([each["mean"] for each in at])),
        "pooled": float(np.mean([each["pooled"] for each in at])),
    }


def _mean_of_defined(values: Iterable[float]) -> float:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def _area(
    scores: NDArray[np.float64], hits: NDArray[np.bool_], wanted: int, points: Points
) -> float:
    if wanted == 0:
        return float("nan")
    found, taken, _ = curve(scores, hits)
    precision = found / taken
    if points == "every":
        return float(np.sum(np.diff(found, prepend=0) * precision) / wanted)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(100 * found, wanted * _RECALL_PERCENT, side="left")  # whole numbers: exact
    return float(envelope[at[at < found.size]].sum() / _RECALL_PERCENT.size)


def curve(
    scores: NDArray[np.float64], hits: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Hits and objects down to each distinct score, and these scores, falling; each (T,)."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last_of_score = np.flatnonzero(np.append(ranked[1:], np.nan) != ranked)
    found = np.cumsum(hits[order], dtype=np.int64)[last_of_score]
    return found, last_of_score.astype(np.int64) + 1, ranked[last_of_score]


def detection_scores(
    cases: Cases, rule: MatchingRule | float, *, score_threshold: float = 0.0
) -> DetectionScores:
    """Hits, false alarms, misses, precision, recall and F1 of the objects at or above a score.

    Objects below the score are left out before matching (a number as rule: COCO's, with that
    IoU). All classes and cases are pooled. Further predictions of a many-to-one rule are neither
    hit nor false alarm.

    Raises ValueError for an IoU threshold outside (0, 1], InputRefused (`grid-mismatch`).
    """
    one = as_rule(rule)
    found = []
    for pred, ref in cases:
        high = scores_of(pred) >= score_threshold
        kept = replace(pred, items=[pred.items[n] for n in np.flatnonzero(high)])
        found.append(findings(kept, ref, one))
    pool = pooled(found)
    tp = int(np.count_nonzero(pool.hits))
    fp, fn = pool.hits.size - tp, sum(pool.wanted.values()) - tp
    return DetectionScores(
        tp, fp, fn, ratio(tp, tp + fp), ratio(tp, tp + fn), ratio(2 * tp, 2 * tp + fp + fn)
    )


def case_auroc(cases: Cases) -> float:
    """Area under the ROC curve of cases: does the highest score tell those with an object?

    A case is positive where its reference holds an object of any class; without a prediction it
    ranks below all others. The share of pairs of a positive and a negative case that are ranked
    rightly, equal scores as half. NaN where one of the two kinds is missing.

    Raises ValueError for a score that is NaN.
    """
    tops = [scores_of(pred).max(initial=-np.inf) for pred, _ in cases]
    scores = np.asarray(tops, dtype=np.float64)
    truth = np.asarray([len(ref) > 0 for _, ref in cases], dtype=np.bool_)
    positive, negative = scores[truth], np.sort(scores[~truth])
    if not positive.size or not negative.size:
        return float("nan")
    below, up_to = (np.searchsorted(negative, positive, side=side) for side in ("left", "right"))
    return float((below + up_to).sum() / (2 * positive.size * negative.size))


def count_error(cases: Cases, *, score_threshold: float = 0.0) -> CountError:
    """Errors of the number of objects at or above a score, all classes together.

    Raises ValueError for a score that is NaN.
    """
    found = np.asarray(
        [np.count_nonzero(scores_of(pred) >= score_threshold) for pred, _ in cases],
        dtype=np.int64,
    )
    wanted = np.asarray([len(ref) for _, ref in cases], dtype=np.int64)
    total = int(wanted.sum())
    apart = int(np.abs(found - wanted).sum())
    return CountError(ratio(int(found.sum()), total) - 1.0, ratio(apart, total))

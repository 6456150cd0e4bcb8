"""Whether the right objects were found: average precision, recall, precision and counts.

Every figure is over masks, pooled over all cases; no object is left out for its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from medseg.evaluation.matching import match_greedy
from medseg.evaluation.overlap import class_names, ratio
from medseg.types import Instances

Cases = Sequence[tuple[Instances, Instances]]
"""Pairs of (prediction, reference), one a case."""

_RECALL_PERCENT = np.arange(101)


class AveragePrecision(TypedDict):
    """Average precision at one IoU: of each class, their mean, and of all classes as one pool.

    NaN where the references hold no object of the class, or at all; the mean leaves NaN out.
    """

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


def average_precision(cases: Cases, iou_threshold: float) -> AveragePrecision:
    """COCO's average precision at one IoU: greedy matching, 101 recall points, no cap of 100.

    Cases are pooled before precision is taken. Objects of equal score, in whatever case, enter
    together, so the order of the cases does not matter (COCO's code takes them in its order).

    Raises ValueError for a threshold outside (0, 1], InputRefused (`grid-mismatch`).
    """
    names = tuple(dict.fromkeys(name for pair in cases for name in class_names(*pair)))
    scores: dict[str, list[float]] = {name: [] for name in names}
    hits: dict[str, list[bool]] = {name: [] for name in names}
    wanted = dict.fromkeys(names, 0)
    for pred, ref in cases:
        found = set(match_greedy(pred, ref, iou_threshold).pred.tolist())
        for n, item in enumerate(pred.items):
            scores[item.class_name].append(item.score)
            hits[item.class_name].append(n in found)
        for item in ref.items:
            wanted[item.class_name] += 1
    per_class = {name: _area(scores[name], hits[name], wanted[name]) for name in names}
    defined = [value for value in per_class.values() if not np.isnan(value)]
    every_score = [score for name in names for score in scores[name]]
    every_hit = [hit for name in names for hit in hits[name]]
    return {
        "per_class": per_class,
        "mean": float(np.mean(defined)) if defined else float("nan"),
        "pooled": _area(every_score, every_hit, sum(wanted.values())),
    }


def _area(scores: list[float], hits: list[bool], wanted: int) -> float:
    if wanted == 0:
        return float("nan")
    found, precision = _curve(np.asarray(scores, dtype=np.float64), np.asarray(hits, dtype=bool))
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(100 * found, wanted * _RECALL_PERCENT, side="left")  # whole numbers: exact
    return float(envelope[at[at < found.size]].sum() / _RECALL_PERCENT.size)


def _curve(
    scores: NDArray[np.float64], hits: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Hits and precision among the objects down to each distinct score, by falling score."""
    order = np.argsort(-scores, kind="stable")
    last_of_score = np.flatnonzero(np.diff(scores[order], append=-np.inf))
    found = np.cumsum(hits[order], dtype=np.int64)[last_of_score]
    return found, found / (last_of_score + 1)


def detection_scores(
    cases: Cases, iou_threshold: float, *, score_threshold: float = 0.0
) -> DetectionScores:
    """Hits, false alarms, misses, precision, recall and F1 of the objects at or above a score.

    Matching is `match_greedy` within class; all classes and cases are pooled.

    Raises ValueError for an IoU threshold outside (0, 1], InputRefused (`grid-mismatch`).
    """
    tp = fp = fn = 0
    for pred, ref in cases:
        kept = pred.filter(lambda item: item.score >= score_threshold)
        matching = match_greedy(kept, ref, iou_threshold)
        tp += matching.pred.size
        fp += matching.unmatched_pred.size
        fn += matching.unmatched_ref.size
    return DetectionScores(
        tp, fp, fn, ratio(tp, tp + fp), ratio(tp, tp + fn), ratio(2 * tp, 2 * tp + fp + fn)
    )


def count_error(cases: Cases, *, score_threshold: float = 0.0) -> CountError:
    """Errors of the number of objects at or above a score, all classes together."""
    found = np.asarray(
        [sum(item.score >= score_threshold for item in pred.items) for pred, _ in cases],
        dtype=np.int64,
    )
    wanted = np.asarray([len(ref) for _, ref in cases], dtype=np.int64)
    total = int(wanted.sum())
    apart = int(np.abs(found - wanted).sum())
    return CountError(ratio(int(found.sum()), total) - 1.0, ratio(apart, total))

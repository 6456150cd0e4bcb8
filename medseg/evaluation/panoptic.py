"""Panoptic quality: how many objects were found, times how well they were drawn."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medseg.evaluation.detection import Cases, findings, pooled
from medseg.evaluation.matching import MatchingRule

ABOVE_HALF = MatchingRule("iou", math.nextafter(0.5, 1.0))
"""IoU above 0.5, as panoptic quality is defined: objects that do not overlap have one partner."""


class Quality(NamedTuple):
    """Segmentation, recognition and panoptic quality with the counts behind them.

    sq is the mean IoU of the pairs, rq = tp / (tp + fp / 2 + fn / 2), and pq = sq x rq the sum of
    IoU over the same denominator. Without a pair sq is NaN, since nothing was drawn that could be
    judged, and rq and pq are 0; with no object on either side all three are NaN.
    """

    sq: float
    rq: float
    pq: float
    tp: int
    fp: int
    fn: int


class PanopticQuality(NamedTuple):
    """Quality of each class that either side knows, the mean pq over them, and of one pool.

    The mean leaves out classes without an object on either side. Of a rule across classes
    `per_class` is empty and the mean NaN.
    """

    per_class: dict[str, Quality]
    mean_pq: float
    pooled: Quality


def panoptic_quality(cases: Cases, rule: MatchingRule = ABOVE_HALF) -> PanopticQuality:
    """Panoptic quality with cases pooled: counts and IoU are summed before the ratios.

    By default pairs have an IoU above 0.5 (Kirillov et al., CVPR 2019), so that the assignment
    makes no difference unless objects of one side overlap. Panoptica counts 0.5 too, as does
    `MatchingRule()`. sq is the mean of IoU whatever the rule's criterion. Further predictions of
    a many-to-one rule are no false alarms.

    Raises ValueError for a score that is NaN, InputRefused (`grid-mismatch`).
    """
    pool = pooled([findings(*case, rule) for case in cases])
    per_class: dict[str, Quality] = {}
    if pool.rule is not None and pool.rule.within_class:
        for name, wanted in pool.wanted.items():
            iou = pool.iou[pool.names == name]
            per_class[name] = _quality(iou[~np.isnan(iou)], iou.size, wanted)
    defined = [one.pq for one in per_class.values() if not math.isnan(one.pq)]
    matched = pool.iou[pool.hits]
    return PanopticQuality(
        per_class,
        float(np.mean(defined)) if defined else float("nan"),
        _quality(matched, pool.iou.size, sum(pool.wanted.values())),
    )


def _quality(iou: NDArray[np.float64], predicted: int, wanted: int) -> Quality:
    tp = int(iou.size)
    fp, fn = predicted - tp, wanted - tp
    if tp + fp + fn == 0:
        return Quality(math.nan, math.nan, math.nan, 0, 0, 0)
    if tp == 0:
        return Quality(math.nan, 0.0, 0.0, 0, fp, fn)
    sq, rq = float(iou.mean()), 2 * tp / (2 * tp + fp + fn)
    return Quality(sq, rq, sq * rq, tp, fp, fn)

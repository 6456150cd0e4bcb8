"""Free-response ROC: how many objects are found for how many false alarms a case."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.evaluation.detection import Cases, Findings, curve, findings, pooled
from medseg.evaluation.matching import MatchingRule

LUNA16_POINTS = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
"""False alarms a case at which LUNA16 reads the curve."""


@dataclass(frozen=True, eq=False)
class Froc:
    """A curve with one point for each distinct score, by falling score, and values read from it.

    Shapes: thresholds, fp_per_case, sensitivity (T,), of the objects at or above each threshold;
    points and values (K,): the sensitivity at so many false alarms a case. cpm is the mean of
    values (LUNA16's competition performance metric, at its points).
    """

    thresholds: NDArray[np.float64]
    fp_per_case: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    points: tuple[float, ...]
    values: tuple[float, ...]
    cpm: float


def froc(cases: Cases, rule: MatchingRule, fp_per_case: Sequence[float] = LUNA16_POINTS) -> Froc:
    """The FROC curve of all cases and classes as one pool, each case matched once by the rule.

    A value is read by step, without interpolation: the highest sensitivity with at most so many
    false alarms a case; 0 left of the first point, level right of the last. Further predictions
    of a many-to-one rule are neither hit nor false alarm. No reference object, or no case:
    sensitivity, values and cpm are NaN. No prediction, but references: an empty curve, values 0.

    Raises ValueError for points that are not numbers from 0 up, InputRefused (`grid-mismatch`).
    """
    return froc_of([findings(*case, rule) for case in cases], fp_per_case)


def froc_of(found: Sequence[Findings], fp_per_case: Sequence[float] = LUNA16_POINTS) -> Froc:
    """`froc` of cases that are matched already."""
    if not fp_per_case or not all(0 <= point < math.inf for point in fp_per_case):
        msg = f"false alarms a case are numbers from 0 up, at least one; got {tuple(fp_per_case)}"
        raise ValueError(msg)
    pool = pooled(found)
    wanted = sum(pool.wanted.values())
    thresholds, alarms, sensitivity = froc_points(
        pool.scores, pool.hits, wanted=wanted, cases=len(found)
    )
    start = 0.0 if wanted else float("nan")
    steps = np.append(start, sensitivity)
    values = tuple(float(steps[np.searchsorted(alarms, at, side="right")]) for at in fp_per_case)
    return Froc(thresholds, alarms, sensitivity, tuple(fp_per_case), values, float(np.mean(values)))


def froc_points(
    scores: NDArray[np.float64], hits: NDArray[np.bool_], *, wanted: int, cases: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Thresholds, false alarms a case and sensitivity, each (T,), as in `Froc`.

    Shapes: scores and hits (P,) of all predictions that count. Nothing wanted: sensitivity NaN.
    """
    found, taken, thresholds = curve(scores, hits)
    alarms = (taken - found) / max(cases, 1)  # of no case there is no hit either
    return thresholds, alarms, found / wanted if wanted else np.full(found.size, np.nan)

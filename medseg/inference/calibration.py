"""Scores as probabilities: a head's raw score goes through the card's map of its class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, logit

from medseg.card import Card, ScoreMap
from medseg.types import Instance

BINS = 10
"""Bins of equal width in which probabilities and rates are compared."""

MANY = 200
"""With this many objects the form of the map is measured; with fewer it is a logistic curve."""

GROUPS = 12
"""Groups of as many objects each, whose rates are the points of a measured map."""

_KNOTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
_CLIP = 1e-3
_LEAST_STEP = 1e-4
_PRIOR_PRECISION = 1.0
_DIGITS = 5


def calibrated(items: Sequence[Instance], card: Card) -> list[Instance]:
    """The instances with the probability that each is true as score, where the card has a map.

    Maps rise everywhere, so the order of a class stays; `raw_score` undoes them.
    """
    maps = {one.class_name: one for one in card.calibration}
    return [
        replace(item, score=float(apply_map(maps[item.class_name], item.score)))
        if item.class_name in maps
        else item
        for item in items
    ]


def raw_score(item: Instance, card: Card) -> float:
    """The score that the head gave an instance of a result of this card's model.

    An object of one side of a head, whose class the side is added to, has the map of its class.
    """
    sides = () if card.localiser is None else tuple(card.localiser.sites_mm)
    for one in card.calibration:
        if item.class_name in (one.class_name, *(f"{one.class_name}_{side}" for side in sides)):
            return float(np.interp(item.score, one.probabilities, one.scores))
    return item.score


def apply_map(score_map: ScoreMap, scores: ArrayLike) -> NDArray[np.float64]:
    """Probabilities of raw scores, any shape."""
    raw = np.asarray(scores, dtype=np.float64)
    return np.asarray(np.interp(raw, score_map.scores, score_map.probabilities))


def fit_map(scores: ArrayLike, true: ArrayLike, *, class_name: str, criterion: str) -> ScoreMap:
    """The map from the scores of objects (N,) to how often such objects are true, (N,) booleans.

    With `MANY` objects or more it goes through the rates of groups of neighbours, made to rise
    (isotonic regression); with fewer it is a logistic curve of the score's logit (Platt 1999),
    drawn towards leaving scores as they are by a prior, since few objects say little.

    Raises ValueError without an object.
    """
    raw, hits = np.asarray(scores, dtype=np.float64), np.asarray(true, dtype=np.float64)
    if raw.size == 0 or raw.shape != hits.shape:
        msg = f"fit_map wants as many scores as truths, at least one; got {raw.shape, hits.shape}"
        raise ValueError(msg)
    knots, values = _measured(raw, hits) if raw.size >= MANY else _logistic(raw, hits)
    return ScoreMap.model_validate(
        {
            "class_name": class_name,
            "criterion": criterion,
            "objects": int(raw.size),
            "scores": knots,
            "probabilities": _risen(values),
        }
    )


def expected_calibration_error(probabilities: ArrayLike, true: ArrayLike) -> float:
    """Mean gap between probability and rate over `BINS` bins, weighted by objects; NaN for none.

    Bins are of equal width (Guo et al., On Calibration of Modern Neural Networks, 2017).
    """
    said, hits = np.asarray(probabilities, dtype=np.float64), np.asarray(true, dtype=np.float64)
    if said.size == 0:
        return float("nan")
    place = np.minimum((said * BINS).astype(int), BINS - 1)
    gaps = [abs(float((said - hits)[place == n].sum())) for n in np.unique(place)]
    return sum(gaps) / said.size


def _logistic(
    raw: NDArray[np.float64], hits: NDArray[np.float64]
) -> tuple[list[float], NDArray[np.float64]]:
    where = logit(np.clip(raw, _CLIP, 1 - _CLIP))

    def loss(line: NDArray[np.float64]) -> float:
        slope, shift = np.exp(line[0]), line[1]
        off = slope * where + shift
        fit = float((np.logaddexp(0.0, off) - hits * off).sum())
        return fit + _PRIOR_PRECISION / 2 * float((line**2).sum())

    log_slope, shift = minimize(loss, np.zeros(2)).x
    at = logit(np.clip(_KNOTS, _CLIP, 1 - _CLIP))
    return list(_KNOTS), expit(np.exp(log_slope) * at + shift)


def _measured(
    raw: NDArray[np.float64], hits: NDArray[np.float64]
) -> tuple[list[float], NDArray[np.float64]]:
    order = np.argsort(raw, kind="stable")
    groups = np.array_split(order, GROUPS)
    middles = np.array([round(float(raw[one].mean()), _DIGITS) for one in groups])
    # A success and a failure for all groups together: no rate is quite 0 or 1.
    rates = np.array([(hits[one].sum() + 1 / GROUPS) / (one.size + 2 / GROUPS) for one in groups])
    middles, place = np.unique(middles, return_inverse=True)
    means = np.bincount(place, rates) / np.bincount(place)
    values = isotonic_regression(means, weights=np.bincount(place).astype(float)).x
    knots = [float(one) for one in middles]
    if knots[0] > 0:
        knots, values = [0.0, *knots], np.concatenate([values[:1] / 2, values])
    if knots[-1] < 1:
        knots, values = [*knots, 1.0], np.concatenate([values, (values[-1:] + 1) / 2])
    return knots, values


def _risen(values: NDArray[np.float64]) -> list[float]:
    """Values in 0 to 1 that rise by `_LEAST_STEP` at least, moved as little as that takes."""
    steps = _LEAST_STEP * np.arange(values.size)
    flat = np.maximum.accumulate(np.clip(values, 0.0, 1.0) - steps)
    risen = np.clip(flat, 0.0, 1.0 - steps[-1]) + steps
    return [round(float(one), _DIGITS) for one in risen]

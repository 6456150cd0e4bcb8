"""Whether readers put subjects into the same categories, beyond what chance gives."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from medseg.evaluation.agreement import normal_quantile, require_share

KappaWeights = Literal["none", "linear", "quadratic"]

_NAN = float("nan")


@dataclass(frozen=True)
class CohenKappa:
    """Cohen's kappa of two readers over `n` subjects, its standard error and interval.

    `agreement` is what was seen and `chance_agreement` what the readers' own frequencies give by
    chance, both weighted.
    """

    n: int
    kappa: float
    se: float
    low: float
    high: float
    agreement: float
    chance_agreement: float
    weights: KappaWeights
    confidence: float


@dataclass(frozen=True)
class FleissKappa:
    """Fleiss' kappa of `raters` readers over `n` subjects, its standard errors and interval.

    `se` and the interval belong to the kappa that was found; `se_chance` holds where readers agree
    by chance alone, so it tests kappa = 0 and gives no interval.
    """

    n: int
    raters: int
    kappa: float
    se: float
    low: float
    high: float
    se_chance: float
    agreement: float
    chance_agreement: float
    confidence: float


def cohen_kappa(
    first: Sequence[Hashable],
    second: Sequence[Hashable],
    *,
    categories: Sequence[Hashable] | None = None,
    weights: KappaWeights = "none",
    confidence: float = 0.95,
) -> CohenKappa:
    """Cohen's kappa of two readers' categories of the same subjects, (N,) and (N,).

    `categories` are in their order, also those that nobody used: the weights "linear" and
    "quadratic" count steps in it, so they need it. The standard error is the large-sample one and
    the interval kappa +- z se, cut at -1 and 1.

    Fewer than two subjects: all NaN. Both readers put every subject into one and the same category:
    agreement 1, kappa NaN, since chance would give as much. All agree, in several: kappa 1, se 0.

    Raises ValueError for readers of different length, a category that is not listed, and weights
    without categories.

    Source: Cohen, Educ Psychol Meas 1960;20:37-46, weighted: Psychol Bull 1968;70:213-220;
    standard error: Fleiss, Cohen & Everitt, Psychol Bull 1969;72:323-327.
    """
    z = normal_quantile(confidence)
    if len(first) != len(second):
        msg = f"both readers rate the same subjects; got {len(first)} and {len(second)}"
        raise ValueError(msg)
    n = len(first)
    known = _known([*first, *second], categories)
    similar = _similarity(len(known), weights, given=categories is not None)
    shares = np.zeros((len(known), len(known)))
    for one, other in zip(first, second, strict=True):
        shares[known[one], known[other]] += 1
    if n < 2:
        return CohenKappa(n, _NAN, _NAN, _NAN, _NAN, _NAN, _NAN, weights, confidence)
    used = len(set(first) | set(second))
    shares /= n
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    seen, chance = float((shares * similar).sum()), float(rows @ similar @ columns)
    if used == 1:
        return CohenKappa(n, _NAN, _NAN, _NAN, _NAN, seen, chance, weights, confidence)
    kappa = (seen - chance) / (1 - chance)
    # Of a cell: its weight, and the mean weights of its row and its column.
    near = (similar @ columns)[:, None] + (rows @ similar)[None, :]
    spread = (shares * (similar * (1 - chance) - near * (1 - seen)) ** 2).sum()
    variance = (spread - (seen * chance - 2 * chance + seen) ** 2) / (n * (1 - chance) ** 4)
    se = float(np.sqrt(max(variance, 0.0)))
    low, high = max(-1.0, kappa - z * se), min(1.0, kappa + z * se)
    return CohenKappa(n, kappa, se, low, high, seen, chance, weights, confidence)


def fleiss_kappa(ratings: Sequence[Sequence[Hashable]], *, confidence: float = 0.95) -> FleissKappa:
    """Fleiss' kappa of several readers: one row a subject, one category a reader, (N, R).

    Which reader gave which category does not matter. The standard error is Gwet's for subjects
    drawn at random, and the interval Student's, cut at -1 and 1.

    Fewer than two subjects: all NaN. Every rating the same: agreement 1, kappa NaN, since chance
    would give as much. All agree, in several categories: kappa 1, se 0.

    Raises ValueError for rows of different length, or fewer than two readers.

    Source: Fleiss, Psychol Bull 1971;76:378-382; se: Gwet, Br J Math Stat Psychol 2008;61:29-48;
    se_chance: Fleiss, Nee & Landis, Psychol Bull 1979;86:974-977.
    """
    require_share(confidence)
    rows = [list(row) for row in ratings]
    n, raters = len(rows), len(rows[0]) if rows else 0
    if any(len(row) != raters for row in rows) or (rows and raters < 2):
        msg = "every subject needs one category from each reader, and two readers at least"
        raise ValueError(msg)
    known = _known([one for row in rows for one in row], None)
    if n < 2:
        return FleissKappa(n, raters, _NAN, _NAN, _NAN, _NAN, _NAN, _NAN, _NAN, confidence)
    counts = np.zeros((n, len(known)))
    for position, row in enumerate(rows):
        for one in row:
            counts[position, known[one]] += 1
    share = counts.mean(axis=0) / raters
    agreeing = (counts * (counts - 1)).sum(axis=1) / (raters * (raters - 1))
    seen, chance = float(agreeing.mean()), float((share**2).sum())
    if len(known) == 1:
        return FleissKappa(n, raters, _NAN, _NAN, _NAN, _NAN, _NAN, seen, chance, confidence)
    kappa = (seen - chance) / (1 - chance)
    by_chance = counts @ share / raters
    single = (agreeing - chance - 2 * (1 - kappa) * (by_chance - chance)) / (1 - chance)
    se = float(np.sqrt(((single - kappa) ** 2).sum() / (n * (n - 1))))
    half = float(special.stdtrit(n - 1, (1 + confidence) / 2)) * se
    return FleissKappa(
        n=n,
        raters=raters,
        kappa=kappa,
        se=se,
        low=max(-1.0, kappa - half),
        high=min(1.0, kappa + half),
        se_chance=_se_by_chance(share, n, raters),
        agreement=seen,
        chance_agreement=chance,
        confidence=confidence,
    )


def _se_by_chance(share: NDArray[np.float64], n: int, raters: int) -> float:
    left = share * (1 - share)
    inside = left.sum() ** 2 - (left * (1 - 2 * share)).sum()
    return float(np.sqrt(2 * inside / (n * raters * (raters - 1))) / left.sum())


def _similarity(count: int, weights: KappaWeights, *, given: bool) -> NDArray[np.float64]:
    """How alike two categories are, (K, K): 1 for the same, 0 for the farthest."""
    if weights not in ("none", "linear", "quadratic"):
        msg = f"weights is 'none', 'linear' or 'quadratic'; got {weights!r}"
        raise ValueError(msg)
    if weights == "none":
        return np.eye(count)
    if not given:
        msg = f"{weights} weights count steps between categories: list all, in their order"
        raise ValueError(msg)
    place = np.arange(count)
    power = 1.0 if weights == "linear" else 2.0
    apart: NDArray[np.float64] = np.abs(place[:, None] - place[None, :]) / max(count - 1, 1)
    return 1 - apart**power


def _known(
    ratings: Iterable[Hashable], categories: Sequence[Hashable] | None
) -> dict[Hashable, int]:
    """The place of each category; ValueError for a missing rating or one that is not listed."""
    used = list(dict.fromkeys(ratings))
    if any(one is None or one != one for one in used):  # noqa: PLR0124 - NaN differs from itself
        msg = "a rating is missing"
        raise ValueError(msg)
    listed = used if categories is None else list(categories)
    known = {name: place for place, name in enumerate(listed)}
    if len(known) != len(listed):
        msg = "a category is listed twice"
        raise ValueError(msg)
    lost = [one for one in used if one not in known]
    if lost:
        msg = f"{lost[0]!r} is not one of the categories {listed}"
        raise ValueError(msg)
    return known

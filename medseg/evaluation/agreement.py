"""How well two ways of measuring the same thing agree: volumes, counts, diameters.

Functions of plain arrays. What the input cannot tell (too few values, no variance) is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

LimitsInterval = Literal["exact", "bland-altman-1999"]

_NAN = float("nan")


@dataclass(frozen=True)
class BlandAltman:
    """Mean difference and limits of agreement, each with its confidence interval.

    Differences are first - second in the unit of the input, or (`percent`) in percent of the mean
    of the two. `n` pairs were used; `left_out` have no percentage, since both values are 0. `sd` is
    the sample's (divided by n - 1). Where differences are normally distributed, `coverage` of them
    lie between the limits; intervals hold with `confidence`.
    """

    n: int
    left_out: int
    percent: bool
    bias: float
    bias_low: float
    bias_high: float
    sd: float
    lower: float
    lower_low: float
    lower_high: float
    upper: float
    upper_low: float
    upper_high: float
    coverage: float
    confidence: float
    limits: LimitsInterval


@dataclass(frozen=True)
class Concordance:
    """Lin's concordance correlation coefficient of `n` pairs, with its confidence interval.

    `ccc` is `pearson`, how close the pairs lie to a line, times `bias_correction`, how close that
    line is to equality.
    """

    n: int
    ccc: float
    low: float
    high: float
    pearson: float
    bias_correction: float
    confidence: float


def bland_altman(
    first: ArrayLike,
    second: ArrayLike,
    *,
    percent: bool = False,
    coverage: float = 0.95,
    confidence: float = 0.95,
    limits: LimitsInterval = "exact",
) -> BlandAltman:
    """Bland and Altman's bias and limits of agreement of pairs of values, (N,) and (N,).

    The interval of the bias is Student's. That of a limit is exact, by the noncentral t
    distribution, or the approximation of 1999 with its standard error
    sd * sqrt(1 / n + z**2 / (2 (n - 1))), which is too narrow for few pairs.

    No pair: all NaN. One pair: its difference as bias, else NaN. Equal differences: sd 0, limits
    and intervals are the bias.

    Raises ValueError for arrays of different length, values that are not finite, and in percent
    for negative ones.

    Source: Bland & Altman, Stat Methods Med Res 1999;8:135-160; exact intervals: Carkeet, Optom
    Vis Sci 2015;92:e71-e80.
    """
    if limits not in ("exact", "bland-altman-1999"):
        msg = f"limits is 'exact' or 'bland-altman-1999'; got {limits!r}"
        raise ValueError(msg)
    z = normal_quantile(coverage)
    require_share(confidence)
    one, other = _pairs(first, second)
    differences = _percentages(one, other) if percent else one - other
    n = differences.size
    bias = float(differences.mean()) if n else _NAN
    sd = _sample_sd(differences)
    near, far = _limit_factors(n, z, confidence, limits)
    half = sd * _student(n, confidence) / np.sqrt(n) if n > 1 else _NAN
    return BlandAltman(
        n=n,
        left_out=one.size - n,
        percent=percent,
        bias=bias,
        bias_low=float(bias - half),
        bias_high=float(bias + half),
        sd=sd,
        lower=bias - z * sd,
        lower_low=bias - far * sd,
        lower_high=bias - near * sd,
        upper=bias + z * sd,
        upper_low=bias + near * sd,
        upper_high=bias + far * sd,
        coverage=coverage,
        confidence=confidence,
        limits=limits,
    )


def concordance(first: ArrayLike, second: ArrayLike, *, confidence: float = 0.95) -> Concordance:
    """Lin's concordance correlation coefficient of pairs of values, (N,) and (N,).

    Moments are divided by n, as Lin's are. The interval is by Fisher's z with the variance as
    corrected in 2000.

    Fewer than two pairs: all NaN. Two pairs: no interval. One side without variance: ccc 0 without
    interval; both: 0 where the two values differ, NaN where they are the same. Equal sides with
    variance: 1, and the interval is 1 to 1.

    Raises ValueError for arrays of different length and values that are not finite.

    Source: Lin, Biometrics 1989;45:255-268, corrected in Biometrics 2000;56:324-325.
    """
    z = normal_quantile(confidence)
    x, y = _pairs(first, second)
    n = x.size
    if n < 2:
        return Concordance(n, _NAN, _NAN, _NAN, _NAN, _NAN, confidence)
    apart = float(x.mean() - y.mean())
    sd_x, sd_y = _population_sd(x), _population_sd(y)
    if sd_x == 0 or sd_y == 0:
        ccc = _NAN if sd_x == sd_y == 0 and x[0] == y[0] else 0.0
        return Concordance(n, ccc, _NAN, _NAN, _NAN, _NAN, confidence)
    covariance = float(np.mean((x - x.mean()) * (y - y.mean())))
    pearson = min(1.0, max(-1.0, covariance / (sd_x * sd_y)))
    shift = apart**2 / (sd_x * sd_y)
    bias_correction = 2 / (sd_x / sd_y + sd_y / sd_x + shift)
    ccc = pearson * bias_correction
    if np.array_equal(x, y):
        return Concordance(n, 1.0, 1.0, 1.0, 1.0, 1.0, confidence)
    low, high = _fisher_interval(n, ccc, pearson, bias_correction, shift, z)
    return Concordance(n, ccc, low, high, pearson, bias_correction, confidence)


def normal_quantile(share: float) -> float:
    """The z with `share` of a normal distribution between -z and z; ValueError as below."""
    require_share(share)
    return float(special.ndtri((1 + share) / 2))


def require_share(share: float) -> None:
    """Raise ValueError for a coverage or confidence outside (0, 1), such as 95 for 0.95."""
    if not 0 < share < 1:
        msg = f"a coverage or confidence lies between 0 and 1; got {share}"
        raise ValueError(msg)


def _fisher_interval(
    n: int, ccc: float, pearson: float, bias_correction: float, shift: float, z: float
) -> tuple[float, float]:
    """Lin's interval; his p / r is the bias correction, so that r = 0 divides nothing."""
    if n < 3:
        return _NAN, _NAN
    if abs(ccc) >= 1:
        return ccc, ccc
    variance = (1 - pearson**2) * bias_correction**2 * (1 - ccc**2)
    variance += 2 * bias_correction * ccc**2 * (1 - ccc) * shift
    variance -= bias_correction**2 * ccc**2 * shift**2 / 2
    half = z * np.sqrt(max(variance, 0.0) / (n - 2)) / (1 - ccc**2)
    centre = np.arctanh(ccc)
    return float(np.tanh(centre - half)), float(np.tanh(centre + half))


def _limit_factors(
    n: int, z: float, confidence: float, limits: LimitsInterval
) -> tuple[float, float]:
    """How many sd from the bias the interval of a limit starts and ends."""
    if n < 2:
        return _NAN, _NAN
    if limits == "exact":
        ends = [(1 - confidence) / 2, (1 + confidence) / 2]
        near, far = special.nctdtrit(n - 1, z * np.sqrt(n), ends) / np.sqrt(n)
        return float(near), float(far)
    half = _student(n, confidence) * np.sqrt(1 / n + z**2 / (2 * (n - 1)))
    return float(z - half), float(z + half)


def _student(n: int, confidence: float) -> float:
    return float(special.stdtrit(n - 1, (1 + confidence) / 2))


def _sample_sd(values: NDArray[np.float64]) -> float:
    if values.size < 2:
        return _NAN
    return _population_sd(values) * float(np.sqrt(values.size / (values.size - 1)))


def _population_sd(values: NDArray[np.float64]) -> float:
    """Exactly 0 for equal values, whatever the rounding of their mean."""
    return 0.0 if (values == values[0]).all() else float(values.std())


def _percentages(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    if (one < 0).any() or (other < 0).any():
        msg = "percent of the mean needs values from 0 up"
        raise ValueError(msg)
    there = one + other > 0
    return 200 * (one[there] - other[there]) / (one[there] + other[there])


def _pairs(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    one, other = (np.asarray(values, dtype=np.float64) for values in (first, second))
    if one.ndim != 1 or one.shape != other.shape:
        msg = f"two arrays of one length are wanted; got {one.shape} and {other.shape}"
        raise ValueError(msg)
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        msg = "values to compare must be finite"
        raise ValueError(msg)
    return one, other

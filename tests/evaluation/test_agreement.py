"""Bland-Altman and concordance: published examples, closed forms, and what few values give."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from medseg.evaluation.agreement import bland_altman, concordance

# Peak expiratory flow in l/min, first measurement of each of two meters, 17 subjects.
# Bland & Altman, Lancet 1986;i:307-310, table.
WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]

finite = st.floats(-1e3, 1e3).map(lambda value: round(value, 3))
pairs = st.lists(st.tuples(finite, finite), min_size=3, max_size=12)


def with_moments(n: int, mean: float, sd: float) -> NDArray[np.float64]:
    """n values of exactly this mean and sample standard deviation."""
    values = np.random.default_rng(0).normal(size=n)
    return mean + sd * (values - values.mean()) / values.std(ddof=1)


def test_the_peak_flow_example_has_its_published_bias_and_interval() -> None:
    found = bland_altman(WRIGHT, MINI)
    assert (found.n, round(found.bias, 1), round(found.sd, 1)) == (17, -2.1, 38.8)
    assert (round(found.bias_low, 1), round(found.bias_high, 1)) == (-22.0, 17.8)


def test_the_blood_pressure_example_has_its_published_limits() -> None:
    # Bland & Altman 1999, section 2.1: n 85, mean -16.29, sd 19.61 mmHg.
    differences = with_moments(85, -16.29, 19.61)
    found = bland_altman(differences, np.zeros(85), limits="bland-altman-1999")
    assert (round(found.lower, 1), round(found.upper, 1)) == (-54.7, 22.1)
    # Published: -61.9 to -47.5 and 14.9 to 29.3, from a half width rounded to 7.2.
    assert (found.lower_low, found.lower_high) == pytest.approx((-61.9, -47.5), abs=0.15)
    assert (found.upper_low, found.upper_high) == pytest.approx((14.9, 29.3), abs=0.15)


@pytest.mark.parametrize(
    ("n", "coverage", "confidence", "factor"),
    # One-sided normal tolerance factors by the noncentral t distribution: real-statistics.com
    # (40 values, 90 % with 99 %), and tabled ones (95 % with 95 %).
    [(40, 0.80, 0.98, 1.9017), (10, 0.90, 0.90, 2.911), (20, 0.90, 0.90, 2.396)],
)
def test_exact_intervals_end_at_tolerance_factors(n, coverage, confidence, factor) -> None:
    found = bland_altman(
        with_moments(n, 0.0, 1.0), np.zeros(n), coverage=coverage, confidence=confidence
    )
    assert found.upper_high == pytest.approx(factor, abs=6e-4)
    assert found.lower_low == pytest.approx(-factor, abs=6e-4)


def test_exact_intervals_hold_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    true_limit = 1.959964
    held = [
        found.upper_low <= true_limit <= found.upper_high
        for found in (bland_altman(rng.normal(size=6), np.zeros(6)) for _ in range(3000))
    ]
    assert np.mean(held) == pytest.approx(0.95, abs=0.012)


def test_percent_is_of_the_mean_of_the_two() -> None:
    found = bland_altman([1.1, 3.0, 0.0], [0.9, 1.0, 0.0], percent=True)
    assert (found.n, found.left_out) == (2, 1)
    assert found.bias == pytest.approx((20.0 + 100.0) / 2)


def test_swapping_the_two_turns_the_signs() -> None:
    one, other = asdict(bland_altman(WRIGHT, MINI)), asdict(bland_altman(MINI, WRIGHT))
    for here, there in (("bias", "bias"), ("lower_low", "upper_high"), ("upper", "lower")):
        assert one[here] == pytest.approx(-other[there])


@pytest.mark.parametrize("method", ["exact", "bland-altman-1999"])
def test_few_pairs_give_nan_and_never_a_limit(method) -> None:
    none = bland_altman([], [], limits=method)
    one = bland_altman([3.0], [1.0], limits=method)
    assert (none.n, one.n, one.bias) == (0, 1, 2.0)
    names = ("bias_low", "bias_high", "sd", "lower", "lower_low", "upper", "upper_high")
    assert math.isnan(none.bias)
    assert all(math.isnan(getattr(found, name)) for found in (none, one) for name in names)


def test_equal_differences_have_limits_at_the_bias() -> None:
    found = asdict(bland_altman(np.full(3, 0.3), np.full(3, 0.2)))
    ends = [value for name, value in found.items() if name.startswith(("lower", "upper", "bias"))]
    assert found["sd"] == 0.0
    assert ends == [pytest.approx(0.1)] * 9


@pytest.mark.parametrize(
    ("first", "second", "options", "message"),
    [
        ([1, 2], [1], {}, "two arrays of one length"),
        ([[1]], [[2]], {}, "two arrays of one length"),
        ([1, math.nan], [1, 2], {}, "must be finite"),
        ([1, math.inf], [1, 2], {}, "must be finite"),
        ([-1, 2], [1, 2], {"percent": True}, "from 0 up"),
        ([1, 2], [1, 2], {"confidence": 1.0}, "between 0 and 1"),
        ([1, 2], [1, 2], {"coverage": 95}, "between 0 and 1; got 95"),
        ([1, 2], [1, 2], {"limits": "1986"}, "got '1986'"),
    ],
)
def test_what_cannot_be_compared_is_a_bad_call(first, second, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        bland_altman(first, second, **options)


def delta_method_interval(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lin's interval derived anew: the moments' covariance under normality, and derivatives."""

    def coefficient(moments: NDArray[np.float64]) -> float:
        mean_x, mean_y, xx, yy, xy = moments
        return float(2 * xy / (xx + yy + (mean_x - mean_y) ** 2))

    s = np.cov(x, y, ddof=0)
    which = [(0, 0), (1, 1), (0, 1)]
    spread = np.zeros((5, 5))
    spread[:2, :2] = s
    spread[2:, 2:] = [[s[a, c] * s[b, d] + s[a, d] * s[b, c] for c, d in which] for a, b in which]
    moments = np.array([x.mean(), y.mean(), s[0, 0], s[1, 1], s[0, 1]])
    steps = np.eye(5) * 1e-5
    slope = np.array([coefficient(moments + one) - coefficient(moments - one) for one in steps])
    slope /= 2e-5
    ccc = coefficient(moments)
    se = np.sqrt(slope @ spread @ slope / (x.size - 2)) / (1 - ccc**2)
    return np.tanh(np.arctanh(ccc) + np.array([-1, 1]) * 1.959964 * se)


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.7, 1.0), (-0.5, 3.0), (1.2, -8.0)])
def test_the_interval_of_concordance_is_that_of_the_delta_method(slope, shift) -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(5, 2, 40)
    y = slope * x + shift + rng.normal(0, 0.8, 40)
    found = concordance(x, y)
    assert [found.low, found.high] == pytest.approx(delta_method_interval(x, y), abs=1e-6)


def test_concordance_is_one_minus_the_share_of_squared_differences() -> None:
    x, y = np.asarray(WRIGHT, dtype=float), np.asarray(MINI, dtype=float)
    by_chance = x.var() + y.var() + (x.mean() - y.mean()) ** 2
    found = concordance(x, y)
    assert found.ccc == pytest.approx(1 - np.mean((x - y) ** 2) / by_chance)
    assert round(found.pearson, 2) == 0.94  # published with the data
    assert found.ccc == pytest.approx(found.pearson * found.bias_correction)


def test_a_shift_lowers_concordance_by_its_closed_form() -> None:
    x = np.arange(10.0)
    found = concordance(x, x + 2)
    assert found.pearson == pytest.approx(1.0)
    assert found.ccc == pytest.approx(2 * x.var() / (2 * x.var() + 4))
    assert found.low < found.ccc < found.high


def test_perfect_agreement_is_one_and_certain() -> None:
    found = concordance(WRIGHT, WRIGHT)
    assert (found.ccc, found.low, found.high) == (1.0, 1.0, 1.0)


def test_uncorrelated_values_have_an_interval_around_zero() -> None:
    found = concordance([1, 1, -1, -1], [1, -1, 1, -1])
    assert found.ccc == 0.0
    assert found.low == pytest.approx(-found.high)
    assert 0 < found.high < 1


@pytest.mark.parametrize(
    ("first", "second", "ccc"),
    [
        ([], [], math.nan),
        ([1], [1], math.nan),
        ([2, 2, 2], [2, 2, 2], math.nan),
        ([2, 2, 2], [3, 3, 3], 0.0),
        ([2, 2, 2], [1, 2, 3], 0.0),
        ([0.1, 0.1, 0.1], [1, 2, 3], 0.0),
        ([1, 2], [1, 3], 2 * 0.5 / (0.25 + 1.0 + 0.25)),
    ],
)
def test_too_little_to_judge_gives_no_interval(first, second, ccc) -> None:
    found = concordance(first, second)
    assert found.ccc == pytest.approx(ccc, nan_ok=True)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


@given(pairs)
def test_concordance_stays_within_its_bounds(values) -> None:
    x, y = np.array(values).T
    found = concordance(x, y)
    if math.isnan(found.low):
        return
    assert -1 <= found.low <= found.ccc <= found.high <= 1
    assert abs(found.ccc) <= abs(found.pearson) + 1e-12
    assert found == concordance(x, y)
    assert concordance(y, x).ccc == pytest.approx(found.ccc)

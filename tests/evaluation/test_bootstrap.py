"""Figures of resampled cases: each sample against the same cases written out one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from evaluation_cases import random_pair
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.evaluation import (
    MatchingRule,
    bland_altman,
    case_auroc,
    concordance,
)
from medseg.evaluation.bootstrap import (
    Ranking,
    agreements,
    case_aurocs,
    case_weights,
    interval,
    medians,
    quotients,
)
from medseg.evaluation.detection import average_precision_of, findings, pooled
from medseg.evaluation.froc import froc_of

SEEDS = st.integers(0, 2**32 - 1)


def few_weights(rng: np.random.Generator, cases: int) -> np.ndarray:
    """Row 0 holds each case once, the others any number of times, never none at all."""
    drawn = rng.integers(0, 4, size=(4, cases))
    drawn[:, 0] += drawn.sum(axis=1) == 0
    return np.concatenate([np.ones((1, cases), dtype=np.int64), drawn])


def test_all_cases_of_a_patient_are_drawn_together() -> None:
    patients = ["a", "b", "a", "c", "b", "a"]
    weights = case_weights(patients, 200, seed=3)
    assert weights.shape == (201, 6)
    assert (weights[0] == 1).all()
    assert (weights[:, [0, 0, 1]] == weights[:, [2, 5, 4]]).all()
    one_each = weights[:, [0, 1, 3]]
    assert (one_each.sum(axis=1) == 3).all()
    assert set(one_each.ravel().tolist()) == {0, 1, 2, 3}
    assert one_each[1:].mean() == pytest.approx(1.0)


def test_the_seed_alone_decides_the_samples() -> None:
    names = [str(n) for n in range(9)]
    assert np.array_equal(case_weights(names, 50, 1), case_weights(names, 50, 1))
    assert not np.array_equal(case_weights(names, 50, 1), case_weights(names, 50, 2))


@pytest.mark.parametrize(("patients", "samples"), [(["a", "a"], 100), (["a", "b"], 0), (["a"], 9)])
def test_without_two_patients_or_samples_there_is_no_interval(patients, samples) -> None:
    weights = case_weights(patients, samples, seed=0)
    assert weights.tolist() == [[1] * len(patients)]
    assert all(math.isnan(end) for end in interval(np.array([0.5]), 0.95))


def test_the_interval_is_that_of_the_finite_samples() -> None:
    values = np.concatenate([[99.0], np.arange(101.0), [math.nan, math.inf]])
    assert interval(values, 0.9) == pytest.approx((5.0, 95.0))
    assert interval(values, 0.5) == pytest.approx((25.0, 75.0))
    assert all(math.isnan(end) for end in interval(np.array([1.0, math.nan]), 0.9))


def test_the_interval_of_a_mean_is_that_of_the_normal_law() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(3.0, 2.0, size=400)
    weights = case_weights([str(n) for n in range(400)], 4000, seed=1)
    means = quotients(weights @ values, weights.sum(axis=1).astype(float))
    half = 1.96 * values.std() / 20
    assert interval(means, 0.95) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=0.02
    )


def test_nothing_over_nothing_is_undefined_and_something_infinite() -> None:
    found = quotients(np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0, 4.0]))
    assert found.tolist() == pytest.approx([math.nan, math.inf, 0.25], nan_ok=True)


@given(seed=SEEDS)
@settings(max_examples=1000)
def test_medians_equal_those_of_the_repeated_values(seed: int) -> None:
    rng = np.random.default_rng(seed)
    case_of = rng.integers(0, 5, size=int(rng.integers(0, 12)))
    values = rng.choice([-1.0, 0.5, 2.0, 7.0, math.inf], size=case_of.size)
    weights = few_weights(rng, 5)
    for sample, found in zip(weights, medians(values, case_of, weights), strict=True):
        repeated = np.repeat(values, sample[case_of])
        assert found == pytest.approx(
            np.median(repeated) if repeated.size else math.nan, nan_ok=True
        )


@given(seed=SEEDS)
@settings(max_examples=1000)
def test_curves_equal_those_of_the_repeated_cases(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cases = [random_pair(rng) for _ in range(3)]
    rule = MatchingRule(threshold=0.3, many_to_one=bool(rng.integers(2)))
    weights = few_weights(rng, len(cases))
    found = [findings(*case, rule) for case in cases]
    pool = pooled(found)
    ranking = Ranking(
        pool.scores,
        pool.hits,
        np.repeat(np.arange(3), [one.scores.size for one in found]),
        np.array([len(ref) for _, ref in cases]),
    )
    rates = (0.0, 0.25, 1 / 3, 1.0, 8.0)
    precisions = ranking.average_precisions(weights)
    sensitivities = ranking.sensitivities(weights, rates)
    for n, sample in enumerate(weights):
        repeated = [one for one, times in zip(found, sample, strict=True) for _ in range(times)]
        slow = average_precision_of(repeated)["pooled"]
        assert precisions[n] == pytest.approx(slow, nan_ok=True)
        assert sensitivities[n].tolist() == pytest.approx(
            list(froc_of(repeated, rates).values), nan_ok=True
        )


@given(seed=SEEDS)
@settings(max_examples=1000)
def test_case_auroc_equals_that_of_the_repeated_cases(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cases = [random_pair(rng) for _ in range(5)]
    weights = few_weights(rng, len(cases))
    best = [max((item.score for item in pred), default=-math.inf) for pred, _ in cases]
    found = case_aurocs(np.array(best), np.array([len(ref) > 0 for _, ref in cases]), weights)
    for value, sample in zip(found, weights, strict=True):
        repeated = [case for case, times in zip(cases, sample, strict=True) for _ in range(times)]
        assert value == pytest.approx(case_auroc(repeated), nan_ok=True)


@given(seed=SEEDS, far=st.sampled_from([0.0, 1e6]))
@settings(max_examples=1000)
def test_agreement_equals_that_of_the_repeated_cases(seed: int, far: float) -> None:
    rng = np.random.default_rng(seed)
    pred, ref = far + rng.choice([0.0, 0.125, 3.0, 10.0], size=(2, 5))
    weights = few_weights(rng, 5)
    bias, deviation, ccc = agreements(pred, ref, weights)
    for n, sample in enumerate(weights):
        one, other = np.repeat(pred, sample), np.repeat(ref, sample)
        slow = bland_altman(one, other)
        assert bias[n] == pytest.approx(slow.bias, abs=1e-9)
        assert deviation[n] == pytest.approx(slow.sd, abs=1e-6, nan_ok=True)
        assert ccc[n] == pytest.approx(concordance(one, other).ccc, abs=1e-9, nan_ok=True)

"""FROC: a plain loop over thresholds, curves worked out by hand, and empty sides."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from evaluation_cases import random_pair, rectangle, study
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_detection import slow_case

from medseg.evaluation.detection import Findings, findings
from medseg.evaluation.froc import Froc, froc, froc_of
from medseg.evaluation.matching import MatchingRule

NOTHING = study([])
PLACES = [rectangle(slice(10 * n, 10 * n + 8), slice(0, 8)) for n in range(5)]
ELSEWHERE = [rectangle(slice(10 * n, 10 * n + 8), slice(20, 28)) for n in range(5)]
RULE = MatchingRule()
POINTS = (0.0, 0.1, 0.125, 0.25, 0.5, 1.0, 2.0, 8.0)


def a_case(ranked: list[tuple[float, bool]], missed: int) -> Findings:
    """Findings of one case with these scores and hits, and further references that none hit."""
    scores = np.asarray([score for score, _ in ranked], dtype=np.float64)
    hits = np.asarray([hit for _, hit in ranked], dtype=np.bool_)
    wanted = int(hits.sum()) + missed
    names = ("tumour",) * hits.size
    iou = np.where(hits, 1.0, np.nan)
    return Findings(RULE, scores, hits, iou, names, {"tumour": wanted})


def check(found: Froc, cases: list[list[tuple[float, bool]]], wanted: int) -> None:
    """Each point of the curve, and each value as the best of the points that are allowed."""
    ranked = [row for case in cases for row in case]
    thresholds = sorted({score for score, _ in ranked}, reverse=True)
    assert found.thresholds.tolist() == thresholds
    best = dict.fromkeys(found.points, Fraction(0))
    for k, threshold in enumerate(thresholds):
        hits = sum(hit for score, hit in ranked if score >= threshold)
        alarms = Fraction(sum(not hit for score, hit in ranked if score >= threshold), len(cases))
        assert found.fp_per_case[k] == pytest.approx(float(alarms))
        if wanted:
            assert found.sensitivity[k] == pytest.approx(hits / wanted)
            for point in found.points:
                if alarms <= Fraction(str(point)):
                    best[point] = max(best[point], Fraction(hits, wanted))
    values = [float(best[point]) if wanted else math.nan for point in found.points]
    assert found.values == pytest.approx(tuple(values), nan_ok=True)
    assert found.cpm == pytest.approx(sum(values) / len(values), nan_ok=True)


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=1000)
def test_the_curve_equals_a_loop_over_thresholds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cases = []
    for _ in range(int(rng.integers(1, 11))):
        scores = rng.integers(0, 7, size=int(rng.integers(0, 6))) / 6
        cases.append([(float(score), bool(rng.random() < 0.6)) for score in scores])
    missed = [int(rng.integers(0, 2)) for _ in cases]
    found = froc_of([a_case(*case) for case in zip(cases, missed, strict=True)], POINTS)
    check(found, cases, sum(missed) + sum(hit for case in cases for _, hit in case))


@given(seed=st.integers(0, 2**32 - 1), many_to_one=st.booleans())
@settings(deadline=None, max_examples=1000)
def test_the_curve_of_masks_equals_a_loop_over_thresholds(seed: int, many_to_one: bool) -> None:
    rng = np.random.default_rng(seed)
    cases = [random_pair(rng) for _ in range(3)]
    rule = MatchingRule("iou", 0.3, many_to_one=many_to_one)
    slow = [slow_case(pred, ref, rule) for pred, ref in cases]
    ranked = [[(score, hit) for _, score, hit, _ in one.found] for one in slow]
    check(froc(cases, rule, POINTS), ranked, sum(len(one.wanted) for one in slow))


def test_a_curve_as_worked_out_by_hand() -> None:
    # Two cases, four references; by falling score: alarm, hit, hit and alarm together, hit.
    first = (study([ELSEWHERE[0], PLACES[0], PLACES[1]], scores=[0.9, 0.8, 0.5]), study(PLACES[:3]))
    second = (study([ELSEWHERE[1], PLACES[0]], scores=[0.5, 0.2]), study(PLACES[:1]))
    found = froc([first, second], RULE)
    assert found.thresholds.tolist() == [0.9, 0.8, 0.5, 0.2]
    assert found.fp_per_case.tolist() == [0.5, 0.5, 1.0, 1.0]
    assert found.sensitivity.tolist() == [0.0, 0.25, 0.5, 0.75]
    assert found.points == (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    assert found.values == (0.0, 0.0, 0.25, 0.75, 0.75, 0.75, 0.75)
    assert found.cpm == pytest.approx((0.25 + 4 * 0.75) / 7)


def test_a_value_is_read_by_step_and_an_exact_number_of_alarms_is_allowed() -> None:
    ranked = [(0.9, True), (0.8, False), (0.7, True)]
    cases = [a_case(ranked, 0)] + [a_case([], 0)] * 9  # one alarm in ten cases
    assert froc_of(cases, (0.0, 0.0999, 0.1, 100.0)).values == (0.5, 0.5, 1.0, 1.0)


def test_classes_are_pooled_and_hits_stay_within_class() -> None:
    pred = study(PLACES[:2], names=["node", "tumour"])
    cases = [(pred, study(PLACES[:2]))]
    assert froc(cases, RULE, (1.0,)).values == (0.5,)
    assert froc(cases, MatchingRule(within_class=False), (0.0,)).values == (1.0,)


def test_empty_sides_have_the_documented_result() -> None:
    some = study(PLACES[:2], scores=[0.5, 0.5])
    missed = froc([(NOTHING, some), (NOTHING, NOTHING)], RULE)
    assert missed.thresholds.size == missed.fp_per_case.size == missed.sensitivity.size == 0
    assert missed.values == (0.0,) * 7
    assert missed.cpm == 0.0
    invented = froc([(some, NOTHING), (NOTHING, NOTHING)], RULE)
    assert invented.thresholds.tolist() == [0.5]
    assert invented.fp_per_case.tolist() == [1.0]
    for nothing in (invented, froc([(NOTHING, NOTHING)], RULE), froc([], RULE)):
        assert all(math.isnan(value) for value in (*nothing.values, *nothing.sensitivity))
        assert math.isnan(nothing.cpm)


def test_matched_cases_give_the_curve_of_the_cases() -> None:
    rng = np.random.default_rng(7)
    cases = [random_pair(rng) for _ in range(5)]
    rule = MatchingRule("centre_mm", 3.0, "optimal")
    one, other = froc(cases, rule), froc_of([findings(*case, rule) for case in cases])
    assert one.values == other.values
    assert np.array_equal(one.fp_per_case, other.fp_per_case)


@pytest.mark.parametrize("points", [(), (-0.5,), (1.0, math.inf), (math.nan,)])
def test_points_that_are_no_numbers_of_alarms_are_a_bad_call(points) -> None:
    with pytest.raises(ValueError, match="numbers from 0 up, at least one; got"):
        froc([], RULE, points)

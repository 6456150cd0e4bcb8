"""Panoptic quality: its definition in fractions, the strict half, and empty sides."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from evaluation_cases import random_pair, rectangle, study
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_detection import slow_case

from medseg.evaluation.matching import MatchingRule
from medseg.evaluation.panoptic import Quality, panoptic_quality

NOTHING = study([])
BLOCK = rectangle(slice(0, 10), slice(0, 10))
FAR = rectangle(slice(30, 40), slice(30, 40))


def slow_quality(ious: list[Fraction], predicted: int, wanted: int) -> tuple[float, ...]:
    """(sq, rq, pq, tp, fp, fn) as they are defined; there is no mean IoU of no pair."""
    tp, fp, fn = len(ious), predicted - len(ious), wanted - len(ious)
    if tp + fp + fn == 0:
        return math.nan, math.nan, math.nan, 0, 0, 0
    both = tp + Fraction(fp, 2) + Fraction(fn, 2)
    sq = float(sum(ious, Fraction(0)) / tp) if tp else math.nan
    return sq, float(tp / both), float(sum(ious, Fraction(0)) / both), tp, fp, fn


@given(
    seed=st.integers(0, 2**32 - 1),
    threshold=st.sampled_from([0.1, 0.5, 0.8]),
    many_to_one=st.booleans(),
)
@settings(deadline=None, max_examples=1000)
def test_quality_equals_its_definition(seed: int, threshold: float, many_to_one: bool) -> None:
    rng = np.random.default_rng(seed)
    cases = [random_pair(rng) for _ in range(2)]
    rule = MatchingRule("iou", threshold, many_to_one=many_to_one)
    slow = [slow_case(pred, ref, rule) for pred, ref in cases]
    rows = [row for one in slow for row in one.found]
    wanted = [name for one in slow for name in one.wanted]
    found = panoptic_quality(cases, rule)
    assert list(found.per_class) == ["node", "tumour"]
    quality: list[float] = []
    for name, given_quality in [*found.per_class.items(), (None, found.pooled)]:
        mine = [row for row in rows if name in (None, row[0])]
        count = len(wanted) if name is None else wanted.count(name)
        truth = slow_quality([iou for _, _, hit, iou in mine if hit], len(mine), count)
        assert tuple(given_quality) == pytest.approx(truth, nan_ok=True)
        if name is not None and not math.isnan(truth[2]):
            quality.append(truth[2])
    mean = sum(quality) / len(quality) if quality else math.nan
    assert found.mean_pq == pytest.approx(mean, nan_ok=True)


def test_one_hit_one_alarm_and_one_miss_as_worked_out_by_hand() -> None:
    ref = study([BLOCK, rectangle(slice(20, 30), slice(0, 10))])
    pred = study([rectangle(slice(0, 8), slice(0, 10)), FAR])
    found = panoptic_quality([(pred, ref)])
    assert found.pooled == pytest.approx((0.8, 0.5, 0.4, 1, 1, 1))
    assert found.mean_pq == pytest.approx(0.4)


def test_cases_are_pooled_and_not_averaged() -> None:
    missed = (NOTHING, study([BLOCK, FAR]))
    perfect = (study([BLOCK]), study([BLOCK]))
    assert panoptic_quality([missed, perfect]).pooled == pytest.approx((1, 0.5, 0.5, 1, 0, 2))


def test_an_iou_of_exactly_one_half_is_no_pair_by_definition_but_is_by_the_plain_rule() -> None:
    half = study([rectangle(slice(0, 5), slice(0, 10))])
    more = study([rectangle(slice(0, 6), slice(0, 10))])
    ref = study([BLOCK])
    missed = panoptic_quality([(half, ref)]).pooled
    assert missed == pytest.approx((math.nan, 0.0, 0.0, 0, 1, 1), nan_ok=True)
    assert panoptic_quality([(half, ref)], MatchingRule()).pooled.tp == 1
    assert panoptic_quality([(more, ref)]).pooled == pytest.approx((0.6, 1, 0.6, 1, 0, 0))


def test_segmentation_quality_is_of_iou_whatever_the_criterion() -> None:
    pred = study([rectangle(slice(1, 9), slice(1, 9))])  # the same centroid, IoU 0.64
    for rule in (MatchingRule("dice", 0.7), MatchingRule("centre_mm", 1.0, "optimal")):
        found = panoptic_quality([(pred, study([BLOCK]))], rule).pooled
        assert found == pytest.approx((0.64, 1, 0.64, 1, 0, 0))


def test_several_predictions_of_one_object_are_no_false_alarms_where_the_rule_allows() -> None:
    pred, ref = study([BLOCK, BLOCK]), study([BLOCK])
    assert panoptic_quality([(pred, ref)]).pooled == pytest.approx((1, 2 / 3, 2 / 3, 1, 1, 0))
    rule = MatchingRule(many_to_one=True)
    assert panoptic_quality([(pred, ref)], rule).pooled == Quality(1.0, 1.0, 1.0, 1, 0, 0)


def test_across_classes_only_the_pool_has_a_quality() -> None:
    cases = [(study([BLOCK], names=["node"]), study([BLOCK]))]
    within = panoptic_quality(cases)
    assert within.per_class["node"][1:] == (0.0, 0.0, 0, 1, 0)
    assert within.per_class["tumour"][1:] == (0.0, 0.0, 0, 0, 1)
    found = panoptic_quality(cases, MatchingRule(within_class=False))
    assert found.per_class == {}
    assert math.isnan(found.mean_pq)
    assert found.pooled.pq == 1.0


def test_empty_sides_have_the_documented_result() -> None:
    some = study([BLOCK])
    missed, invented = (
        panoptic_quality([case]).pooled for case in ((NOTHING, some), (some, NOTHING))
    )
    assert (missed[1:], invented[1:]) == ((0.0, 0.0, 0, 0, 1), (0.0, 0.0, 0, 1, 0))
    assert math.isnan(missed.sq) and math.isnan(invented.sq)
    for cases in ([], [(NOTHING, NOTHING)]):
        found = panoptic_quality(cases)
        assert all(math.isnan(value) for value in (*found.pooled[:3], found.mean_pq))
        assert found.pooled[3:] == (0, 0, 0)
    assert panoptic_quality([(NOTHING, some)]).mean_pq == 0.0

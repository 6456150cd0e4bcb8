"""Average precision, rates and counts: a slow reference in fractions, and published cases."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from evaluation_cases import random_pair, rectangle, study
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_detection import slow_case

from medseg.evaluation.detection import (
    average_precision,
    average_precision_of,
    case_auroc,
    count_error,
    detection_scores,
    findings,
    mean_average_precision,
)
from medseg.evaluation.matching import MatchingRule
from medseg.types import Instances

NOTHING = study([])
PLACES = [rectangle(slice(10 * n, 10 * n + 8), slice(0, 8)) for n in range(5)]
ELSEWHERE = [rectangle(slice(10 * n, 10 * n + 8), slice(20, 28)) for n in range(5)]


def slow_points(ranked: list[tuple[float, bool]]) -> list[tuple[int, Fraction]]:
    """Hits and precision of the objects at or above each score, by falling score."""
    points = []
    for threshold in sorted({score for score, _ in ranked}, reverse=True):
        kept = [hit for score, hit in ranked if score >= threshold]
        points.append((sum(kept), Fraction(sum(kept), len(kept))))
    return points


def slow_coco(ranked: list[tuple[float, bool]], wanted: int) -> float:
    """At each of 101 recalls the best precision of any score threshold that reaches it."""
    if wanted == 0:
        return math.nan
    points = slow_points(ranked)
    best = [
        max((precision for hits, precision in points if 100 * hits >= k * wanted), default=0)
        for k in range(101)
    ]
    return float(sum(best) / Fraction(101))


def slow_every(ranked: list[tuple[float, bool]], wanted: int) -> float:
    """The sum over scores of (R_n - R_(n-1)) P_n."""
    if wanted == 0:
        return math.nan
    total, before = Fraction(0), 0
    for hits, precision in slow_points(ranked):
        total += Fraction(hits - before, wanted) * precision
        before = hits
    return float(total)


def slow_result(slow, ranked: list[tuple[str, float, bool]], wanted: list[str]) -> dict:
    """Average precision of each class, their mean, and of the pool."""
    per_class = {
        name: slow([(s, hit) for one, s, hit in ranked if one == name], wanted.count(name))
        for name in ("node", "tumour")
    }
    defined = [value for value in per_class.values() if not math.isnan(value)]
    return {
        "per_class": per_class,
        "mean": sum(defined) / len(defined) if defined else math.nan,
        "pooled": slow([(s, hit) for _, s, hit in ranked], len(wanted)),
    }


def same(found: dict, wanted: dict) -> bool:
    pairs = [(found[key], wanted[key]) for key in ("mean", "pooled")]
    pairs += [(found["per_class"][name], value) for name, value in wanted["per_class"].items()]
    return list(found["per_class"]) == list(wanted["per_class"]) and all(
        one == pytest.approx(other, nan_ok=True) for one, other in pairs
    )


@given(
    seed=st.integers(0, 2**32 - 1),
    threshold=st.sampled_from([0.1, 0.3, 0.5]),
    many_to_one=st.booleans(),
)
@settings(deadline=None, max_examples=1000)
def test_average_precision_equals_a_search_over_score_thresholds(
    seed: int, threshold: float, many_to_one: bool
) -> None:
    rng = np.random.default_rng(seed)
    cases = [random_pair(rng) for _ in range(2)]
    rule = MatchingRule("iou", threshold, many_to_one=many_to_one)
    slow_cases = [slow_case(pred, ref, rule) for pred, ref in cases]
    ranked = [row[:3] for one in slow_cases for row in one.found]
    wanted = [name for one in slow_cases for name in one.wanted]
    matched = [findings(*case, rule) for case in cases]
    for points, slow in (("coco101", slow_coco), ("every", slow_every)):
        truth = slow_result(slow, ranked, wanted)
        assert same(average_precision_of(matched, points=points), truth)
        assert same(average_precision_of(matched[::-1], points=points), truth)
    tp = sum(hit for _, _, hit in ranked)
    rates = detection_scores(cases, rule)
    assert rates[:3] == (tp, len(ranked) - tp, len(wanted) - tp)


def test_average_precision_as_worked_out_by_hand() -> None:
    # Four objects; by falling score: hit, false alarm, hit. Precision 1 up to recall 0.25
    # (points 0..25), then 2/3 up to recall 0.5 (26..50), then 0.
    first = (study([PLACES[0], ELSEWHERE[0]], scores=[0.9, 0.8]), study(PLACES[:2]))
    second = (study([PLACES[2]], scores=[0.7]), study(PLACES[2:4]))
    found = average_precision([first, second], 0.5)
    assert found["per_class"]["tumour"] == pytest.approx((26 + 25 * 2 / 3) / 101)
    assert math.isnan(found["per_class"]["node"])
    assert found["mean"] == found["pooled"] == found["per_class"]["tumour"]


def test_a_perfect_result_has_average_precision_one() -> None:
    cases = [(study(PLACES, scores=[0.9, 0.1, 0.5, 0.2, 0.3]), study(PLACES))]
    assert average_precision(cases, 1.0)["pooled"] == 1.0


def test_more_than_a_hundred_objects_a_case_all_count() -> None:
    labels = np.zeros((1, 30, 30), dtype=np.int64)
    labels[0, ::2, ::2] = np.arange(1, 226).reshape(15, 15)
    many = Instances.from_labelmap(labels, study([labels > 0]).geometry)
    assert average_precision([(many, many)], 0.5)["pooled"] == 1.0


def test_false_alarms_of_a_class_without_reference_count_in_the_pool_only() -> None:
    pred = study([PLACES[0], ELSEWHERE[0]], scores=[0.5, 0.9], names=["tumour", "node"])
    found = average_precision([(pred, study(PLACES[:1]))], 0.5)
    assert found["per_class"]["tumour"] == 1.0
    assert math.isnan(found["per_class"]["node"])
    assert found["pooled"] == pytest.approx(0.5)


def test_nothing_to_find_has_no_average_precision() -> None:
    for cases in ([], [(NOTHING, NOTHING)]):
        found = average_precision(cases, 0.5)
        assert math.isnan(found["mean"])
        assert math.isnan(found["pooled"])


def test_rates_at_a_score_as_worked_out_by_hand() -> None:
    pred = study([PLACES[0], PLACES[1], ELSEWHERE[0], ELSEWHERE[1]], scores=[0.9, 0.5, 0.6, 0.2])
    cases = [(pred, study(PLACES[:3])), (NOTHING, study(PLACES[:1]))]
    assert detection_scores(cases, 0.5, score_threshold=0.5) == (
        2,
        1,
        2,
        pytest.approx(2 / 3),
        0.5,
        pytest.approx(4 / 7),
    )
    assert detection_scores(cases, 0.5)[:3] == (2, 2, 2)


def test_rates_of_empty_sides_are_the_documented_ones() -> None:
    some = study(PLACES[:2])
    nothing = detection_scores([(NOTHING, NOTHING)], 0.5)
    assert nothing[:3] == (0, 0, 0)
    assert all(math.isnan(rate) for rate in nothing[3:])
    missed = detection_scores([(NOTHING, some)], 0.5)
    assert math.isnan(missed.precision)
    assert (missed.recall, missed.f1) == (0.0, 0.0)
    invented = detection_scores([(some, NOTHING)], 0.5)
    assert math.isnan(invented.recall)
    assert (invented.precision, invented.f1) == (0.0, 0.0)


def test_count_errors_do_not_cancel_in_the_absolute_one() -> None:
    cases = [
        (study(PLACES[:3], scores=[0.9, 0.9, 0.1]), study(PLACES[:1])),
        (NOTHING, study(PLACES[:2])),
    ]
    assert count_error(cases) == (0.0, pytest.approx((2 + 2) / 3))
    assert count_error(cases, score_threshold=0.5) == pytest.approx((-1 / 3, 1.0))
    assert count_error([(study(PLACES), NOTHING)]) == (math.inf, math.inf)
    assert all(math.isnan(value) for value in count_error([(NOTHING, NOTHING)]))


def test_average_precision_at_every_score_as_worked_out_by_hand() -> None:
    # As above: precision 1 for the first quarter of recall, 2/3 for the second.
    first = (study([PLACES[0], ELSEWHERE[0]], scores=[0.9, 0.8]), study(PLACES[:2]))
    second = (study([PLACES[2]], scores=[0.7]), study(PLACES[2:4]))
    found = average_precision([first, second], 0.5, points="every")
    assert found["pooled"] == pytest.approx(1 / 4 + 1 / 4 * 2 / 3)


def test_further_predictions_of_a_found_object_cost_no_precision() -> None:
    pred = study([PLACES[0], PLACES[0], ELSEWHERE[0]], scores=[0.9, 0.8, 0.7])
    cases = [(pred, study(PLACES[:1]))]
    assert detection_scores(cases, MatchingRule())[:3] == (1, 2, 0)
    assert detection_scores(cases, MatchingRule(many_to_one=True))[:3] == (1, 1, 0)


def test_across_classes_only_the_pool_has_an_average_precision() -> None:
    cases = [(study(PLACES[:2], names=["node"] * 2), study(PLACES[:2]))]
    found = average_precision(cases, MatchingRule(within_class=False))
    assert found["per_class"] == {}
    assert math.isnan(found["mean"])
    assert found["pooled"] == 1.0


def test_an_iou_of_exactly_each_threshold_of_the_mean_is_a_hit() -> None:
    # A bar of 20 voxels and its first n: IoU n / 20. A running sum of 0.05 would miss 3 / 20.
    bars = [rectangle(slice(20, 40), slice(n, n + 1)) for n in range(2, 11)]
    parts = [rectangle(slice(20, 20 + n), slice(n, n + 1)) for n in range(2, 11)]
    found = mean_average_precision([(study(parts), study(bars))])
    assert found["thresholds"] == (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
    recalls = [Fraction(9 - below, 9) for below in range(9)]
    wanted = [recall * (int(100 * recall) + 1) / 101 for recall in recalls]
    assert [one["pooled"] for one in found["at"]] == pytest.approx([float(ap) for ap in wanted])
    assert found["pooled"] == found["mean"] == pytest.approx(float(sum(wanted) / 9))
    assert found["per_class"]["tumour"] == found["mean"]
    assert math.isnan(found["per_class"]["node"])


def test_the_mean_is_over_the_thresholds_of_any_rule() -> None:
    moved = [rectangle(slice(10 * n + n, 10 * n + n + 8), slice(0, 8)) for n in range(3)]
    cases = [(study(moved), study(PLACES[:3]))]  # centroids 0, 1 and 2 mm apart
    rule = MatchingRule("centre_mm", 9.0, "optimal")
    found = mean_average_precision(cases, (0.5, 1.0, 2.0), rule=rule, points="every")
    assert [one["pooled"] for one in found["at"]] == pytest.approx([1 / 9, 4 / 9, 1.0])
    assert found["pooled"] == pytest.approx((1 / 9 + 4 / 9 + 1) / 3)


def test_nndetection_toy_masks_without_their_hole_have_the_mean_of_their_overlaps() -> None:
    # Cubes of class "hole" found as full cubes: IoU = voxels of the reference / side³.
    sides, voxels = (28, 21, 24, 26), (10752, 5712, 7680, 9152)  # toy cases 0, 1, 2, 6
    cases = []
    for side, count in zip(sides, voxels, strict=True):
        holed = np.ones((side, side, side), dtype=bool)
        holed[:, 4:-4, 4:-4] = False
        assert np.count_nonzero(holed) == count
        cases.append((study([np.ones_like(holed)]), study([holed])))
    ap_of_three = 0.75 * 76 / 101  # at IoU 0.5 the first (0.4898) is no hit
    assert mean_average_precision(cases)["mean"] == pytest.approx((8 + ap_of_three) / 9)


def test_a_hit_below_the_score_frees_its_reference() -> None:
    # Optimal matching takes the better fit, of low score; above 0.5 only the other is left.
    pred = study(
        [rectangle(slice(0, 8), slice(0, 8)), rectangle(slice(0, 8), slice(0, 5))],
        scores=[0.2, 0.9],
    )
    rule = MatchingRule(assignment="optimal")
    assert detection_scores([(pred, study(PLACES[:1]))], rule)[:3] == (1, 1, 0)
    high = detection_scores([(pred, study(PLACES[:1]))], rule, score_threshold=0.5)
    assert high[:3] == (1, 0, 0)


@given(
    rows=st.lists(
        st.tuples(st.sampled_from([None, 0.0, 0.25, 0.5, 1.0]), st.booleans()), max_size=8
    )
)
@settings(deadline=None, max_examples=1000)
def test_the_area_under_the_roc_curve_is_the_share_of_pairs_ranked_rightly(rows) -> None:
    cases = [
        (
            NOTHING if score is None else study([PLACES[0], PLACES[1]], scores=[0.0, score]),
            study(PLACES[:1]) if truth else NOTHING,
        )
        for score, truth in rows
    ]
    pairs = [(one, other) for one, truth in rows if truth for other, no in rows if not no]
    value = {None: -1.0}
    points = [
        (value.get(a, a) > value.get(b, b)) + Fraction(value.get(a, a) == value.get(b, b), 2)
        for a, b in pairs
    ]
    wanted = float(sum(points) / Fraction(len(points))) if points else math.nan
    assert case_auroc(cases) == pytest.approx(wanted, nan_ok=True)


def test_bad_calls_are_refused() -> None:
    nan = (study(PLACES[:1], scores=[math.nan]), study(PLACES[:1]))
    for score in (detection_scores, average_precision):
        with pytest.raises(ValueError, match="instance 1 has the score NaN"):
            score([nan], 0.5)
    for count in (case_auroc, count_error):
        with pytest.raises(ValueError, match="instance 1 has the score NaN"):
            count([nan])
    with pytest.raises(ValueError, match="points is 'coco101' or 'every'; got 'all'"):
        average_precision([], 0.5, points="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one threshold"):
        mean_average_precision([], ())
    one, other = (findings(NOTHING, NOTHING, MatchingRule("iou", t)) for t in (0.1, 0.5))
    with pytest.raises(ValueError, match="made by different rules"):
        average_precision_of([one, other])

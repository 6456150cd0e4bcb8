"""Average precision, rates and counts: a slow reference in fractions, and published cases."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from evaluation_cases import random_pair, rectangle, study
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.evaluation import average_precision, count_error, detection_scores, match_greedy
from medseg.types import Instances

NOTHING = study([])
PLACES = [rectangle(slice(10 * n, 10 * n + 8), slice(0, 8)) for n in range(5)]
ELSEWHERE = [rectangle(slice(10 * n, 10 * n + 8), slice(20, 28)) for n in range(5)]


def slow_average_precision(ranked: list[tuple[float, bool]], wanted: int) -> float:
    """At each of 101 recalls the best precision of any score threshold that reaches it."""
    points = []
    for threshold in {score for score, _ in ranked}:
        kept = [hit for score, hit in ranked if score >= threshold]
        points.append((Fraction(sum(kept), wanted), Fraction(sum(kept), len(kept))))
    best = [
        max((precision for recall, precision in points if recall >= Fraction(k, 100)), default=0)
        for k in range(101)
    ]
    return float(sum(best) / Fraction(101))


@given(seed=st.integers(0, 2**32 - 1), threshold=st.sampled_from([0.1, 0.5]))
@settings(deadline=None, max_examples=60)
def test_average_precision_equals_a_search_over_score_thresholds(
    seed: int, threshold: float
) -> None:
    rng = np.random.default_rng(seed)
    cases = [random_pair(rng) for _ in range(3)]
    found = average_precision(cases, threshold)
    ranked: dict[str, list[tuple[float, bool]]] = {"node": [], "tumour": []}
    for pred, ref in cases:
        hits = match_greedy(pred, ref, threshold).pred
        for n, item in enumerate(pred):
            ranked[item.class_name].append((item.score, n in hits))
    wanted = {
        name: sum(one.class_name == name for _, ref in cases for one in ref) for name in ranked
    }
    slow = {
        name: slow_average_precision(ranked[name], n) if n else math.nan
        for name, n in wanted.items()
    }
    assert found["per_class"] == pytest.approx(slow, nan_ok=True)
    defined = [value for value in slow.values() if not math.isnan(value)]
    mean = sum(defined) / len(defined) if defined else math.nan
    assert found["mean"] == pytest.approx(mean, nan_ok=True)
    if sum(wanted.values()):
        everything = ranked["node"] + ranked["tumour"]
        pooled = slow_average_precision(everything, sum(wanted.values()))
        assert found["pooled"] == pytest.approx(pooled)
    backwards = average_precision(cases[::-1], threshold)
    assert backwards["per_class"] == pytest.approx(found["per_class"], nan_ok=True)
    assert backwards["pooled"] == pytest.approx(found["pooled"], nan_ok=True)


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


def test_picai_cases_differ_from_their_totals_by_the_rule_only(
    shared_data: Path, skip_unless
) -> None:
    """picai_eval: 10 lesions, 5 hits, 5 misses, 4 false alarms at IoU 0.1 (26-connected).

    Its assignment maximises the number of hits and drops the second candidate on a taken lesion
    (case 6); greedy matching counts that one as a false alarm, so there are 5.
    """
    nibabel = pytest.importorskip("nibabel")
    folder = shared_data.parent / "reference" / "picai_eval" / "tests" / "test-maps"
    skip_unless(folder.is_dir(), "the picai_eval cases are not in the shared folder")
    cases = []
    for n in range(10):
        sides = []
        for kind in ("detection_map", "label"):
            array = np.asarray(nibabel.load(folder / f"case-{n}_{kind}.nii.gz").dataobj).T
            sides.append(objects_of(array))
        cases.append((sides[0], sides[1]))
    assert detection_scores(cases, 0.1)[:3] == (5, 5, 5)


def objects_of(array: np.ndarray) -> Instances:
    """Connected components of what is above 0; the score is the largest value inside."""
    from scipy import ndimage  # the reference's own way, not ours

    labels, count = ndimage.label(array > 0, structure=np.ones((3, 3, 3)))
    masks = [labels == n + 1 for n in range(count)]
    scores = [float(array[mask].max()) for mask in masks]
    return study(masks, scores=scores, shape=array.shape)

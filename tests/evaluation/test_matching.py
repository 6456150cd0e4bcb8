"""Matching by every rule: slow loops over all pairs, the published cases, ties, bad calls."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from evaluation_cases import random_pair, rectangle, slow_iou, study
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_detection import slow_edges, slow_greedy, slow_optimum

from medseg.errors import InputRefused
from medseg.evaluation import match_greedy, pair_overlaps
from medseg.evaluation.matching import Matching, MatchingRule, match
from medseg.types import Geometry, Instances

NOTHING = study([])
SHEARED = np.array(
    [[0.1, 0.2, 0.7, -250.3], [0.0, 0.9, -0.1, 80.1], [2.5, 0.0, 0.3, 5.0], [0, 0, 0, 1]]
)
SEEDS = st.integers(0, 2**32 - 1)
RULES = st.one_of(
    st.builds(
        MatchingRule,
        criterion=st.sampled_from(["iou", "dice"]),
        threshold=st.sampled_from([0.1, 0.15, 0.3, 0.5, 0.75, 1.0]),
        many_to_one=st.booleans(),
        within_class=st.booleans(),
    ),
    st.builds(
        MatchingRule,
        criterion=st.just("centre_mm"),
        threshold=st.sampled_from([0.5, 1.25, 2.5, 6.0]),
        many_to_one=st.booleans(),
        within_class=st.booleans(),
    ),
)


def sheared_pair(seed: int) -> tuple[Instances, Instances]:
    """Random objects on an oblique, sheared grid whose origin lies far away."""
    pred, ref = random_pair(np.random.default_rng(seed))
    geometry = Geometry(pred.geometry.shape, SHEARED)
    return replace(pred, geometry=geometry), replace(ref, geometry=geometry)


def pairs_of(found: Matching) -> dict[int, int]:
    return dict(zip(found.pred.tolist(), found.ref.tolist(), strict=True))


def crossing() -> tuple[Instances, Instances]:
    """The high score fits both references, the low one the first alone: 0.6, 0.4; 1/3."""
    ref = study([rectangle(slice(0, 10), slice(0, 6)), rectangle(slice(0, 10), slice(6, 10))])
    pred = study(
        [rectangle(slice(0, 10), slice(0, 10)), rectangle(slice(0, 10), slice(0, 2))],
        scores=[0.9, 0.5],
    )
    return pred, ref


@given(seed=SEEDS, rule=RULES)
@settings(deadline=None, max_examples=1000)
def test_greedy_matching_equals_the_loop_of_coco(seed: int, rule: MatchingRule) -> None:
    pred, ref = sheared_pair(seed)
    edges = slow_edges(pred, ref, rule)
    partner = slow_greedy(pred, ref, edges)
    found = match(pred, ref, rule)
    assert pairs_of(found) == partner
    check_the_rest(pred, ref, rule, found, edges)


@given(seed=SEEDS, rule=RULES)
@settings(deadline=None, max_examples=1000)
def test_optimal_matching_is_the_best_of_all_sets_of_pairs(seed: int, rule: MatchingRule) -> None:
    rule = replace(rule, assignment="optimal")
    pred, ref = sheared_pair(seed)
    edges = slow_edges(pred, ref, rule)
    found = match(pred, ref, rule)
    partner = pairs_of(found)
    assert len(set(partner.values())) == len(partner)
    total = sum((edges[pair] for pair in partner.items()), Fraction(0))
    assert (len(partner), total) == slow_optimum(edges)
    check_the_rest(pred, ref, rule, found, edges)
    holder = {m: n for n, m in partner.items()}
    for (n, m), fit in edges.items():
        if n not in partner and m in holder and edges[holder[m], m] == fit:
            first = (-pred.items[holder[m]].score, holder[m])
            assert first < (-pred.items[n].score, n)


def check_the_rest(pred, ref, rule, found: Matching, edges) -> None:
    """Values of the pairs, and that every object is in exactly one of the lists."""
    partner = pairs_of(found)
    assert found.pred.tolist() == sorted(partner)
    for n, m, value, iou in zip(found.pred, found.ref, found.value, found.iou, strict=True):
        assert value == pytest.approx(abs(float(edges[n, m])), abs=1e-6)
        assert iou == pytest.approx(slow_iou(pred, pred.items[n], ref, ref.items[m]))
    assert found.unmatched_ref.tolist() == sorted(set(range(len(ref))) - set(partner.values()))
    lone = sorted(set(range(len(pred))) - set(partner))
    could = [n for n in lone if any(one == n for one, _ in edges)] if rule.many_to_one else []
    assert found.further_pred.tolist() == could
    assert found.unmatched_pred.tolist() == [n for n in lone if n not in could]
    for n, m in zip(found.further_pred.tolist(), found.further_ref.tolist(), strict=True):
        assert m in partner.values()
        assert (edges[n, m], m) == max((fit, b) for (a, b), fit in edges.items() if a == n)


def test_panoptica_cases_have_their_published_matches() -> None:
    one_ref = study([rectangle(slice(20, 40), slice(10, 20))])
    two_refs = study(
        [rectangle(slice(20, 30), slice(10, 20)), rectangle(slice(30, 40), slice(10, 20))]
    )
    large = study([rectangle(slice(20, 35), slice(10, 20))])
    small = study([rectangle(slice(20, 25), slice(10, 15))])
    cases = [
        (large, one_ref, (1, 0, 0), [0.75]),
        (large, two_refs, (1, 0, 1), [2 / 3]),
        (small, one_ref, (0, 1, 1), []),
        (NOTHING, one_ref, (0, 0, 1), []),
        (large, NOTHING, (0, 1, 0), []),
    ]
    for pred, ref, (tp, fp, fn), ious in cases:
        for assignment in ("greedy", "optimal"):
            found = match(pred, ref, MatchingRule(assignment=assignment))
            sizes = (found.pred.size, found.unmatched_pred.size, found.unmatched_ref.size)
            assert sizes == (tp, fp, fn)
            assert found.iou.tolist() == pytest.approx(ious)


def test_a_higher_score_takes_the_reference_though_a_lower_one_fits_better() -> None:
    ref = study([rectangle(slice(0, 10), slice(0, 10))])
    pred = study(
        [rectangle(slice(0, 9), slice(0, 10)), rectangle(slice(0, 6), slice(0, 10))],
        scores=[0.4, 0.9],
    )
    found = match_greedy(pred, ref, 0.5)
    assert found.pred.tolist() == [1]
    assert found.iou.tolist() == pytest.approx([0.6])
    assert found.unmatched_pred.tolist() == [0]
    assert match(pred, ref, MatchingRule(assignment="optimal")).pred.tolist() == [0]


def test_optimal_matching_finds_both_where_greedy_finds_one() -> None:
    pred, ref = crossing()
    assert pairs_of(match(pred, ref, MatchingRule(threshold=0.3))) == {0: 0}
    best = match(pred, ref, MatchingRule(threshold=0.3, assignment="optimal"))
    assert pairs_of(best) == {0: 1, 1: 0}
    assert best.iou.tolist() == pytest.approx([0.4, 1 / 3])


def test_optimal_matching_gives_up_perfect_pairs_for_one_pair_more() -> None:
    # Bars of eleven voxels, neighbours share two: IoU 1 / 10. Two of the predictions lie exactly
    # on a reference; three pairs are possible only if neither of them stays there. Weights of
    # 1 + IoU, as in picai_eval, would keep the two.
    bars = [rectangle(slice(9 * n, 9 * n + 11), slice(0, 1)) for n in range(4)]
    pred, ref = study([bars[1], bars[2], bars[3]]), study([bars[0], bars[1], bars[2]])
    found = match(pred, ref, MatchingRule(threshold=0.1, assignment="optimal"))
    assert pairs_of(found) == {0: 0, 1: 1, 2: 2}
    assert found.iou.tolist() == pytest.approx([0.1] * 3)


def test_of_equal_predictions_the_one_of_the_highest_score_is_matched() -> None:
    mask = rectangle(slice(0, 10), slice(0, 10))
    pred = study([mask, mask, mask, mask], scores=[0.2, 0.9, 0.4, 0.9])
    for assignment in ("greedy", "optimal"):
        found = match(pred, study([mask]), MatchingRule(assignment=assignment))
        assert found.pred.tolist() == [1]
        assert found.unmatched_pred.tolist() == [0, 2, 3]


def test_of_equal_predictions_the_higher_score_is_matched_beside_others_too() -> None:
    # Bars; the third prediction fits the first reference at 3 / 4 and the second at 1 / 2, so the
    # best set gives it the second, and the first to one of two equal predictions.
    bars = [rectangle(slice(0, 6), slice(0, 1)), rectangle(slice(3, 12), slice(0, 1))]
    pred = study([bars[0], bars[0], bars[1]], scores=[0.9, 0.8, 0.7])
    ref = study([rectangle(slice(0, 12), slice(0, 1)), rectangle(slice(6, 15), slice(0, 1))])
    assert pairs_of(match(pred, ref, MatchingRule(assignment="optimal"))) == {0: 0, 2: 1}


def test_of_equally_good_references_the_last_is_taken_as_in_coco() -> None:
    pred = study([rectangle(slice(0, 10), slice(0, 10))])
    ref = study([rectangle(slice(0, 8), slice(0, 10)), rectangle(slice(2, 10), slice(0, 10))])
    assert match_greedy(pred, ref, 0.5).ref.tolist() == [1]


def test_a_reference_in_two_parts_is_found_once_and_the_second_part_is_no_false_alarm() -> None:
    ref = study([rectangle(slice(0, 10), slice(0, 10)), rectangle(slice(20, 30), slice(0, 10))])
    parts = study(
        [
            rectangle(slice(0, 4), slice(0, 10)),
            rectangle(slice(4, 10), slice(0, 10)),
            rectangle(slice(40, 50), slice(0, 10)),
        ],
        scores=[0.5, 0.9, 0.7],
    )
    for assignment in ("greedy", "optimal"):
        found = match(parts, ref, MatchingRule("iou", 0.3, assignment, many_to_one=True))
        assert pairs_of(found) == {1: 0}
        assert (found.further_pred.tolist(), found.further_ref.tolist()) == ([0], [0])
        assert found.unmatched_pred.tolist() == [2]
        assert found.unmatched_ref.tolist() == [1]


def test_classes_match_each_other_only_where_the_rule_says_so() -> None:
    mask = rectangle(slice(0, 10), slice(0, 10))
    pred, ref = study([mask], names=["node"]), study([mask], names=["tumour"])
    assert match_greedy(pred, ref, 0.1).pred.size == 0
    assert match(pred, ref, MatchingRule(within_class=False)).pred.size == 1


def test_an_overlap_of_exactly_the_threshold_is_a_hit() -> None:
    ref = study([rectangle(slice(0, 20), slice(0, 10))])
    pred = study([rectangle(slice(0, 11), slice(0, 10))])
    assert match_greedy(pred, ref, 0.55).pred.size == 1
    assert match_greedy(pred, ref, 0.5501).pred.size == 0
    assert match(pred, ref, MatchingRule("dice", 22 / 31)).pred.size == 1
    assert match(pred, ref, MatchingRule("dice", 0.71)).pred.size == 0


def test_a_distance_of_exactly_the_threshold_is_a_hit_wherever_the_origin_lies() -> None:
    for origin in (0.0, -731.7, 1e4 / 3):
        geometry = Geometry.from_spacing((20, 50, 50), (5.0, 0.7, 0.7), (origin,) * 3)
        ref, pred = (
            replace(study([point(*place)]), geometry=geometry) for place in ((0, 0), (10, 3))
        )
        limit = float(np.hypot(10 * 5.0, 3 * 0.7))
        found = match(pred, ref, MatchingRule("centre_mm", limit))
        assert found.value.tolist() == pytest.approx([limit])
        assert found.iou.tolist() == [0.0]
        assert match(pred, ref, MatchingRule("centre_mm", limit - 1e-5)).pred.size == 0


def point(z: int, y: int) -> np.ndarray:
    mask = np.zeros((20, 50, 50), dtype=bool)
    mask[z, y, 0] = True
    return mask


def test_of_two_predictions_the_nearer_one_is_the_optimal_match() -> None:
    ref = study([point(0, 10)])
    pred = study([point(0, 14), point(0, 11), point(0, 10)], scores=[0.9, 0.5, 0.4])
    assert match(pred, ref, MatchingRule("centre_mm", 5.0)).pred.tolist() == [0]
    best = match(pred, ref, MatchingRule("centre_mm", 5.0, "optimal", many_to_one=True))
    assert (best.pred.tolist(), best.value.tolist()) == ([2], [0.0])
    assert best.further_pred.tolist() == [0, 1]


@pytest.mark.parametrize("criterion", ["iou", "dice", "centre_mm"])
@pytest.mark.parametrize("assignment", ["greedy", "optimal"])
def test_an_empty_side_gives_no_pair(criterion, assignment) -> None:
    rule = MatchingRule(criterion, 0.5, assignment, many_to_one=True)
    some = study([rectangle(slice(0, 5), slice(0, 5)), rectangle(slice(9, 12), slice(0, 5))])
    for pred, ref in ((NOTHING, NOTHING), (some, NOTHING), (NOTHING, some)):
        found = match(pred, ref, rule)
        assert found.pred.size == found.ref.size == found.value.size == found.iou.size == 0
        assert found.further_pred.size == found.further_ref.size == 0
        assert found.unmatched_pred.tolist() == list(range(len(pred)))
        assert found.unmatched_ref.tolist() == list(range(len(ref)))


def test_overlaps_that_are_known_are_used() -> None:
    pred, ref = crossing()
    known = pair_overlaps(pred, ref)
    halved = replace(known, shared=known.shared // 2)
    assert match(pred, ref, MatchingRule(threshold=0.3), overlaps=known).pred.size == 1
    assert match(pred, ref, MatchingRule(threshold=0.3), overlaps=halved).pred.size == 0


def test_labels_above_65535_match_themselves() -> None:
    labels = np.zeros((20, 20, 20), dtype=np.int64)
    labels[::2, ::2, ::2] = 65_000 + np.arange(1, 1001).reshape(10, 10, 10)
    many = Instances.from_labelmap(labels, Geometry.identity(labels.shape))
    found = match(many, many, MatchingRule("iou", 1.0, "optimal"))
    assert np.array_equal(found.pred, found.ref)
    assert found.pred.size == 1000


def test_two_grids_are_refused() -> None:
    other = Instances(Geometry.from_spacing((1, 50, 50), (1.0, 1.0, 2.0)), [])
    with pytest.raises(InputRefused, match=r"^prediction: .* that of the reference: spacing"):
        match(other, NOTHING, MatchingRule("centre_mm", 5.0))


def test_a_score_that_is_no_number_ranks_nothing() -> None:
    pred = study([rectangle(slice(0, 5), slice(0, 5))], scores=[float("nan")])
    with pytest.raises(ValueError, match="instance 1 has the score NaN"):
        match(pred, NOTHING, MatchingRule())


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.1, float("nan")])
def test_a_threshold_that_is_no_share_is_a_bad_call(threshold: float) -> None:
    with pytest.raises(ValueError, match="of IoU lies above 0 and up to 1; got"):
        match_greedy(NOTHING, NOTHING, threshold)
    with pytest.raises(ValueError, match="of Dice lies above 0 and up to 1; got"):
        MatchingRule("dice", threshold)


def test_words_that_are_no_rule_are_a_bad_call() -> None:
    with pytest.raises(ValueError, match="criterion is 'iou', 'dice' or 'centre_mm'; got 'giou'"):
        MatchingRule("giou")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="assignment is 'greedy' or 'optimal'; got 'best'"):
        MatchingRule(assignment="best")  # type: ignore[arg-type]
    for far in (0.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="a number of mm above 0; got"):
            MatchingRule("centre_mm", far)


def test_a_rule_says_itself_in_words() -> None:
    assert MatchingRule().in_words() == (
        "IoU of at least 0.5; by falling score, each the best that is free; one to one; "
        "within class"
    )
    other = MatchingRule("centre_mm", 7.5, "optimal", many_to_one=True, within_class=False)
    assert other.in_words() == (
        "centroids at most 7.5 mm apart; the most pairs, of those the best sum; "
        "several predictions may stand for one reference; whatever the class"
    )
    assert MatchingRule("dice", 0.1).in_words().startswith("Dice of at least 0.1;")
    assert MatchingRule("iou", float(np.nextafter(0.5, 1))).in_words().startswith("IoU above 0.5;")

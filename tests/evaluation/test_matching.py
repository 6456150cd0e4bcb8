"""Greedy matching: COCO's rule as a slow loop, and the published cases."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_cases import random_pair, rectangle, slow_iou, study
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.evaluation import match_greedy
from medseg.types import Instances

NOTHING = study([])


def coco_loop(pred: Instances, ref: Instances, threshold: float) -> dict[int, int]:
    """The loop of COCO's evaluation: every prediction, every reference, best so far."""
    partner: dict[int, int] = {}
    scores = [-item.score for item in pred]
    for n in np.argsort(scores, kind="stable").tolist():
        best, chosen = threshold, None
        for m, other in enumerate(ref):
            if m in partner.values() or other.class_name != pred.items[n].class_name:
                continue
            iou = slow_iou(pred, pred.items[n], ref, other)
            if iou >= best:
                best, chosen = iou, m
        if chosen is not None:
            partner[n] = chosen
    return partner


@given(seed=st.integers(0, 2**32 - 1), threshold=st.sampled_from([0.1, 0.25, 0.5, 0.75, 1.0]))
@settings(deadline=None, max_examples=200)
def test_matching_equals_the_loop_of_coco(seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    pred, ref = random_pair(rng)
    found = match_greedy(pred, ref, threshold)
    wanted = coco_loop(pred, ref, threshold)
    assert dict(zip(found.pred.tolist(), found.ref.tolist(), strict=True)) == wanted
    assert found.unmatched_pred.tolist() == [n for n in range(len(pred)) if n not in wanted]
    assert found.unmatched_ref.tolist() == [m for m in range(len(ref)) if m not in wanted.values()]
    for n, m, iou in zip(found.pred, found.ref, found.iou, strict=True):
        assert iou == pytest.approx(slow_iou(pred, pred.items[n], ref, ref.items[m]))


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
        found = match_greedy(pred, ref, 0.5)
        assert (found.pred.size, found.unmatched_pred.size, found.unmatched_ref.size) == (
            tp,
            fp,
            fn,
        )
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


def test_of_equally_good_references_the_last_is_taken_as_in_coco() -> None:
    pred = study([rectangle(slice(0, 10), slice(0, 10))])
    ref = study([rectangle(slice(0, 8), slice(0, 10)), rectangle(slice(2, 10), slice(0, 10))])
    assert match_greedy(pred, ref, 0.5).ref.tolist() == [1]


def test_classes_do_not_match_each_other() -> None:
    mask = rectangle(slice(0, 10), slice(0, 10))
    found = match_greedy(study([mask], names=["node"]), study([mask], names=["tumour"]), 0.1)
    assert found.pred.size == 0


def test_an_overlap_of_exactly_the_threshold_is_a_hit() -> None:
    ref = study([rectangle(slice(0, 20), slice(0, 10))])
    pred = study([rectangle(slice(0, 11), slice(0, 10))])
    assert match_greedy(pred, ref, 0.55).pred.size == 1
    assert match_greedy(pred, ref, 0.5501).pred.size == 0


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.1])
def test_a_threshold_that_is_no_share_is_a_bad_call(threshold: float) -> None:
    with pytest.raises(ValueError, match="above 0 and up to 1; got"):
        match_greedy(NOTHING, NOTHING, threshold)

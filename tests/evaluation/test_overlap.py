"""Overlap of pairs and of classes, against full arrays and the published cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from evaluation_cases import CLASSES, random_pair, rectangle, slow_iou, study, whole
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.errors import InputRefused
from medseg.evaluation import class_dice, pair_overlaps, volume_error
from medseg.types import Geometry, Instances

NOTHING = study([])


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=1000)
def test_pairs_equal_full_arrays_also_where_instances_overlap(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pred, ref = random_pair(rng)
    pairs = pair_overlaps(pred, ref)
    wanted = {
        (n, m): int(np.sum(whole(pred, one) & whole(ref, other)))
        for n, one in enumerate(pred)
        for m, other in enumerate(ref)
    }
    found = zip(pairs.pred.tolist(), pairs.ref.tolist(), pairs.shared.tolist(), strict=True)
    assert {(n, m): shared for n, m, shared in found} == {
        pair: shared for pair, shared in wanted.items() if shared
    }
    for n, m, iou, dice in zip(pairs.pred, pairs.ref, pairs.iou, pairs.dice, strict=True):
        slow = slow_iou(pred, pred.items[n], ref, ref.items[m])
        assert iou == pytest.approx(slow)
        assert dice == pytest.approx(2 * slow / (1 + slow))


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=1000)
def test_class_figures_equal_full_arrays_of_the_union(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pred, ref = random_pair(rng)
    dice, error = class_dice(pred, ref), volume_error(pred, ref)
    assert list(dice) == list(error) == ["node", "tumour"]
    for name in dice:
        found, wanted = np.zeros((2, *pred.geometry.shape), dtype=bool)
        for study_, mask in ((pred, found), (ref, wanted)):
            for item in study_:
                if item.class_name == name:
                    np.logical_or(mask, whole(study_, item), out=mask)
        total = found.sum() + wanted.sum()
        slow = 2 * np.sum(found & wanted) / total if total else math.nan
        assert dice[name] == pytest.approx(slow, nan_ok=True)
        if wanted.any():
            assert error[name] == pytest.approx(found.sum() / wanted.sum() - 1)


def test_panoptica_cases_have_their_published_dice() -> None:
    whole_ref = study([rectangle(slice(20, 40), slice(10, 20))])
    two_refs = study(
        [rectangle(slice(20, 30), slice(10, 20)), rectangle(slice(30, 40), slice(10, 20))]
    )
    large = study([rectangle(slice(20, 35), slice(10, 20))])
    small = study([rectangle(slice(20, 25), slice(10, 15))])
    assert class_dice(large, whole_ref)["tumour"] == pytest.approx(0.857142857)
    assert class_dice(large, two_refs)["tumour"] == pytest.approx(0.857142857)
    assert class_dice(small, whole_ref)["tumour"] == pytest.approx(0.222222222)
    assert volume_error(large, two_refs)["tumour"] == pytest.approx(-0.25)


def test_empty_sides_have_the_documented_result() -> None:
    one = study([rectangle(slice(0, 5), slice(0, 5))])
    assert math.isnan(class_dice(NOTHING, NOTHING)["tumour"])
    assert class_dice(NOTHING, one) == {"node": pytest.approx(math.nan, nan_ok=True), "tumour": 0.0}
    assert class_dice(one, NOTHING)["tumour"] == 0.0
    assert math.isnan(volume_error(NOTHING, NOTHING)["tumour"])
    assert volume_error(one, NOTHING)["tumour"] == math.inf
    assert volume_error(NOTHING, one)["tumour"] == -1.0
    assert pair_overlaps(NOTHING, one).iou.shape == pair_overlaps(one, NOTHING).dice.shape == (0,)


def test_a_class_that_only_one_side_knows_is_listed() -> None:
    ref = Instances(NOTHING.geometry, [], CLASSES[:1])
    assert list(class_dice(NOTHING, ref)) == ["node", "tumour"]


@pytest.mark.parametrize("compare", [pair_overlaps, class_dice, volume_error])
def test_two_grids_are_refused(compare) -> None:
    other = Instances(Geometry.from_spacing((1, 50, 50), (1.0, 1.0, 2.0)), [], CLASSES)
    with pytest.raises(InputRefused, match=r"^prediction: .* that of the reference: spacing"):
        compare(other, NOTHING)


def test_many_objects_are_compared_box_by_box() -> None:
    labels = np.zeros((30, 60, 60), dtype=np.int64)
    labels[::3, ::3, ::3] = np.arange(1, 4001).reshape(10, 20, 20)
    many = Instances.from_labelmap(labels, Geometry.identity(labels.shape))
    pairs = pair_overlaps(many, many)
    assert np.array_equal(pairs.pred, np.arange(4000))
    assert np.array_equal(pairs.pred, pairs.ref)
    assert pairs.iou.tolist() == [1.0] * 4000

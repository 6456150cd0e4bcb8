"""Objects of one window: cut to what is kept, and those that are one another again."""

from __future__ import annotations

import numpy as np
import pytest

from medseg.errors import ModelError
from medseg.heads.contract import WindowInstance
from medseg.heads.window_objects import (
    ONE_OBJECT,
    pairs_of_a_class,
    repeated,
    window_instance,
    without_doubles,
)


def bar(class_id: int, score: float, first: int = 0, length: int = 20) -> WindowInstance:
    """A bar of `length` x 4 x 4 voxels."""
    made = window_instance(class_id, score, (first, 0, 0), np.ones((length, 4, 4)))
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("shift", "double_iou", "left"),
    # Their IoU is 19/21, 18/22 and 17/23.
    [(1, 0.5, 1), (2, 0.5, 1), (3, 0.5, 2), (2, 0.85, 2), (1, 0.85, 1)],
)
def test_masks_of_two_classes_that_nearly_agree_are_one_object(
    shift: int, double_iou: float, left: int
) -> None:
    kept = without_doubles([bar(0, 0.6), bar(1, 0.7, first=shift)], double_iou)
    assert [one.class_id for one in kept] == [1, 0][:left]


def test_masks_of_one_class_are_one_object_above_its_own_limit() -> None:
    pair = [bar(0, 0.6), bar(0, 0.7, first=3)]
    assert [one.score for one in without_doubles(pair, 0.5)] == [0.7]
    assert len(without_doubles(pair, 0.75)) == 2


@pytest.mark.parametrize("inner", [4, 15])
def test_a_lesion_inside_another_stays(inner: int) -> None:
    assert len(without_doubles([bar(0, 0.9), bar(1, 0.8, 2, inner)], 0.5)) == 2


def test_an_object_keeps_nothing_of_what_it_was_cut_from() -> None:
    around = np.zeros((40, 40, 40))
    around[3:5, 6:9, 7] = [[0.6], [0.01]] * np.ones((2, 3))
    item = window_instance(0, 0.5, (1, 1, 1), around)
    assert item is not None and item.box == (slice(4, 5), slice(7, 10), slice(8, 9))
    assert item.probability.shape == (1, 3, 1) and item.probability.base is None


def test_a_mask_that_is_nan_is_refused_instead_of_left_out() -> None:
    with pytest.raises(ModelError, match="the network gave NaN"):
        window_instance(0, 0.5, (0, 0, 0), np.full((2, 2, 2), np.nan))


def crowd() -> list[WindowInstance]:
    """Sixty noisy boxes of two classes on a place too small for them."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(60):
        lengths, first = rng.integers(3, 9, 3), rng.integers(0, 6, 3)
        made = window_instance(
            int(rng.integers(2)), float(rng.random()), first.tolist(), rng.random(lengths) ** 0.3
        )
        assert made is not None
        found.append(made)
    return found


def whole(one: WindowInstance) -> np.ndarray:
    """An object's mask where all of the crowd are."""
    mask = np.zeros((16, 16, 16), dtype=bool)
    mask[one.box] = one.probability > 0.5
    return mask


def iou(one: WindowInstance, other: WindowInstance) -> float:
    a, b = whole(one), whole(other)
    return float((a & b).sum() / (a | b).sum())


def test_of_a_crowd_those_stay_that_repeat_no_better_one_that_stays() -> None:
    kept: list[WindowInstance] = []
    for one in sorted(crowd(), key=lambda item: -item.score):
        limits = [0.3 if one.class_id == better.class_id else ONE_OBJECT for better in kept]
        if all(iou(one, better) <= limit for better, limit in zip(kept, limits, strict=True)):
            kept.append(one)
    assert 5 < len(kept) < 55
    assert [one.score for one in without_doubles(crowd(), 0.3)] == [one.score for one in kept]


def test_of_a_crowd_those_go_of_which_a_better_one_that_stays_holds_so_many_voxels() -> None:
    items = crowd()
    pairs = pairs_of_a_class(items)
    gone = np.zeros(len(items), dtype=bool)
    for better, worse in pairs:
        if not gone[better] and not gone[worse]:
            gone[worse] = (whole(items[better]) & whole(items[worse])).sum() > 60
    found = repeated(items, pairs, np.ones(len(pairs)), np.full(len(pairs), 60.0))
    assert 5 < gone.sum() < 55 and np.array_equal(found, gone)


def test_of_nothing_nothing_is_dropped() -> None:
    assert without_doubles([], 0.5) == []

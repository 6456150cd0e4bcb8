"""Objects of one window: cut to what is kept, and those that are one another again."""

from __future__ import annotations

import numpy as np
import pytest

from medseg.errors import ModelError
from medseg.heads.contract import WindowInstance
from medseg.heads.window_objects import window_instance, without_doubles


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

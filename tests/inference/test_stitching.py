"""Stitching: what windows saw apart comes out whole, once, and where it lies."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion

from medseg.heads.contract import WindowInstance
from medseg.heads.window_objects import window_instance
from medseg.inference.stitching import PlacedInstance, placed, stitch
from medseg.inference.windows import WindowPlan, plan_windows
from medseg.phantom import packed_lesions
from medseg.types import Box, Shape

SHAPE = (44, 52, 48)


def oracle(labels: np.ndarray, window: Box, *, fuzzy: bool = False) -> list[WindowInstance]:
    """What a perfect head shows of a window; a fuzzy one errs by a voxel near faces that cut."""
    crop = labels[window]
    found = []
    for label in np.unique(crop[crop > 0]):
        mask = crop == label
        if fuzzy:
            rng = np.random.default_rng([int(label), *(part.start for part in window)])
            changed = (binary_dilation if rng.random() < 0.5 else binary_erosion)(mask)
            middle = tuple(
                slice(4 if part.start else 0, part.stop - part.start - 4 * (part.stop < length))
                for part, length in zip(window, labels.shape, strict=True)
            )
            changed[middle] = mask[middle]
            mask = changed
        item = window_instance(0, 0.9, (0, 0, 0), mask.astype(np.float32))
        if item is not None:
            found.append(item)
    return found


def stitched(
    labels: np.ndarray, window: int, *, shift: int = 0, fuzzy: bool = False
) -> list[WindowInstance]:
    """All windows of a plan, moved by `shift`, seen by the oracle and stitched."""
    plan = plan_windows(labels.shape, (window,) * 3, overlap=0.5, multiple=4)
    last = [padded - length for padded, length in zip(plan.padded, plan.window, strict=True)]
    plan = replace(plan, starts=moved_starts(plan.starts, shift, last))
    found: list[PlacedInstance] = []
    for start in product(*plan.starts):
        z, y, x = (
            slice(first, first + size) for first, size in zip(start, plan.window, strict=True)
        )
        found += placed(oracle(labels, (z, y, x), fuzzy=fuzzy), start, plan.window)
    return stitch(found, plan, labels.shape)


def moved_starts(starts: tuple, shift: int, last: list[int]) -> tuple:
    """A grid of windows with its inner ones moved; the first and the last stay at the border."""
    axes = []
    for one, end in zip(starts, last, strict=True):
        inner = [min(start + shift, end) for start in one[1:-1]]
        axes.append(tuple(sorted({one[0], *inner, one[-1]})))
    return tuple(axes)


def as_labels(found: list[WindowInstance], shape: Shape) -> np.ndarray:
    labels = np.zeros(shape, dtype=np.int32)
    for n, item in enumerate(found, start=1):
        labels[item.box][item.probability > 0.5] = n
    return labels


def plan_of(found: list[PlacedInstance], shape: Shape) -> WindowPlan:
    """The plan whose windows are those of the objects."""
    z, y, x = (tuple(sorted({one.window[axis].start for one in found})) for axis in range(3))
    first = found[0].window
    return WindowPlan(tuple(part.stop - part.start for part in first), shape, (z, y, x))


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return len(np.unique(pairs[0])) == pairs.shape[1] and len(np.unique(pairs[1])) == pairs.shape[1]


def test_five_hundred_touching_lesions_are_neither_split_nor_merged() -> None:
    labels = packed_lesions((88, 88, 88), 11)
    assert labels.max() == 512
    assert same_partition(as_labels(stitched(labels, 32), labels.shape), labels)


@pytest.mark.parametrize("shift", [2, 4, 6])
def test_moving_the_windows_changes_nothing(shift: int) -> None:
    labels = packed_lesions(SHAPE, 12)
    assert same_partition(as_labels(stitched(labels, 24, shift=shift), SHAPE), labels)


@pytest.mark.parametrize("shift", [0, 2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_errors_near_the_windows_inner_faces_change_no_count(seed: int, shift: int) -> None:
    labels = packed_lesions((40, 48, 44), 12, seed)
    found = stitched(labels, 24, shift=shift, fuzzy=True)
    sizes = np.sort([np.count_nonzero(one.probability > 0.5) for one in found])
    true = np.sort(np.bincount(labels.ravel())[1:])
    true = true[true > 0]
    assert len(sizes) == len(true)
    assert abs(sizes.sum() / true.sum() - 1) < 0.01


@pytest.mark.parametrize("window", [16, 24])
def test_an_object_longer_than_any_window_comes_out_whole(window: int) -> None:
    labels = np.zeros(SHAPE, dtype=np.int32)
    labels[4:40, 12:26, 15:35] = 1  # through many windows, and filling some wholly
    labels[4:40, 26:30, 15:35] = 2  # touching it all along
    assert same_partition(as_labels(stitched(labels, window), SHAPE), labels)


def test_objects_that_overlap_keep_their_common_voxels() -> None:
    shape = (16, 16, 40)
    masks = np.zeros((2, *shape), dtype=np.float32)
    masks[0, 4:12, 4:12, 6:24] = 1
    masks[1, 4:12, 4:12, 16:34] = 1
    found = []
    for start in (0, 8, 16, 24):
        part = masks[..., start : start + 16]
        items = [window_instance(0, 0.8, (0, 0, 0), one) for one in part]
        found += placed([one for one in items if one], (0, 0, start), (16, 16, 16))
    result = sorted(stitch(found, plan_of(found, shape), shape), key=lambda one: one.box[2].start)
    assert [one.box[2] for one in result] == [slice(6, 24), slice(16, 34)]


def test_a_lesion_inside_another_of_its_class_stays() -> None:
    shape = (24, 24, 48)
    masks = np.zeros((2, *shape), dtype=np.float32)
    masks[0, 2:22, 2:22, 10:38] = 1
    masks[1, 9:14, 9:14, 21:27] = 1  # crosses the faces of windows at 24
    found = []
    for start in (0, 12, 24):
        part = masks[..., start : start + 24]
        items = [window_instance(0, 0.8, (0, 0, 0), one) for one in part]
        found += placed([one for one in items if one], (0, 0, start), (24, 24, 24))
    sizes = sorted(
        np.count_nonzero(one.probability > 0.5)
        for one in stitch(found, plan_of(found, shape), shape)
    )
    assert sizes == [5 * 5 * 6, 20 * 20 * 28]


def test_two_objects_of_one_window_are_never_joined_by_a_third() -> None:
    box = (slice(4, 12),) * 3
    halves = [np.zeros((8, 8, 8), dtype=np.float16) for _ in range(2)]
    halves[0][:, :, :5], halves[1][:, :, 3:] = 1, 1
    here = (slice(0, 16),) * 3
    there = (slice(0, 16), slice(0, 16), slice(2, 18))
    whole = WindowInstance(0, 0.5, box, np.ones((8, 8, 8), dtype=np.float16))
    found = [
        PlacedInstance(WindowInstance(0, 0.9, box, halves[0]), here),
        PlacedInstance(WindowInstance(0, 0.9, box, halves[1]), here),
        PlacedInstance(whole, there),
    ]
    assert len(stitch(found, plan_of(found, (16, 16, 18)), (16, 16, 18))) == 2


@pytest.mark.parametrize(("longer", "classes"), [(0, [1]), (3, [0, 1])])
def test_one_mask_of_two_classes_is_one_object_and_two_masks_are_two(
    longer: int, classes: list[int]
) -> None:
    windows = ((slice(0, 16),) * 3, (slice(0, 16), slice(0, 16), slice(2, 18)))
    found = []
    for n, window in enumerate(windows):
        length = 8 + n * longer
        box = (slice(4, 12), slice(4, 12), slice(4, 4 + length))
        ones = np.ones((8, 8, length), dtype=np.float16)
        found.append(PlacedInstance(WindowInstance(n, 0.8 + 0.1 * n, box, ones), window))
    left = stitch(found, plan_of(found, (16, 16, 18)), (16, 16, 18))
    assert sorted(one.class_id for one in left) == classes


def test_the_score_is_that_of_the_window_that_sees_it_well() -> None:
    mask = np.ones((8, 8, 8), dtype=np.float16)
    whole = WindowInstance(0, 0.9, (slice(4, 12), slice(4, 12), slice(14, 22)), mask)
    cut = WindowInstance(0, 0.1, (slice(4, 12), slice(4, 12), slice(14, 16)), mask[..., :2])
    windows = [(slice(0, 16), slice(0, 16), slice(a, a + 16)) for a in (10, 0)]
    found = [
        PlacedInstance(item, window) for item, window in zip((whole, cut), windows, strict=True)
    ]
    (item,) = stitch(found, plan_of(found, (16, 16, 40)), (16, 16, 40))
    assert 0.85 < item.score <= 0.9
    assert np.count_nonzero(item.probability > 0.5) == 8**3


def test_a_blob_that_is_no_lesion_takes_none_with_it() -> None:
    whole = np.zeros((2, 24, 16, 16), dtype=np.float32)
    whole[0, 12:20, 2:14, 2:14] = 1  # the blob, that the lower window sees well
    whole[1, 12:17, 6:12, 6:12] = 1  # the lesion, cut by the upper window and missed by the lower
    windows = [whole[:, :16], whole[:, 8:]]
    blob = window_instance(0, 0.06, (0, 0, 0), windows[1][0])
    lesion = window_instance(0, 0.95, (0, 0, 0), windows[0][1])
    found = [*placed([lesion], (0, 0, 0), (16,) * 3), *placed([blob], (8, 0, 0), (16,) * 3)]
    plan = plan_of(found, (24, 16, 16))
    assert [one.score for one in stitch(found, plan, (24, 16, 16))] == pytest.approx([0.06])
    kept = stitch(found, plan, (24, 16, 16), least_score=0.3)
    assert [one.score for one in kept] == pytest.approx([0.95])


@pytest.mark.parametrize(("double_iou", "left"), [(0.5, 1), (0.6, 2)])
def test_how_much_two_may_share_is_what_the_head_says(double_iou: float, left: int) -> None:
    masks = np.zeros((2, 16, 16, 16), dtype=np.float32)
    masks[0, 2:12, 2:12, 2:9] = 1
    masks[1, 2:12, 2:12, 4:11] = 1  # IoU 5 / 9
    items = [window_instance(0, 0.8, (0, 0, 0), one) for one in masks]
    found = placed([one for one in items if one], (0, 0, 0), (16, 16, 16))
    kept = stitch(found, plan_of(found, (16, 16, 16)), (16, 16, 16), double_iou=double_iou)
    assert len(kept) == left


def test_the_order_of_the_windows_decides_nothing() -> None:
    labels = packed_lesions((40, 40, 40), 12)
    plan = plan_windows(labels.shape, (24,) * 3, overlap=0.5, multiple=4)
    found = []
    for start in product(*plan.starts):
        z, y, x = (slice(first, first + 24) for first in start)
        found += placed(oracle(labels, (z, y, x), fuzzy=True), start, plan.window)
    forward = as_labels(stitch(found, plan, labels.shape), labels.shape)
    backward = as_labels(stitch(found[::-1], plan, labels.shape), labels.shape)
    assert same_partition(forward, backward)


def test_no_object_gives_none() -> None:
    plan = plan_windows(SHAPE, (24,) * 3, overlap=0.5, multiple=4)
    assert stitch([], plan, SHAPE) == []

"""Boxes around parts that lie far apart: they hold all, are disjoint, and leave the room out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.types import Box, Instance, boxes_apart, item_boxes

SHAPE = (48, 60, 64)
CORNERS = st.tuples(*(st.integers(0, length - 6) for length in SHAPE))


def with_cubes(corners: list[tuple[int, int, int]], side: int = 5) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=np.bool_)
    for z, y, x in corners:
        mask[z : z + side, y : y + side, x : x + side] = True
    return mask


def instance(number: int, corners: list[tuple[int, int, int]], side: int = 5) -> Instance:
    mask = with_cubes(corners, side)
    made = Instance.from_mask(mask, id=number, class_name="lesion", kind="lesion")
    assert made is not None
    return made


def between(box: Box, other: Box) -> int:
    """Planes between two boxes along the axis where there are most; below 1 where they meet."""
    return max(
        max(one.start - two.stop, two.start - one.stop) for one, two in zip(box, other, strict=True)
    )


@settings(max_examples=60, deadline=None)
@given(corners=st.lists(CORNERS, min_size=1, max_size=6), planes=st.integers(1, 3))
def test_boxes_hold_every_voxel_and_lie_so_many_planes_apart(corners, planes) -> None:
    mask = with_cubes(corners)
    boxes = boxes_apart(mask, planes=planes)
    held = np.zeros(SHAPE, dtype=np.int64)
    for box in boxes:
        held[box] += 1
    assert held.max() == 1
    assert held[mask].all()
    for box, other in itertools.combinations(boxes, 2):
        assert between(box, other) >= planes


def test_two_far_corners_take_two_small_boxes() -> None:
    assert boxes_apart(with_cubes([(0, 0, 0), (43, 55, 59)])) == [
        (slice(0, 5), slice(0, 5), slice(0, 5)),
        (slice(43, 48), slice(55, 60), slice(59, 64)),
    ]


def test_a_gap_of_too_few_planes_parts_nothing() -> None:
    mask = np.zeros((64, 64, 64), dtype=np.bool_)
    mask[:20] = mask[22:] = True
    assert len(boxes_apart(mask, planes=2)) == 2
    assert len(boxes_apart(mask, planes=3)) == 1


def test_what_one_axis_hides_is_parted_by_another() -> None:
    mask = np.zeros((120, 120, 120), dtype=np.bool_)
    for z, y in ((0, 0), (0, 90), (45, 90), (90, 90)):
        mask[z : z + 30, y : y + 30, :30] = True
    mask[:, 0, 119] = True  # no plane across z is empty until x has parted this line away
    assert len(boxes_apart(mask)) == 5


@pytest.mark.parametrize("shape", [(0, 4, 4), (3, 3, 3), SHAPE])
def test_nothing_has_no_box(shape) -> None:
    assert boxes_apart(np.zeros(shape, dtype=np.bool_)) == []


def test_boxes_of_items_that_meet_become_one() -> None:
    boxes = item_boxes(
        [instance(1, [(0, 0, 0), (40, 40, 40)]), instance(2, [(3, 3, 3), (40, 50, 50)], side=6)]
    )
    starts = sorted(tuple(part.start for part in box) for box in boxes)
    assert starts == [(0, 0, 0), (40, 40, 40), (40, 50, 50)]
    assert (slice(0, 9), slice(0, 9), slice(0, 9)) in boxes


def test_very_many_items_take_one_box_and_no_time_that_grows_with_their_square() -> None:
    items = [instance(n, [(n % 40, n % 50, n % 55)]) for n in range(1, 101)]
    assert item_boxes(items) == [(slice(0, 44), slice(0, 54), slice(0, 59))]


def test_boxes_of_some_items_are_disjoint_and_hold_them_all() -> None:
    rng = np.random.default_rng(3)
    items = [
        instance(n, rng.integers(0, 42, (rng.integers(1, 3), 3)).tolist(), side=6)
        for n in range(1, 9)
    ]
    held = np.zeros(SHAPE, dtype=np.int64)
    for box in item_boxes(items):
        held[box] += 1
    assert held.max() == 1
    for item in items:
        assert held[item.box][item.mask].all()

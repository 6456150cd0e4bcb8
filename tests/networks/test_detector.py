"""The one-stage detector: where its cells lie, what they learn and what is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medseg.networks.detector import (
    Assigned,
    Detections,
    Detector,
    assign,
    best_boxes,
    detection_losses,
    nearest_cells,
)

CELLS = (6, 6, 6)


def test_untrained_boxes_lie_around_the_middle_of_their_cell() -> None:
    detector = Detector([8, 16, 24], [2, 4, 8], kinds=3, width=8)
    torch.nn.init.zeros_(detector.predict.weight)
    torch.nn.init.zeros_(detector.predict.bias)
    pyramid = [torch.zeros(2, c, 24 // s, 32 // s, 16 // s) for c, s in ((8, 2), (16, 4), (24, 8))]
    found = detector(pyramid)
    assert detector.stride == 4 and found.kind.shape == (2, 3, 6, 8, 4)
    middle = (found.boxes[0, :3, 1, 2, 3] + found.boxes[0, 3:, 1, 2, 3]) / 2
    assert middle.tolist() == pytest.approx([6.0, 10.0, 14.0])
    half = (found.boxes[:, 3:] - found.boxes[:, :3]) / 2
    torch.testing.assert_close(half, torch.full_like(half, 0.5 + 8 * np.log(2)))


@pytest.mark.parametrize(
    ("strides", "stride"), [((1, 2), 2), ((1, 2, 4, 8), 4), ((2, 4), 4), ((4, 8), 4)]
)
def test_the_level_is_that_at_stride_four_or_the_coarsest_below(
    strides: tuple[int, ...], stride: int
) -> None:
    detector = Detector([8] * len(strides), strides, kinds=1, width=8)
    found = detector([torch.zeros(1, 8, *[16 // one] * 3) for one in strides])
    assert detector.stride == stride and found.boxes.shape == (1, 6, *[16 // stride] * 3)
    assert torch.equal(found.kind, torch.zeros_like(found.kind)) and found.kind.shape[1] == 1


def test_an_object_is_learned_by_the_cells_nearest_to_its_middle() -> None:
    # Its middle is 9 voxels from the border: in the cell from 8 to 12, towards the one before.
    box = np.array([[5, 5, 5, 13, 13, 13]])
    cell, owner = nearest_cells(box, CELLS, 4)
    places = {tuple(int(i) for i in np.unravel_index(one, CELLS)) for one in cell}
    assert len(places) == 4 and (2, 2, 2) in places and set(owner) == {0}
    assert places - {(2, 2, 2)} == {(1, 2, 2), (2, 1, 2), (2, 2, 1)}


def test_nearness_is_measured_in_lengths_of_the_box() -> None:
    flat = np.array([[9, 2, 2, 11, 22, 22]])
    cell, _ = nearest_cells(flat, CELLS, 4)
    assert {int(np.unravel_index(one, CELLS)[0]) for one in cell} == {2}


def test_nested_objects_all_have_cells_and_none_has_another_ones() -> None:
    boxes = np.array([[12 - r, 12 - r, 12 - r, 12 + r, 12 + r, 12 + r] for r in range(1, 11)])
    cell, owner = nearest_cells(boxes, CELLS, 4)
    assert len(set(cell.tolist())) == len(cell) == 40
    assert np.bincount(owner).tolist() == [4] * 10
    order = np.random.default_rng(0).permutation(10)
    turned_cell, turned_owner = nearest_cells(boxes[order], CELLS, 4)
    assert dict(zip(cell.tolist(), owner.tolist(), strict=True)) == dict(
        zip(turned_cell.tolist(), order[turned_owner].tolist(), strict=True)
    )


def test_objects_at_the_border_have_cells_inside() -> None:
    boxes = np.array([[0, 0, 0, 1, 1, 1], [23, 23, 23, 24, 24, 24]])
    cell, owner = nearest_cells(boxes, CELLS, 4)
    assert np.bincount(owner).tolist() == [4, 4] and cell.min() >= 0 and cell.max() < 216


def test_objects_are_numbered_through_the_batch() -> None:
    box = np.array([[4, 4, 4, 12, 12, 12]])
    none = np.zeros((0, 6), dtype=np.int64)
    given = assign([none, box, np.concatenate([box, box + 8])], CELLS, 4)
    assert given.window.tolist() == [1] * 4 + [2] * 8
    assert given.owner[:4].tolist() == [0] * 4 and set(given.owner[4:].tolist()) == {1, 2}
    assert all(len(part) == 0 for part in assign([none], CELLS, 4))


def nothing_found() -> Detections:
    flat = torch.zeros(1, 2, 2, 2)
    boxes = torch.tensor([0.0, 0, 0, 8, 8, 8]).view(1, 6, 1, 1, 1).repeat(1, 1, 2, 2, 2)
    return Detections(flat, torch.zeros(1, 2, 2, 2, 2), boxes, torch.zeros(1, 8, 2, 2, 2))


def test_losses_have_their_closed_forms() -> None:
    one = torch.tensor([0])
    truth = torch.tensor([[0.0, 0, 0, 8, 8, 4]])
    parts = detection_losses(nothing_found(), Assigned(one, one, one), truth, torch.tensor([1]))
    # One cell of eight is right to speak; the others pay 0.75 * 0.5^2 of their entropy.
    entropy = np.log(2)
    assert float(parts["objectness"]) == pytest.approx(entropy * (1 + 7 * 0.75 * 0.25))
    assert float(parts["class"]) == pytest.approx(entropy)
    assert float(parts["giou"]) == pytest.approx(0.5, abs=1e-5)
    assert float(parts["distance"]) == pytest.approx(4 / 6 / 8)


def test_without_an_object_boxes_and_classes_have_no_loss() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    assigned = Assigned(none, none, none)
    parts = detection_losses(nothing_found(), assigned, torch.zeros(0, 6), none)
    assert float(parts["objectness"]) == pytest.approx(8 * 0.75 * 0.25 * np.log(2))
    assert [float(parts[name]) for name in ("class", "giou", "distance")] == [0, 0, 0]


def test_the_best_boxes_are_those_that_repeat_no_better_one_of_their_class() -> None:
    boxes = torch.tensor([[0.0, 0, 0, 10, 10, 10]]).repeat(5, 1)
    boxes[4] += 20
    kinds = torch.tensor([0, 0, 1, 0, 0])
    scores = torch.tensor([0.5, 0.9, 0.3, 0.01, 0.2])
    kept = best_boxes(boxes, kinds, scores, floor=0.05, overlap=0.85, most=9)
    assert kept.tolist() == [1, 2, 4]
    assert best_boxes(boxes, kinds, scores, floor=0.05, overlap=0.85, most=2).tolist() == [1, 2]
    assert best_boxes(boxes, kinds, scores, floor=0.95, overlap=0.85, most=9).tolist() == []

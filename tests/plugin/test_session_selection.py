"""Rows on display: filter, sort, next and previous; and the slice to go to."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from medseg_napari.session import NO_ORGAN, Filter, Order, Selection, Session, largest_slice
from medseg_napari.session.document import Document
from medseg_napari.session.selection import shown, sorted_ids
from session_cases import many, output, paint, ticking

from medseg.types import Geometry, Instance


def ids(work: Session) -> list[int]:
    return work.selection.ids.tolist()


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (Filter(), [1, 3, 7, 12, 40]),
        (Filter(classes=frozenset({"node"})), [3]),
        (Filter(kinds=frozenset({"lesion"})), [3, 7, 12, 40]),
        (Filter(organs=frozenset({"liver"})), [3, 7, 12]),
        (Filter(organs=frozenset({NO_ORGAN})), [1, 40]),
        (Filter(score=(0.5, 0.9)), [7, 12, 40]),
        (Filter(marks=frozenset({"accept", "unsure"})), [3, 12]),
        (Filter(marks=frozenset({""})), [1, 40]),
        (Filter(volume_ml=(0.0, 0.02)), [40]),
        (Filter(score=(0.5, 1.0), marks=frozenset({"reject"})), [7]),
        (Filter(classes=frozenset()), []),
    ],
)
def test_a_filter_hides_rows_and_deletes_nothing(wanted: Filter, left: list[int]) -> None:
    work = ticking()
    work.mark([3], "accept")
    work.mark([12], "unsure")
    work.mark([7], "reject")
    work.show(filter=wanted)
    assert ids(work) == left
    assert len(work.instances) == 5
    work.show(filter=Filter())
    assert ids(work) == [1, 3, 7, 12, 40]


def test_rows_follow_an_edit_a_mark_and_their_undo() -> None:
    work = ticking()
    work.show(filter=Filter(volume_ml=(0.0, 0.02)))
    assert ids(work) == [40]
    work.apply(paint(work, 40, (0, 8, 0, 10, 0, 12)))
    assert ids(work) == []
    work.undo()
    assert ids(work) == [40]
    work.show(filter=Filter(marks=frozenset({""})), order=Order("volume_ml", descending=True))
    assert ids(work) == [1, 12, 7, 3, 40]
    work.mark([12], "accept")
    assert ids(work) == [1, 7, 3, 40]
    work.undo()
    assert ids(work) == [1, 12, 7, 3, 40]


def test_equal_values_are_sorted_by_id_and_missing_ones_last_either_way() -> None:
    table = pd.DataFrame(
        {
            "instance_id": [9, 4, 7, 1],
            "length": [2.0, np.nan, 2.0, 1.0],
            "organ": pd.array(["b", None, "a", "b"], dtype="str"),
            "slice": pd.array([3, None, 1, 2], dtype="Int64"),
            "flag": pd.array([True, None, False, True], dtype="boolean"),
        }
    )
    assert sorted_ids(table, Order("length")).tolist() == [1, 7, 9, 4]
    assert sorted_ids(table, Order("length", descending=True)).tolist() == [7, 9, 1, 4]
    assert sorted_ids(table, Order("organ")).tolist() == [7, 1, 9, 4]
    assert sorted_ids(table, Order("organ", descending=True)).tolist() == [1, 9, 7, 4]
    assert sorted_ids(table, Order("slice")).tolist() == [7, 1, 9, 4]
    assert sorted_ids(table, Order("flag")).tolist() == [7, 1, 9, 4]
    assert sorted_ids(table, Order(descending=True)).tolist() == [9, 7, 4, 1]


def test_next_and_previous_walk_the_rows_on_display_and_stop_at_the_ends() -> None:
    work = ticking()
    work.show(filter=Filter(kinds=frozenset({"lesion"})), order=Order("score"))
    rows = work.selection
    assert [rows.step(1) for _ in range(5)] == [3, 7, 40, 12, None]
    assert rows.current == 12
    assert [rows.step(-1) for _ in range(4)] == [40, 7, 3, None]
    rows.choose([40])
    work.show(filter=Filter(classes=frozenset({"node"})))
    assert (rows.current, rows.step(1), rows.step(-1)) == (40, None, 3)
    work.show(filter=Filter(), order=Order())
    rows.choose([40, 7])
    assert (rows.current, rows.chosen) == (7, (40, 7))
    assert (rows.step(1), rows.chosen) == (12, (12,))
    assert Selection().step(-1) is None


def test_after_a_deletion_the_next_row_is_the_current_one() -> None:
    work = ticking()
    work.selection.choose([12, 7])
    work.delete([7])
    assert (work.selection.current, work.selection.chosen) == (12, (12,))
    work.delete([12])
    assert work.selection.current == 40
    work.delete([40])
    assert work.selection.current == 3
    work.undo()
    assert work.selection.current == 3
    with pytest.raises(ValueError, match="there is no instance 7"):
        work.selection.choose([7])


def test_where_the_current_row_is_gone_a_chosen_one_that_is_left_is_the_current_one() -> None:
    """As after merging into the row that was not marked last: table and brush mean the same."""
    work = ticking()
    work.selection.choose([3, 40, 7])
    work.delete([7])
    assert (work.selection.current, work.selection.chosen) == (40, (3, 40))


def test_an_order_that_is_not_there_changes_nothing() -> None:
    work = ticking()
    with pytest.raises(ValueError, match="there is no column 'weight'"):
        work.show(order=Order("weight"))
    assert work.selection.order == Order()
    assert ids(work) == [1, 3, 7, 12, 40]


def test_twenty_thousand_rows_are_filtered_and_sorted_as_whole_columns() -> None:
    volume, found = many(20_000)
    work = Session(volume, Document(found), "AB")
    work.mark([item.id for item in found.items[:10_000]], "accept")
    wanted = Filter(marks=frozenset({"accept"}), score=(0.25, 0.75), classes=frozenset({"node"}))
    work.show(filter=wanted, order=Order("score", descending=True))
    left = [
        item
        for item in found.items[:10_000]
        if 0.25 <= item.score <= 0.75 and item.class_name == "node"
    ]
    left.sort(key=lambda item: -item.score)
    assert ids(work) == [item.id for item in left]
    assert work.table.unmeasured(["score", "class_name"]) == 0
    assert work.selection.step(1) == left[0].id
    assert work.selection.step(1) == left[1].id


def test_a_filter_names_the_columns_that_it_needs() -> None:
    assert Filter(organs=frozenset(), score=(0, 1)).columns == ("organ", "score")
    assert shown(pd.DataFrame({"instance_id": []}), Filter()).shape == (0,)


def bent() -> Instance:
    """A bow in the slices 4 to 6 (z), largest in the last; its middle slice holds one voxel."""
    mask = np.zeros((8, 9, 10), dtype=bool)
    mask[4, 1:3, 1:3] = True
    mask[5, 2, 2] = True
    mask[6, 1, 1:9] = mask[6, 7, 1:9] = mask[6, 1:8, 8] = True
    made = Instance.from_mask(mask, id=5, class_name="tumour", kind="lesion")
    assert made is not None
    return made


def test_the_slice_to_go_to_is_the_largest_and_its_point_lies_in_the_object() -> None:
    geometry = Geometry.from_spacing((8, 9, 10), (3.0, 0.9, 0.7), (-20.0, 5.0, 40.0))
    found = largest_slice(bent(), geometry, 0)
    assert (found.axis, found.index) == (0, 6)
    assert found.area_mm2 == pytest.approx(21 * 0.9 * 0.7)
    z, y, x = found.index_zyx
    assert bent().mask[z - 4, y - 1, x - 1]
    assert found.point_lps_mm == pytest.approx((-20 + 0.7 * x, 5 + 0.9 * y, 40 + 3.0 * z))
    sagittal = largest_slice(bent(), geometry, 2)
    assert (sagittal.index, sagittal.area_mm2) == (8, pytest.approx(7 * 3.0 * 0.9))
    coronal = largest_slice(bent(), geometry, 1)
    assert (coronal.index, coronal.area_mm2) == (1, pytest.approx(10 * 3.0 * 0.7))
    with pytest.raises(ValueError, match="the axes 0, 1, 2"):
        largest_slice(bent(), geometry, 3)


def test_of_equal_slices_the_first_counts_and_oblique_grids_give_their_own_areas() -> None:
    turned, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turned * (5.0, 0.8, 0.6)
    item = output().items[0]
    found = largest_slice(item, Geometry((8, 10, 12), affine), 1)
    assert found.index == 3
    assert found.area_mm2 == pytest.approx(3 * 5 * 5.0 * 0.6)
    middle = ticking().largest_slice(12, 0)
    assert (middle.index, middle.index_zyx) == (2, (2, 4, 5))

"""Marks, comments and diameters that a reader drew, beside the mask's own measures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from medseg_napari.session import REVIEW_COLUMNS, MeasureOptions, Session
from medseg_napari.session.document import Document
from session_cases import change_class, image, merge, output, paint, split, ticking


def test_a_mark_holds_the_decision_the_initials_and_the_time() -> None:
    work = ticking()
    work.mark([3, 40], "accept")
    work.mark([40], "unsure")
    assert work.review(40).mark == (
        "unsure",
        "AB",
        "2026-01-01T00:00:02.000Z",
        work.review(40).mark[3],
    )
    table = work.frame(["instance_id", "mark", "marked_by", "marked_at"]).set_index("instance_id")
    assert table["mark"].to_dict() == {12: "", 3: "accept", 7: "", 1: "", 40: "unsure"}
    assert table.loc[3].tolist() == ["accept", "AB", "2026-01-01T00:00:00.000Z"]
    assert work.undo_name == "Mark lesion 40 as unsure"
    work.undo()
    assert work.review(40).decision == "accept"
    work.mark([40], None)
    assert work.review(40).decision is None
    with pytest.raises(ValueError, match="a decision is one of accept, reject, unsure"):
        work.mark([3], "perhaps")
    with pytest.raises(ValueError, match="there is no instance 5"):
        work.mark([5], "accept")


def test_a_mask_edited_after_its_mark_shows_it_until_the_edit_is_undone() -> None:
    work = ticking()
    work.mark([7], "accept")

    def shown() -> bool:
        table = work.frame(["instance_id", "edited_after_mark"])
        return bool(table.set_index("instance_id").loc[7, "edited_after_mark"])

    assert not shown()
    work.apply(change_class(work, 7, "node"))
    assert not shown()
    work.apply(paint(work, 7, (0, 1, 0, 1, 0, 1)))
    assert shown()
    work.undo()
    assert not shown()
    work.redo()
    work.mark([7], "accept")
    assert not shown()


def test_a_rejected_lesion_stays_and_is_counted_apart() -> None:
    work = ticking()
    before = work.totals()["tumour"]
    work.mark([40], "reject")
    now = work.totals()["tumour"]
    assert (now.count, now.volume_ml) == (3, before.volume_ml)
    assert (now.kept_count, before.kept_count) == (2, 3)
    one_voxel_ml = 3.0 * 0.9 * 0.7 / 1000
    assert now.volume_ml - now.kept_volume_ml == pytest.approx(one_voxel_ml)
    work.delete([40])
    assert work.totals()["tumour"].kept_count == 2
    work.undo()
    work.undo()
    assert work.totals()["tumour"] == before


def test_a_comment_is_kept_with_its_lesion() -> None:
    work = ticking()
    work.comment(7, "  calcified\n")
    assert work.review(7).comment == "calcified"
    work.delete([7])
    work.undo()
    assert work.frame().set_index("instance_id").loc[7, "comment"] == "calcified"
    work.comment(7, "")
    assert work.review(7).comment == ""


def test_lines_are_the_masks_diameters_until_the_reader_moves_one() -> None:
    work = ticking()
    table = work.table.frame().set_index("instance_id")
    lines = work.lines()
    assert lines.keys() == {12, 3, 7, 40}
    for number, line in lines.items():
        assert line.long.length_mm == pytest.approx(table.loc[number, "recist_long_mm"])
        assert line.short.length_mm == pytest.approx(table.loc[number, "recist_short_mm"])
        assert (line.long_by, line.short_by) == ("mask", "mask")
    # lesion 12 covers 4 x 5 voxels of 0.9 x 0.7 mm in a slice
    assert lines[12].long.length_mm == pytest.approx(math.hypot(4 * 0.9, 5 * 0.7))
    work.move_line(12, "long", (1, 1, 1), (4, 5, 1))
    moved = work.lines()[12]
    assert (moved.long.length_mm, moved.long_by, moved.short_by) == (5.0, "reader", "mask")
    shown = work.frame().set_index("instance_id").loc[12]
    assert shown["reader_long_mm"] == 5.0 and np.isnan(shown["reader_short_mm"])
    assert shown["recist_long_mm"] == table.loc[12, "recist_long_mm"]
    work.apply(paint(work, 12, (0, 1, 0, 1, 0, 1)))
    assert work.lines()[12].long_by == "reader"
    work.reset_line(12, "long")
    assert work.lines()[12].long_by == "mask"
    assert work.undo_name == "Reset the long diameter of lesion 12"


def test_a_diameter_drawn_on_another_mask_is_flagged_until_it_is_drawn_anew_or_reset() -> None:
    work = ticking()

    def flagged() -> list[int]:
        table = work.frame(["instance_id", "edited_after_lines"])
        return table["instance_id"][table["edited_after_lines"]].tolist()

    work.move_line(12, "long", (1, 1, 1), (4, 5, 1))
    work.move_line(7, "short", (1, 1, 1), (4, 5, 1))
    work.move_line(3, "long", (1, 1, 1), (4, 5, 1))
    assert flagged() == []
    work.apply(split(work, 12, 5))
    piece = max(item.id for item in work.instances)
    assert not work.review(piece).lines and work.lines()[piece].long_by == "mask"
    work.apply(merge(work, [7, 40]))
    assert flagged() == [12, 7]
    work.apply(change_class(work, 3, "tumour"))
    assert flagged() == [12, 7]
    work.move_line(12, "long", (1, 1, 1), (4, 1, 1))
    work.reset_line(7, "short")
    assert flagged() == []
    for _ in range(5):
        work.undo()
    assert flagged() == []


def test_lines_are_of_lesions_and_between_points() -> None:
    work = ticking()
    with pytest.raises(ValueError, match="instance 1 is an organ"):
        work.move_line(1, "long", (0, 0, 0), (1, 1, 1))
    with pytest.raises(ValueError, match="three finite numbers"):
        work.move_line(3, "long", (0, 0, math.nan), (1, 1, 1))
    with pytest.raises(ValueError, match="'long' or 'short'"):
        work.move_line(3, "wide", (0, 0, 0), (1, 1, 1))
    without = Session(image(), Document(output()), "AB", options=MeasureOptions(groups=("size",)))
    with pytest.raises(ValueError, match="no column is named 'recist_long_start_x_mm'"):
        without.lines()


def test_what_was_taken_away_for_nothing_counts_as_rejected() -> None:
    work = ticking()
    work.mark([3], "accept")
    work.mark([12], "unsure")
    work.apply(split(work, 12, 5))
    work.apply(merge(work, [7, 12]))
    work.delete([40])
    assert work.decisions() == {3: "accept", 40: "reject"}
    work.undo()
    assert work.decisions() == {3: "accept"}


def test_the_frame_holds_measures_then_what_was_said() -> None:
    work = ticking()
    names = [str(name) for name in work.frame().columns]
    assert tuple(names) == (*work.table.column_names, *REVIEW_COLUMNS)
    assert list(work.frame(["mark", "score"]).columns) == ["score", "mark"]
    with pytest.raises(ValueError, match="there is no column 'weight'"):
        work.frame(["weight"])


def test_a_reader_has_initials() -> None:
    with pytest.raises(ValueError, match="a session has a reader"):
        Session(image(), Document(output()), "  ")

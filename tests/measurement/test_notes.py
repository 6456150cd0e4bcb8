"""Notes of rows: which row says what, in which order."""

from __future__ import annotations

import numpy as np

from medseg.measurement.notes import Notes


def rows(*numbers: int, of: int) -> np.ndarray:
    return np.isin(np.arange(of), numbers)


def test_what_holds_for_all_and_what_for_some_stand_in_the_order_they_were_said() -> None:
    notes = Notes(3)
    notes.for_all("a")
    notes.where(rows(1, of=3), "b")
    notes.each({2: "c", 0: "d"})
    notes.for_all("e")
    assert notes.texts() == ["a; d; e", "a; b; e", "a; c; e"]


def test_nothing_to_say_is_an_empty_text_and_no_row_is_no_text() -> None:
    notes = Notes(2)
    notes.for_all("")
    notes.where(rows(of=2), "a")
    notes.each({})
    assert notes.texts() == ["", ""]
    empty = Notes(0)
    empty.for_all("a")
    empty.where(np.zeros(0, dtype=bool), "b")
    assert empty.texts() == []


def test_notes_of_groups_are_put_together() -> None:
    first, second = Notes(2), Notes(2)
    first.where(rows(0, of=2), "a")
    second.where(rows(0, 1, of=2), "b")
    first.extend(second)
    assert first.texts() == ["a; b", "b"]

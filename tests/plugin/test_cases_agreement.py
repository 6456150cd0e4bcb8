"""Two readers of one case: Dice of pairs, kappa of accept and reject, counts."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from medseg_napari.session import Reading, Session, agreement, pooled
from medseg_napari.session.agreement import RULE
from session_cases import add, cuboid, merge, output, paint, session, ticking

from medseg.types import Instances


def reading(work: Session, reader: str = "AB") -> Reading:
    return Reading.from_document(work._document, reader)


def lesions(number: int) -> Instances:
    items = [
        cuboid(n, f"{n % 8}:{n % 8 + 1},{n // 8}:{n // 8 + 1},0:2") for n in range(1, number + 1)
    ]
    return replace(output(), items=items)


def test_two_equal_readings_agree_wholly() -> None:
    one, other = ticking(), ticking()
    for work in (one, other):
        work.mark([3, 7], "accept")
        work.mark([12], "reject")
    found = agreement(reading(one), reading(other, "CD"))
    assert found.readers == ("AB", "CD")
    assert {pair.first_id for pair in found.pairs} == {1, 3, 7, 40}
    assert [pair.dice for pair in found.pairs] == [1.0] * 4
    assert found.only_first == found.only_second == ()
    assert found.kappa.kappa == 1.0 and found.kappa.n == 3
    assert (found.undecided, found.by) == (1, "id")


def test_kappa_is_that_of_cohens_own_formula() -> None:
    # 20 accepted by both, 5 by the first alone, 10 by the second alone, 15 rejected by both:
    # agreement 0.7, by chance 0.5, so kappa is 0.4
    start = lesions(50)
    one, other = ticking(start), ticking(start)
    one.mark(range(1, 26), "accept")
    one.mark(range(26, 51), "reject")
    other.mark([*range(1, 21), *range(26, 36)], "accept")
    other.mark([*range(21, 26), *range(36, 51)], "reject")
    found = agreement(reading(one), reading(other))
    assert found.kappa.kappa == pytest.approx(0.4)
    assert (found.kappa.agreement, found.kappa.chance_agreement) == pytest.approx((0.7, 0.5))
    counts = found.classes["tumour"]
    assert (counts.first, counts.second, counts.paired) == (25, 30, 20)
    assert (len(found.only_first), len(found.only_second)) == (5, 10)


def test_outlines_that_differ_have_the_dice_of_their_voxels() -> None:
    one, other = ticking(), ticking()
    other.apply(paint(other, 7, (3, 4, 0, 10, 0, 12), erase=True))  # 48 voxels, then 32
    other.apply(add(other, (7, 8, 0, 1, 0, 1)))
    found = agreement(reading(one), reading(other))
    dice = {pair.first_id: pair.dice for pair in found.pairs}
    assert dice[7] == pytest.approx(2 * 32 / (48 + 32))
    assert dice[12] == 1.0
    assert (found.only_first, found.only_second) == ((), (41,))
    assert found.classes["tumour"].mean_dice == pytest.approx((dice[7] + 2) / 3)


def test_deleted_is_rejected_and_merged_or_unsure_is_not_decided() -> None:
    one, other = ticking(), ticking()
    one.delete([40])
    one.mark([3], "accept")
    one.apply(merge(one, [12, 7]))
    other.mark([40, 7, 12], "reject")
    other.mark([3], "unsure")
    found = agreement(reading(one), reading(other))
    assert found.decided == (("reject", "reject"),)
    assert found.undecided == 3


def test_readings_of_different_outputs_are_compared_by_what_matches() -> None:
    start = output()
    other_ids = {item.id: item.id + 100 for item in start}
    renamed = replace(start, items=[replace(item, id=other_ids[item.id]) for item in start])
    one, other = ticking(), ticking(renamed)
    one.mark([3, 7], "accept")
    other.mark([103], "accept")
    other.mark([107], "reject")
    found = agreement(reading(one), reading(other))
    assert found.by == "match"
    assert sorted(found.decided) == [("accept", "accept"), ("accept", "reject")]
    assert {(pair.first_id, pair.second_id) for pair in found.pairs} == {
        (1, 101), (3, 103), (12, 112), (40, 140),
    }  # fmt: skip


def test_without_an_object_nothing_is_compared() -> None:
    empty = replace(output(), items=[])
    found = agreement(reading(ticking(empty)), reading(ticking(empty)))
    assert found.pairs == () and found.classes["tumour"].first == 0
    assert math.isnan(found.classes["tumour"].mean_dice)
    assert math.isnan(found.kappa.kappa) and found.kappa.n == 0


def test_cases_are_pooled_for_two_readers() -> None:
    one, other = ticking(), ticking()
    one.mark([3, 7], "accept")
    other.mark([3], "accept")
    other.mark([7], "reject")
    single = agreement(reading(one), reading(other, "CD"))
    both = pooled([single, single])
    assert (both.kappa.n, both.undecided, len(both.pairs)) == (4, 4, 8)
    assert both.classes["tumour"].first == 2 * single.classes["tumour"].first
    assert both.classes["tumour"].mean_dice == single.classes["tumour"].mean_dice
    with pytest.raises(ValueError, match="the same two readers"):
        pooled([single, agreement(reading(other), reading(one))])
    with pytest.raises(ValueError, match="the same two readers"):
        pooled([])


def test_a_reading_comes_from_a_folder_also_while_it_is_open(tmp_path: Path) -> None:
    work = session(tmp_path, reader="CD")
    work.mark([3], "accept")
    work.delete([40])
    found = Reading.of(tmp_path)
    assert found.reader == "CD"
    assert found.decisions == {3: "accept", 40: "reject"}
    assert {item.id for item in found.kept} == {1, 3, 7, 12}
    assert found.began_with == reading(ticking()).began_with
    assert (
        RULE.in_words()
        == "Dice of at least 0.1; the most pairs, of those the best sum; one to one; within class"
    )
    work.close()

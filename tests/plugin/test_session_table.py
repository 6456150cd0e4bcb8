"""The live table beside `medseg.measure` of the same objects from scratch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from medseg_napari.session import Edit, MeasureOptions, MeasureTable, Session
from medseg_napari.session import table as table_module
from medseg_napari.session.document import Document
from session_cases import (
    add,
    change_class,
    from_scratch,
    image,
    many,
    merge,
    output,
    paint,
    random_step,
    session,
    split,
    ticking,
)

from medseg.measurement import measure, summarise
from medseg.types import Instances

BOX = (4, 7, 5, 9, 2, 11)
STEPS: dict[str, Callable[[Session], Edit]] = {
    "paint a lesion": lambda work: paint(work, 7, BOX),
    "erase part of it": lambda work: paint(work, 7, (3, 5, 0, 10, 0, 12), erase=True),
    "erase all of it": lambda work: paint(work, 40, (0, 8, 0, 10, 0, 12), erase=True),
    "add a lesion": lambda work: add(work, (0, 1, 0, 2, 0, 3)),
    "merge two that overlap": lambda work: merge(work, [7, 12]),
    "split a lesion": lambda work: split(work, 12, 5),
    "make a tumour a node": lambda work: change_class(work, 12, "node"),
    "paint the organ": lambda work: paint(work, 1, (6, 8, 8, 10, 9, 12)),
    "erase the organ": lambda work: paint(work, 1, (0, 8, 0, 10, 0, 12), erase=True),
}


def assert_same(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, wanted, check_exact=True)


@pytest.mark.parametrize("name", STEPS)
def test_the_table_after_an_edit_is_that_of_measure_and_so_after_undo_and_redo(name: str) -> None:
    work = session()
    before = from_scratch(work)
    assert_same(work.table.frame(), before)
    work.apply(STEPS[name](work))
    after = from_scratch(work)
    assert not before.equals(after)
    assert_same(work.table.frame(), after)
    work.undo()
    assert_same(work.table.frame(), before)
    work.redo()
    assert_same(work.table.frame(), after)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 12))
def test_the_table_after_any_steps_is_that_of_measure_from_scratch(seed: int, steps: int) -> None:
    rng, work = np.random.default_rng(seed), ticking()
    work.totals()
    for _ in range(steps):
        random_step(work, rng)
        if rng.random() < 0.3:  # read now and then, or else nothing could be stale
            work.table.frame()
    assert_same(work.table.frame(), from_scratch(work))
    totals = work.totals()
    for class_name, wanted in summarise(work.instances).items():
        assert totals[class_name].count == wanted["count"]
        assert totals[class_name].volume_ml == wanted["volume_ml"]
    rejected = {number for number, said in work.decisions().items() if said == "reject"}
    kept = summarise(work.instances.filter(lambda item: item.id not in rejected))
    for class_name, wanted in kept.items():
        assert totals[class_name].kept_count == wanted["count"]
        assert totals[class_name].kept_volume_ml == wanted["volume_ml"]


def test_only_what_an_edit_touched_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    volume, found = many(300)
    work = Session(volume, Document(found), "AB")
    names = [name for name in work.table.column_names if name not in ("notes",)]
    work.table.frame(names)
    counted: list[int] = []

    def counting(instances: Instances, *args: object, **kwargs: object) -> pd.DataFrame:
        counted.append(len(instances))
        return measure(instances, *args, **kwargs)

    monkeypatch.setattr(table_module, "measure", counting)
    work.mark([2, 4], "accept")
    work.table.frame(names)
    assert counted == []
    work.delete([8])
    work.table.frame(names)
    assert counted == []
    work.undo()
    work.table.frame(names)
    # one row in each of size, shape, recist, intensity; relations take one more lesion along
    assert sorted(counted) == [1, 1, 1, 1, 2]


def test_a_column_measures_no_more_than_its_own_group(monkeypatch: pytest.MonkeyPatch) -> None:
    work = session()
    asked: list[object] = []

    def noting(*args: object, **kwargs: object) -> pd.DataFrame:
        asked.append(kwargs["groups"])
        return measure(*args, **kwargs)

    monkeypatch.setattr(table_module, "measure", noting)
    assert work.table.column("volume_ml").shape == (5,)
    assert asked == [["size"], []]  # and once what the notes of all rows end with


def test_a_large_table_can_be_measured_in_parts() -> None:
    volume, found = many(50)
    table = MeasureTable(found, volume, MeasureOptions(groups=("size", "shape")))
    assert table.unmeasured() == 100
    assert table.measure_some(30) == 70
    assert table.measure_some(30, ["volume_ml"]) == 0
    assert table.measure_some(1000) == 0
    assert_same(table.frame(), measure(found, volume, groups=("size", "shape")))


def test_an_empty_result_has_an_empty_table_that_grows_with_the_first_lesion() -> None:
    nothing = Instances(output().geometry, [], output().classes)
    work = session(start=nothing)
    assert_same(work.table.frame(), from_scratch(work))
    assert [one.count for one in work.totals().values()] == [0, 0, 0]
    work.apply(add(work, (1, 3, 1, 4, 1, 5)))
    assert_same(work.table.frame(), from_scratch(work))
    assert work.totals()["tumour"].count == 1
    work.undo()
    assert_same(work.table.frame(), from_scratch(work))


def test_the_last_lesion_that_is_left_has_no_other_and_says_so_until_it_has() -> None:
    work = session()
    work.delete([3, 7])
    work.table.frame()
    work.delete([40])
    alone = from_scratch(work)
    assert "there is no other lesion" in alone["notes"][0]
    assert_same(work.table.frame(), alone)
    work.undo()
    assert_same(work.table.frame(), from_scratch(work))
    work.redo()
    assert_same(work.table.frame(), alone)


def test_voxels_that_two_of_a_class_share_count_once_through_every_step() -> None:
    work = session()
    shared = 2 * 3 * 2  # of 7 and 12
    first = work.totals()["tumour"].volume_ml / work.instances.geometry.voxel_ml
    assert round(first) == 3 * 4 * 5 + 3 * 4 * 4 + 1 - shared
    work.delete([12])
    work.delete([7])
    work.undo()
    work.apply(paint(work, 7, (2, 5, 3, 7, 3, 8)))  # where 12 was
    assert work.totals()["tumour"].volume_ml == pytest.approx(
        first * work.instances.geometry.voxel_ml
    )
    for _ in range(2):
        work.undo()
    assert work.totals()["tumour"].volume_ml == pytest.approx(
        first * work.instances.geometry.voxel_ml
    )


def test_targets_without_the_group_relations_still_count_by_organ() -> None:
    table = MeasureTable(output(), image(), MeasureOptions(groups=("recist",)))
    assert_same(table.frame(), measure(output(), image(), groups=("recist",)))


def test_organs_given_apart_are_those_that_lesions_lie_in() -> None:
    lesions = output().filter(lambda item: item.kind == "lesion")
    organs = output().filter(lambda item: item.kind == "organ")
    table = MeasureTable(lesions, image(), MeasureOptions(organs=organs))
    wanted = measure(lesions, image(), groups=table.groups, organs=organs)
    assert_same(table.frame(), wanted)
    assert set(wanted["organ"].dropna()) == {"liver"}


def test_suv_is_measured_where_the_image_is_in_suv() -> None:
    from dataclasses import replace

    pet = replace(image(), unit="SUVbw", modality="PT")
    table = MeasureTable(output(), pet)
    assert "suv_max" in table.column_names
    assert_same(table.frame(), measure(output(), pet))


def test_a_column_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no column is named 'suv_max'"):
        session().table.column("suv_max")

"""Steps of a session: what they touch, undo, redo, ids, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from medseg_napari.session import Change, Edit, Session, named
from session_cases import (
    CLASSES,
    add,
    change_class,
    cuboid,
    faded,
    full_mask,
    image,
    many,
    merge,
    output,
    paint,
    session,
    snapshot,
    split,
    state_of,
    ticking,
)

from medseg.errors import InputRefused
from medseg.types import Geometry, InstanceClass, Instances, Volume

STEPS: dict[str, Callable[[Session], Change]] = {
    "paint": lambda work: work.apply(paint(work, 7, (4, 7, 5, 9, 2, 11))),
    "erase all": lambda work: work.apply(paint(work, 3, (0, 8, 0, 10, 0, 12), erase=True)),
    "add": lambda work: work.apply(add(work, (0, 1, 0, 2, 0, 3))),
    "merge": lambda work: work.apply(merge(work, [7, 12, 40])),
    "split": lambda work: work.apply(split(work, 12, 5)),
    "change class": lambda work: work.apply(change_class(work, 3, "tumour")),
    "delete": lambda work: work.delete([3, 40]),
    "mark": lambda work: work.mark([3, 7], "reject"),
    "unmark": lambda work: work.mark([12], None),
    "comment": lambda work: work.comment(12, "see the prior study"),
    "move a line": lambda work: work.move_line(7, "short", (0, 0, 0), (3, 4, 0)),
    "reset a line": lambda work: work.reset_line(12, "long"),
}


def worked_on() -> Session:
    work = ticking()
    work.mark([12], "unsure")
    work.move_line(12, "long", (0, 0, 0), (0, 0, 9))
    return work


@pytest.mark.parametrize("name", STEPS)
def test_undo_and_redo_of_a_step_restore_masks_classes_marks_and_totals(name: str) -> None:
    work = worked_on()
    before = snapshot(work)
    change = STEPS[name](work)
    after = snapshot(work)
    assert after != before
    assert work.undo_name == change.name
    assert work.undo() == change
    assert snapshot(work) == before
    assert work.redo_name == change.name
    assert work.redo() == change
    assert snapshot(work) == after
    assert work.redo() is None


def test_every_step_can_be_undone_one_by_one_by_name_until_the_models_output() -> None:
    work = ticking()
    states, names = [snapshot(work)], list[str]()
    order = ("comment", "change class", "mark", "split", "move a line", "paint", "delete", "add")
    for name in order:
        names.append(STEPS[name](work).name)
        states.append(snapshot(work))
    while names:
        assert work.undo_name == names.pop()
        assert snapshot(work) == states.pop()
        work.undo()
    assert work.undo() is None
    assert snapshot(work) == states.pop()
    assert state_of(work.instances) == state_of(output())


def test_a_new_step_forgets_what_was_undone() -> None:
    work = ticking()
    work.delete([3])
    work.undo()
    work.mark([3], "accept")
    assert work.redo_name is None
    assert 3 in {item.id for item in work.instances}


def test_a_change_says_which_ids_and_where_before_and_after() -> None:
    work = ticking()
    heard: list[Change] = []
    end = work.subscribe(heard.append)
    change = work.apply(paint(work, 40, (0, 1, 0, 1, 0, 1)))
    assert change.ids == (40,)
    assert change.boxes == ((slice(0, 8), slice(0, 10), slice(0, 12)),)
    work.mark([3], "accept")
    assert (heard[1].ids, heard[1].review_ids, heard[1].boxes) == ((), (3,), ())
    work.undo()
    end()
    work.undo()
    assert [one.name for one in heard] == ["Paint 40", "Accept lesion 3", "Accept lesion 3"]


def test_ids_are_kept_and_never_used_again() -> None:
    work = ticking()
    assert work.next_id == 41
    work.apply(add(work, (0, 1, 0, 1, 0, 1)))
    work.undo()
    assert work.next_id == 42
    work.apply(add(work, (0, 1, 0, 1, 0, 1)))
    work.delete([40])
    assert [item.id for item in work.instances] == [12, 3, 7, 1, 42]
    again = work.edit("Add", "add", {}, {40: cuboid(40, "0:1,0:1,0:1")})
    with pytest.raises(ValueError, match="the id 40 was used before; the next is 43"):
        work.apply(again)


def test_deleted_objects_come_back_to_their_old_place() -> None:
    work = ticking()
    work.delete([3])
    work.delete([12])
    work.undo()
    work.undo()
    assert [item.id for item in work.instances] == [12, 3, 7, 1, 40]


def test_overlapping_objects_are_edited_one_at_a_time() -> None:
    work = ticking()
    shared = full_mask(work.instance(7)) & full_mask(work.instance(12))
    assert shared.any()
    work.apply(paint(work, 7, (0, 8, 0, 10, 0, 12), erase=True))
    assert np.array_equal(full_mask(work.instance(12)) & shared, shared)
    assert 7 not in {item.id for item in work.instances}


def test_a_mask_that_changes_loses_its_probability_and_a_class_that_changes_does_not() -> None:
    work = ticking()
    assert work.instance(3).probability is not None
    work.apply(change_class(work, 3, "tumour"))
    assert work.instance(3).probability is not None
    with_old = replace(cuboid(3, "1:3,1:3,1:5"), probability=np.ones((2, 2, 4), np.float16))
    work.apply(work.edit("Grow", "grow", {}, {3: with_old}))
    assert work.instance(3).probability is None
    work.undo()
    assert work.instance(3).probability is not None
    new = faded(cuboid(41, "0:1,0:1,0:2"))
    work.apply(work.edit("Add", "add", {}, {41: new}))
    assert work.instance(41).probability is None


def test_drawing_on_with_an_array_that_was_given_changes_nothing() -> None:
    work = ticking()
    mask = np.ones((1, 2, 2), dtype=bool)
    given = replace(cuboid(41, "0:1,0:2,0:2"), mask=mask)
    work.apply(work.edit("Add", "add", {}, {41: given}))
    mask[:] = False
    assert work.instance(41).mask.all()


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ({7: replace(cuboid(7, "0:1,0:1,0:1"), class_name="cyst")}, "no lesion class is named"),
        ({7: replace(cuboid(7, "0:1,0:1,0:1"), kind="organ")}, "no organ class is named 'tumour'"),
        ({7: cuboid(7, "0:9,0:1,0:1")}, "leaves the grid"),
        ({7: cuboid(8, "0:1,0:1,0:1")}, "under another id than 7"),
        ({99: None}, "neither before nor after"),
        ({}, "nothing is touched"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused_and_changes_nothing(after: dict, reason: str) -> None:
    work = ticking()
    before = snapshot(work)
    with pytest.raises(ValueError, match=reason):
        work.apply(work.edit("Wrong", "wrong", {}, after))
    assert snapshot(work) == before
    assert work.undo_name is None


def test_an_edit_of_another_state_is_refused() -> None:
    work = ticking()
    late = paint(work, 7, (0, 1, 0, 1, 0, 1))
    work.apply(paint(work, 7, (7, 8, 0, 1, 0, 1)))
    with pytest.raises(ValueError, match="instance 7 is not what it was"):
        work.apply(late)
    with pytest.raises(ValueError, match="of the same ids"):
        Edit("Paint", "paint", {}, {}, {7: work.instance(7)})


def test_a_class_can_be_added_and_taken_by_a_lesion() -> None:
    work = ticking()
    work.add_class(InstanceClass("cyst", "lesion", 9))
    work.apply(
        work.edit("Change", "change class", {}, {7: replace(work.instance(7), class_name="cyst")})
    )
    assert work.totals()["cyst"].count == 1
    with pytest.raises(ValueError, match="is there already"):
        work.add_class(InstanceClass("other", "lesion", 9))


def test_the_image_and_the_objects_lie_on_one_grid() -> None:
    elsewhere = Geometry.from_spacing(image().geometry.shape, (3.0, 0.9, 0.7))
    with pytest.raises(InputRefused, match="grid-mismatch"):
        Session.begin(Volume(image().array, elsewhere), output(), "AB")


def test_steps_are_named_for_people() -> None:
    organ, lesion = output().items[3], output().items[0]
    assert named("Delete", [lesion]) == "Delete lesion 12"
    assert named("Delete", [lesion] * 3) == "Delete 3 lesions"
    assert named("Delete", [lesion, organ]) == "Delete 2 objects"
    assert named("Grow", [organ]) == "Grow organ 1"


def test_twenty_thousand_lesions_are_edited_by_touching_only_theirs() -> None:
    volume, found = many(20_000)
    work = Session.begin(volume, found, "AB")
    seen = work.totals()
    untouched = {item.id: item for item in found}
    change = work.delete([2, 400, 39_998])
    assert change.ids == (2, 400, 39_998)
    assert all(untouched[item.id] is item for item in work.instances)
    now = work.totals()
    assert sum(one.count for one in now.values()) == 19_997
    work.undo()
    assert work.totals() == seen
    assert [item.id for item in work.instances] == [item.id for item in found]


def test_an_empty_result_can_be_worked_on() -> None:
    work = session(start=Instances(output().geometry, [], CLASSES))
    assert (work.next_id, len(work.instances)) == (1, 0)
    work.apply(add(work, (0, 1, 0, 1, 0, 1)))
    assert [item.id for item in work.instances] == [1]
    work.delete([1])
    assert len(work.instances) == 0
    assert work.selection.step(1) is None

"""What a model outlined at a click becomes one step of the session."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from medseg_napari.controller_found import add_found, check_free
from medseg_napari.session import rebuild
from medseg_napari.widgets.segment_plan import ModelChoice
from session_cases import GRID, faded, session, snapshot, state_of

from medseg.types import InputWarning, Instance, InstanceClass, Instances

CARD = ModelChoice.of("lung-nodule-ct").card
POINT = (-15.0, 8.0, 60.0)


def outlined(box: str, *, kind: str = "lesion", name: str = "nodule") -> Instances:
    from session_cases import cuboid

    shape = replace(faded(cuboid(1, box)), class_name=name, kind=kind, score=0.75)
    return Instances(GRID, [shape], (InstanceClass(name, kind, 1, (9, 9, 9)),))


def only(work, number: int) -> Instance:
    return work.instance(number)


def test_the_object_is_new_has_the_models_score_and_a_class_that_is_learned() -> None:
    work = session()
    before = snapshot(work)
    edit = add_found(work, outlined("6:8,1:3,1:4"), POINT, CARD)
    assert edit.name == "Add lesion 41 by lung-nodule-ct"
    assert edit.arguments["model"]["weights_sha256"] == CARD.weights_sha256
    assert edit.arguments["point_lps_mm"] == list(POINT)
    work.apply(edit)
    made = only(work, 41)
    assert (made.class_name, made.score, made.voxel_count) == ("nodule", 0.75, 12)
    assert [(one.name, one.label) for one in work.instances.classes][-1] == ("nodule", 4)
    work.undo()
    assert snapshot(work)[:2] == before[:2]
    work.redo()
    work.apply(add_found(work, outlined("6:8,1:3,6:9"), POINT, CARD))
    assert [one.name for one in work.instances.classes].count("nodule") == 1


def test_the_log_gives_the_same_masks_and_classes_again(tmp_path: Path) -> None:
    work = session(tmp_path / "AB")
    work.apply(add_found(work, outlined("6:8,1:3,1:4"), POINT, CARD))
    again = rebuild(work.output, tmp_path / "AB" / "edits.jsonl")
    assert state_of(again) == state_of(work.instances)
    assert again.classes == work.instances.classes
    work.close()


def test_other_lesions_keep_what_they_hold_unless_the_reader_lets_go() -> None:
    work = session()  # 12 holds z 2 to 4, y 3 to 6, x 3 to 7
    found = outlined("2:5,3:7,7:11")
    kept = add_found(work, found, POINT, CARD).after[41]
    shared = add_found(work, found, POINT, CARD, keep_out=False).after[41]
    assert shared.voxel_count == 3 * 4 * 4
    assert kept.voxel_count == 3 * 4 * 4 - 3 * 4 - 2 * 3 * 2  # less 12's, then 7's of x 8 and 9
    with pytest.raises(ValueError, match="other lesions hold all that it found"):
        add_found(work, outlined("3:4,4:5,4:5"), POINT, CARD)


def test_an_organ_of_that_name_is_no_class_for_a_lesion() -> None:
    work = session()
    with pytest.raises(ValueError, match="'liver' or the label 4 is there already"):
        add_found(work, outlined("6:8,1:3,1:4", name="liver"), POINT, CARD)


def test_where_nothing_was_found_the_models_words_are_said() -> None:
    warned = (InputWarning("nothing-at-point", "no nodule was found within 5 mm of the point"),)
    nothing = Instances(GRID, [], CARD.instance_classes, warned)
    with pytest.raises(ValueError, match="lung-nodule-ct: no nodule was found within 5 mm"):
        add_found(session(), nothing, POINT, CARD)


def test_a_click_outside_or_in_a_lesion_is_refused_before_the_model_runs() -> None:
    work = session()
    inside, free = (GRID.index_to_world(index).tolist() for index in ((3, 4, 4), (6, 1, 1)))
    check_free(work, free)
    check_free(work, inside, keep_out=False)
    with pytest.raises(ValueError, match="the click lies in lesion 12"):
        check_free(work, inside)
    with pytest.raises(ValueError, match="outside the image"):
        check_free(work, GRID.index_to_world((8, 1, 1)).tolist())

"""Stepping through studies, and two readers beside each other; without Qt."""

from __future__ import annotations

from pathlib import Path

import pytest
from medseg_napari.controller import controller_of
from medseg_napari.session import CaseList, find_session
from medseg_napari.view.facts import instance_layers, volume_layers
from medseg_napari.widgets.cases_compare import compare, kappa_in_words, readers_of
from medseg_napari.widgets.cases_table import cells
from medseg_napari.widgets.cases_work import CasesWork, page_of
from medseg_napari.widgets.preferences import Preferences
from medseg_napari.widgets.segment_sessions import default_folder
from session_cases import image, output

import medseg
from medseg.errors import InputRefused, MedsegError

WISHES = Preferences()


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    folder = tmp_path / "studies"
    folder.mkdir()
    for name in ("a", "b", "c"):
        medseg.write(image(), folder / f"{name}.nii.gz")
    return folder


def read_by(studies: Path, reader: str, case: str, *, rejected: tuple[int, ...] = ()) -> None:
    """A reader's finished session on a case: all lesions accepted but some."""
    cases = CaseList(studies, studies / "medseg", reader)
    work = cases.open(case, image(), output())
    lesions = {item.id for item in work.instances if item.kind == "lesion"}
    work.mark(sorted(lesions - set(rejected)), "accept")
    if rejected:
        work.mark(rejected, "reject")
    cases.finish(case, work)


def shown(work: CasesWork, case: str) -> list[str]:
    return work.show(case, work.read(case), WISHES)


def test_a_case_without_work_shows_its_image_and_waits(viewer, studies: Path) -> None:
    work = CasesWork(viewer)
    work.open_list(studies, None, "ab")
    shown(work, "a")
    assert [layer.name for layer in viewer.layers] == ["a"]
    assert work.session is None
    assert default_folder(work.layer, "AB") == work.cases.folder("a")
    with pytest.raises(ValueError, match="no objects yet"):
        work.finish("done")
    assert work.cases.status("a") == "to do"


def test_saving_closes_the_case_and_names_the_next(viewer, studies: Path) -> None:
    work = CasesWork(viewer)
    work.open_list(studies, None, "AB")
    shown(work, "a")
    work.begin_by_hand(WISHES)
    assert work.session is not None and len(work.session.instances) == 0
    following = work.finish("second read")
    assert following is not None and following.id == "b"
    assert controller_of(viewer) is None
    assert work.cases.status("a") == "second read"
    kept = find_session(work.cases.folder("a"))
    assert kept is not None and kept.saved.closed


def test_the_next_case_takes_the_place_of_the_last_one(viewer, studies: Path) -> None:
    read_by(studies, "AB", "b", rejected=(7,))
    work = CasesWork(viewer)
    work.open_list(studies, None, "AB")
    shown(work, "a")
    work.begin_by_hand(WISHES)
    viewer.add_points([[0, 0, 0]], name="mine")
    lines = shown(work, "b")
    assert [layer.name for layer in volume_layers(viewer.layers)] == ["b"]
    assert len(instance_layers(viewer.layers)) == 1
    assert "mine" in viewer.layers
    assert work.session is not None and work.session.review(7).decision == "reject"
    assert any("out-of-domain" in line for line in lines)
    first = find_session(work.cases.folder("a"))
    assert first is not None and first.saved.closed


def test_a_session_of_something_else_is_not_that_of_the_case(viewer, studies: Path) -> None:
    from medseg_napari.session import Session
    from medseg_napari.view.facts import StudySource
    from medseg_napari.widgets.segment_show import show_session

    work = CasesWork(viewer)
    work.open_list(studies, None, "AB")
    shown(work, "a")
    other = Session.begin(image(), output(), "AB")
    show_session(viewer, other, name="objects", source=StudySource())
    assert work.session is None
    with pytest.raises(ValueError, match="no objects yet"):
        work.finish("done")


def test_a_wrong_folder_leaves_the_list_that_was_open(viewer, studies: Path) -> None:
    work = CasesWork(viewer)
    with pytest.raises(ValueError, match="open a folder"):
        _ = work.cases
    work.open_list(studies, None, "AB")
    with pytest.raises(InputRefused, match="path-missing"):
        work.open_list(studies / "nowhere", None, "AB")
    assert len(work.cases) == 3


def test_the_list_says_how_far_each_reader_is(studies: Path) -> None:
    read_by(studies, "AB", "a")
    read_by(studies, "CD", "a")
    cases = CaseList(studies, studies / "medseg", "AB")
    cases.set_status("b", "second read")
    rows = [cells(row) for row in cases.rows()]
    assert rows == [
        ("a", "done", "1 step", "CD: done"),
        ("b", "second read", "", ""),
        ("c", "to do", "", ""),
    ]
    left = cases.open("a", image())
    assert cells(cases.rows()[0])[2] == "1 step, open"
    left.close()


def test_two_readers_are_compared_in_one_case_and_in_all(studies: Path) -> None:
    read_by(studies, "AB", "a", rejected=(7,))
    read_by(studies, "CD", "a", rejected=(7, 40))
    read_by(studies, "AB", "b")
    read_by(studies, "CD", "b")
    read_by(studies, "AB", "c")
    cases = CaseList(studies, studies / "medseg", "AB")
    assert readers_of(cases, ["a", "b", "c"]) == ["CD"]
    assert readers_of(cases, ["c"]) == []
    one = compare(cases, "CD", ["a"])
    assert one.heads == ("class", "AB", "CD", "pairs", "mean Dice")
    assert ("tumour", "2", "1", "1", "1.000") in one.rows  # 12 and 40; 12 alone
    assert ("node", "1", "1", "1", "1.000") in one.rows
    assert "Kept by AB alone: 1, by CD alone: 0." in one.lines
    # 4 lesions: both reject 1, both accept 2, one differs: p_o 3/4, p_e (3*2 + 1*2) / 16 = 1/2
    assert "kappa 0.50" in kappa_in_words(one.found)
    assert "75% of 4 lesions" in kappa_in_words(one.found)
    counted = []
    every = compare(cases, "CD", ["a", "b", "c"], lambda *said: counted.append(said))
    assert every.cases == ("a", "b")
    assert counted == [(1, 2), (2, 2)]
    assert "2 cases taken together." in every.lines
    refused = r"AB and CD: there is no case .* \[nothing-to-compare\]; read a case first"
    with pytest.raises(MedsegError, match=refused):
        compare(cases, "CD", ["c"])


def test_kappa_that_cannot_be_told_is_said_so(studies: Path) -> None:
    for reader in ("AB", "CD"):
        read_by(studies, reader, "a")
    cases = CaseList(studies, studies / "medseg", "AB")
    words = kappa_in_words(compare(cases, "CD", ["a"]).found)
    assert "kappa cannot be told" in words and "100% of 4" in words


def test_the_page_names_the_model_and_the_grid_and_no_path(viewer, studies: Path) -> None:
    read_by(studies, "AB", "a")
    work = CasesWork(viewer)
    work.open_list(studies, None, "AB")
    shown(work, "a")
    assert work.session is not None
    case, about = page_of(work.session, "a")
    assert about.facts["model"] == "toy"
    assert "8 × 10 × 12 voxels" in about.facts["image"]
    assert str(studies) not in str(about)
    assert len(case.frame) == 5

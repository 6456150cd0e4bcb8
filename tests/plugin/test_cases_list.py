"""A list of studies, and each reader's own work on them."""

from __future__ import annotations

from pathlib import Path

import pytest
from medseg_napari.session import CaseList, Session, list_studies
from medseg_napari.widgets.cases_compare import readers_of
from medseg_napari.widgets.cases_table import cells
from session_cases import image, output

import medseg
from medseg.errors import InputRefused


def studies(root: Path, names: tuple[str, ...] = ("case_10", "case_2", "case_1")) -> Path:
    root.mkdir()
    for name in names:
        medseg.write(image(), root / f"{name}.nii.gz")
    return root


def case_list(root: Path, reader: str = "AB") -> CaseList:
    if not (root / "studies").exists():
        studies(root / "studies")
    return CaseList(root / "studies", root / "studies" / "out", reader)


def test_studies_are_folders_and_image_files_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = studies(tmp_path / "all")
    for name in ("notes.txt", ".hidden.nii", "case_1.seg.nrrd", "pair.hdr", "pair.img"):
        (folder / name).write_bytes(b"")
    for name in ("patient 3", ".cache"):
        (folder / name).mkdir()
    found = list_studies(folder)
    assert [case.id for case in found] == ["case_1", "case_2", "case_10", "pair", "patient 3"]
    assert [case.path.name for case in found][-2:] == ["pair.hdr", "patient 3"]


def test_two_studies_of_one_name_and_a_folder_without_any_are_refused(tmp_path: Path) -> None:
    folder = studies(tmp_path / "all", ("a",))
    (folder / "A").mkdir()
    with pytest.raises(InputRefused, match="are one case by name"):
        list_studies(folder)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputRefused, match="holds no study"):
        list_studies(tmp_path / "none")
    with pytest.raises(InputRefused, match="path-missing"):
        list_studies(tmp_path / "nowhere")
    with pytest.raises(InputRefused, match="is a file"):
        list_studies(folder / "a.nii.gz")


def test_each_reader_has_a_status_and_a_folder_of_his_own(tmp_path: Path) -> None:
    mine, theirs = case_list(tmp_path), case_list(tmp_path, "cd")
    mine.set_status("case_1", "done")
    theirs.set_status("case_1", "second read")
    assert [mine.status("case_1"), mine.status("case_1", "CD")] == ["done", "second read"]
    assert mine.folder("case_1") == tmp_path / "studies" / "out" / "case_1" / "AB"
    assert mine.readers("case_1") == ["AB", "CD"] and mine.readers("case_2") == []
    assert mine.counts() == {"to do": 2, "done": 1, "second read": 0}
    row = mine.rows()[0]
    assert (row.case.id, row.status, row.session, row.others) == (
        "case_1", "done", None, {"CD": "second read"},
    )  # fmt: skip
    with pytest.raises(ValueError, match="a status is one of"):
        mine.set_status("case_1", "finished")
    with pytest.raises(ValueError, match="there is no case 'x'"):
        mine.status("x")
    for text in ("{", '{"status": "finished"}', "[]"):
        (mine.folder("case_1") / "case.json").write_text(text)
        with pytest.raises(InputRefused, match=r"case.json: of case case_1 .*file-corrupt"):
            mine.status("case_1")


def test_a_file_that_cannot_be_read_is_said_in_its_row_and_leaves_the_others(
    tmp_path: Path,
) -> None:
    mine, theirs = case_list(tmp_path), case_list(tmp_path, "CD")
    for cases in (mine, theirs):
        for name in ("case_1", "case_2"):
            cases.open(name, image(), output()).close()
            cases.set_status(name, "done")
    (theirs.folder("case_1") / "case.json").write_text("{")
    (theirs.folder("case_2") / "edits.jsonl").write_text("{")
    (mine.folder("case_2") / "session.json").write_text("{")
    (mine.folder("case_10") / "case.json").parent.mkdir(parents=True)
    (mine.folder("case_10") / "case.json").write_text("{")
    (mine.out / "case_10" / "old copy").mkdir()
    rows = [cells(row) for row in mine.rows()]
    assert [row[0] for row in rows] == ["case_1", "case_2", "case_10"]
    assert rows[0] == ("case_1", "done", "0 steps", "CD: cannot be read")
    assert rows[1][1] == "done" and rows[1][2].startswith("session.json: cannot be read")
    assert rows[1][3] == "CD: done"
    assert rows[2][1] == "to do" and "case.json: of case case_10" in rows[2][2]
    assert rows[2][3] == ""
    assert mine.counts() == {"to do": 1, "done": 2, "second read": 0}
    following = mine.step(1, status="to do")
    assert following is not None and following.id == "case_10"
    assert readers_of(mine, ["case_1"]) == ["CD"]
    assert readers_of(mine, ["case_2", "case_10"]) == []


def test_a_folder_that_may_not_be_looked_into_is_said_in_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = case_list(tmp_path)
    real = Path.is_file

    def is_file(path: Path) -> bool:
        if path.parent == cases.folder("case_2"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    problems = [row.problem for row in cases.rows()]
    assert problems[0] == problems[2] == ""
    assert problems[1].startswith("AB: cannot be read (Permission denied) [path-unreadable]")


@pytest.mark.parametrize("reader", ["", " ", "a/b", "..", "con", "COM1", "x" * 17, "a b", "a."])
def test_initials_that_make_no_folder_are_refused(tmp_path: Path, reader: str) -> None:
    with pytest.raises(ValueError, match="a reader's initials are"):
        case_list(tmp_path, reader)


def test_the_cases_are_walked_and_those_to_do_found(tmp_path: Path) -> None:
    cases = case_list(tmp_path)
    walk = [cases.step(1), cases.step(1, "case_1"), cases.step(1, "case_10"), cases.step(-1)]
    assert [None if case is None else case.id for case in walk] == [
        "case_1", "case_2", None, "case_10",
    ]  # fmt: skip
    cases.set_status("case_2", "done")
    following = cases.step(1, "case_1", status="to do")
    assert following is not None and following.id == "case_10"
    assert cases.step(1, "case_10", status="to do") is None


def test_finish_saves_says_done_and_names_the_next_case_to_do(tmp_path: Path) -> None:
    cases = case_list(tmp_path)
    order = []
    case = cases.case("case_2")
    while case is not None:
        order.append(case.id)
        work = cases.open(case.id, cases.read_volume(case.id), output())
        work.mark([3], "accept")
        case = cases.finish(case.id, work)
    assert order == ["case_2", "case_10", "case_1"]
    assert cases.counts()["done"] == 3
    row = cases.rows()[0]
    assert row.session is not None and row.session.steps == 1 and not row.session.crashed


def test_a_case_goes_on_where_its_reader_left_it_and_another_begins_anew(tmp_path: Path) -> None:
    cases = case_list(tmp_path)
    source = {"modality": "CT", "unit": "HU"}
    volume = cases.read_volume("case_1", source)
    assert (volume.modality, volume.unit) == ("CT", "HU")
    with pytest.raises(ValueError, match="has no session yet"):
        cases.open("case_1", volume)
    work = cases.open("case_1", volume, output(), source=source)
    work.delete([3])
    work.close()
    assert cases.read_volume("case_1").unit == "HU"  # as the session says
    again: Session = cases.open("case_1", volume)
    assert again.undo_name == "Delete lesion 3"
    other = case_list(tmp_path, "CD").open("case_1", volume, output())
    assert other.undo_name is None and len(other.instances) == 5
    again.close()
    other.close()

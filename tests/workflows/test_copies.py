"""Copies of a series of which one is damaged: the sound one is read where that is certain."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from medseg_workflows.plan_output import plan_lines
from medseg_workflows.records import Job, Plan
from medseg_workflows.study import run_job
from plan_cases import make_series, only, plan_of
from pydicom import dcmread
from pydicom.uid import RLELossless
from run_cases import make_study

Damage = Callable[[Path], object]
NOTE = "1 copy of a file is cut short and left aside, the whole one is read"


def cut(path: Path, end: int = -20) -> None:
    path.write_bytes(path.read_bytes()[:end])


def rewrite(path: Path) -> None:
    ds = dcmread(path)
    ds.PatientComments = "written again"
    ds.save_as(path)


def blank_end(path: Path) -> None:
    """What a copy leaves where room was set aside and not filled: as long, and readable."""
    data = path.read_bytes()
    path.write_bytes(data[:-50] + bytes(50))


def cut_otherwise(path: Path) -> None:
    rewrite(path)
    cut(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_series(tmp_path / "root" / "a")
    return tmp_path / "root"


def copied(root: Path, where: str, damage: Damage) -> Path:
    """The sixth slice again, beside the others, alone in a folder, or with all others in one."""
    files = sorted((root / "a").iterdir())
    folder = root / ("a" if where == "beside" else "b")
    folder.mkdir(exist_ok=True)
    for file in files if where == "whole" else files[5:6]:
        copy = folder / f"copy-{file.name}"
        shutil.copyfile(file, copy)
        if file == files[5]:
            damage(copy)
    return folder / f"copy-{files[5].name}"


def files_of(job: Job) -> set[str]:
    return set(job.inputs["mr"].files)


def refusals(plan: Plan) -> list[tuple[str, str]]:
    return [(one.model, one.failure.code) for one in plan.refused]


@pytest.mark.parametrize("where", ["beside", "alone", "whole"])
@pytest.mark.parametrize("end", [-20, -128 - 12], ids=["in the pixels", "before them"])
def test_the_whole_copy_is_read_where_the_other_is_cut_short(
    root: Path, where: str, end: int
) -> None:
    key = only(plan_of(root).jobs).key
    copy = copied(root, where, lambda path: cut(path, end))
    plan = plan_of(root)
    job = only(plan.jobs)
    assert plan.refused == () and str(copy) not in files_of(job) and len(files_of(job)) == 12
    assert job.key == key  # it is the same image: nothing is done twice
    assert only(plan.rows).reasons == ("the only one that fits", NOTE)
    assert f"{NOTE}: 1 image" in plan_lines(plan)


def test_the_cut_copy_may_come_first(root: Path) -> None:
    copied(root, "whole", lambda _: None)
    cut(sorted((root / "a").iterdir())[5])
    plan = plan_of(root)
    assert only(plan.rows).reasons[1:] == (NOTE,)
    assert {Path(name).parent.name for name in files_of(only(plan.jobs))} == {"a", "b"}


def test_compressed_pixels_are_whole_where_their_sequence_ends(root: Path) -> None:
    for path in (root / "a").iterdir():
        ds = dcmread(path)
        ds.compress(RLELossless, generate_instance_uid=False)
        ds["PixelData"].is_undefined_length = True
        ds.save_as(path)
    copied(root, "beside", cut)
    assert only(plan_of(root).rows).reasons[1:] == (NOTE,)


@pytest.mark.parametrize("where", ["beside", "alone", "whole"])
@pytest.mark.parametrize("damage", [rewrite, blank_end, cut_otherwise])
def test_nothing_is_chosen_between_copies_that_differ(
    root: Path, where: str, damage: Damage
) -> None:
    copied(root, where, damage)
    plan = plan_of(root)
    assert plan.jobs == () and refusals(plan) == [("phantom-lesions", "duplicate-uid")]


def test_two_cut_copies_make_no_whole_one(root: Path) -> None:
    copied(root, "beside", lambda path: cut(path, -40))
    cut(root / "a" / "s1-1-006.dcm")
    assert refusals(plan_of(root)) == [("phantom-lesions", "duplicate-uid")]


@pytest.mark.parametrize("end", [0, 140, 300])
def test_a_copy_that_does_not_say_what_it_is_puts_its_folder_in_doubt(root: Path, end: int) -> None:
    copied(root, "whole", lambda path: cut(path, end))
    assert refusals(plan_of(root)) == [("phantom-lesions", "file-corrupt")]


def test_a_file_of_zeros_that_calls_itself_dicom_is_a_lost_slice(root: Path) -> None:
    last = sorted((root / "a").iterdir())[-1]
    last.write_bytes(bytes(last.stat().st_size))
    assert refusals(plan_of(root)) == [("phantom-lesions", "file-corrupt")]
    last.unlink()
    (root / "a" / "._s1.dcm").write_bytes(b"\0\x05\x16\x07" + bytes(200))  # what macOS lays beside
    assert len(plan_of(root).jobs) == 1


def test_the_result_says_that_a_cut_copy_was_left_aside(tmp_path: Path) -> None:
    make_study(tmp_path / "root" / "a", 3)
    shutil.copytree(tmp_path / "root" / "a", tmp_path / "root" / "b")
    cut(tmp_path / "root" / "b" / "0008.dcm", -200)
    job = only(plan_of(tmp_path / "root").jobs)
    assert Job.from_dict(json.loads(json.dumps(job.as_dict()))) == job
    (tmp_path / "done").mkdir()
    record = run_job(job, tmp_path / "done")
    told = {one["code"]: one["detail"] for one in record.warnings}
    assert told["cut-copies-dropped"] == NOTE
    summary = json.loads((tmp_path / "done" / "summary.json").read_text())
    assert "cut-copies-dropped" in {one["code"] for one in summary["warnings"]}

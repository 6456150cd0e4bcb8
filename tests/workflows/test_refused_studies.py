"""Scans that cannot be read: quarantined with the way out, and never told as what they were."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from batch_cases import fail, finish, objects, spots
from medseg_workflows import BatchOptions, run_batch
from medseg_workflows.api import Batch
from medseg_workflows.collect import collect
from medseg_workflows.ledger import Ledger, Said, read_failures
from medseg_workflows.plan import make_plan
from medseg_workflows.plan_output import plan_lines, write_plan
from medseg_workflows.records import Failure, Plan, Settings
from plan_cases import CODES, MODEL, ROOT_UID, make_series, only, plan_of, write_image

from medseg.errors import InputRefused
from medseg.io.pseudonyms import Pseudonyms, site_secret
from medseg.refusal_codes import REFUSALS

FIRST, SECOND = (CODES.study(f"{ROOT_UID}.{n}") for n in (1, 2))


def taken_on(out: Path, plan: Plan) -> dict[str, pd.Series]:
    """The rows of studies.csv by study, once a plan is taken on and nothing more is done."""
    with Ledger.open(out, CODES) as ledger:
        ledger.begin(Said("/root", "", plan.models, Settings()), resume=True)
        ledger.plan(plan)
    write_plan(plan, out)
    collect(out)
    rows = pd.read_csv(out / "studies.csv", dtype=str, keep_default_na=False)
    return {row["study"]: row for _, row in rows.iterrows()}


def all_done(out: Path, plan: Plan) -> None:
    with Ledger.open(out, CODES):
        for job in plan.jobs:
            finish(out, job, objects(spots(1.5, 0.25)))


def run(root: Path, out: Path, models: Sequence[str] = (MODEL,), **options: object) -> Batch:
    """A batch in which no job is left to do, so that no worker starts."""
    how = BatchOptions(secret=out.parent / "secret", reserve_mb=0.0)
    return run_batch(root, out, models, options=replace(how, **options))  # type: ignore[arg-type]


def codes_of(folder: Path) -> Pseudonyms:
    return Pseudonyms(site_secret(folder / "secret"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two sound studies."""
    for study in ("1", "2"):
        make_series(tmp_path / "root" / study, study=study)
    return tmp_path / "root"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def lose_a_slice(root: Path, study: str = "1") -> None:
    (root / study / f"s{study}-1-006.dcm").unlink()


def test_a_series_with_a_lost_slice_is_refused_with_code_and_way_out(root: Path) -> None:
    lose_a_slice(root)
    plan = plan_of(root)
    refused = only(plan.refused)
    assert (refused.study, refused.model) == (FIRST, MODEL)
    assert refused.failure.code == "missing-slices"
    assert refused.failure.remedy == REFUSALS["missing-slices"].remedy
    assert refused.failure.attempts == 0
    assert plan.not_selected == ()


def test_what_no_rule_would_have_taken_is_not_selected_though_it_is_broken(tmp_path: Path) -> None:
    make_series(tmp_path / "a", modality="CT")[5].unlink()
    make_series(tmp_path / "b", study="2", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    make_series(tmp_path / "c", study="3", slices=4)
    plan = plan_of(tmp_path)
    assert plan.refused == ()
    assert len(plan.not_selected) == 3


def test_a_broken_series_beside_a_sound_one_is_no_failure(root: Path) -> None:
    make_series(root / "1", 2, step_mm=0.5)[5].unlink()
    plan = plan_of(root)
    assert len(plan.jobs) == 2 and plan.refused == ()


def test_a_study_is_refused_for_the_model_that_would_have_taken_it_alone(root: Path) -> None:
    lose_a_slice(root)
    make_series(root / "1", 2, step_mm=0.5, BodyPartExamined="CHEST")
    plan = plan_of(root, [MODEL, "hippocampus-mr"])
    assert [one.model for one in plan.refused] == ["hippocampus-mr"]
    assert {job.model.name for job in plan.jobs if job.study == FIRST} == {MODEL}


def test_a_damaged_image_file_is_refused_and_found_by_the_map(tmp_path: Path) -> None:
    image = write_image(tmp_path / "root" / "sub" / "a.nii.gz")
    image.write_bytes(image.read_bytes()[:40])
    (tmp_path / "root" / "x.zip").write_bytes(b"PK\x03\x04")
    found = run(tmp_path / "root", tmp_path / "out", keep_map=True)
    assert found.failures == {"file-corrupt": 1, "archive": 1}
    with (tmp_path / "out" / "pseudonyms.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["where"] for row in rows) == ["sub/a.nii.gz", "x.zip"]
    assert {(row["study_uid"], row["patient_id"]) for row in rows} == {("", "")}


def test_damage_in_the_root_itself_has_a_place_and_a_study_has_none(root: Path) -> None:
    make_series(root, study="9", slices=1, Rows=None, SeriesInstanceUID="")
    where = {one.study: one.where for one in plan_of(root).identities}
    assert where.pop(FIRST) == where.pop(SECOND) == ""
    assert list(where.values()) == ["."]


def test_the_map_names_dicom_studies_by_their_uid_alone(root: Path) -> None:
    named = {one.study: (one.study_uid, one.where) for one in plan_of(root).identities}
    assert named[FIRST] == (f"{ROOT_UID}.1", "")


def test_a_study_that_breaks_loses_its_old_result_and_gets_it_back(root: Path, out: Path) -> None:
    sound = plan_of(root)
    all_done(out, sound)
    kept = (root / "1" / "s1-1-006.dcm").rename(root.parent / "kept")
    rows = taken_on(out, plan_of(root))
    assert (rows[FIRST]["state"], rows[FIRST]["code"]) == ("quarantined", "missing-slices")
    assert rows[FIRST]["lesion_count"] == "" and rows[SECOND]["state"] == "done"
    assert set(pd.read_csv(out / "lesions.csv", dtype=str)["study"]) == {SECOND}
    old = next(job.key for job in sound.jobs if job.study == FIRST)
    assert [path.name for path in (out / "superseded").iterdir()] == [old]
    events = [json.loads(line) for line in (out / "audit.jsonl").read_text().splitlines()]
    assert {(one["event"], one["key"]) for one in events if one["event"] == "superseded"} == {
        ("superseded", old)
    }
    kept.rename(root / "1" / "s1-1-006.dcm")
    assert taken_on(out, plan_of(root))[FIRST]["state"] == "done"
    assert read_failures(out) == []


def test_a_second_copy_that_differs_takes_the_old_result_away(root: Path, out: Path) -> None:
    all_done(out, plan_of(root))
    make_series(root / "again", PatientComments="another export")
    row = taken_on(out, plan_of(root))[FIRST]
    assert (row["state"], row["code"]) == ("quarantined", "duplicate-uid")


def test_a_study_that_rules_leave_out_now_loses_its_old_result(root: Path, out: Path) -> None:
    all_done(out, plan_of(root))
    shutil.rmtree(root / "1")
    make_series(root / "1", slices=4)
    row = taken_on(out, plan_of(root))[FIRST]
    assert (row["state"], row["detail"]) == ("not-selected", "slices 4 < 10")


def test_a_part_that_is_not_looked_at_stays_as_it_is(root: Path, out: Path) -> None:
    all_done(out, plan_of(root))
    lose_a_slice(root)
    rows = taken_on(out, plan_of(root, only={"2"}))
    assert rows[FIRST]["state"] == "done" and rows[FIRST]["warnings"] == ""


def test_a_study_that_is_gone_from_the_root_is_kept_and_marked(root: Path, out: Path) -> None:
    all_done(out, plan_of(root))
    shutil.rmtree(root / "1")
    rows = taken_on(out, plan_of(root))
    assert (rows[FIRST]["state"], rows[FIRST]["warnings"]) == ("done", "not-in-root")
    assert rows[SECOND]["warnings"] == ""
    assert taken_on(out, plan_of(root, only={"2"}))[FIRST]["warnings"] == ""


def test_results_of_a_model_that_is_not_asked_for_are_not_called_gone(
    root: Path, out: Path
) -> None:
    all_done(out, plan_of(root))
    taken_on(out, plan_of(root, ["hippocampus-mr"]))
    rows = pd.read_csv(out / "studies.csv", dtype=str, keep_default_na=False)
    assert set(rows.loc[rows["model"] == MODEL, "warnings"]) == {""}


def test_lost_files_leave_quarantine_once_their_folder_is_sound(root: Path, out: Path) -> None:
    for study in ("1", "2"):
        (root / study / "x.zip").write_bytes(b"PK\x03\x04")
    taken_on(out, plan_of(root))
    assert [one["code"] for one in read_failures(out)] == ["archive"] * 2
    for study in ("1", "2"):
        (root / study / "x.zip").unlink()
    taken_on(out, plan_of(root, only={"2"}))
    assert len(read_failures(out)) == 1
    taken_on(out, plan_of(root))
    assert read_failures(out) == []


def test_a_batch_counts_what_it_refuses_and_ends_with_4(root: Path, out: Path) -> None:
    plan = make_plan(root, [MODEL], codes_of(out.parent))
    with Ledger.open(out, codes_of(out.parent)):
        for job in plan.jobs:
            finish(out, job, objects(spots(1.5)))
    assert run(root, out).exit_code == 0
    lose_a_slice(root)
    found = run(root, out)
    assert (found.total, found.done, found.quarantined, found.not_selected) == (2, 1, 1, 0)
    assert found.exit_code == 4
    assert found.in_words() == (
        "1 of 2 studies done, 1 quarantined (missing-slices 1), 0 not selected"
    )
    shutil.rmtree(root / "1")
    gone = run(root, out)
    assert (gone.total, gone.quarantined, gone.not_in_root, gone.exit_code) == (1, 0, 0, 0)
    shutil.rmtree(root / "2")
    make_series(root / "3", study="3", slices=4)
    words = run(root, out).in_words()
    assert words.endswith("1 not selected, 1 done before and gone from ROOT")


def test_the_wish_names_all_models_that_were_given(root: Path, out: Path) -> None:
    lose_a_slice(root, "1")
    lose_a_slice(root, "2")
    run(root, out, [MODEL, "hippocampus-mr"])
    said = json.loads((out / "batch.json").read_text())
    assert [one["name"] for one in said["models"]] == [MODEL, "hippocampus-mr"]


def test_what_a_plan_refuses_is_no_result_that_ties_the_folder(root: Path, out: Path) -> None:
    lose_a_slice(root, "1")
    lose_a_slice(root, "2")
    run(root, out)
    other = root.rename(root.parent / "elsewhere")
    assert run(other, out).quarantined == 2


def test_settings_do_not_change_the_key_of_what_is_refused(root: Path) -> None:
    lose_a_slice(root)
    other = plan_of(root, settings=Settings(threads=2))
    assert only(other.refused).key == only(plan_of(root).refused).key


def test_the_table_of_the_plan_names_no_column_twice(root: Path, out: Path) -> None:
    out.mkdir()
    write_plan(plan_of(root), out)
    with (out / "plan.csv").open(newline="", encoding="utf-8") as file:
        names = next(csv.reader(file))
    assert len(names) == len(set(names)) and {"channel", "file_channel"} <= set(names)


def test_whole_images_for_a_model_that_is_pointed_are_refused_in_one_line_before_anything_runs(
    root: Path, out: Path
) -> None:
    shutil.rmtree(root)
    for name in "ab":
        write_image(root / f"{name}.nii.gz", shape=(120, 8, 8))
    make_series(root / "mr")
    with pytest.raises(InputRefused, match="2 studies would fit") as caught:
        run(root, out, ["lung-nodule-ct"])
    assert (caught.value.code, caught.value.subject) == ("point-missing", "model lung-nodule-ct")
    assert "--at" in caught.value.remedy
    assert not (out / "batch.json").exists()
    plan = plan_of(root, ["lung-nodule-ct"])
    assert (plan.jobs, plan.refused) == ((), ())
    assert plan_lines(plan)[1:] == [
        "not selected (point-missing): 2 studies",
        "not selected (modality): 1 study",
    ]
    found = run(root, out, ["lung-nodule-ct"], only=frozenset({""}))  # a crop may arrive yet
    assert (found.not_selected, found.exit_code) == (2, 3)
    write_image(root / "crop.nii.gz", shape=(60, 8, 8))
    assert len(plan_of(root, ["lung-nodule-ct"]).jobs) == 1


def test_a_study_that_failed_and_was_moved_out_is_no_failure_any_more(
    root: Path, out: Path
) -> None:
    """That is what its remedy may have said; a plan of a part of the root says nothing of it."""
    plan = plan_of(root)
    job = next(one for one in plan.jobs if one.study == FIRST)
    with Ledger.open(out, CODES):
        fail(out, job, Failure("label-map-as-image", "labels", "move it out of the folder"))
    assert taken_on(out, plan)[FIRST]["state"] == "quarantined"
    shutil.rmtree(root / "1")
    part = plan_of(root, only=frozenset({"2"}))
    assert taken_on(out, part)[FIRST]["state"] == "quarantined"
    assert FIRST not in taken_on(out, plan_of(root))


def test_what_was_done_before_and_left_the_root_keeps_its_series_and_its_name(
    root: Path, out: Path
) -> None:
    """So a watch of an inbox that is emptied loses nothing."""
    plan = make_plan(root, [MODEL], codes_of(out.parent))
    all_done(out, plan)
    run(root, out, keep_map=True)
    before = pd.read_csv(out / "lesions.csv", dtype=str).set_index("study")["series"]
    shutil.rmtree(root / "1")
    make_series(root / "3", study="3")
    run(root, out, keep_map=True, only=frozenset({"3"}))
    mapped = pd.read_csv(out / "pseudonyms.csv", dtype=str)
    assert mapped["study"].is_unique
    assert set(mapped["study_uid"]) >= {f"{ROOT_UID}.{n}" for n in (1, 2)}
    after = pd.read_csv(out / "lesions.csv", dtype=str).set_index("study")["series"]
    assert before.notna().all()
    assert after[after.index.isin(before.index)].equals(before)

"""A plan of a folder: every study in it, in any layout, gets a job or a reason."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from medseg_workflows.plan import make_plan
from medseg_workflows.records import Settings
from plan_cases import (
    CODES,
    MODEL,
    ROOT_UID,
    decisions,
    make_series,
    only,
    plan_of,
    reasons,
    write_image,
)

from medseg.errors import InputRefused, ModelError
from medseg.io.dicom.access import series_of_files
from medseg.models.packages import package_folder


def test_the_finest_series_of_a_study_gets_the_job(tmp_path: Path) -> None:
    make_series(tmp_path / "thick", 1, slices=10, step_mm=3.0)
    fine = make_series(tmp_path / "fine", 2, slices=30)
    make_series(tmp_path / "scout", 3, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    make_series(tmp_path / "chest", 4, slices=40, BodyPartExamined="CHEST", step_mm=0.5)
    plan = plan_of(tmp_path, ["hippocampus-mr"])
    assert reasons(plan) == {
        1: f"by series {plan.rows[1].series}: preference 1 (smallest spacing_z_mm, 1 against 3)",
        2: "best of 2: preference 1 (smallest spacing_z_mm, 1 against 3)",
        3: "localizer: 12 images, all of type LOCALIZER",
        4: "body_part CHEST is ruled out",
    }
    (job,) = plan.jobs
    assert sorted(job.inputs["t1"].files) == sorted(map(str, fine))
    assert job.inputs["t1"].series_uid == f"{ROOT_UID}.1.2"
    assert job.inputs["t1"].volume is None
    assert job.key.startswith(f"{CODES.study(f'{ROOT_UID}.1')}-")
    assert job.patient == CODES.patient("P1")
    assert plan.unselected == ()


def test_the_layout_of_folders_and_names_of_files_change_nothing(tmp_path: Path) -> None:
    for study in ("1", "2", "3"):
        make_series(tmp_path / "a" / study / "x", 1, study=study)
        make_series(tmp_path / "a" / study / "y", 2, study=study, step_mm=2)
    (tmp_path / "b").mkdir()
    for n, path in enumerate(
        sorted((tmp_path / "a").rglob("*.dcm"), key=lambda one: one.name[::-1])
    ):
        shutil.copy(path, tmp_path / "b" / f"IM{n:04d}")
        deep = tmp_path / "c" / f"{n % 5}" / "d" / f"{n}"
        deep.mkdir(parents=True)
        shutil.copy(path, deep)
    plans = [plan_of(tmp_path / layout) for layout in "abc"]
    assert [len(plan.jobs) for plan in plans] == [3, 3, 3]
    assert plans[0].rows == plans[1].rows == plans[2].rows
    keys = [[job.key for job in plan.jobs] for plan in plans]
    assert keys[0] == keys[1] == keys[2]


def test_the_files_of_a_job_are_read_as_the_series_that_was_planned(tmp_path: Path) -> None:
    make_series(tmp_path / "a", 1)
    make_series(tmp_path / "a", 2, study="2")
    for job in plan_of(tmp_path).jobs:
        image = job.inputs["mr"]
        assert series_of_files(image.files).uid == image.series_uid


def test_a_study_that_suits_two_models_gets_two_jobs(tmp_path: Path) -> None:
    make_series(tmp_path / "a")
    make_series(tmp_path / "b", study="2", modality="CT")
    plan = plan_of(tmp_path, ["hippocampus-mr", MODEL, MODEL])
    assert sorted(job.model.name for job in plan.jobs) == ["hippocampus-mr", MODEL]
    assert len({job.key for job in plan.jobs}) == 2
    assert len(plan.rows) == 4
    assert only(plan.unselected).reasons == ("modality is CT, not MR",)


def test_a_copied_study_is_one_job(tmp_path: Path) -> None:
    make_series(tmp_path / "a")
    alone = plan_of(tmp_path)
    shutil.copytree(tmp_path / "a", tmp_path / "b" / "again")
    both = plan_of(tmp_path)
    assert [job.key for job in both.jobs] == [job.key for job in alone.jobs]
    assert len(both.jobs[0].inputs["mr"].files) == 12
    assert both.rows == alone.rows


def test_a_copy_that_differs_refuses_the_series(tmp_path: Path) -> None:
    make_series(tmp_path / "a")
    other = make_series(tmp_path / "b", PatientComments="another export")
    for path in other[1:]:
        path.unlink()
    make_series(tmp_path / "c", study="2")
    plan = plan_of(tmp_path)
    assert only(plan.jobs).study == CODES.study(f"{ROOT_UID}.2")
    assert only(plan.unselected).reasons[0].startswith("duplicate-uid: 2 files share one")


def test_a_series_in_two_folders_is_put_together(tmp_path: Path) -> None:
    paths = make_series(tmp_path / "a")
    (tmp_path / "b").mkdir()
    for path in paths[6:]:
        path.rename(tmp_path / "b" / path.name)
    assert only(plan_of(tmp_path).rows).facts["slices"] == 12


def test_a_damaged_file_without_a_series_refuses_its_folder_alone(tmp_path: Path) -> None:
    for study in ("1", "2"):
        make_series(tmp_path / study, study=study)
    lost = make_series(tmp_path / "1", 2, study="3")[-1]
    lost.write_bytes(lost.read_bytes()[:200])
    plan = plan_of(tmp_path)
    assert only(plan.jobs).study == CODES.study(f"{ROOT_UID}.2")
    assert [row.reasons for row in plan.unselected] == [
        ("file-corrupt: its folder holds a damaged DICOM file",)
    ] * 2


def test_a_slice_that_was_copied_onto_a_full_disk_refuses_its_folder(tmp_path: Path) -> None:
    make_series(tmp_path / "a")[-1].write_bytes(b"")
    make_series(tmp_path / "b", study="2")
    plan = plan_of(tmp_path)
    assert only(plan.jobs).study == CODES.study(f"{ROOT_UID}.2")
    assert only(plan.unselected).reasons == ("file-corrupt: its folder holds a damaged DICOM file",)


def test_a_damaged_file_that_names_its_series_refuses_that_series(tmp_path: Path) -> None:
    make_series(tmp_path / "a", 1)
    make_series(tmp_path / "a", 2, step_mm=2)
    make_series(tmp_path / "b", 1, Rows=None, slices=1)  # what is left of another slice
    plan = plan_of(tmp_path)
    assert decisions(plan) == {(1, None): "refused", (2, None): "chosen"}
    assert reasons(plan)[1] == "file-corrupt: files of it have a damaged header"


def test_damaged_files_alone_are_a_line_of_their_own(tmp_path: Path) -> None:
    make_series(tmp_path / "a")
    make_series(tmp_path / "b", study="2", slices=2, Rows=None)
    plan = plan_of(tmp_path)
    assert len(plan.jobs) == 1
    row = only(plan.unselected)
    assert (row.model, row.reasons) == ("", ("file-corrupt: a damaged DICOM file",))


def test_an_object_without_frames_refuses_its_series(tmp_path: Path) -> None:
    enhanced = "1.2.840.10008.5.1.4.1.1.4.1"
    make_series(tmp_path / "a", study="1", slices=1, SOPClassUID=enhanced)
    make_series(tmp_path / "b", study="2")
    plan = plan_of(tmp_path)
    assert only(plan.jobs).study == CODES.study(f"{ROOT_UID}.2")
    assert only(plan.unselected).reasons[0].startswith("geometry-missing: ")
    make_series(tmp_path / "c", study="1")  # the rest of it is not whole
    assert only(plan_of(tmp_path).jobs).study == CODES.study(f"{ROOT_UID}.2")


def test_pet_that_gives_no_suv_is_refused_where_suv_is_wanted(tmp_path: Path) -> None:
    make_series(tmp_path / "root", modality="PT")
    rules = tmp_path / "RULES.toml"
    rules.write_text(f'[[rule]]\nname = "PET"\nmodel = "{MODEL}"\n')
    wanted = Settings(unit="SUVbw")
    assert len(plan_of(tmp_path / "root", rules=rules).jobs) == 1
    plan = plan_of(tmp_path / "root", rules=rules, settings=wanted)
    assert only(plan.unselected).reasons[0].startswith("suv-not-computable: ")


def test_two_patients_in_one_study_refuse_it(tmp_path: Path) -> None:
    make_series(tmp_path / "a", 1)
    make_series(tmp_path / "b", 2, PatientID="somebody else")
    make_series(tmp_path / "c", study="2")
    plan = plan_of(tmp_path)
    assert only(plan.jobs).study == CODES.study(f"{ROOT_UID}.2")
    assert only(plan.unselected).reasons == (
        "several-patients: 2 different PatientIDs in one study",
    )


def test_one_series_uid_in_two_studies_refuses_it_in_both(tmp_path: Path) -> None:
    for study in ("1", "2"):
        make_series(
            tmp_path / "flat", study=study, SeriesInstanceUID="1.2.3", FrameOfReferenceUID="1"
        )
    plan = plan_of(tmp_path)
    assert plan.jobs == ()
    assert [row.study for row in plan.rows] == [
        CODES.study(f"{ROOT_UID}.{study}")
        for study in sorted("12", key=lambda one: CODES.patient(f"P{one}"))
    ]
    assert {row.reasons for row in plan.unselected} == {
        ("duplicate-uid: one SeriesInstanceUID in 2 studies",)
    }


def test_patients_without_an_id_are_not_one_patient(tmp_path: Path) -> None:
    for study in ("1", "2"):
        make_series(tmp_path / study, study=study, PatientID="")
    one, other = plan_of(tmp_path).jobs
    assert one.patient != other.patient


def test_a_study_without_a_uid_is_as_many_as_its_series(tmp_path: Path) -> None:
    for number in (1, 2):
        make_series(tmp_path / f"{number}", number, StudyInstanceUID="")
    assert len({job.study for job in plan_of(tmp_path).jobs}) == 2


def test_junk_stops_nothing_and_is_told(tmp_path: Path) -> None:
    make_series(tmp_path / "a")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    (tmp_path / "a" / "study.zip").write_bytes(b"PK\x03\x04")
    (tmp_path / "broken.nii.gz").write_bytes(b"\x1f\x8bnothing")
    (tmp_path / "._hidden.nii.gz").write_bytes(b"")
    (tmp_path / "link.nii.gz").symlink_to(tmp_path / "away.nii.gz")
    (tmp_path / "circle").symlink_to(tmp_path, target_is_directory=True)
    make_series(tmp_path / "us", study="5", slices=1, SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1")
    plan = plan_of(tmp_path)
    assert len(plan.jobs) == 1
    told = sorted("; ".join(row.reasons) for row in plan.unselected)
    assert [one.partition(":")[0] for one in told] == [
        "archive",
        "file-corrupt",
        "sop-class-unsupported",
    ]
    assert plan.skipped == {"link": 2, "not DICOM": 2}


def test_a_closed_folder_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_series(tmp_path / "a")
    make_series(tmp_path / "closed", study="2")
    listed = os.scandir

    def closed(place: str | Path) -> object:
        if Path(place).name == "closed":
            raise PermissionError(13, "Permission denied")
        return listed(place)

    monkeypatch.setattr(os, "scandir", closed)
    plan = plan_of(tmp_path)
    assert len(plan.jobs) == 1
    assert only(plan.unselected).reasons == (
        "path-unreadable: a folder cannot be read (Permission denied)",
    )


def test_a_file_that_cannot_be_read_refuses_its_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = make_series(tmp_path / "a")[-1]
    make_series(tmp_path / "b", study="2")
    opened = Path.open

    def closed(self: Path, *args: object, **options: object) -> object:
        if self == lost:
            raise PermissionError(13, "Permission denied")
        return opened(self, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", closed)
    plan = plan_of(tmp_path)
    assert only(plan.jobs).study == CODES.study(f"{ROOT_UID}.2")
    assert {row.reasons for row in plan.unselected} == {
        ("path-unreadable: its folder holds a file that cannot be read",),
        ("path-unreadable: file 12 in name order cannot be read (Permission denied)",),
    }


def test_the_results_of_a_batch_inside_the_folder_are_no_studies(tmp_path: Path) -> None:
    make_series(tmp_path / "a")
    write_image(tmp_path / "out" / "done" / "1" / "instances.nii.gz")
    for name in (".lock", ".owner"):
        (tmp_path / "out" / name).touch()
    assert len(plan_of(tmp_path).jobs) == 1


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="path-missing"):
        plan_of(tmp_path / "none")


def test_a_key_holds_all_that_a_result_depends_on(tmp_path: Path) -> None:
    make_series(tmp_path / "root")
    seen = {only(plan_of(tmp_path / "root").jobs).key}
    assert only(plan_of(tmp_path / "root").jobs).key in seen
    for settings in (Settings(threads=2), Settings(formats=("SEG",)), Settings(modality="MR")):
        seen.add(only(plan_of(tmp_path / "root", settings=settings).jobs).key)
    shutil.copytree(package_folder(MODEL), tmp_path / "again")
    other = shutil.copytree(package_folder("hippocampus-mr"), tmp_path / "other")
    same = only(plan_of(tmp_path / "root", [tmp_path / "again"]).jobs)
    assert same.key in seen  # where a package lies is no matter
    assert same.model.place == str(tmp_path / "again")
    seen.add(only(plan_of(tmp_path / "root", [other]).jobs).key)
    make_series(tmp_path / "root", slices=13)
    seen.add(only(plan_of(tmp_path / "root").jobs).key)
    assert len(seen) == 6
    assert len({key.partition("-")[0] for key in seen}) == 1


@pytest.mark.parametrize(
    "header",
    [
        {"PatientID": "another"},
        {"PixelSpacing": [1, 2]},
        {"RescaleSlope": 2, "RescaleIntercept": 0},
    ],
)
def test_an_object_that_was_corrected_under_its_uid_is_another_job(
    tmp_path: Path, header: dict[str, object]
) -> None:
    make_series(tmp_path)
    before = only(plan_of(tmp_path).jobs)
    make_series(tmp_path, **header)
    after = only(plan_of(tmp_path).jobs)
    assert before.study == after.study
    assert before.key != after.key


def test_models_are_checked_before_anything_is_scanned(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="did you mean phantom-lesions"):
        plan_of(tmp_path, ["phantom-lesion"])
    broken = shutil.copytree(package_folder(MODEL), tmp_path / "broken")
    (broken / "weights.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="weights.safetensors has SHA-256"):
        plan_of(tmp_path, [broken])
    with pytest.raises(ValueError, match="at least one model"):
        plan_of(tmp_path, [])


def test_two_packages_of_one_name_are_refused(tmp_path: Path) -> None:
    other = shutil.copytree(package_folder("hippocampus-mr"), tmp_path / "other")
    card = other / "card.toml"
    card.write_text(card.read_text().replace('name = "hippocampus-mr"', f'name = "{MODEL}"'))
    with pytest.raises(ModelError, match="two packages have this name"):
        make_plan(tmp_path, [MODEL, other], CODES)


def test_names_that_are_no_unicode_are_planned(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system wants names in Unicode")
    make_series(folder)
    write_image(folder / "a.nii.gz")
    one, other = plan_of(tmp_path).jobs
    for job in (one, other):
        assert all(Path(name).exists() for name in job.inputs["mr"].files)


def test_progress_counts_files_and_series(tmp_path: Path) -> None:
    make_series(tmp_path / "a")
    make_series(tmp_path / "b", study="2")
    (tmp_path / "notes.txt").write_text("hello")
    seen: list[tuple[int, int]] = []
    plan_of(tmp_path, progress=lambda files, series: seen.append((files, series)))
    assert seen == [(1, 0), (13, 1), (25, 2)]


def test_an_index_changes_nothing(tmp_path: Path) -> None:
    make_series(tmp_path / "root" / "a")
    make_series(tmp_path / "root" / "b", study="2", SeriesDescription="x")
    for path in (tmp_path / "root").rglob("*.dcm"):
        os.utime(path, ns=(10**18, 10**18))
    plain = plan_of(tmp_path / "root")
    for _ in range(2):
        indexed = plan_of(tmp_path / "root", index=tmp_path / "index")
        assert indexed == replace(plain, jobs=indexed.jobs)
        assert [job.as_dict() for job in indexed.jobs] == [job.as_dict() for job in plain.jobs]

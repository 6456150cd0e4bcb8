"""A plan of files that are no DICOM, and of a part of a folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from medseg_workflows.plan import make_plan
from medseg_workflows.plan_output import plan_lines, plan_table
from medseg_workflows.records import Plan, Settings
from plan_cases import CODES, MODEL, make_series, only, plan_of, write_image
from rich.console import Console

from medseg.models.packages import package_folder


def plan_text(plan: Plan) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(plan_table(plan))
    return capture.get()


def test_an_image_file_is_a_study_of_its_own(tmp_path: Path) -> None:
    image = write_image(tmp_path / "sub" / "a.nii.gz")
    write_image(tmp_path / "b.mha")
    write_image(tmp_path / "c.nrrd")
    plan = plan_of(tmp_path)
    assert len(plan.jobs) == len({job.study for job in plan.jobs}) == 3
    job = next(job for job in plan.jobs if job.inputs["mr"].files == (str(image),))
    assert (job.inputs["mr"].series_uid, job.inputs["mr"].volume) == ("", None)
    image.rename(tmp_path / "sub" / "moved.nii.gz")
    assert job.study not in {one.study for one in plan_of(tmp_path).jobs}


def test_a_file_that_was_written_again_gets_another_key(tmp_path: Path) -> None:
    image = write_image(tmp_path / "a.nii.gz")
    before = only(plan_of(tmp_path).jobs)
    again = only(plan_of(tmp_path).jobs)
    os.utime(image, ns=(1, 1))
    after = only(plan_of(tmp_path).jobs)
    assert before.key == again.key != after.key
    assert before.study == after.study


def test_files_without_a_modality_go_to_no_model_where_models_differ(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz")
    (tmp_path / "models").mkdir()
    shutil.copytree(package_folder(MODEL), tmp_path / "models" / "ct")
    card = tmp_path / "models" / "ct" / "card.toml"
    text = (
        card.read_text().replace(f'"{MODEL}"', '"ct"').replace('modality = "MR"', 'modality = "CT"')
    )
    card.write_text(text)
    models = [MODEL, tmp_path / "models" / "ct"]
    (tmp_path / "root").mkdir()
    (tmp_path / "a.nii.gz").rename(tmp_path / "root" / "a.nii.gz")
    assert plan_of(tmp_path / "root", models).jobs == ()
    plan = plan_of(tmp_path / "root", models, settings=Settings(modality="CT"))
    assert only(plan.jobs).model.name == "ct"
    assert plan.unselected == ()


def test_a_plan_says_what_a_file_without_a_modality_is_taken_for(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz")
    make_series(tmp_path / "b")
    plan = plan_of(tmp_path)
    note = "modality is not stated, taken for MR"
    assert [row.reasons[1:] for row in plan.rows if row.facts["modality"] is None] == [(note,)]
    assert [row.reasons[1:] for row in plan.rows if row.facts["modality"]] == [()]
    assert f"{note}: 1 image" in plan_lines(plan)
    assert note in " ".join(plan_text(plan).split())
    said = plan_of(tmp_path, settings=Settings(modality="MR"))
    assert {len(row.reasons) for row in said.rows} == {1}


def test_a_file_for_a_channel_of_a_ct_window_is_taken_for_ct(tmp_path: Path) -> None:
    write_image(tmp_path / "crop.nii.gz", shape=(60, 8, 8))
    row = only(plan_of(tmp_path, ["lung-nodule-ct"]).rows)
    assert row.reasons[1:] == ("modality is not stated, taken for CT",)


@pytest.mark.parametrize(
    "settings", [Settings(formats=("seg",)), Settings(probabilities=True)], ids=["seg", "fractions"]
)
def test_a_file_that_is_no_dicom_is_refused_by_the_plan_where_dicom_is_asked_for(
    settings: Settings, tmp_path: Path
) -> None:
    write_image(tmp_path / "a.nii.gz")
    make_series(tmp_path / "b")
    plan = plan_of(tmp_path, settings=settings)
    assert only(plan.jobs).inputs["mr"].series_uid
    failure = only(plan.refused).failure
    assert (failure.code, failure.attempts) == ("frame-of-reference-missing", 0)
    assert "--format" in failure.detail
    assert plan_of(tmp_path).refused == ()


def test_a_part_of_the_folder_can_be_planned_alone(tmp_path: Path) -> None:
    make_series(tmp_path / "root" / "a" / "deep", study="1.2.3.1")
    make_series(tmp_path / "root" / "b", study="1.2.3.2")
    write_image(tmp_path / "root" / "c.nii.gz")

    def planned(names: set[str] | None) -> set[str]:
        found = make_plan(tmp_path / "root", [MODEL], CODES, only=names)
        return {
            Path(job.inputs["mr"].files[0]).parts[len(tmp_path.parts) + 1] for job in found.jobs
        }

    assert planned(None) == {"a", "b", "c.nii.gz"}
    assert planned({"a"}) == {"a"}
    assert planned({""}) == {"c.nii.gz"}
    assert planned({"", "b"}) == {"b", "c.nii.gz"}
    assert planned({"deep"}) == planned(set()) == set()

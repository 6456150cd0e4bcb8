"""Models of several channels, and rules of a file, at work on folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from medseg_workflows.records import Plan
from plan_cases import MODEL, make_series, only, plan_of

from medseg.io import write
from medseg.models.packages import package_folder
from medseg.types import Geometry, Volume

RULES = """
[[rule]]
name = "by description"
model = "two"
must.slices = { min = 10 }
prefer = [{ smallest = "spacing_z_mm" }]
[[rule.channel]]
name = "mr"
must = { description_any_of = ["T1"] }
[[rule.channel]]
name = "flair"
must = { description_any_of = ["FLAIR"] }
"""


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A package of two channels, of which the second may be absent."""
    folder = Path(shutil.copytree(package_folder(MODEL), tmp_path / "two"))
    card = folder / "card.toml"
    text = card.read_text(encoding="utf-8").replace(f'name = "{MODEL}"', 'name = "two"')
    first = text[text.index("[[channels]]") : text.index("[backbone]")]
    other = first.replace('"mr"', '"flair"').replace("required = true", "required = false")
    card.write_text(text.replace(first, first + other), encoding="utf-8")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def rules(folder: Path, text: str) -> Path:
    path = folder / "RULES.toml"
    path.write_text(text, encoding="utf-8")
    return path


def image(path: Path) -> None:
    array = np.arange(12 * 64, dtype=np.int16).reshape(12, 8, 8)
    write(Volume(array, Geometry.identity((12, 8, 8)), "unknown", "unknown"), path)


def taken(plan: Plan) -> dict[str, str]:
    """The number of the series that each channel of the only job gets."""
    (job,) = plan.jobs
    numbers = {row.channel: row.number for row in plan.rows if row.decision == "chosen"}
    assert list(job.inputs) == [name for name in ("mr", "flair") if name in numbers]
    return {name: str(number) for name, number in numbers.items()}


def test_each_channel_gets_the_series_that_its_rule_means(
    tmp_path: Path, root: Path, two: Path
) -> None:
    make_series(root / "a", 1, SeriesDescription="AX FLAIR", step_mm=2)
    make_series(root / "b", 2, SeriesDescription="ax t1 mprage")
    make_series(root / "c", 3, SeriesDescription="ax flair 3d")
    plan = plan_of(root, [two], rules=rules(tmp_path, RULES))
    assert taken(plan) == {"mr": "2", "flair": "3"}
    assert len(plan.rows) == 6
    assert {row.rule for row in plan.rows} == {"by description"}


def test_a_channel_that_is_not_required_may_be_absent(
    tmp_path: Path, root: Path, two: Path
) -> None:
    make_series(root / "b", 2, SeriesDescription="T1")
    assert taken(plan_of(root, [two], rules=rules(tmp_path, RULES))) == {"mr": "1"}


def test_an_image_that_is_there_and_cannot_be_read_is_no_absent_channel(
    tmp_path: Path, root: Path, two: Path
) -> None:
    """Without it the result would be another one, and say only that it was not given."""
    make_series(root / "a", 1, SeriesDescription="FLAIR")[5].unlink()
    make_series(root / "b", 2, SeriesDescription="T1")
    plan = plan_of(root, [two], rules=rules(tmp_path, RULES))
    assert plan.jobs == ()
    assert [one.failure.code for one in plan.refused] == ["missing-slices"]


def test_a_file_of_a_channel_that_is_empty_is_no_absent_channel(root: Path, two: Path) -> None:
    image(root / "p1_mr.nii.gz")
    (root / "p1_flair.nii.gz").write_bytes(b"")
    plan = plan_of(root, [two])
    assert plan.jobs == () and len(plan.refused) == 1


def test_a_study_without_a_required_channel_is_not_selected(
    tmp_path: Path, root: Path, two: Path
) -> None:
    make_series(root / "a", 1, SeriesDescription="FLAIR")
    plan = plan_of(root, [two], rules=rules(tmp_path, RULES))
    assert plan.jobs == ()
    assert {row.channel: row.reasons for row in plan.rows} == {
        "flair": ("channel-missing: no image for mr",),
        "mr": ("description has none of T1",),
    }
    assert {row.decision for row in plan.rows} == {"refused"}


def test_one_image_is_never_two_channels(tmp_path: Path, root: Path, two: Path) -> None:
    make_series(root / "a", 1, SeriesDescription="T1 FLAIR")
    plan = plan_of(root, [two], rules=rules(tmp_path, RULES))
    assert plan.jobs == ()
    assert only(plan.unselected).reasons == ("the rule gives mr and flair the same image",)


def test_without_a_rule_dicom_gets_no_channel_by_chance(root: Path, two: Path) -> None:
    make_series(root / "a", 1, SeriesDescription="T1")
    plan = plan_of(root, [two])
    assert plan.jobs == ()
    assert only(plan.unselected).reasons == ("channel is not stated",)


def test_files_say_their_channel_by_their_names(root: Path, two: Path) -> None:
    for name in ("p1_mr.nii.gz", "p1_FLAIR.nii.gz", "p2_mr.mha", "p3.nii.gz", "mr.nii.gz"):
        image(root / name)
    plan = plan_of(root, [two])
    found = sorted(
        sorted(f"{name}={Path(one.files[0]).name}" for name, one in job.inputs.items())
        for job in plan.jobs
    )
    assert found == [["flair=p1_FLAIR.nii.gz", "mr=p1_mr.nii.gz"], ["mr=p2_mr.mha"]]
    assert {row.reasons for row in plan.unselected} == {("channel is not stated",)}
    assert len(plan.unselected) == 2


def test_for_a_model_of_one_channel_each_file_is_a_study(root: Path, two: Path) -> None:
    image(root / "p1_mr.nii.gz")
    image(root / "p1_flair.nii.gz")
    plan = plan_of(root, [two, MODEL])
    assert sorted(job.model.name for job in plan.jobs) == [MODEL, MODEL, "two"]
    assert plan.unselected == ()


def test_a_file_is_chosen_by_words_of_its_name(tmp_path: Path, root: Path) -> None:
    image(root / "sub-01_T1w.nii.gz")
    image(root / "sub-01_dseg.nii.gz")
    text = f'[[rule]]\nname = "T1"\nmodel = "{MODEL}"\nmust.description_any_of = ["_T1w."]\n'
    plan = plan_of(root, rules=rules(tmp_path, text))
    (path,) = only(plan.jobs).inputs["mr"].files
    assert Path(path).name == "sub-01_T1w.nii.gz"
    assert only(plan.unselected).reasons == ("description has none of _T1w.",)


def test_rules_are_tried_in_their_order(tmp_path: Path, root: Path) -> None:
    make_series(root / "a", 1, study="1", ContrastBolusAgent="x", step_mm=2)
    make_series(root / "b", 2, study="1")
    make_series(root / "c", 1, study="2")
    make_series(root / "d", 1, study="3", slices=3)
    text = f"""
[[rule]]
name = "with agent"
model = "{MODEL}"
must.contrast = true
[[rule]]
name = "thin"
model = "{MODEL}"
must.slices = {{ min = 10 }}
prefer = [{{ smallest = "spacing_z_mm" }}]
"""
    plan = plan_of(root, rules=rules(tmp_path, text))
    assert sorted((row.number, row.rule, row.decision) for row in plan.rows) == [
        (1, "thin", "chosen"),
        (1, "with agent", "chosen"),
        (1, "with agent", "refused"),
        (2, "with agent", "refused"),
    ]
    assert only(plan.unselected).reasons == ("contrast is not stated",)


def test_a_rule_of_one_model_leaves_the_other_its_own(tmp_path: Path, root: Path) -> None:
    make_series(root / "a", 1, step_mm=6)
    text = f'[[rule]]\nname = "thick too"\nmodel = "{MODEL}"\n'
    plan = plan_of(root, [MODEL, "hippocampus-mr"], rules=rules(tmp_path, text))
    assert [(row.model, row.rule, row.decision) for row in plan.rows] == [
        ("hippocampus-mr", "default of hippocampus-mr", "refused"),
        (MODEL, "thick too", "chosen"),
    ]


def test_a_volume_of_a_series_is_chosen_by_a_rule(tmp_path: Path, root: Path) -> None:
    make_series(root, 1, EchoTime=20)
    make_series(root, 1, EchoTime=90, first=13)
    assert only(plan_of(root).unselected).reasons[0].startswith("several-volumes")
    text = f"""
[[rule]]
name = "late echo"
model = "{MODEL}"
must.volume_label_any_of = ["EchoTime 90"]
"""
    job = only(plan_of(root, rules=rules(tmp_path, text)).jobs)
    assert job.inputs["mr"].volume == 2
    assert len(job.inputs["mr"].files) == 24

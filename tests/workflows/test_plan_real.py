"""Real series of several vendors in one tree: each is chosen, beaten or refused, and why."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from medseg_workflows.records import Plan
from plan_cases import MODEL, only, plan_of

from medseg.models.packages import package_folder

# What reading refuses, as tests/io/dicom/test_dicom_real_series.py has it from other readers.
REFUSED = {
    "ge_ct_gantry_tilt": "gantry-tilt",
    "ge_ct_slice_increment": "missing-slices",
    "ge_mr_single_slice": "too-few-slices",
    "philips_ct_scout": "localizer",
    "philips_mr_mixed_orientation": "mixed-orientation",
    "siemens_mr_mosaic": "mosaic",
    "ge_mr_fmri": "several-volumes",
}
ANY = f"""
[[rule]]
name = "any"
model = "{MODEL}"
must.modality_any_of = ["MR", "CT", "PT"]
"""


@pytest.fixture
def dicom(shared_data: Path) -> Path:
    return shared_data / "dicom"


def planned(folder: Path, rules: Path, text: str, model: str | Path = MODEL) -> Plan:
    rules.write_text(text, encoding="utf-8")
    return plan_of(folder, [model], rules=rules)


@pytest.mark.parametrize("name", REFUSED)
def test_what_reading_refuses_is_refused_with_its_code(
    dicom: Path, tmp_path: Path, name: str
) -> None:
    plan = planned(dicom / name, tmp_path / "RULES.toml", ANY)
    assert plan.jobs == ()
    assert {row.reasons[0].partition(":")[0] for row in plan.rows} == {REFUSED[name]}
    only(plan.unselected)


def test_a_tree_of_all_vendors_loses_no_study(dicom: Path, tmp_path: Path) -> None:
    plan = planned(dicom, tmp_path / "RULES.toml", ANY)
    studies = {row.study for row in plan.rows}
    done = {job.study for job in plan.jobs}
    assert done.isdisjoint(row.study for row in plan.unselected)
    assert done | {row.study for row in plan.unselected} == studies
    assert len(plan.jobs) == len(done) >= 13  # JPEG, RLE and plain copies of one study are none
    assert plan.skipped["RTSTRUCT"] == 2


def test_contrast_and_description_choose_among_the_series_of_a_real_study(
    dicom: Path, tmp_path: Path
) -> None:
    folder = dicom / "brain_tumour_study"
    plan = planned(folder, tmp_path / "a.toml", ANY + "prefer = [{ contrast = true }]\n")
    assert Path(only(plan.jobs).inputs["mr"].files[0]).parent.name == "t1_post"
    assert sorted(row.decision for row in plan.rows) == ["beaten", "chosen"]
    plan = planned(folder, tmp_path / "b.toml", ANY + 'must.description_any_of = ["flair"]\n')
    assert Path(only(plan.jobs).inputs["mr"].files[0]).parent.name == "flair"
    facts = only([row for row in plan.rows if row.decision == "chosen"]).facts
    assert (facts["slices"], facts["spacing_z_mm"], facts["orientation"]) == (22, 6.5, "axial")
    assert facts["body_part"] == "BRAIN"


def test_a_thick_series_of_the_head_is_not_for_a_model_of_1_mm(dicom: Path) -> None:
    plan = plan_of(dicom / "brain_tumour_study", ["hippocampus-mr"])
    assert {row.reasons for row in plan.rows} == {("spacing_z_mm 6.5 > 4",)}


def test_a_real_study_fills_two_channels(dicom: Path, tmp_path: Path) -> None:
    two = Path(shutil.copytree(package_folder(MODEL), tmp_path / "two"))
    card = two / "card.toml"
    text = card.read_text(encoding="utf-8")
    first = text[text.index("[[channels]]") : text.index("[backbone]")]
    card.write_text(text.replace(first, first + first.replace('"mr"', '"flair"')), encoding="utf-8")
    channels = "".join(
        f'[[rule.channel]]\nname = "{name}"\nmust.description_any_of = ["{word}"]\n'
        for name, word in (("mr", "T1"), ("flair", "FLAIR"))
    )
    plan = planned(dicom / "brain_tumour_study", tmp_path / "RULES.toml", ANY + channels, two)
    taken = {name: Path(one.files[0]).parent.name for name, one in only(plan.jobs).inputs.items()}
    assert taken == {"mr": "t1_post", "flair": "flair"}


def test_an_extremity_is_not_for_a_model_of_the_head(dicom: Path) -> None:
    plan = plan_of(dicom / "sarcoma_mr_t1_rtstruct", ["hippocampus-mr"])
    assert only(plan.rows).reasons == ("body_part EXTREMITY is ruled out",)

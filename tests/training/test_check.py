"""Each fault of a data set is found and named, and a sound one has none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from check_cases import (
    AFFINE,
    CASES,
    ODD,
    SHAPE,
    found,
    image,
    image_of,
    labels,
    labels_of,
    recipe_of,
    save,
)

from medseg.errors import InputRefused
from medseg.training.check import check_folder, refuse_faulty


def test_a_sound_data_set_has_no_fault(root):
    report = check_folder(root)
    assert (report.faults, report.ok) == ((), True)
    assert [one.id for one in report.cases] == CASES
    assert [one.id for one in refuse_faulty(report, leave_out=False)] == CASES
    assert found(root, recipe_of()) == []


def test_the_table_of_cases_holds_grids_extremes_and_volumes(root):
    table = check_folder(root).cases_frame().set_index("case")
    assert table.loc[ODD, ["shape_z", "shape_y", "shape_x"]].tolist() == list(SHAPE)
    spacing = ["spacing_z_mm", "spacing_y_mm", "spacing_x_mm"]
    assert table.loc[ODD, spacing].tolist() == pytest.approx([2.0, 1.5, 1.0])
    assert table.loc[ODD, "label_1_ml"] == pytest.approx(60 * 3.0 / 1000)
    assert table.loc[ODD, "intensity_max"] == pytest.approx(image(4).max())


def test_progress_is_told_case_by_case(root):
    told = []
    check_folder(root, progress=lambda done, total: told.append((done, total)))
    assert told == [(n, 10) for n in range(1, 11)]


def test_an_image_without_label_map_is_found(root):
    labels_of(root).unlink()
    assert found(root) == [("error", ODD, "label-missing")]


def test_a_label_map_without_image_is_found(root):
    image_of(root).unlink()
    assert found(root) == [("error", ODD, "image-missing")]


def test_a_missing_channel_is_found(root):
    shutil.copytree(root / "images", root / "flair")
    (root / "flair" / f"{ODD}.nii.gz").unlink()
    recipe = recipe_of(channels={"image": "images", "flair": "flair"})
    (one,) = check_folder(root, recipe=recipe).faults
    assert (one.case, one.code, one.detail) == (ODD, "image-missing", "no image of channel flair")


def test_a_channel_on_another_grid_is_told(root):
    shutil.copytree(root / "images", root / "flair")
    save(root / "flair" / f"{ODD}.nii.gz", image(4)[:8])
    recipe = recipe_of(channels={"image": "images", "flair": "flair"})
    assert found(root, recipe) == [("warning", ODD, "channel-grid")]


@pytest.mark.parametrize(
    ("array", "affine"),
    [(labels()[:9], AFFINE), (labels(), AFFINE + np.diag([0, 0, 0.1, 0]))],
    ids=["shape", "spacing"],
)
def test_a_label_map_on_another_grid_is_found(root, array, affine):
    save(labels_of(root), array, affine)
    assert found(root) == [("error", ODD, "grid-mismatch")]


def test_a_decathlon_tells_its_classes(root):
    names = {"0": "background", "1": "front", "2": "back"}
    entries = [
        {"image": f"./images/{case}.nii.gz", "label": f"./labels/{case}.nii.gz"} for case in CASES
    ]
    content = {"labels": names, "modality": {"0": "MRI"}, "training": entries}
    (root / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    assert found(root) == []
    save(labels_of(root), labels() * 3)
    labels_of(root, CASES[2]).unlink()
    assert found(root)[:2] == [
        ("error", CASES[2], "path-missing"),
        ("error", ODD, "class-unknown"),
    ]


def test_excluded_cases_are_not_checked(root):
    labels_of(root).unlink()
    assert found(root, recipe_of(exclude=[ODD])) == []


def test_faults_are_a_table_with_errors_first(root):
    labels_of(root).unlink()
    save(labels_of(root, CASES[0]), np.where(labels() == 2, 0, labels()))
    table = check_folder(root).as_frame()
    assert table.columns.tolist() == ["case", "severity", "code", "detail", "remedy"]
    assert table["case"].tolist() == [ODD, CASES[0]]
    assert table["severity"].tolist() == ["error", "warning"]
    assert table["remedy"].str.len().min() > 0


def test_a_sound_data_set_gives_a_table_without_rows(root):
    table = check_folder(root).as_frame()
    assert (len(table), "detail" in table.columns) == (0, True)


def test_training_refuses_faulty_cases_or_leaves_them_out(root):
    labels_of(root).unlink()
    report = check_folder(root)
    said = f"1 of 10 cases are faulty, first {ODD}: an image without label map .label-missing."
    with pytest.raises(InputRefused, match=said) as refused:
        refuse_faulty(report, leave_out=False)
    assert refused.value.code == "dataset-invalid"
    kept = refuse_faulty(report, leave_out=True)
    assert [one.id for one in kept] == [case for case in CASES if case != ODD]


def test_leaving_out_every_case_is_refused(tmp_path):
    save(tmp_path / "images" / "a.nii", image(0))
    (tmp_path / "labels").mkdir()
    with pytest.raises(InputRefused, match="1 of 1 cases are faulty"):
        refuse_faulty(check_folder(tmp_path), leave_out=True)


def test_warnings_do_not_stop_a_training(root):
    save(image_of(root), image(4) * 1000)
    report = check_folder(root)
    assert report.faults
    assert report.ok
    assert len(refuse_faulty(report, leave_out=False)) == 10


@pytest.mark.parametrize(
    ("name", "code"), [("elsewhere", "path-missing"), (".", "dataset-invalid")]
)
def test_a_folder_that_is_no_data_set_is_refused(tmp_path, name, code):
    with pytest.raises(InputRefused) as refused:
        check_folder(tmp_path / name)
    assert refused.value.code == code


def copy_cases(source: Path, target: Path, count: int) -> None:
    for part in ("images", "labels"):
        (target / part).mkdir(exist_ok=True)
        for path in sorted((source / part).iterdir())[:count]:
            shutil.copy(path, target / part)


def test_the_hippocampi_are_sound_but_for_their_documented_intensities(shared_data):
    report = check_folder(shared_data / "hippocampus_mr")
    assert len(report.cases) == 240
    assert report.ok
    codes = {one.code for one in report.faults}
    assert codes <= {"intensity-unusual", "several-components"}


def test_the_wrong_files_among_the_hippocampi_are_found(shared_data, tmp_path):
    copy_cases(shared_data / "hippocampus_mr", tmp_path, 12)
    wrong = shared_data / "bad_inputs"
    shutil.copy(wrong / "hippocampus_images" / "hippocampus_118.nii.gz", tmp_path / "images")
    for name in ("hippocampus_010.nii.gz", "hippocampus_281.nii.gz"):
        shutil.copy(wrong / "hippocampus_labels" / name, tmp_path / "labels")
    errors = {(one.case[-3:], one.code) for one in check_folder(tmp_path).faults}
    assert errors >= {
        ("118", "label-missing"),
        ("010", "image-missing"),
        ("281", "image-missing"),
        ("281", "size-impossible"),
        ("281", "spacing-unusual"),
    }
    assert {case for case, _ in errors} == {"118", "010", "281"}
    shutil.copy(
        tmp_path / "images" / "hippocampus_001.nii.gz", tmp_path / "images/hippocampus_281.nii.gz"
    )
    codes = {one.code for one in check_folder(tmp_path).faults if one.case == "hippocampus_281"}
    assert {"grid-mismatch", "duplicate-image"} <= codes


def test_contours_of_impossible_size_are_found(shared_data, tmp_path):
    copy_cases(shared_data / "headneck_organs_ct", tmp_path, 10)
    for part in ("images", "labels"):
        for path in (shared_data / "bad_inputs" / "headneck_cord" / part).iterdir():
            shutil.copy(path, tmp_path / part)
    errors = [one for one in check_folder(tmp_path).faults if one.severity == "error"]
    assert [(one.case, one.code) for one in errors] == [
        ("han_216", "size-impossible"),
        ("han_283", "size-impossible"),
    ]
    assert errors[0].detail.startswith("label 2 has 543 ml; usual are ")

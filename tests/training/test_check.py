"""Each fault of a data set is found and named, and a sound one has none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medseg.errors import InputRefused
from medseg.training.check import check_folder, refuse_faulty
from medseg.training.faults import outliers
from medseg.training.recipe import Recipe

CASES = [f"case_{n:02d}" for n in range(10)]
SHAPE = (10, 12, 14)
AFFINE = np.diag([1.0, 1.5, 2.0, 1.0])
ODD = CASES[4]


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    """`array` (z, y, x) as NIfTI, whose own order is (x, y, z)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array.T, affine), path)


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 20, SHAPE).astype(np.float32)


def labels(seed: int = 0) -> np.ndarray:
    """Two organs of 60 and about 60 voxels."""
    array = np.zeros(SHAPE, dtype=np.uint8)
    array[1:4, 1:6, 1:5] = 1
    array[5:8, 1:6, 1 : 5 + seed % 2] = 2
    return array


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten sound cases."""
    for seed, name in enumerate(CASES):
        save(tmp_path / "images" / f"{name}.nii.gz", image(seed))
        save(tmp_path / "labels" / f"{name}.nii.gz", labels(seed))
    return tmp_path


def image_of(root: Path, case: str = ODD) -> Path:
    return root / "images" / f"{case}.nii.gz"


def labels_of(root: Path, case: str = ODD) -> Path:
    return root / "labels" / f"{case}.nii.gz"


def found(root: Path, recipe: Recipe | None = None) -> list[tuple[str, str, str]]:
    report = check_folder(root, recipe=recipe)
    return [(one.severity, one.case, one.code) for one in report.faults]


def recipe_of(kinds=("organ", "organ"), *, modality="MR", channels=None, **data) -> Recipe:
    model = {
        "name": "toy",
        "version": "1",
        "summary": "",
        "intended_use": "",
        "limits": "",
        "modality": modality,
        "body_part": "head",
        "licence": {"data": "CC0-1.0", "weights": "CC0-1.0", "attribution": ""},
        "channels": [
            {"name": name, "normalisation": {"kind": "z_score"}} for name in channels or ["image"]
        ],
        "classes": [
            {"name": f"part_{n}", "kind": kind, "label": n} for n, kind in enumerate(kinds, start=1)
        ],
        "spacing_mm": [1, 1, 1],
        "window_shape": [8, 8, 8],
        "backbone": {"name": "any"},
        "head": {"name": "any"},
    }
    training = {
        "seed": 0,
        "steps": 10,
        "batch_size": 1,
        "crop_shape": [8, 8, 8],
        "learning_rate": 0.01,
        "validate_every": 5,
    }
    folders = {"kind": "folders", "name": "toys", "images": channels or "images"}
    everything = {**folders, "labels": "labels", **data}
    return Recipe.model_validate({"model": model, "data": everything, "training": training})


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


def test_a_class_that_the_recipe_lacks_is_found(root):
    array = labels()
    array[9, 9, 9] = 7
    save(labels_of(root), array)
    report = check_folder(root, recipe=recipe_of())
    assert [(one.case, one.code) for one in report.faults] == [(ODD, "class-unknown")]
    assert report.faults[0].detail == "no class has label 7; there are {1: 'part_1', 2: 'part_2'}"


def test_a_class_that_the_other_cases_lack_is_told(root):
    array = labels()
    array[8:10, 8:10, 8:10] = 7
    save(labels_of(root), array)
    assert found(root) == [("warning", ODD, "class-rare")]


def test_an_organ_that_most_cases_have_is_missed(root):
    save(labels_of(root), np.where(labels() == 2, 0, labels()))
    assert found(root) == [("warning", ODD, "class-absent")]
    assert found(root, recipe_of()) == [("warning", ODD, "class-absent")]
    assert found(root, recipe_of(("organ", "lesion"))) == []


@pytest.mark.parametrize("value", [0.5, np.nan, -1.0])
def test_labels_that_are_no_whole_numbers_are_found(root, value):
    array = labels().astype(np.float32)
    array[9, 9, 9] = value
    save(labels_of(root), array)
    (one,) = check_folder(root).faults
    assert (one.severity, one.case) == ("error", ODD)
    assert one.code == ("not-finite" if np.isnan(value) else "labels-not-integer")


def test_whole_numbers_saved_as_floats_are_no_fault(root):
    save(labels_of(root), labels().astype(np.float32))
    assert found(root) == []


def test_an_empty_label_map_is_found_and_may_be_right_for_lesions(root):
    save(labels_of(root), np.zeros(SHAPE, dtype=np.uint8))
    assert found(root) == [("error", ODD, "label-empty")]
    assert found(root, recipe_of(("lesion", "lesion"))) == [("warning", ODD, "label-empty")]


@pytest.mark.parametrize("far", [True, False])
def test_an_organ_of_impossible_size_is_found(root, far):
    """Usual are 60 voxels: 12 are a fifth, which is impossible, 30 are half, which is not."""
    array = labels()
    array[1:4] = 0
    array[1, 1:4, 1:5] = 1
    if not far:
        array[1:3, 1:4, 1:6] = 1
    save(labels_of(root), array)
    assert found(root) == ([("error", ODD, "size-impossible")] if far else [])


def test_sizes_are_not_judged_for_lesions(root):
    array = labels()
    array[1:4] = 0
    array[1, 1, 1:3] = 1
    save(labels_of(root), array)
    assert found(root, recipe_of(("lesion", "organ"))) == []


def test_an_organ_of_one_voxel_is_found_in_any_company(tmp_path):
    array = labels()
    array[1:4] = 0
    array[1, 1, 1] = 1
    save(tmp_path / "images" / "a.nii", image(0))
    save(tmp_path / "labels" / "a.nii", array)
    (one,) = check_folder(tmp_path).faults
    assert (one.code, one.detail) == ("size-impossible", "label 1 is a single voxel")


def test_an_object_that_fills_the_image_is_found(root):
    for case in CASES:
        save(labels_of(root, case), np.ones(SHAPE, dtype=np.uint8))
    report = check_folder(root)
    assert {(one.case, one.code) for one in report.faults} == {
        (case, "size-impossible") for case in CASES
    }
    assert report.faults[0].detail == "label 1 fills 100 % of the image"


def test_an_organ_in_pieces_is_told_and_a_lesion_class_in_pieces_is_not(root):
    array = labels()
    array[9, 9, 9] = 1
    save(labels_of(root), array)
    (one,) = check_folder(root).faults
    assert (one.severity, one.case, one.code) == ("warning", ODD, "several-components")
    assert "2 components; 1 of 61 voxels" in one.detail
    assert found(root, recipe_of(("lesion", "organ"))) == []


def test_pieces_that_meet_at_a_corner_are_one(root):
    array = labels()
    array[4, 6, 5] = 1
    save(labels_of(root), array)
    assert found(root) == []


def test_labels_that_are_in_pieces_everywhere_are_no_fault_without_a_recipe(root):
    for case in CASES:
        array = labels()
        array[9, 9, 9] = 1
        save(labels_of(root, case), array)
    assert found(root) == []
    assert len(found(root, recipe_of())) == len(CASES)


@pytest.mark.parametrize(
    ("value", "code"), [(5.0, "constant-image"), (np.nan, "not-finite"), (np.inf, "not-finite")]
)
def test_a_constant_image_and_one_with_nan_are_found(root, value, code):
    array = image(4)
    array[...] = value if code == "constant-image" else array
    array[2, 2, 2] = value
    save(image_of(root), array)
    assert found(root) == [("error", ODD, code)]


@pytest.mark.parametrize("part", [image_of, labels_of])
def test_a_file_that_cannot_be_read_is_found_and_the_rest_is_checked(root, part):
    part(root).write_bytes(b"no image")
    save(labels_of(root, CASES[7]), np.zeros(SHAPE, dtype=np.uint8))
    report = check_folder(root)
    assert sorted(report.faulty) == [ODD, CASES[7]]
    assert "no image" not in "".join(one.detail for one in report.faults)


def test_one_image_under_two_names_is_found(root):
    save(image_of(root, CASES[8]), image(4).astype(np.float64))
    (one,) = check_folder(root).faults
    assert (one.severity, one.case, one.code) == ("error", CASES[8], "duplicate-image")
    assert ODD in one.detail


def test_intensities_of_another_scale_are_told(root):
    save(image_of(root), image(4) * 1000)
    assert found(root) == [("warning", ODD, "intensity-unusual")]
    assert found(root, recipe_of(modality="MR")) == []


def test_ct_values_above_zero_are_told(root):
    for seed, case in enumerate(CASES):
        array = image(seed)
        array[0] = -1000
        save(image_of(root, case), array if case != ODD else array + 1024)
    expected = [("warning", ODD, "intensity-unusual")]
    assert found(root) == found(root, recipe_of(modality="CT")) == expected


def test_pet_values_too_large_for_suv_are_told(root):
    save(image_of(root), image(4) * 50)
    assert found(root, recipe_of(modality="PT")) == [("warning", ODD, "intensity-unusual")]


def test_an_unusual_spacing_is_told(root):
    affine = AFFINE @ np.diag([1, 1, 2.5, 1])
    save(image_of(root), image(4), affine)
    save(labels_of(root), labels(), affine)
    assert found(root) == [("warning", ODD, "spacing-unusual")]


def test_another_axis_order_is_no_unusual_spacing(root):
    flat = np.diag([1.0, 1.5, 5.0, 1.0])
    for seed, case in enumerate(CASES):
        save(image_of(root, case), image(seed), flat)
        save(labels_of(root, case), labels(seed), flat)
    turned = flat[:, [2, 0, 1, 3]]
    save(image_of(root), image(4).transpose(1, 2, 0), turned)
    save(labels_of(root), labels().transpose(1, 2, 0), turned)
    assert found(root) == []


def test_a_label_map_of_instances_is_not_judged_as_classes(root):
    for seed, case in enumerate(CASES):
        array = labels(seed)
        array[9, 0, : seed + 1] = np.arange(3, seed + 4)
        save(labels_of(root, case), array)
    assert found(root, recipe_of(["lesion"], label_values="instance")) == []


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


def test_outliers_need_company_and_both_limits():
    usual = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0, 1.0]
    assert not outliers([*usual[:6], 100.0], 4.0).any()
    assert outliers([*usual, 100.0], 4.0).tolist() == [False] * 7 + [True]
    assert outliers([*usual, 0.01], 4.0).tolist() == [False] * 7 + [True]
    assert not outliers([*usual, 3.0], 4.0).any()
    wide = [1.0, 3.0, 9.0, 27.0, 81.0, 243.0, 729.0, 2187.0]
    assert not outliers(wide, 4.0).any()


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

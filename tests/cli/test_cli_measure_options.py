"""`medseg measure`: what a row is, names, organs, groups, file formats, and bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from cli_cases import bright_array, save_nifti

from medseg.cli.options import GROUPS, TABLE_SUFFIXES
from medseg.io import tables, write
from medseg.measurement import COLUMNS, columns_of
from medseg.measurement import GROUPS as MEASURED
from medseg.types import Geometry, Volume


def rows_of(outcome) -> list[dict]:
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)["instances"]


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """A mask of both blocks (27 and 8 voxels of 1 mm), of one that touches the first by an edge
    (1 voxel), and of another by a corner (1 voxel)."""
    array = (bright_array() > 100).astype(np.uint8)
    array[5, 6, 5] = array[5, 2, 3] = 1
    return save_nifti(tmp_path / "mask.nii.gz", array)


def test_the_words_of_the_options_are_those_of_the_library() -> None:
    assert GROUPS == MEASURED
    assert TABLE_SUFFIXES == tables.TABLE_SUFFIXES


@pytest.mark.parametrize(
    ("connectivity", "voxels"), [("6", [27, 8, 1, 1]), ("18", [28, 8, 1]), ("26", [29, 8])]
)
def test_components_are_rows_of_their_own(run, mask, connectivity, voxels) -> None:
    words = ("--by", "component", "--connectivity", connectivity, "--json")
    rows = rows_of(run("measure", mask, *words))
    assert sorted((row["voxel_count"] for row in rows), reverse=True) == voxels
    assert [row["instance_id"] for row in rows] == list(range(1, len(voxels) + 1))
    assert rows_of(run("measure", mask, "--json"))[0]["voxel_count"] == 37


def test_corners_connect_unless_said_otherwise(run, mask) -> None:
    assert len(rows_of(run("measure", mask, "--by", "component", "--json"))) == 2


def test_names_make_values_classes_and_parts_of_lesions_rows(run, tmp_path) -> None:
    array = bright_array()
    labels = (array > 100).astype(np.uint8)
    labels[0, 0:3, 0:3], labels[11, 0:3, 0:3] = 2, 2
    path = save_nifti(tmp_path / "classes.nii.gz", labels)
    names = tmp_path / "names.csv"
    names.write_text("label,name,kind\n1,tumour,lesion\n2,liver,organ\n")
    rows = rows_of(run("measure", path, "--names", names, "--json"))
    assert [(row["instance_id"], row["class_name"], row["kind"]) for row in rows] == [
        (1, "tumour", "lesion"),
        (2, "liver", "organ"),
    ]
    split = rows_of(run("measure", path, "--names", names, "--by", "component", "--json"))
    assert [(row["class_name"], row["component_count"]) for row in split] == [
        ("tumour", 1),
        ("tumour", 1),
        ("liver", 2),
    ]


def test_a_class_of_unsaid_kind_is_an_organ_or_where_parts_become_rows_a_lesion(
    run, mask, tmp_path
) -> None:
    names = tmp_path / "dataset.json"
    names.write_text('{"labels": {"background": 0, "thing": 1}}')
    (whole,) = rows_of(run("measure", mask, "--names", names, "--json"))
    parts = rows_of(run("measure", mask, "--names", names, "--by", "component", "--json"))
    assert (whole["class_name"], whole["kind"]) == ("thing", "organ")
    assert {(row["class_name"], row["kind"]) for row in parts} == {("thing", "lesion")}
    unnamed = ("--values", "class", "--by", "component")
    assert len(rows_of(run("measure", mask, *unnamed, "--json"))) == 2


def test_small_objects_are_left_out_and_counted(run, labels) -> None:
    outcome = run("measure", labels, "--min-volume-ml", "0.01", "--json")
    (row,) = rows_of(outcome)
    assert row["instance_id"] == 3
    assert outcome.error_lines == [
        "warning: 1 of 2 objects was left out, smaller than the minimum volume of 0.01 mL "
        "[small-left-out]"
    ]
    assert "warning: small-left-out" in row["notes"]


def test_all_may_be_left_out(run, labels, tmp_path) -> None:
    outcome = run("measure", labels, "--min-volume-ml", "5", "-o", tmp_path / "table.csv")
    assert (outcome.code, outcome.out.startswith("0 objects")) == (0, True)
    assert "2 of 2 objects" in outcome.err
    (head,) = (tmp_path / "table.csv").read_text().splitlines()
    assert head.split(",") == [column.name for column in COLUMNS]


def test_organs_say_where_lesions_lie(run, labels, tmp_path) -> None:
    organs = np.zeros(bright_array().shape, dtype=np.uint8)
    organs[1:6, 1:6, 1:6] = 4
    path = save_nifti(tmp_path / "organs.nii.gz", organs)
    names = tmp_path / "names.json"
    names.write_text('{"4": "liver"}')
    outcome = run("measure", labels, "--organs", path, "--organ-names", names, "--json")
    inside, outside = rows_of(outcome)
    assert (inside["organ"], inside["organ_fraction"]) == ("liver", pytest.approx(18 / 27))
    assert (outside["organ"], outside["nearest_organ"]) == (None, "liver")
    assert outside["nearest_organ_mm"] == pytest.approx((3**2 + 3**2 + 4**2) ** 0.5)
    assert [one["organ"] for one in json.loads(outcome.out)["study"]["organs"]] == ["liver", None]
    unnamed = rows_of(run("measure", labels, "--organs", path, "--json"))
    assert unnamed[0]["organ"] == "class_4"


def test_groups_choose_columns_in_print_json_and_files(run, labels, tmp_path) -> None:
    wanted = [column.name for column in columns_of(["shape", "size"])]
    (row, _) = rows_of(run("measure", labels, "--groups", "shape, size", "--json"))
    assert list(row) == wanted
    run("measure", labels, "--groups", "shape,size", "-o", tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        assert next(csv.reader(file)) == wanted
    assert run("measure", labels, "--groups", "recist").code == 0


def test_the_name_of_the_table_chooses_its_format(run, labels, image, tmp_path) -> None:
    for suffix in TABLE_SUFFIXES:
        run("measure", labels, "--image", image, "-o", tmp_path / f"table{suffix}")
    parquet = pd.read_parquet(tmp_path / "table.parquet")
    assert parquet.dtypes.astype(str).to_dict() == {one.name: one.dtype for one in COLUMNS}
    listed = json.loads((tmp_path / "table.json").read_text())
    with (tmp_path / "table.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    for name in ("instance_id", "volume_ml", "recist_long_mm", "intensity_median"):
        assert parquet[name].tolist() == pytest.approx([row[name] for row in listed])
        assert parquet[name].tolist() == pytest.approx(
            [float(row[name]) for row in lines], abs=1e-3
        )


def test_what_no_file_says_may_be_said(run, labels, image) -> None:
    words = ("measure", labels, "--image", image, "--json")
    silent = rows_of(run(*words))
    assert "recist: slice thickness unknown, not judged" in silent[0]["notes"]
    assert "recist: plane unknown, axial assumed" in silent[0]["notes"]
    assert silent[0]["recist_measurable"] is None
    said = rows_of(run(*words, "--slice-thickness-mm", "1", "--plane", "sagittal"))
    assert "unknown" not in said[0]["notes"].replace("unit is unknown", "")
    assert said[0]["recist_measurable"] is False
    assert (silent[0]["recist_axis"], said[0]["recist_axis"]) == ("z", "x")


def test_an_image_of_suv_gives_suv_and_one_of_hounsfield_says_so(run, labels, image) -> None:
    words = ("measure", labels, "--image", image, "--json")
    pet = rows_of(run(*words, "--modality", "PT", "--unit", "SUVbw"))
    assert [row["suv_max"] for row in pet] == [200.0, 300.0]
    assert pet[0]["suv_tlg_g"] == pytest.approx(200 * 0.027)
    ct = rows_of(run(*words, "--modality", "CT", "--unit", "HU"))
    assert ct[0]["suv_max"] is None
    assert "suv: the image is in HU, not SUVbw" in ct[0]["notes"]
    assert ct[0]["intensity_unit"] == "HU"


def test_json_holds_classes_and_proposed_targets(run, tmp_path) -> None:
    array = np.zeros((20, 40, 40), dtype=np.uint8)
    array[4:8, 3:33, 3:6] = 1
    array[12:15, 2:14, 20:24] = 2
    array[17, 3, 3] = 3
    path = save_nifti(tmp_path / "lesions.nii.gz", array.T)
    said = ("--slice-thickness-mm", "2", "--plane", "axial")
    outcome = run("measure", path, *said, "--json")
    result = json.loads(outcome.out)
    assert result["classes"]["object"]["count"] == 3
    assert result["study"]["targets"] == {
        "ids": [1, 2],
        "sum_of_diameters_mm": pytest.approx((30**2 + 3**2) ** 0.5 + (12**2 + 4**2) ** 0.5),
    }
    assert [row["recist_target_proposed"] for row in result["instances"]] == [True, True, False]
    printed = run("measure", path, *said)
    assert "proposed RECIST targets: 1, 2; sum of diameters 42.8 mm" in printed.out


def test_the_data_dictionary_needs_no_labels(run) -> None:
    outcome = run("measure", "--columns")
    assert outcome.code == 0
    for column in COLUMNS:
        assert f"\n{column.name} " in f"\n{outcome.out}"
        assert column.definition in outcome.out
    listed = json.loads(run("measure", "--columns", "--json").out)["columns"]
    assert [one["name"] for one in listed] == [column.name for column in COLUMNS]
    assert set(listed[0]) == {"name", "group", "dtype", "unit", "definition", "source"}
    some = json.loads(run("measure", "--columns", "--groups", "suv", "--json").out)["columns"]
    assert {one["group"] for one in some} == {"always", "suv"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "LABELS is missing"),
        (("L", "--groups", "volume"), "no group is named"),
        (("L", "--connectivity", "18"), "--by component"),
        (("L", "--connectivity", "8", "--by", "component"), "'--connectivity': '8' is not one of"),
        (("L", "--kind", "node"), "--kind"),
        (("L", "--targets", "1,x"), "such as 1,4; got 'x'"),
        (("L", "--targets", "0"), "got '0'"),
        (("L", "--targets", ""), "got ''"),
        (("L", "--targets", "3,03"), "named once"),
        (("L", "--targets", "3", "--groups", "size"), "the group recist"),
        (("L", "--organ-names", "x.json"), "--organs"),
        (("L", "--unit", "HU"), "--image"),
        (("L", "--modality", "CT"), "--image"),
        (("L", "--names", "x.json", "--values", "instance"), "--values instance"),
        (("L", "--min-volume-ml", "0"), "above 0"),
        (("L", "--slice-thickness-mm", "nan"), "above 0"),
        (("L", "-o", "table.xlsx"), "table.xlsx"),
        (("L", "--by", "voxel"), "--by"),
        (("L", "--plane", "oblique"), "'--plane': 'oblique' is not one of"),
    ],
)
def test_a_bad_call_is_a_usage_error(run, labels, words, said) -> None:
    given = [labels if word == "L" else word for word in words]
    outcome = run("measure", *(given or ["--json"]))
    assert outcome.code == 2
    assert said in outcome.err


def other_grid(path: Path, dtype: type = np.uint8) -> Path:
    write(Volume(np.ones((4, 5, 6), dtype=dtype), Geometry.identity((4, 5, 6))), path)
    return path


@pytest.mark.parametrize(
    ("option", "subject"), [("--image", "labels.nii.gz"), ("--organs", "other.nii.gz")]
)
def test_another_grid_is_refused_in_one_line(run, labels, tmp_path, option, subject) -> None:
    other = other_grid(tmp_path / "other.nii.gz")
    outcome = run("measure", labels, option, other, "-o", tmp_path / "table.csv")
    assert outcome.code == 3
    (line,) = outcome.error_lines
    assert line.startswith(f"error: {subject}: its grid is not that of the ")
    assert "[grid-mismatch]" in line
    assert not (tmp_path / "table.csv").exists()


@pytest.mark.parametrize(
    ("array", "code"),
    [
        (-bright_array(), "labels-not-integer"),
        (bright_array() / np.float32(7), "labels-not-integer"),
        (
            np.random.default_rng(0).integers(0, 999, (16, 18, 20), dtype=np.int16),
            "not-a-label-map",
        ),
    ],
    ids=["negative", "fractions", "grey"],
)
def test_what_is_no_label_map_is_refused_in_one_line(run, tmp_path, array, code) -> None:
    outcome = run("measure", save_nifti(tmp_path / "a.nii.gz", array))
    assert (outcome.code, len(outcome.error_lines)) == (3, 1)
    assert f"[{code}]" in outcome.err


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "path-missing"),
        ("{", "names-invalid"),
        ('{"3": "liver"}', "names-invalid"),
        ('{"3": "liver", "7": ["a"]}', "names-invalid"),
    ],
)
def test_names_that_do_not_fit_are_refused_in_one_line(run, labels, tmp_path, content, code):
    names = tmp_path / "names.json"
    if content is not None:
        names.write_text(content)
    outcome = run("measure", labels, "--names", names)
    assert (outcome.code, len(outcome.error_lines)) == (3, 1)
    assert f"[{code}]" in outcome.err


def test_what_an_image_says_otherwise_is_refused(run, tmp_path) -> None:
    outcome = run("phantom", tmp_path / "made", "--seed", "1", "--dicom")
    assert outcome.code == 0
    words = ("measure", tmp_path / "made/truth.nii.gz", "--image", tmp_path / "made/image")
    for more, said in (
        (("--plane", "coronal"), "axial"),
        (("--slice-thickness-mm", "77"), "77"),
    ):
        refused = run(*words, "--groups", "size,recist", *more)
        assert (refused.code, len(refused.error_lines)) == (3, 1)
        assert "[acquisition-mismatch]" in refused.err
        assert said in refused.err
    assert run(*words, "--groups", "recist", "--plane", "axial").code == 0


def test_nan_inside_an_object_of_an_image_is_refused_by_name(run, labels, tmp_path) -> None:
    array = bright_array().astype(np.float32)
    array[3, 4, 5] = np.nan
    outcome = run("measure", labels, "--image", save_nifti(tmp_path / "nan.nii.gz", array))
    assert (outcome.code, len(outcome.error_lines)) == (3, 1)
    assert "nan.nii.gz: 1 of 2688 voxels are NaN or infinite [not-finite]" in outcome.err


def test_an_empty_label_map_has_every_column_and_its_type(run, tmp_path) -> None:
    empty = save_nifti(tmp_path / "empty.nii.gz", np.zeros((5, 6, 7), dtype=np.uint8))
    outcome = run("measure", empty, "-o", tmp_path / "table.parquet", "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["instances"] == []
    table = pd.read_parquet(tmp_path / "table.parquet")
    assert table.dtypes.astype(str).to_dict() == {one.name: one.dtype for one in COLUMNS}


def test_labels_above_65535_keep_their_numbers(run, tmp_path) -> None:
    array = np.zeros((5, 6, 7), dtype=np.int32)
    array[1, 1, 1], array[3, 3, 3:5] = 65_536, 1_000_001
    nibabel.Nifti1Image(array, np.diag([1.0, 1.0, 1.0, 1.0])).to_filename(tmp_path / "a.nii")
    rows = rows_of(run("measure", tmp_path / "a.nii", "--json"))
    assert [(row["instance_id"], row["voxel_count"]) for row in rows] == [
        (65_536, 1),
        (1_000_001, 2),
    ]

"""`medseg measure`: ids and volumes are those of the file, shown, as JSON or as CSV."""

from __future__ import annotations

import csv
import json

import nrrd
import numpy as np
import pytest
from cli_cases import bright_array, save_nifti, two_echoes

from medseg.io import write
from medseg.types import Instances


def test_ids_and_volumes_are_those_of_the_file(run, labels, tmp_path) -> None:
    outcome = run("measure", labels, "-o", tmp_path / "table.csv")
    assert (outcome.code, outcome.err) == (0, "")
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["instance_id"], row["volume_ml"]) for row in rows] == [
        ("3", "0.027000"),
        ("7", "0.008000"),
    ]
    assert [row["intensity_mean"] for row in rows] == ["", ""]


def test_an_image_gives_the_intensities(run, labels, image, tmp_path) -> None:
    run("measure", labels, "--image", image, "-o", tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        means = [row["intensity_mean"] for row in csv.DictReader(file)]
    assert means == ["200.0000", "300.0000"]


@pytest.mark.parametrize(("number", "which"), [(1, 0), (2, 1)])
def test_a_volume_of_a_series_gives_the_intensities(run, tmp_path, number, which) -> None:
    volumes = two_echoes(tmp_path / "series")
    labels = np.ones(volumes[0].array.shape, dtype=np.uint8)
    write(Instances.from_labelmap(labels, volumes[0].geometry), tmp_path / "all.nii.gz")
    words = ("measure", tmp_path / "all.nii.gz", "--image", tmp_path / "series", "--json")
    outcome = run(*words)
    assert (outcome.code, outcome.out.count("several-volumes")) == (3, 1)
    (row,) = json.loads(run(*words, "--series", 1, "--volume", number).out)["instances"]
    assert row["intensity_mean"] == pytest.approx(volumes[which].array.mean(), abs=1e-3)


@pytest.mark.parametrize("option", ["--series", "--volume"])
def test_a_choice_without_an_image_is_a_bad_call(run, labels, option) -> None:
    outcome = run("measure", labels, option, "1")
    assert outcome.code == 2
    assert "--image" in outcome.err


def test_without_a_file_the_table_is_printed(run, labels) -> None:
    outcome = run("measure", labels)
    assert outcome.code == 0
    for word in ("0.027", "0.008", "ml", "border"):
        assert word in outcome.out


def test_json_has_every_column_and_null_for_what_is_missing(run, labels) -> None:
    rows = json.loads(run("measure", labels, "--json").out)["instances"]
    assert [row["instance_id"] for row in rows] == [3, 7]
    assert [row["voxel_count"] for row in rows] == [27, 8]
    assert rows[0]["intensity_mean"] is None


def test_values_may_stand_for_classes(run, labels) -> None:
    rows = json.loads(run("measure", labels, "--values", "class", "--json").out)["instances"]
    assert [(row["class_name"], row["kind"]) for row in rows] == [
        ("class_3", "organ"),
        ("class_7", "organ"),
    ]


def test_an_empty_label_map_gives_a_table_without_rows(run, tmp_path) -> None:
    empty = save_nifti(tmp_path / "empty.nii.gz", np.zeros((5, 6, 7), dtype=np.uint8))
    outcome = run("measure", empty, "-o", tmp_path / "table.csv")
    assert outcome.code == 0
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 1
    assert run("measure", empty).code == 0


def test_fractions_are_no_labels(run, tmp_path) -> None:
    path = save_nifti(tmp_path / "halves.nii.gz", bright_array().astype(np.float32) / 3)
    outcome = run("measure", path)
    assert outcome.code == 3
    (line,) = outcome.error_lines
    assert line.startswith("error: halves.nii.gz: ")
    assert "[labels-not-integer]" in line


def test_a_segmentation_of_another_program_keeps_its_names(run, tmp_path) -> None:
    header = {
        "space": "left-posterior-superior",
        "space directions": np.eye(3),
        "space origin": np.zeros(3),
        "kinds": ["domain"] * 3,
        "Segment0_ID": "Segment_1",
        "Segment0_Name": "left kidney",
        "Segment0_Layer": "0",
        "Segment0_LabelValue": "3",
    }
    array = (3 * (bright_array() == 200)).astype(np.uint8)
    nrrd.write(str(tmp_path / "slicer.seg.nrrd"), array, header)
    (row,) = json.loads(run("measure", tmp_path / "slicer.seg.nrrd", "--json").out)["instances"]
    assert (row["instance_id"], row["class_name"], row["voxel_count"]) == (3, "left kidney", 27)


@pytest.mark.parametrize(
    ("place", "code"), [("nowhere/table.csv", "folder-missing"), ("folder.csv", "is-a-folder")]
)
def test_a_table_without_a_place_is_a_failure(run, labels, tmp_path, place, code) -> None:
    (tmp_path / "folder.csv").mkdir()
    outcome = run("measure", labels, "-o", tmp_path / place)
    assert outcome.code == 1
    (line,) = outcome.error_lines
    assert f"[{code}]" in line

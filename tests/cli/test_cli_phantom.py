"""`medseg phantom`: image and truth, the same for the same seed, as files or as DICOM."""

from __future__ import annotations

import csv

import numpy as np
import pydicom
import pytest

from medseg.io import read, read_instances
from medseg.measurement import measure
from medseg.models import card_of
from medseg.phantom import make_phantom, touching_lesions

MODEL = "phantom-lesions"


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_image_and_truth_are_those_of_the_seed(run, tmp_path, modality) -> None:
    out = tmp_path / "out"
    outcome = run("phantom", out, "--seed", "3", "--modality", modality)
    assert (outcome.code, outcome.err) == (0, "")
    made = make_phantom(3, modality=modality)
    assert np.array_equal(read(out / "image.nii.gz").array, made.volume.array)
    truth = read_instances(out / "truth.seg.nrrd")
    assert [item.voxel_count for item in truth] == [item.voxel_count for item in made.truth]
    with (out / "truth.csv").open(newline="") as file:
        volumes = [float(row["volume_ml"]) for row in csv.DictReader(file)]
    assert volumes == pytest.approx(measure(made.truth)["volume_ml"].tolist(), abs=1e-6)
    assert np.array_equal(read(out / "truth.nii.gz").array, made.truth.to_labelmap("higher_score"))


def test_dicom_is_a_series_of_one_file_a_slice(run, tmp_path) -> None:
    out = tmp_path / "out"
    assert run("phantom", out, "--seed", "3", "--dicom").code == 0
    made = make_phantom(3, modality="CT")
    files = [path for path in (out / "image").rglob("*") if path.is_file()]
    assert len(files) == made.volume.geometry.shape[0]
    assert {pydicom.dcmread(path).Modality for path in files} == {"CT"}
    assert not (out / "image.nii.gz").exists()
    assert (out / "truth.csv").is_file()


def test_the_same_seed_gives_the_same_bytes(run, tmp_path) -> None:
    for name in ("first", "second"):
        run("phantom", tmp_path / name, "--seed", "5")
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


def test_a_file_in_the_way_is_a_failure_in_one_line(run, tmp_path) -> None:
    (tmp_path / "out").write_text("mine")
    outcome = run("phantom", tmp_path / "out", "--seed", "1")
    assert outcome.code == 1
    (line,) = outcome.error_lines
    assert "[not-a-folder]" in line


def test_the_scene_of_lesions_is_one_that_the_shipped_model_takes(run, tmp_path) -> None:
    out = tmp_path / "out"
    outcome = run("phantom", out, "--seed", "3", "--scene", "lesions")
    assert (outcome.code, outcome.err) == (0, "")
    assert "MR study" in outcome.out
    made = touching_lesions(3)
    assert np.array_equal(read(out / "image.nii.gz").array, made.volume.array)
    truth = read_instances(out / "truth.seg.nrrd")
    assert {item.class_name for item in truth} <= {one.name for one in card_of(MODEL).classes}
    assert [item.voxel_count for item in truth] == [item.voxel_count for item in made.truth]


def test_a_ct_of_the_scene_of_lesions_is_none(run, tmp_path) -> None:
    outcome = run(
        "phantom", tmp_path / "out", "--seed", "3", "--scene", "lesions", "--modality", "CT"
    )
    assert outcome.code == 2 and "--modality" in outcome.err
    assert not (tmp_path / "out").exists()

"""`medseg check-data`: faults as a table, exit code 3 where there are some."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from cli_cases import bright_array, save_nifti


@pytest.fixture
def data(tmp_path) -> Path:
    """Three sound cases of images and labels."""
    folder = tmp_path / "data"
    rng = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for n in range(3):
        array = bright_array()
        noisy = (array + rng.integers(0, 20, array.shape)).astype(np.int16)
        save_nifti(folder / "images" / f"case_{n}.nii.gz", noisy)
        save_nifti(folder / "labels" / f"case_{n}.nii.gz", (array > 100).astype(np.uint8))
    return folder


def test_sound_data_is_exit_code_0(run, data) -> None:
    outcome = run("check-data", data, "--quiet")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert "3 cases, 0 of them faulty" in run("check-data", data).out


def test_a_missing_label_is_in_table_and_exit_code(run, data, tmp_path) -> None:
    (data / "labels" / "case_1.nii.gz").unlink()
    outcome = run("check-data", data, "-o", tmp_path / "faults.csv")
    assert outcome.code == 3
    assert "case_1" in outcome.out
    assert outcome.error_lines[-1].startswith("error: data: 1 of 3 cases are faulty")
    with (tmp_path / "faults.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["severity"] == "error"]
    assert [(row["case"], row["code"]) for row in rows] == [("case_1", "label-missing")]


def test_json_is_one_document_that_lists_the_faults(run, data) -> None:
    (data / "labels" / "case_1.nii.gz").unlink()
    outcome = run("check-data", data, "--json", "--quiet")
    assert outcome.code == 3
    found = json.loads(outcome.out)
    assert (found["cases"], found["ok"]) == (3, False)
    assert "label-missing" in [fault["code"] for fault in found["faults"]]
    assert len(outcome.error_lines) == 1


def test_a_folder_without_data_is_refused(run, tmp_path) -> None:
    outcome = run("check-data", tmp_path)
    assert outcome.code == 3
    (line,) = outcome.error_lines
    assert "[dataset-invalid]" in line


def test_a_recipe_that_is_wrong_is_refused_by_its_key(run, data, tmp_path) -> None:
    (tmp_path / "recipe.toml").write_text("[modell]\nname = 'x'\n")
    outcome = run("check-data", data, "--recipe", tmp_path / "recipe.toml")
    assert outcome.code == 3
    (line,) = outcome.error_lines
    assert line.startswith("error: recipe.toml: modell")
    assert "[recipe-invalid]" in line

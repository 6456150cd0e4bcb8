"""Bad input from the command line: one line that names it, a code, exit code 3, and no output."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from cli_cases import bright_array, save_nifti


def missing(path: Path) -> None:
    del path


def empty_folder(path: Path) -> None:
    path.mkdir()


def text(path: Path) -> None:
    path.write_text("subject,age\n1,60\n")


def truncated(path: Path) -> None:
    save_nifti(path, np.random.default_rng(0).integers(0, 99, (20, 20, 20)).astype(np.int16))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flat(path: Path) -> None:
    save_nifti(path, bright_array()[:, :, 5])


def four_dimensional(path: Path) -> None:
    save_nifti(path, np.stack([bright_array()] * 3, axis=-1))


def with_nan(path: Path) -> None:
    array = bright_array().astype(np.float32)
    array[3, 3, 3] = np.nan
    save_nifti(path, array)


def constant(path: Path) -> None:
    save_nifti(path, np.full((8, 8, 8), 7, dtype=np.int16))


def without_affine(path: Path) -> None:
    made = nibabel.Nifti1Image(bright_array(), np.eye(4))
    made.set_sform(None, code=0)
    made.set_qform(None, code=0)
    nibabel.save(made, path)


def singular_affine(path: Path) -> None:
    made = nibabel.Nifti1Image(bright_array(), np.eye(4))
    made.header.set_xyzt_units("mm")
    made.set_sform(np.eye(4), code=1)
    made.set_qform(None, code=0)
    raw = bytearray(made.to_bytes())
    raw[312:328] = bytes(16)  # NIfTI-1's srow_z: the third axis leads nowhere
    path.write_bytes(gzip.compress(bytes(raw)))


IMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing.nii.gz": (missing, "path-missing"),
    "empty": (empty_folder, "no-image-series"),
    "text.nii.gz": (text, "format-unknown"),
    "truncated.nii.gz": (truncated, "file-corrupt"),
    "flat.nii.gz": (flat, "not-3d"),
    "four.nii.gz": (four_dimensional, "not-3d"),
    "nan.nii.gz": (with_nan, "not-finite"),
    "constant.nii.gz": (constant, "constant-image"),
    "no_affine.nii.gz": (without_affine, "affine-missing"),
    "singular.nii.gz": (singular_affine, "affine-singular"),
}


@pytest.fixture(params=IMAGES)
def bad_image(request, tmp_path) -> tuple[Path, str]:
    """A path of bad input and the code it is refused with."""
    make, code = IMAGES[request.param]
    path = tmp_path / request.param
    make(path)
    return path, code


def is_one_line(outcome, name: str, code: str) -> None:
    assert outcome.code == 3, outcome
    (line,) = outcome.error_lines
    assert line.startswith(f"error: {name}: ")
    assert f" [{code}]; " in line
    assert not line.endswith("; ")
    assert "Traceback" not in outcome.err


def test_segment_refuses_bad_input(run, bad_image, threshold_model, tmp_path) -> None:
    path, code = bad_image
    outcome = run("segment", path, "-o", tmp_path / "out", "--model", threshold_model)
    is_one_line(outcome, path.name, code)
    assert outcome.out == ""
    assert not (tmp_path / "out").exists()


def test_segment_refuses_bad_input_in_json(run, bad_image, threshold_model, tmp_path) -> None:
    path, code = bad_image
    outcome = run("segment", path, "-o", tmp_path / "out", "--model", threshold_model, "--json")
    is_one_line(outcome, path.name, code)
    error = json.loads(outcome.out)["error"]
    assert (error["code"], error["subject"]) == (code, path.name)
    assert error["remedy"]


@pytest.mark.parametrize("name", sorted(set(IMAGES) - {"constant.nii.gz"}))
def test_measure_refuses_bad_input_as_its_image(run, name, labels, tmp_path) -> None:
    make, code = IMAGES[name]
    make(tmp_path / name)
    outcome = run("measure", labels, "--image", tmp_path / name, "-o", tmp_path / "table.csv")
    is_one_line(outcome, name, code)
    assert not (tmp_path / "table.csv").exists()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("missing.nii.gz", "path-missing"),
        ("text.nii.gz", "format-unknown"),
        ("truncated.nii.gz", "file-corrupt"),
        ("flat.nii.gz", "not-3d"),
        ("nan.nii.gz", "not-finite"),
        ("no_affine.nii.gz", "affine-missing"),
        ("singular.nii.gz", "affine-singular"),
    ],
)
def test_measure_refuses_bad_label_maps(run, name, code, tmp_path) -> None:
    IMAGES[name][0](tmp_path / name)
    outcome = run("measure", tmp_path / name, "-o", tmp_path / "table.csv")
    is_one_line(outcome, name, code)
    assert not (tmp_path / "table.csv").exists()


def test_labels_on_another_grid_than_the_image_are_refused(run, labels, tmp_path) -> None:
    moved = np.eye(4)
    moved[0, 3] = 5.0
    other = save_nifti(tmp_path / "moved.nii.gz", bright_array(), moved)
    outcome = run("measure", labels, "--image", other, "-o", tmp_path / "table.csv")
    is_one_line(outcome, "labels.nii.gz", "grid-mismatch")
    assert "origin 5 mm off" in outcome.err
    assert not (tmp_path / "table.csv").exists()


def test_an_unknown_model_is_refused_with_the_way_to_the_known_ones(run, image, tmp_path) -> None:
    outcome = run("segment", image, "-o", tmp_path / "out", "--model", "no-such-model")
    is_one_line(outcome, "model no-such-model", "model-unknown")
    assert not (tmp_path / "out").exists()
    shown = run("models", "show", "no-such-model")
    is_one_line(shown, "model no-such-model", "model-unknown")


def test_an_unknown_recipe_is_refused(run, tmp_path) -> None:
    outcome = run("train", tmp_path / "nowhere.toml", "-o", tmp_path / "out")
    is_one_line(outcome, "nowhere.toml", "path-missing")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [("inspect",), ("check-data",)])
def test_commands_that_look_refuse_what_is_not_there(run, words, tmp_path) -> None:
    is_one_line(run(*words, tmp_path / "nowhere"), "nowhere", "path-missing")


CARD = """
name = "altered"
version = "1.0"
summary = "Nothing."
intended_use = "Tests."
limits = "All."
modality = "MR"
body_part = "any"
channels = [{ name = "image", normalisation = { kind = "z_score" } }]
classes = [{ name = "spot", kind = "lesion", label = 1 }]
spacing_mm = [1, 1, 1]
window_shape = [16, 16, 16]
weights_sha256 = "00"
licence = { data = "CC0-1.0", weights = "CC0-1.0", attribution = "nobody" }
backbone = { name = "none" }
head = { name = "none" }
training = { name = "none", cases = 0, minutes = 0, device = "cpu" }
"""


def test_weights_that_are_not_those_of_the_card_are_refused(run, image, tmp_path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "card.toml").write_text(CARD)
    (package / "weights.safetensors").write_bytes(b"not these")
    outcome = run("segment", image, "-o", tmp_path / "out", "--model", package)
    is_one_line(outcome, "model altered", "model-invalid")
    assert "SHA-256" in outcome.err
    assert not (tmp_path / "out").exists()


def test_a_card_that_is_wrong_is_refused_by_its_key(run, image, tmp_path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "card.toml").write_text(CARD.replace('"MR"', '"US"'))
    outcome = run("segment", image, "-o", tmp_path / "out", "--model", package)
    is_one_line(outcome, "card.toml", "model-invalid")
    assert "modality" in outcome.err
    assert not (tmp_path / "out").exists()

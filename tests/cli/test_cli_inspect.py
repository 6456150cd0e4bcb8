"""`medseg inspect`: what is there and what is wrong with it, without refusing to look."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from cli_cases import bright_array, save_nifti, two_echoes
from matplotlib.image import imread
from pydicom import dcmread

from medseg.io import read


def test_a_sound_image_shows_its_geometry(run, image) -> None:
    outcome = run("inspect", image)
    assert (outcome.code, outcome.err) == (0, "")
    for word in ("study.nii.gz", "read", "16 14 12", "1 1 1"):
        assert word in outcome.out


def test_json_has_one_finding_an_image(run, image) -> None:
    (finding,) = json.loads(run("inspect", image, "--json").out)["findings"]
    assert finding["status"] == "read"
    assert finding["shape"] == [16, 14, 12]
    assert finding["spacing_mm"] == [1.0, 1.0, 1.0]


def test_a_refused_image_shows_why_and_is_no_error(run, tmp_path) -> None:
    path = save_nifti(tmp_path / "flat.nii.gz", bright_array()[:, :, 4])
    outcome = run("inspect", path)
    assert (outcome.code, outcome.err) == (0, "")
    assert "refused" in outcome.out
    assert "flat.nii.gz: has 2 dimensions" in outcome.out
    assert "[not-3d]" in outcome.out
    (finding,) = json.loads(run("inspect", path, "--json").out)["findings"]
    assert finding["status"] == "refused"


def test_a_folder_shows_everything_in_it(run, tmp_path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    save_nifti(folder / "a.nii.gz", bright_array())
    save_nifti(folder / "b.nii.gz", bright_array())
    found = json.loads(run("inspect", folder, "--json").out)["findings"]
    assert [one["status"] for one in found] == ["read", "read"]


@pytest.mark.parametrize("echo", [20, 90])
def test_the_number_shown_for_a_volume_reads_that_volume(run, tmp_path, echo) -> None:
    folder = tmp_path / "series"
    wanted = dict(zip((20, 90), two_echoes(folder), strict=True))[echo]
    outcome = run("inspect", folder)
    (number,) = re.findall(rf"volume (\d+) is [^\n]*\b{echo}\b", outcome.out)
    np.testing.assert_array_equal(read(folder, volume=int(number)).array, wanted.array)


def test_the_volumes_of_a_real_series_are_numbered_as_the_reader_takes_them(
    run, shared_data
) -> None:
    folder = shared_data / "dicom" / "ge_mr_fmri"
    shown = dict(re.findall(r"volume (\d+) is ([^\n]+)", run("inspect", folder).out))
    assert list(shown) == ["1", "2"]
    for number, name in shown.items():
        assert read(folder, volume=int(number)).meta["volume"] == name.strip()


def test_patients_and_studies_are_codes_and_the_same_ones_for_one_secret(run, tmp_path) -> None:
    two_echoes(tmp_path / "study" / "series")
    (tmp_path / "key").write_text("only this site knows it", encoding="utf-8")
    (tmp_path / "other").write_text("another site's own secret", encoding="utf-8")

    def codes(*words: object) -> set[tuple[str, str]]:
        found = json.loads(run("inspect", tmp_path / "study", "--json", *words).out)["findings"]
        return {(one["patient"], one["study"]) for one in found}

    assert {patient for patient, _ in codes()} == {"P1"}
    (mine,) = {patient for patient, _ in codes("--secret", tmp_path / "key")}
    assert re.fullmatch(r"[0-9a-f]{16}", mine)
    assert codes("--secret", tmp_path / "key") == codes("--secret", tmp_path / "key")
    (theirs,) = {patient for patient, _ in codes("--secret", tmp_path / "other")}
    assert theirs != mine
    assert all(re.fullmatch(r"[0-9a-f]{12}", study) for _, study in codes())


def test_a_short_secret_is_a_usage_error(run, tmp_path, image) -> None:
    (tmp_path / "key").write_text("short", encoding="utf-8")
    outcome = run("inspect", image, "--secret", tmp_path / "key")
    assert outcome.code == 2
    assert "holds 5 bytes" in outcome.err


def test_every_volume_of_a_series_has_a_row_and_its_geometry_in_json(run, tmp_path) -> None:
    early, _ = two_echoes(tmp_path / "study" / "series")
    (tmp_path / "study" / "late").rename(tmp_path / "aside")
    out = run("inspect", tmp_path / "study").out
    assert out.count("6 5 4") == 3
    assert "several-volumes" in out
    (finding,) = json.loads(run("inspect", tmp_path / "study", "--json").out)["findings"]
    for number, one in enumerate(finding["volumes"], 1):
        assert (one["number"], one["slices"], one["code"]) == (number, 6, "")
        assert tuple(one["shape"]) == early.geometry.shape
        assert one["spacing_mm"] == pytest.approx(early.geometry.spacing_mm)
        assert one["origin_mm"] == pytest.approx(early.geometry.affine[:3, 3])


def test_a_preview_shows_every_sound_volume(run, tmp_path) -> None:
    two_echoes(tmp_path / "study" / "series")
    save_nifti(tmp_path / "study" / "a.nii.gz", bright_array())
    outcome = run("inspect", tmp_path / "study", "--preview", tmp_path / "strip.png")
    assert outcome.code == 0
    assert "preview: 100 %" in outcome.err
    height, width = imread(tmp_path / "strip.png").shape[:2]
    assert 1000 < width < 2000 and 300 < height < 1000  # four panels in a row
    again = tmp_path / "again.png"
    assert run("inspect", tmp_path / "study", "--preview", again, "--quiet").err == ""
    assert again.read_bytes() == (tmp_path / "strip.png").read_bytes()


def test_a_preview_leaves_out_what_has_text_in_its_pixels(run, tmp_path) -> None:
    folder = tmp_path / "study"
    for name, seed in (("burned", 1), ("fine", 2)):
        (folder / name).mkdir(parents=True)
        two_echoes(tmp_path / name / "series")
        for path in (tmp_path / name / "late").iterdir():
            ds = dcmread(path)
            ds.SeriesNumber, ds.SeriesInstanceUID = seed, f"2.25.{seed}"
            if name == "burned":
                ds.BurnedInAnnotation = "YES"
            ds.save_as(folder / name / path.name)
    outcome = run("inspect", folder, "--preview", tmp_path / "strip.png", "--quiet")
    assert outcome.code == 0
    assert outcome.error_lines == [
        line for line in outcome.error_lines if "is not shown [burned-in-annotation]" in line
    ]
    assert len(outcome.error_lines) == 1


def test_a_preview_of_nothing_says_so(run, tmp_path) -> None:
    path = save_nifti(tmp_path / "flat.nii.gz", bright_array()[:, :, 4])
    assert run("inspect", path, "--preview", tmp_path / "strip.png").code == 0
    assert (tmp_path / "strip.png").exists()


def test_a_preview_is_a_png(run, tmp_path, image) -> None:
    outcome = run("inspect", image, "--preview", tmp_path / "strip.jpg")
    assert (outcome.code, ".png" in outcome.err) == (2, True)

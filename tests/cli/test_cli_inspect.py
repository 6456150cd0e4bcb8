"""`medseg inspect`: what is there and what is wrong with it, without refusing to look."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from cli_cases import bright_array, save_nifti, two_echoes

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

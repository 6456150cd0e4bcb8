"""What of a study makes it another job: not only the headers that say where its voxels lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from medseg_workflows.studies import survey
from plan_cases import make_series, only, plan_of
from pydicom import dcmread
from pydicom.uid import RLELossless


def contents_of(root: Path) -> str:
    """What the images of the only series of a folder come to."""
    (study,) = survey(root).studies
    (series,) = study.series
    return series.content


def compress(files: Sequence[Path]) -> None:
    for path in files:
        ds = dcmread(path)
        ds.compress(RLELossless, generate_instance_uid=False)
        ds["PixelData"].is_undefined_length = True
        ds.save_as(path)


@pytest.mark.parametrize("change", [{"PatientWeight": "70"}, {"Units": "CNTS"}])
def test_a_pet_whose_units_were_corrected_is_another(
    tmp_path: Path, change: dict[str, str]
) -> None:
    header = {"PatientWeight": "07", "Units": "BQML"}
    make_series(tmp_path, modality="PT", **header)
    before = contents_of(tmp_path)
    make_series(tmp_path, modality="PT", **{**header, **change})
    assert contents_of(tmp_path) != before
    make_series(tmp_path, modality="PT", **header)
    assert contents_of(tmp_path) == before


def test_an_image_that_was_cut_short_and_is_whole_again_is_another(tmp_path: Path) -> None:
    files = make_series(tmp_path)
    compress(files)
    before = only(plan_of(tmp_path).jobs).key
    whole = files[5].read_bytes()
    files[5].write_bytes(whole[:-20])  # its header says what it said
    assert only(plan_of(tmp_path).jobs).key != before
    files[5].write_bytes(whole)
    assert only(plan_of(tmp_path).jobs).key == before

"""Enhanced objects with a fault, with little in them, and of several volumes."""

from __future__ import annotations

from pathlib import Path

import pytest
from dicom_builders import SLICES, enhanced, ramp_error, save, series
from dicom_odd_series import phases
from pydicom.dataset import Dataset

from medseg.errors import InputRefused
from medseg.io.dicom import read_dicom

ENHANCED_REFUSED = {
    "A76 two images a position": "several-volumes",
    "A77 without plane positions": "geometry-missing",
    "no functional groups": "geometry-missing",
    "fewer groups than frames": "pixel-data-corrupt",
}


def broken_enhanced(case: str) -> Dataset:
    if case.startswith("A76"):
        return enhanced(phases("TemporalPositionIdentifier", [1, 2]))
    ds = enhanced(series())
    groups = ds.PerFrameFunctionalGroupsSequence
    if case.startswith("A77"):
        for group in groups:
            del group.PlanePositionSequence
    elif case == "no functional groups":
        del ds.PerFrameFunctionalGroupsSequence
    else:
        ds.NumberOfFrames = SLICES + 1
    return ds


@pytest.mark.parametrize("case", sorted(ENHANCED_REFUSED))
def test_a_faulty_enhanced_object_is_refused_with_its_code(tmp_path: Path, case: str) -> None:
    save(broken_enhanced(case), tmp_path / "one.dcm")
    with pytest.raises(InputRefused) as caught:
        read_dicom(tmp_path)
    assert caught.value.code == ENHANCED_REFUSED[case]


def test_an_enhanced_object_without_shared_groups_is_read(tmp_path: Path) -> None:
    path = save(enhanced(series(), shared=False), tmp_path / "one.dcm")
    assert ramp_error(read_dicom(path)) < 1e-3


def test_volumes_of_an_enhanced_object_can_be_chosen(tmp_path: Path) -> None:
    path = save(broken_enhanced("A76 two images a position"), tmp_path / "one.dcm")
    for volume in (1, 2):
        assert ramp_error(read_dicom(path, volume=volume)) < 1e-3

"""Several volumes in one series: chosen whole, or refused with a list."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
from dicom_builders import copies, enhanced, parted, ramp_error, save, series, write
from dicom_odd_series import REFUSED, every

from medseg.errors import InputRefused
from medseg.io.dicom import read_dicom


@pytest.mark.parametrize(
    ("case", "label", "values"),
    [
        ("A81 time points", "TemporalPositionIdentifier 3", 3),
        ("A82 echoes", "EchoTime 4.8", 2),
        ("A83 b values", "DiffusionBValue 800", 2),
        ("A84 magnitude and phase", "ImageType P", 2),
        ("A85 phases by acquisition", "AcquisitionNumber 2", 2),
        ("A81 untagged time points", "InstanceNumber from 13", 2),
    ],
)
def test_a_chosen_volume_is_the_whole_and_right_one(
    tmp_path: Path, case: str, label: str, values: int
) -> None:
    slices = copy.deepcopy(REFUSED[case][1])
    for n in range(values):
        for ds in parted(slices, n):
            ds.RescaleIntercept = float(-1024 + 1000 * n)
    write([slices[k] for k in np.random.default_rng(0).permutation(len(slices))], tmp_path)
    for n in range(values):
        volume = read_dicom(tmp_path, volume=n + 1)
        volume.array[...] -= 1000 * n
        assert ramp_error(volume) < 1e-3
    assert volume.meta["volume"] == label
    told = [one.code for one in volume.warnings].count("volumes-by-number")
    assert told == (case == "A81 untagged time points")


def test_frames_of_one_file_that_only_their_order_sets_apart_are_told(tmp_path: Path) -> None:
    save(enhanced(copies(series(), 2)), tmp_path / "one.dcm")
    warnings = dict(read_dicom(tmp_path, volume=2).warnings)
    assert "the order of InstanceNumber, or of frames" in warnings["volumes-by-number"]


def test_volumes_that_nothing_sets_apart_offer_no_choice(tmp_path: Path) -> None:
    slices = every(copies(series(), 2), InstanceNumber=1)
    write(slices, tmp_path)
    with pytest.raises(InputRefused, match=r"no tag sets them apart.*several-volumes"):
        read_dicom(tmp_path, volume=1)


@pytest.mark.parametrize("volume", [0, 3, -1])
def test_a_volume_that_is_not_there_is_refused_with_the_list(tmp_path: Path, volume: int) -> None:
    write(REFUSED["A82 echoes"][1], tmp_path)
    with pytest.raises(InputRefused, match=r"no volume .*EchoTime 2\.4.*EchoTime 4\.8") as caught:
        read_dicom(tmp_path, volume=volume)
    assert caught.value.code == "volume-unknown"

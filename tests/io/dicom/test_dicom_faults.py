"""What is told of odd series and faults; `test_dicom_table_a` has which are read or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from dicom_builders import COLUMNS, ROWS, SLICES, copies, parted, ramp_error, series, write
from dicom_odd_series import READ, REFUSED, every
from pydicom.uid import CTImageStorage

from medseg.errors import InputRefused
from medseg.io.dicom import read_dicom, scan


def warnings_of(folder: Path, volume: int | None = None) -> dict[str, str]:
    return dict(read_dicom(folder, volume=volume).warnings)


@pytest.mark.parametrize(
    ("case", "code", "detail"),
    [
        ("A16 the same file twice", "copies-dropped", "1 byte-equal"),
        ("A22 scout marked LOCALIZER", "localizers-dropped", "1 scout"),
        ("A28 positions off by 0.05 mm", "slices-off-grid", "0.050 mm"),
        ("A30 SpacingBetweenSlices 5", "spacing-tag-differs", "2.500 mm, which is used"),
        ("A69 derived, MPR", "derived-image", "12 of 12"),
    ],
)
def test_what_was_odd_is_told(tmp_path: Path, case: str, code: str, detail: str) -> None:
    assert detail in warnings_of(write(READ[case], tmp_path))[code]


def test_fewer_images_than_the_header_announces_is_told(tmp_path: Path) -> None:
    slices = every(series(), ImagesInAcquisition=SLICES)
    assert "fewer-images-than-announced" not in warnings_of(write(slices, tmp_path / "whole"))
    found = warnings_of(write(slices[:-1], tmp_path / "cut"))
    assert found["fewer-images-than-announced"] == "the header tells of 12 images, there are 11"


def test_every_volume_has_its_own_count_of_slices_that_the_header_announces(tmp_path: Path) -> None:
    """Two time points of 11 of 12 slices: together they are more images than are announced."""
    slices = every(copies(series("PT"), 2), NumberOfSlices=SLICES)
    for n in range(2):
        for ds in parted(slices, n):
            ds.TemporalPositionIdentifier = n + 1
    write(slices, tmp_path / "whole")
    write([ds for n in range(2) for ds in parted(slices, n)[:-1]], tmp_path / "cut")
    for n in (1, 2):
        assert "fewer-images-than-announced" not in warnings_of(tmp_path / "whole", n)
        told = warnings_of(tmp_path / "cut", n)["fewer-images-than-announced"]
        assert told == "the header tells of 12 slices, there are 11"


def test_a_refused_series_tells_what_was_found_and_the_way_out(tmp_path: Path) -> None:
    write(REFUSED["A18 a slice missing inside"][1], tmp_path)
    (found,) = scan(tmp_path)
    with pytest.raises(InputRefused) as caught:
        read_dicom(tmp_path)
    assert str(caught.value) == (
        f"series 1 ({found.pseudonym}): the gap after slice 5 is 5.00 mm, the others 2.50 mm;"
        " 1 of 12 slices are missing [missing-slices]; fetch the missing slices"
    )


def test_a_cut_file_is_refused_and_not_left_out(tmp_path: Path) -> None:
    write(series(), tmp_path)
    file = tmp_path / "011.dcm"
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(InputRefused, match="file 12 in name order has 150 bytes, 180") as caught:
        read_dicom(tmp_path)
    assert caught.value.code == "pixel-data-corrupt"


def test_a_file_cut_inside_its_header_is_refused_and_not_left_out(tmp_path: Path) -> None:
    write(series(), tmp_path)
    file = tmp_path / "011.dcm"
    for size in (140, 200, 600, 700, 800):
        whole = file.read_bytes()
        file.write_bytes(whole[:size])
        with pytest.raises(InputRefused) as caught:
            read_dicom(tmp_path)
        assert caught.value.code == "file-corrupt"
        file.write_bytes(whole)


def test_the_builders_themselves_are_sound(tmp_path: Path) -> None:
    slices = series()
    assert {ds.SOPClassUID for ds in slices} == {CTImageStorage}
    volume = read_dicom(write(slices, tmp_path))
    assert ramp_error(volume) < 1e-3
    assert volume.geometry.shape == (SLICES, ROWS, COLUMNS)

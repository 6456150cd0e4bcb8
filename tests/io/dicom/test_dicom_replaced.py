"""A file that is not the one whose header was checked: its pixels are not taken for the others'."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from dicom_builders import SLICES, ramp_error, save, series, write_in
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from medseg.errors import InputRefused
from medseg.io.dicom import check, index, read_checked, scan

SYNTAXES = [
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGLSLossless,
]


def rewritten(file: Path) -> None:
    """The same bytes in the same file, a second later."""
    data, status = file.read_bytes(), file.stat()
    file.write_bytes(data)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))


def longer(file: Path) -> None:
    """One byte more, and the time of before."""
    status = file.stat()
    file.write_bytes(file.read_bytes() + b"\0")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", [rewritten, longer])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name[:40])
def test_a_file_that_changed_after_the_check_is_refused(
    tmp_path: Path, syntax: UID, change: Callable[[Path], None]
) -> None:
    folder = write_in(series(), tmp_path, syntax)
    checked = check(scan(folder)[0])
    assert ramp_error(read_checked(checked)) < 1e-3
    change(sorted(folder.iterdir())[3])
    with pytest.raises(InputRefused, match="file 4 in name order has changed") as caught:
        read_checked(checked)
    assert caught.value.code == "pixel-data-corrupt"
    assert ramp_error(read_checked(check(scan(folder)[0]))) < 1e-3


def test_another_slice_of_the_same_size_is_not_read_with_the_old_header(tmp_path: Path) -> None:
    folder = write_in(series(), tmp_path, ExplicitVRLittleEndian)
    file = folder / "003.dcm"
    checked, before = check(scan(folder)[0]), file.stat()
    other = series()[3]
    other.RescaleIntercept, other.PixelData = "-2000.0", bytes(len(other.PixelData))
    save(other, file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert file.stat().st_size == before.st_size
    with pytest.raises(InputRefused, match="has changed"):
        read_checked(checked)


@pytest.mark.skipif(os.name != "posix", reason="time of the change of status")
def test_an_index_does_not_take_a_file_for_another_of_its_size_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "SETTLED_S", -60.0)
    folder = write_in(series(), tmp_path / "in", ExplicitVRLittleEndian)
    place = tmp_path / "index"
    assert scan(folder, index=place) == scan(folder, index=place)
    file = folder / "003.dcm"
    before, other = file.stat(), series()[3]
    other.RescaleIntercept = "-2000.0"
    save(other, file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    (found,) = scan(folder, index=place)
    assert [frame.intercept for frame in found.frames].count(-2000.0) == 1
    assert len(found.frames) == SLICES


@pytest.mark.parametrize("changed", ["all", "first", "last"])
def test_another_disc_in_the_same_drive_is_not_taken_for_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    """Same names, sizes and times, and no time that cannot be set, as on a CD."""
    monkeypatch.setattr(index, "SETTLED_S", -60.0)
    monkeypatch.setattr(
        index.Stamp,
        "of",
        classmethod(lambda cls, status: cls(status.st_size, status.st_mtime_ns, 0)),
    )
    drive, place = tmp_path / "drive", tmp_path / "index"

    def insert(slope: str, numbers: slice = slice(None)) -> None:
        slices = series()
        for ds in slices[numbers]:
            ds.RescaleSlope = slope
        for file in write_in(slices, drive, ExplicitVRLittleEndian).iterdir():
            os.utime(file, ns=(0, 10**18))

    insert("0.1")
    assert scan(drive, index=place) == scan(drive, index=place) == scan(drive)
    insert("0.2", {"all": slice(None), "first": slice(1), "last": slice(-1, None)}[changed])
    (found,) = scan(drive, index=place)
    assert "0.2" in {f"{frame.slope:g}" for frame in found.frames}
    assert (found,) == scan(drive) == scan(drive, index=place)

"""A volume written as DICOM slices: read back by two readers, the same bytes each time."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom import Dataset, dcmread

from medseg.errors import OutputError
from medseg.io.dicom import read_dicom
from medseg.phantom.dicom import write_dicom_series
from medseg.types import Geometry, Modality, Unit, Volume

SHAPE = (6, 5, 4)
SPACING = (2.5, 0.8, 0.7)
STRAIGHT = Geometry.from_spacing(SHAPE, SPACING, (-10.5, 20.25, -30.125))


def turned(angle_x: float, angle_y: float, angle_z: float) -> Geometry:
    """The straight grid with its axes turned in space."""
    affine = STRAIGHT.affine.copy()
    for axis, angle in enumerate((angle_x, angle_y, angle_z)):
        i, j = ((1, 2), (2, 0), (0, 1))[axis]
        turn = np.eye(3)
        turn[[i, j], [i, j]] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        affine[:3, :3] = turn @ affine[:3, :3]
    return Geometry(SHAPE, affine)


def volume_of(
    modality: Modality = "CT", unit: Unit = "HU", *, geometry: Geometry = STRAIGHT, seed: int = 0
) -> Volume:
    rng = np.random.default_rng(seed)
    if modality == "CT":
        array = rng.integers(-1024, 3000, SHAPE, dtype=np.int16)
    elif modality == "MR":
        array = rng.normal(size=SHAPE).astype(np.float32)
    else:
        array = rng.gamma(2.0, size=SHAPE).astype(np.float32)
    return Volume(array, geometry, modality, unit, slice_thickness_mm=2.0)


def test_ct_comes_back_voxel_by_voxel(tmp_path: Path) -> None:
    volume = volume_of()
    paths = write_dicom_series(volume, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == [f"{n:04d}.dcm" for n in range(1, 7)]
    found = read_dicom(tmp_path / "new" / "folder")
    assert np.array_equal(found.array, volume.array)
    assert found.array.dtype == np.int16
    assert found.geometry.same_grid(STRAIGHT, atol_mm=1e-9)
    assert (found.modality, found.unit, found.slice_thickness_mm) == ("CT", "HU", 2.0)
    assert found.acquisition_axis == 0
    assert not found.warnings


@pytest.mark.parametrize(
    ("modality", "unit"), [("MR", "arbitrary"), ("PT", "SUVbw"), ("PT", "Bq/ml")]
)
def test_fractions_come_back_within_half_a_step(
    tmp_path: Path, modality: Modality, unit: Unit
) -> None:
    volume = volume_of(modality, unit)
    write_dicom_series(volume, tmp_path)
    found = read_dicom(tmp_path)
    low = 0.0 if modality == "PT" else float(volume.array.min())
    step = (float(volume.array.max()) - low) / 65535
    assert np.abs(found.array - volume.array).max() <= 0.51 * step
    assert (found.modality, found.unit) == (modality, unit)


@given(array=arrays(np.int16, SHAPE, elements=st.integers(-32768, 32767)))
@settings(deadline=None, max_examples=15)
def test_whole_mr_values_are_kept_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray
) -> None:
    folder = tmp_path_factory.mktemp("mr")
    write_dicom_series(Volume(array, STRAIGHT, "MR", "arbitrary"), folder)
    found = read_dicom(folder)
    assert np.array_equal(found.array, array)
    assert found.slice_thickness_mm is None


angles = st.floats(-np.pi, np.pi)


@given(x=angles, y=angles, z=angles)
@settings(deadline=None, max_examples=25)
def test_an_oblique_grid_comes_back(
    tmp_path_factory: pytest.TempPathFactory, x: float, y: float, z: float
) -> None:
    geometry = turned(x, y, z)
    folder = tmp_path_factory.mktemp("oblique")
    write_dicom_series(volume_of(geometry=geometry), folder)
    found = read_dicom(folder)
    assert found.geometry.same_grid(geometry, atol_mm=1e-6)
    assert np.array_equal(found.array, volume_of().array)


def test_left_handed_axes_come_back_with_slices_in_mirror_order(tmp_path: Path) -> None:
    volume = volume_of().reoriented((0, 1, 2), (False, True, False))
    write_dicom_series(volume, tmp_path)
    found = read_dicom(tmp_path)
    assert found.geometry.same_grid(volume.geometry.reoriented((0, 1, 2), (True, False, False)))
    assert np.array_equal(found.array, volume.array[::-1])


def test_another_reader_finds_the_same_voxels_at_the_same_places(tmp_path: Path) -> None:
    geometry = turned(0.2, 0.15, -0.3)
    volume = volume_of(geometry=geometry)
    paths = write_dicom_series(volume, tmp_path)
    image = SimpleITK.ReadImage([str(path) for path in paths])
    assert np.array_equal(SimpleITK.GetArrayFromImage(image), volume.array)
    for index in ((0, 0, 0), (5, 0, 0), (0, 4, 0), (0, 0, 3), (5, 4, 3)):
        point = image.TransformIndexToPhysicalPoint(index[::-1])
        assert point == pytest.approx(geometry.index_to_world(index), abs=1e-6)


def test_the_same_volume_gives_the_same_bytes_and_another_other_uids(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in write_dicom_series(volume_of(), tmp_path / "a")]
    again = [path.read_bytes() for path in write_dicom_series(volume_of(), tmp_path / "a")]
    assert first == again
    write_dicom_series(volume_of(seed=1), tmp_path / "b")
    write_dicom_series(volume_of(), tmp_path / "c", series_number=2)
    heads = [dcmread(tmp_path / name / "0001.dcm") for name in "abc"]
    assert len({head.SeriesInstanceUID for head in heads}) == 3
    for head in heads:
        assert head.SeriesInstanceUID.is_valid
        assert head.SOPInstanceUID.startswith("2.25.")
        assert (head.PatientName, head.PatientID) == ("Phantom", "Phantom")


def test_a_sheared_grid_is_refused(tmp_path: Path) -> None:
    affine = STRAIGHT.affine.copy()
    affine[1, 0] = 0.1
    volume = Volume(volume_of().array, Geometry(SHAPE, affine), "CT", "HU")
    with pytest.raises(OutputError, match="sheared"):
        write_dicom_series(volume, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_files_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "0007.dcm").touch()
    with pytest.raises(OutputError, match=r"other files \(1\).*folder-not-empty"):
        write_dicom_series(volume_of(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["0007.dcm"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="not-writable"):
        write_dicom_series(volume_of(), tmp_path / "out")


@pytest.mark.parametrize("there", [True, False])
def test_a_failure_in_the_middle_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    out = tmp_path / "out"
    if there:
        out.mkdir()
    save, written = Dataset.save_as, []

    def fail_at_the_fourth(self: Dataset, path: Path, **options: Any) -> None:
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, path, **options)
        written.append(path)
        assert not list(out.glob("*.dcm"))  # nothing has its name before all is written

    monkeypatch.setattr(Dataset, "save_as", fail_at_the_fourth)
    with pytest.raises(OutputError, match=r"out: cannot be written \(No space left on device\)"):
        write_dicom_series(volume_of(), out)
    assert len(written) == 3
    assert list(tmp_path.rglob("*")) == ([out] if there else [])


def test_a_file_that_cannot_be_moved_takes_the_others_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def fail_at_the_third(self: Path, target: Path) -> Path:
        if self.name == "0003.dcm":
            raise PermissionError(errno.EACCES, "Permission denied")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail_at_the_third)
    with pytest.raises(OutputError, match="not-writable"):
        write_dicom_series(volume_of(), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("array", "modality", "match"),
    [
        (np.full(SHAPE, 40000.0), "CT", "do not fit"),
        (np.full(SHAPE, np.nan), "MR", "NaN"),
        (np.full(SHAPE, -1.0), "PT", "not negative"),
        (np.zeros(SHAPE), "unknown", "modality of CT, MR or PT"),
    ],
)
def test_values_without_a_place_in_dicom_are_a_bad_call(
    tmp_path: Path, array: np.ndarray, modality: Modality, match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        write_dicom_series(Volume(array, STRAIGHT, modality), tmp_path)


def test_a_constant_volume_is_written(tmp_path: Path) -> None:
    write_dicom_series(Volume(np.full(SHAPE, 1.5), STRAIGHT, "MR"), tmp_path)
    assert set(read_dicom(tmp_path).array.ravel().tolist()) == {1.5}

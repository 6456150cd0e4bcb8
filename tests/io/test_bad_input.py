"""Whatever is not a sound 3D image is refused in one line with a code and a way out."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import SimpleITK
from io_cases import random_geometry, random_volume

from medseg.errors import InputRefused
from medseg.io import check_values, read, read_instances, require_same_grid, same_place, write
from medseg.io.preview import preview_figure
from medseg.types import Geometry, Instances, Volume

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")


def refusal(path, reader=read):
    with pytest.raises(InputRefused) as caught:
        reader(path)
    line = str(caught.value)
    assert "\n" not in line
    assert str(path.parent) not in line
    assert line.startswith(path.name)
    assert caught.value.remedy
    assert caught.value.exit_code == 3
    return caught.value.code


def nifti(path, data, **kwargs):
    image = nibabel.Nifti1Image(data, np.diag([1.0, 2.0, 3.0, 1.0]), **kwargs)
    image.header.set_xyzt_units("mm")
    image.to_filename(path)
    return path


@pytest.mark.parametrize("reader", [read, read_instances])
def test_a_missing_path_is_refused(tmp_path, reader):
    assert refusal(tmp_path / "nothing.nii.gz", reader) == "path-missing"


def test_a_broken_link_is_refused(tmp_path):
    link = tmp_path / "a.nii"
    try:
        link.symlink_to(tmp_path / "gone.nii")
    except OSError:
        pytest.skip("this system makes no links")
    assert refusal(link) == "path-unreadable"


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.dcm", "a"])
def test_an_empty_file_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    assert refusal(tmp_path / name) == "file-corrupt"


@pytest.mark.parametrize(
    "name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.mhd", "a.hdr", "a.txt"]
)
def test_text_under_an_image_name_is_refused(tmp_path, name):
    (tmp_path / name).write_text("a report, not an image\n" * 40, encoding="utf-8")
    assert refusal(tmp_path / name) == "format-unknown"


def test_text_in_gzip_is_refused(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(b"a report\n" * 100))
    assert refusal(tmp_path / "a.nii.gz") == "format-unknown"


@pytest.mark.parametrize("name", ["a.zip", "a.nii.gz", "a.tar", "a.tar.gz", "a.7z"])
def test_archives_are_refused_under_any_name(tmp_path, name):
    stream = io.BytesIO()
    if name.endswith(("tar", "tar.gz")):
        with tarfile.open(fileobj=stream, mode="w:gz" if name.endswith("gz") else "w") as archive:
            archive.addfile(tarfile.TarInfo("scan.dcm"))
    elif name.endswith("7z"):
        stream.write(b"7z\xbc\xaf\x27\x1c" + bytes(100))
    else:
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("scan.dcm", b"x" * 500)
    (tmp_path / name).write_bytes(stream.getvalue())
    assert refusal(tmp_path / name) == "archive"


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.97, 0.995])
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path, suffix, share):
    array = np.random.default_rng(0).normal(size=(12, 13, 14)).astype(np.float32)
    path = tmp_path / f"a{suffix}"
    write(Volume(array, random_geometry(1, shape=array.shape)), path)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    assert refusal(path) in ("file-corrupt", "format-unknown")
    if share > 0.1:
        assert refusal(path) == "file-corrupt"


def test_a_truncated_uncompressed_or_sizeless_metaimage_is_refused(tmp_path):
    image = SimpleITK.GetImageFromArray(np.random.default_rng(0).integers(0, 9, (9, 9, 9)))
    for packed in (False, True):
        path = tmp_path / f"{packed}.mha"
        SimpleITK.WriteImage(image, str(path), useCompression=packed)
        raw = path.read_bytes().replace(b"CompressedDataSize", b"Comment")
        path.write_bytes(raw[: len(raw) * 3 // 4])
        assert refusal(path) == "file-corrupt"


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_flipped_bit_in_compressed_values_is_found_by_the_checksum(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    array = np.random.default_rng(0).integers(0, 2**15, (12, 13, 14)).astype(np.int16)
    write(Volume(array, random_geometry(1, shape=array.shape)), path)
    raw = bytearray(path.read_bytes())
    raw[-len(raw) // 3] ^= 4
    path.write_bytes(raw)
    assert refusal(path) == "file-corrupt"


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_header_that_promises_more_than_the_file_holds_takes_no_memory(tmp_path, suffix):
    path = nifti(tmp_path / "a.nii", np.zeros((2, 3, 4), np.int16))
    raw = bytearray(path.read_bytes())
    raw[42:48] = np.array([30000, 30000, 30000], dtype="<i2").tobytes()
    path = tmp_path / f"b{suffix}"
    path.write_bytes(gzip.compress(raw) if suffix == ".nii.gz" else raw)
    assert refusal(path) == "file-corrupt"


@pytest.mark.parametrize("shape", [(5, 6), (5,), (5, 6, 7, 2), (5, 6, 7, 1, 3)])
def test_images_that_are_not_3d_are_refused(tmp_path, shape):
    assert refusal(nifti(tmp_path / "a.nii.gz", np.zeros(shape, np.int16))) == "not-3d"


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("shape", [(6, 7), (2, 5, 6, 7)])
def test_nrrd_and_metaimage_that_are_not_3d_are_refused(tmp_path, suffix, shape):
    path = tmp_path / f"a{suffix}"
    SimpleITK.WriteImage(
        SimpleITK.GetImageFromArray(np.zeros(shape, np.int16), isVector=False), str(path)
    )
    code = refusal(path)
    # ITK writes 4D NRRD in a space of four dimensions, which has no sides either
    assert code == "not-3d" or (suffix == ".nrrd" and code == "affine-missing")


def test_colour_images_are_refused(tmp_path):
    dtype = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    assert refusal(nifti(tmp_path / "a.nii", np.zeros((2, 3, 4), dtype))) == "color-image"
    image = SimpleITK.GetImageFromArray(np.zeros((2, 3, 4, 3), np.uint8), isVector=True)
    SimpleITK.WriteImage(image, str(tmp_path / "a.mha"))
    assert refusal(tmp_path / "a.mha") == "color-image"
    SimpleITK.WriteImage(image, str(tmp_path / "a.nrrd"))
    assert refusal(tmp_path / "a.nrrd") in ("color-image", "not-real")


def test_complex_images_and_vectors_are_refused(tmp_path):
    assert refusal(nifti(tmp_path / "a.nii", np.zeros((2, 3, 4), np.complex64))) == "not-real"
    image = SimpleITK.GetImageFromArray(np.zeros((2, 3, 4, 2), np.float32), isVector=True)
    for suffix in (".mha", ".nrrd"):
        SimpleITK.WriteImage(image, str(tmp_path / f"a{suffix}"))
        assert refusal(tmp_path / f"a{suffix}") == "not-real"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nan_and_infinity_are_refused_with_their_number(tmp_path, suffix, value):
    volume = random_volume(0, dtype="float32")
    volume.array[1, 2, 3] = volume.array[0, 0, 0] = value
    write(volume, tmp_path / f"a{suffix}")
    with pytest.raises(InputRefused, match=r"2 of 120 voxels .*\[not-finite\]"):
        read(tmp_path / f"a{suffix}")


def test_a_constant_image_is_read_and_refused_for_segmentation(tmp_path):
    volume = Volume(np.full((2, 3, 4), 7, np.int16), Geometry.identity((2, 3, 4)))
    write(volume, tmp_path / "a.nii")
    found = read(tmp_path / "a.nii")
    with pytest.raises(InputRefused, match=r"^a\.nii: every voxel has the value 7 .constant-image"):
        check_values(found, "a.nii")
    check_values(random_volume(0), "a.nii")


def test_analyze_is_refused_since_it_does_not_say_where_left_is(tmp_path):
    image = nibabel.AnalyzeImage(np.zeros((2, 3, 4), np.int16), np.eye(4))
    image.to_filename(tmp_path / "a.img")
    assert refusal(tmp_path / "a.hdr") == "affine-missing"


@pytest.mark.parametrize("key", ["Offset", "TransformMatrix", "ElementSpacing"])
def test_metaimage_without_its_place_is_refused(tmp_path, key):
    write(random_volume(0), tmp_path / "a.mha")
    raw = (tmp_path / "a.mha").read_bytes()
    (tmp_path / "a.mha").write_bytes(raw.replace(key.encode(), b"Comment"))
    assert refusal(tmp_path / "a.mha") == "affine-missing"


def test_missing_data_files_are_named(tmp_path):
    for suffix in (".mhd", ".nhdr"):
        path = tmp_path / f"a{suffix}"
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((2, 3, 4), np.int16)), str(path))
        for data in tmp_path.glob("a.*raw*"):
            data.unlink()
        assert refusal(path) == "path-missing"


def test_an_empty_folder_and_a_folder_of_other_images_say_what_they_hold(tmp_path):
    empty, other = tmp_path / "empty", tmp_path / "other"
    empty.mkdir()
    other.mkdir()
    with pytest.raises(InputRefused, match=r"^empty: the folder is empty .no-image-series"):
        read(empty)
    write(random_volume(0), other / "a.nii.gz")
    with pytest.raises(InputRefused, match=r"^other: .*no-image-series.*a\.nii\.gz"):
        read(other)


def test_choosing_a_series_or_volume_of_an_image_file_is_refused(tmp_path):
    write(random_volume(0), tmp_path / "a.nii")
    with pytest.raises(InputRefused, match="series-unknown"):
        read(tmp_path / "a.nii", series="1")
    with pytest.raises(InputRefused, match="volume-unknown"):
        read(tmp_path / "a.nii", volume=2)


def test_labels_of_another_grid_are_refused_with_what_differs():
    image = Geometry.from_spacing((4, 5, 6), (3, 1, 1))
    require_same_grid(Geometry(image.shape, image.affine + 1e-6 * np.eye(4, k=3)), image, "a.nii")
    cases = {
        r"shape \(4, 5, 7\) against \(4, 5, 6\)": Geometry.from_spacing((4, 5, 7), (3, 1, 1)),
        r"spacing \(3, 1, 2\) against \(3, 1, 1\) mm": Geometry.from_spacing((4, 5, 6), (3, 1, 2)),
        r"origin 5 mm off": Geometry.from_spacing((4, 5, 6), (3, 1, 1), (3, 4, 0)),
        r"axes turned by up to 180\.0 degrees": image.reoriented((0, 1, 2), (False, False, True)),
    }
    for detail, labels in cases.items():
        with pytest.raises(InputRefused, match=rf"^a\.nii: .*{detail}.*grid-mismatch"):
            require_same_grid(labels, image, "a.nii")


def test_a_rounded_position_is_one_grid_for_every_step_alike():
    image = random_volume(0)
    grid = Geometry.from_spacing(image.array.shape, (1, 1, 1))
    near = Geometry.from_spacing(grid.shape, (1, 1, 1), (0, 0.005, 0))
    far = Geometry.from_spacing(grid.shape, (1, 1, 1), (0, 0.015, 0))
    assert same_place(near, grid)
    require_same_grid(near, grid, "a.nii")
    preview_figure(replace(image, geometry=grid), Instances(near, []))
    assert not same_place(far, grid)
    with pytest.raises(InputRefused, match="grid-mismatch"):
        require_same_grid(far, grid, "a.nii")
    with pytest.raises(ValueError, match="different grids"):
        preview_figure(replace(image, geometry=grid), Instances(far, []))


@pytest.mark.parametrize(("spacing_mm", "limit_mm"), [(0.05, 0.001), (1.0, 0.01), (5.0, 0.05)])
def test_one_grid_is_told_by_the_voxel_and_never_finer_than_files_round(spacing_mm, limit_mm):
    grid = Geometry.from_spacing((4, 5, 6), (spacing_mm,) * 3)
    for share, same in ((0.9, True), (1.1, False)):
        moved = Geometry.from_spacing(grid.shape, grid.spacing_mm, (share * limit_mm, 0, 0))
        assert same_place(moved, grid) is same


def test_real_labels_of_another_body_part_do_not_fit_their_image(shared_data):
    labels = read_instances(shared_data / "bad_inputs/hippocampus_labels/hippocampus_281.nii.gz")
    image = read(shared_data / "bad_inputs/hippocampus_images/hippocampus_118.nii.gz")
    with pytest.raises(InputRefused, match=r"shape \(94, 512, 512\) .*grid-mismatch"):
        require_same_grid(labels.geometry, image.geometry, "hippocampus_281.nii.gz")

"""Volumes keep values and places through every format, and other libraries agree."""

from __future__ import annotations

import re

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from io_cases import (
    SHAPE,
    TURNS,
    random_geometry,
    random_volume,
    seeds,
    values_by_world,
    world_points,
)

from medseg.errors import InputRefused, OutputError
from medseg.io import read, read_volumes, write
from medseg.types import Geometry, Volume

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")


def round_trip(volume, path):
    write(volume, path)
    return read(path)


def assert_same(found, wanted, atol_mm=1e-3):
    assert found.array.dtype == wanted.array.dtype
    assert np.array_equal(found.array, wanted.array)
    assert found.geometry.same_grid(wanted.geometry, atol_mm=atol_mm)
    assert found.array.flags.c_contiguous
    assert found.array.flags.writeable


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("axes", "flips"), TURNS)
def test_all_48_axis_orders_keep_each_value_at_its_place(tmp_path, suffix, axes, flips):
    straight = Volume(
        np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE),
        Geometry.from_spacing(SHAPE, (3.0, 0.5, 0.75), (-10.0, 20.0, 30.0)),
    )
    found = round_trip(straight.reoriented(axes, flips), tmp_path / f"a{suffix}")
    was = values_by_world(straight.array, world_points(straight.geometry))
    assert np.allclose(values_by_world(found.array, world_points(found.geometry)), was, atol=1e-4)


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(seed=seeds)
@settings(max_examples=25)
def test_oblique_grids_keep_values_and_places(tmp_path_factory, suffix, seed):
    volume = random_volume(seed)
    assert_same(round_trip(volume, tmp_path_factory.mktemp("a") / f"a{suffix}"), volume)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
@given(seed=seeds)
@settings(max_examples=25)
def test_sheared_grids_keep_values_and_places(tmp_path_factory, suffix, seed):
    volume = random_volume(seed, sheared=True)
    found = round_trip(volume, tmp_path_factory.mktemp("a") / f"a{suffix}")
    assert_same(found, volume)
    assert found.geometry.voxel_ml == pytest.approx(volume.geometry.voxel_ml, rel=1e-5)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_nrrd_and_metaimage_keep_the_affine_to_the_last_digits(tmp_path, suffix):
    volume = random_volume(1)
    found = round_trip(volume, tmp_path / f"a{suffix}")
    assert np.allclose(found.geometry.affine, volume.geometry.affine, rtol=0, atol=1e-12)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64"]
)
def test_number_types_are_kept(tmp_path, suffix, dtype):
    volume = random_volume(3, dtype=dtype)
    if np.dtype(dtype).kind == "f":
        volume.array[0, 0, 0] = -0.1
    assert_same(round_trip(volume, tmp_path / f"a{suffix}"), volume)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_volumes_give_equal_bytes(tmp_path, suffix):
    files = [tmp_path / name / f"a{suffix}" for name in ("one", "two")]
    for file in files:
        file.parent.mkdir()
        write(random_volume(4), file)
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_simpleitk_finds_our_values_at_the_same_lps_points(tmp_path, suffix):
    volume = random_volume(5)
    write(volume, tmp_path / f"a{suffix}")
    image = SimpleITK.ReadImage(str(tmp_path / f"a{suffix}"))
    for index in np.ndindex(*SHAPE):
        point = volume.geometry.index_to_world(index)
        there = image.TransformPhysicalPointToIndex(point.tolist())
        assert image.GetPixel(there) == volume.array[index]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".nhdr", ".img"])
@given(seed=seeds)
@settings(max_examples=10)
def test_what_simpleitk_wrote_lies_at_the_same_lps_points(tmp_path_factory, suffix, seed):
    path = tmp_path_factory.mktemp("a") / f"a{suffix}"
    geometry = random_geometry(seed)
    array = np.random.default_rng(seed).integers(-99, 99, SHAPE).astype(np.int16)
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(geometry.spacing_mm[::-1])
    image.SetOrigin(geometry.origin_mm)
    image.SetDirection(geometry.direction[:, ::-1].ravel().tolist())
    SimpleITK.WriteImage(image, str(path))
    found = read(path)
    assert np.array_equal(found.array, array)
    for index in [(0, 0, 0), (3, 0, 0), (0, 4, 0), (0, 0, 5), (3, 4, 5)]:
        point = image.TransformIndexToPhysicalPoint(index[::-1])
        assert np.allclose(found.geometry.index_to_world(index), point, atol=2e-3)


@given(seed=seeds)
@settings(max_examples=25)
def test_what_nibabel_wrote_lies_at_the_same_points(tmp_path_factory, seed):
    path = tmp_path_factory.mktemp("a") / "a.nii.gz"
    ras = np.eye(4)
    ras[:3] = random_geometry(seed, sheared=True).affine[:3]
    data = np.random.default_rng(seed).integers(0, 99, (6, 5, 4)).astype(np.uint8)
    nibabel.Nifti1Image(data, ras).to_filename(path)
    found = read(path)
    for ijk in np.ndindex(*data.shape):
        assert found.array[ijk[::-1]] == data[ijk]
    ijk = np.array([5, 4, 3, 1])
    wanted = (ras @ ijk)[:3] * [-1, -1, 1]
    assert np.allclose(found.geometry.index_to_world(ijk[2::-1]), wanted, atol=1e-3)


def save(path, data=None, affine=None, *, kind=nibabel.Nifti1Image, **fields):
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4) if data is None else data
    image = kind(data, np.diag([1.0, 2.0, 3.0, 1.0]) if affine is None else affine)
    image.header.set_xyzt_units("mm")
    for key, value in fields.items():
        image.header[key] = value
    image.to_filename(path)
    return path


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
def test_nifti_1_and_2_of_both_byte_orders_are_read(tmp_path, kind, order):
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    header = kind.header_class(endianness=order)
    header.set_data_dtype(np.dtype(np.int16).newbyteorder(order))
    header.set_xyzt_units("mm")
    kind(data, np.diag([1.0, 2.0, 3.0, 1.0]), header).to_filename(tmp_path / "a.nii")
    found = read(tmp_path / "a.nii")
    assert np.array_equal(found.array, data.T)
    assert found.array.dtype.isnative
    assert found.geometry.spacing_mm == (3.0, 2.0, 1.0)
    assert found.warnings == ()


def test_trailing_axes_of_length_1_are_dropped(tmp_path):
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4, 1, 1)
    found = read(save(tmp_path / "a.nii", data))
    assert np.array_equal(found.array, data[..., 0, 0].T)
    image = SimpleITK.JoinSeries([SimpleITK.GetImageFromArray(data[..., 0, 0].T)])
    SimpleITK.WriteImage(image, str(tmp_path / "b.mha"))
    assert np.array_equal(read(tmp_path / "b.mha").array, data[..., 0, 0].T)


@pytest.mark.parametrize("first", [b"\x00\x00\x01\x00", b"PK\x03\x04", b"NRRD"])
def test_a_pair_is_read_by_either_name_whatever_its_first_values(tmp_path, first):
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    data[:2, 0, 0] = np.frombuffer(first, dtype="<i2")
    save(tmp_path / "a.img", data, kind=nibabel.Nifti1Pair)
    for name in ("a.img", "a.hdr"):
        assert np.array_equal(read(tmp_path / name).array, data.T)
    (tmp_path / "a.img").unlink()
    with pytest.raises(InputRefused, match=r"a\.hdr: its other half a\.img is missing"):
        read(tmp_path / "a.hdr")


def patched(path, offset, floats):
    """Other float32 values at a byte of the header: scl_slope is at 112, srow_x at 280."""
    raw = bytearray(path.read_bytes())
    raw[offset : offset + 4 * len(floats)] = np.array(floats, dtype="<f4").tobytes()
    path.write_bytes(raw)
    return path


def coded(path, *, sform, qform, codes):
    image = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.int16), None)
    image.header.set_xyzt_units("mm")
    image.header.set_qform(qform, code=codes[1])
    image.header.set_sform(sform, code=codes[0])
    image.to_filename(path)
    return path


def moved(x_mm):
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[0, 3] = x_mm
    return affine


@pytest.mark.parametrize(("codes", "x_mm"), [((1, 0), -10.0), ((0, 1), -20.0), ((2, 1), -10.0)])
def test_the_sform_holds_where_it_is_set_else_the_qform(tmp_path, codes, x_mm):
    path = coded(tmp_path / "a.nii", sform=moved(10.0), qform=moved(20.0), codes=codes)
    assert read(path).geometry.origin_mm[0] == pytest.approx(x_mm)


def test_differing_sform_and_qform_give_a_warning_with_the_distance(tmp_path):
    path = coded(tmp_path / "a.nii", sform=moved(10.0), qform=moved(20.0), codes=(1, 1))
    assert [one.code for one in read(path).warnings] == ["sform-qform-differ"]
    assert "10 mm apart" in read(path).warnings[0].detail
    assert read(coded(path, sform=moved(1.0), qform=moved(1.0), codes=(1, 1))).warnings == ()


def test_neither_sform_nor_qform_is_refused(tmp_path):
    path = coded(tmp_path / "a.nii", sform=moved(10.0), qform=moved(20.0), codes=(0, 0))
    with pytest.raises(InputRefused, match=r"^a\.nii: neither sform nor qform .*affine-missing"):
        read(path)


def test_a_singular_affine_is_refused(tmp_path):
    path = patched(save(tmp_path / "a.nii"), 280, [0, 0, 0, 5])
    with pytest.raises(InputRefused, match="affine-singular"):
        read(path)


def test_an_affine_of_nan_is_refused(tmp_path):
    path = patched(save(tmp_path / "a.nii"), 280, [np.nan, 0, 0, 5])
    with pytest.raises(InputRefused, match="geometry-invalid"):
        read(path)


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1000.0), ("mm", 1.0), ("micron", 0.001)])
def test_units_of_length_are_converted_to_mm(tmp_path, unit, factor):
    image = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.int16), np.diag([4.0, 5.0, 6.0, 1.0]))
    image.header.set_xyzt_units(unit)
    image.to_filename(tmp_path / "a.nii")
    found = read(tmp_path / "a.nii")
    assert found.geometry.spacing_mm == pytest.approx([6 * factor, 5 * factor, 4 * factor])
    assert found.warnings == ()


def test_an_unknown_unit_of_length_is_taken_as_mm_with_a_warning(tmp_path):
    found = read(save(tmp_path / "a.nii", xyzt_units=0))
    assert [one.code for one in found.warnings] == ["unit-of-length-assumed"]


def scaled(path, slope, inter, dtype=np.int16):
    data = np.arange(24, dtype=dtype).reshape(2, 3, 4)
    save(path, data)
    patched(path, 112, [slope, inter])
    return data.T


@pytest.mark.parametrize(
    ("slope", "inter", "dtype"),
    [(0.0, 7.0, "int16"), (1.0, 0.0, "int16"), (1.0, -1024.0, "int32"), (0.5, 3.0, "float32")],
)
def test_scaling_is_applied_and_whole_numbers_stay_whole(tmp_path, slope, inter, dtype):
    raw = scaled(tmp_path / "a.nii", slope, inter)
    found = read(tmp_path / "a.nii")
    assert np.array_equal(found.array, raw * slope + inter if slope else raw)
    assert found.array.dtype == dtype
    reference = nibabel.load(tmp_path / "a.nii").get_fdata().T
    assert np.array_equal(found.array, reference)


def test_modality_and_unit_are_unknown_unless_said(tmp_path):
    path = save(tmp_path / "a.nii")
    assert (read(path).modality, read(path).unit) == ("unknown", "unknown")
    said = read(path, modality="CT")
    assert (said.modality, said.unit) == ("CT", "unknown")
    assert read(path, modality="CT", unit="HU").unit == "HU"
    assert len(read_volumes(path)) == 1


def test_the_source_is_known_by_its_hash_and_not_by_its_name(tmp_path):
    save(tmp_path / "Doe_John.nii")
    meta = dict(read(tmp_path / "Doe_John.nii").meta)
    assert meta["format"] == "NIfTI"
    assert re.fullmatch("[0-9a-f]{64}", meta["sha256"])
    assert "Doe" not in str(meta)


def test_a_sheared_grid_in_metaimage_is_an_error_that_names_the_way_out(tmp_path):
    with pytest.raises(OutputError, match=r"sheared.*\.nrrd"):
        write(random_volume(2, sheared=True), tmp_path / "a.mha")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.png", "a", "a.seg.nrrd", "a.dcm"])
def test_an_unknown_suffix_is_an_error_that_names_the_known(tmp_path, name):
    with pytest.raises(OutputError, match=r"format-unsupported.*\.nii\.gz"):
        write(random_volume(2), tmp_path / name)


def test_real_volumes_agree_with_nibabel_and_simpleitk(shared_data):
    path = shared_data / "hippocampus_mr" / "images" / "hippocampus_001.nii.gz"
    found = read(path)
    assert np.allclose(found.array, nibabel.load(path).get_fdata().T)
    image = SimpleITK.ReadImage(str(path))
    assert np.allclose(found.array, SimpleITK.GetArrayFromImage(image))
    last = tuple(length - 1 for length in found.array.shape)
    point = image.TransformIndexToPhysicalPoint(last[::-1])
    assert np.allclose(found.geometry.index_to_world(last), point, atol=1e-3)

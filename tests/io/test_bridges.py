"""Images in memory go to SimpleITK and nibabel and come back the same."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from io_cases import SHAPE, random_volume, seeds

from medseg.errors import InputRefused
from medseg.io.bridges import from_nibabel, from_simpleitk, to_nibabel, to_simpleitk


@given(seed=seeds)
@settings(max_examples=30)
def test_simpleitk_and_back_loses_nothing(seed):
    volume = random_volume(seed)
    image = to_simpleitk(volume)
    back = from_simpleitk(image)
    assert np.array_equal(back.array, volume.array)
    assert back.array.dtype == volume.array.dtype
    assert np.allclose(back.geometry.affine, volume.geometry.affine, rtol=0, atol=1e-9)
    index = (1, 2, 3)
    point = volume.geometry.index_to_world(index)
    assert image.TransformPhysicalPointToIndex(point.tolist()) == index[::-1]
    assert image.GetPixel(index[::-1]) == volume.array[index]


@pytest.mark.parametrize("sheared", [False, True])
@given(seed=seeds)
@settings(max_examples=30)
def test_nibabel_and_back_loses_nothing(sheared, seed):
    volume = random_volume(seed, sheared=sheared)
    image = to_nibabel(volume)
    back = from_nibabel(image)
    assert np.array_equal(back.array, volume.array)
    assert np.allclose(back.geometry.affine, volume.geometry.affine, rtol=0, atol=1e-9)
    ijk = np.array([3, 2, 1, 1])
    lps = (image.affine @ ijk)[:3] * [-1, -1, 1]
    assert np.allclose(lps, volume.geometry.index_to_world(ijk[2::-1]), atol=1e-9)
    assert np.asarray(image.dataobj)[tuple(ijk[:3])] == volume.array[tuple(ijk[2::-1])]


def test_a_sheared_grid_does_not_go_to_simpleitk():
    with pytest.raises(ValueError, match="sheared"):
        to_simpleitk(random_volume(0, sheared=True))


def test_modality_and_unit_come_from_the_caller():
    found = from_simpleitk(to_simpleitk(random_volume(0)), modality="CT", unit="HU")
    assert (found.modality, found.unit) == ("CT", "HU")
    assert from_nibabel(to_nibabel(random_volume(0))).modality == "unknown"


def test_simpleitk_images_of_other_kinds_are_refused():
    cases = {
        "not-3d": SimpleITK.GetImageFromArray(np.zeros((3, 4))),
        "color-image": SimpleITK.GetImageFromArray(np.zeros((2, 3, 4, 3)), isVector=True),
        "not-real": SimpleITK.GetImageFromArray(np.zeros((2, 3, 4, 2)), isVector=True),
        "not-finite": SimpleITK.GetImageFromArray(np.full((2, 3, 4), np.nan)),
    }
    for code, image in cases.items():
        with pytest.raises(InputRefused, match=code):
            from_simpleitk(image)
    complex_image = SimpleITK.GetImageFromArray(np.zeros((2, 3, 4), np.complex64))
    with pytest.raises(InputRefused, match="not-real"):
        from_simpleitk(complex_image)


def test_nibabel_images_of_other_kinds_are_refused():
    flat = np.eye(4)
    flat[:3, :3] = [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    cases = {
        "not-3d": nibabel.Nifti1Image(np.zeros((2, 3, 4, 5)), np.eye(4)),
        "not-real": nibabel.Nifti1Image(np.zeros((2, 3, 4), np.complex64), np.eye(4)),
        "affine-missing": nibabel.Nifti1Image(np.zeros((2, 3, 4)), None),
        "affine-singular": nibabel.MGHImage(np.zeros((2, 3, 4), np.float32), flat),
        "color-image": nibabel.Nifti1Image(
            np.zeros((2, 3, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")]), np.eye(4)
        ),
    }
    for code, image in cases.items():
        with pytest.raises(InputRefused, match=code):
            from_nibabel(image)


def test_nibabel_units_of_length_are_converted():
    image = nibabel.Nifti1Image(np.zeros((2, 3, 4, 1), np.int16), np.diag([2.0, 3.0, 4.0, 1.0]))
    image.header.set_xyzt_units("micron")
    found = from_nibabel(image)
    assert found.geometry.spacing_mm == pytest.approx((0.004, 0.003, 0.002))
    assert found.geometry.shape == (4, 3, 2)


def test_half_precision_goes_out_as_single():
    volume = random_volume(0, dtype="float16")
    assert from_simpleitk(to_simpleitk(volume)).array.dtype == np.float32
    assert np.array_equal(from_nibabel(to_nibabel(volume)).array, volume.array)
    assert volume.array.shape == SHAPE

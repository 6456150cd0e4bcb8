"""Ramp and orientation marker: what shows a wrong grid or a mirrored axis."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import medseg.phantom
from medseg.phantom import orientation_marker, ramp
from medseg.types import Geometry

STRAIGHT = Geometry.from_spacing((41, 41, 41), (1.0, 1.0, 1.0), (-20.0, -20.0, -20.0))
ORDERS = [
    (axes, flips)
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((False, True), repeat=3)
]


def test_a_ramp_holds_3x_5y_7z_of_each_voxel() -> None:
    affine = Geometry.from_spacing((4, 5, 6), (2.5, 0.8, 0.7), (-10.5, 20.0, -30.0)).affine.copy()
    affine[:3, :3] = (
        Rotation.from_euler("xyz", (10, 20, 30), degrees=True).as_matrix() @ affine[:3, :3]
    )
    volume = ramp(Geometry(STRAIGHT.shape, affine))
    assert (volume.modality, volume.unit) == ("CT", "HU")
    for index in ((0, 0, 0), (3, 2, 1), (40, 40, 40)):
        x, y, z = volume.geometry.index_to_world(index)
        assert volume.array[index] == pytest.approx(3 * x + 5 * y + 7 * z)


def test_a_ramp_says_what_it_was_told_to_be() -> None:
    volume = ramp(STRAIGHT, modality="MR", unit="arbitrary")
    assert (volume.modality, volume.unit) == ("MR", "arbitrary")


def test_the_arms_lead_to_left_back_and_up_and_differ_in_length() -> None:
    array = orientation_marker(STRAIGHT).array
    middle = 20
    assert array[middle, middle, middle] == 400
    assert array[middle, middle, middle + 15] == 100  # x grows to the left
    assert array[middle, middle + 11, middle] == 200  # y grows to the back
    assert array[middle + 7, middle, middle] == 300  # z grows upwards
    for short in ((0, 0, 17), (0, 13, 0), (9, 0, 0), (0, 0, -5), (0, -5, 0), (-5, 0, 0)):
        assert array[tuple(np.add(middle, short))] == 0
    assert set(np.unique(array)) == {0, 100, 200, 300, 400}


def test_no_turn_and_no_mirror_looks_like_another() -> None:
    array = orientation_marker(STRAIGHT).array > 0  # the form alone tells them apart
    looks = {
        np.flip(array.transpose(axes), np.flatnonzero(flips)).tobytes() for axes, flips in ORDERS
    }
    assert len(looks) == 48


@pytest.mark.parametrize("order", ORDERS[::7])
def test_the_marker_stands_in_the_world_whatever_the_order_of_the_axes(order) -> None:
    turned = STRAIGHT.reoriented(*order)
    drawn = orientation_marker(turned)
    assert np.array_equal(drawn.array, orientation_marker(STRAIGHT).reoriented(*order).array)


def test_the_marker_points_left_on_an_oblique_grid() -> None:
    affine = Geometry.from_spacing((60, 60, 60), (1.5, 1.0, 1.0)).affine.copy()
    affine[:3, :3] = Rotation.from_euler("z", 30, degrees=True).as_matrix() @ affine[:3, :3]
    volume = orientation_marker(Geometry((60, 60, 60), affine))
    middle = volume.geometry.index_to_world((29.5, 29.5, 29.5))
    for axis, value in enumerate((100, 200, 300)):
        places = volume.geometry.index_to_world(np.argwhere(volume.array == value)) - middle
        mean = places.mean(axis=0)
        assert mean[axis] > 4
        assert np.abs(np.delete(mean, axis)).max() < 0.5


def test_a_grid_too_small_for_three_arms_is_refused() -> None:
    with pytest.raises(ValueError, match="too small for arms that can be told apart"):
        orientation_marker(Geometry.identity((10, 10, 10)))


def test_what_writes_dicom_is_there_and_what_is_not_there_is_said() -> None:
    assert callable(medseg.phantom.write_dicom_series)
    with pytest.raises(AttributeError, match=r"'medseg.phantom' has no attribute 'no_such_thing'"):
        _ = medseg.phantom.no_such_thing

"""Volume to MetaTensor and back: values, place and meaning."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor, list_data_collate
from monai.transforms import Flipd, Orientation, Rotate90d
from nibabel.orientations import aff2axcodes
from transform_cases import TURNS, noise_volume, oblique_geometry

from medseg.transforms.bridge import from_metatensor, geometry_of, to_metatensor
from medseg.types import Geometry, InputWarning, Volume


def full_volume() -> Volume:
    return noise_volume(
        geometry=oblique_geometry(3, (4, 5, 6)),
        slice_thickness_mm=2.5,
        acquisition_axis=1,
        meta={"frame_of_reference": "1.2.3", "echo": 3, "nested": {"a": [1, 2]}},
        warnings=(InputWarning("affine-conflict", "sform was taken"),),
    )


def test_an_axial_lps_volume_is_spl_for_monai() -> None:
    tensor = to_metatensor(noise_volume(geometry=Geometry.identity((3, 4, 5))))
    assert tensor.shape == (1, 3, 4, 5)
    assert aff2axcodes(tensor.affine.numpy()) == ("S", "P", "L")
    assert tensor.meta["space"] == "RAS"


def test_a_voxel_lies_where_nibabel_would_put_it() -> None:
    geometry = oblique_geometry(1)
    affine = to_metatensor(noise_volume(geometry=geometry)).affine.numpy()
    x, y, z = geometry.index_to_world((3, 4, 5))
    np.testing.assert_allclose(affine @ [3, 4, 5, 1], [-x, -y, z, 1], atol=1e-9)


def test_a_round_trip_keeps_everything() -> None:
    volume = full_volume()
    back = from_metatensor(to_metatensor(volume))
    np.testing.assert_array_equal(back.array, volume.array)
    assert back.geometry == volume.geometry
    assert (back.modality, back.unit) == (volume.modality, volume.unit)
    assert (back.slice_thickness_mm, back.acquisition_axis) == (2.5, 1)
    assert dict(back.meta) == dict(volume.meta)
    assert back.warnings == volume.warnings


def test_what_is_unknown_stays_unknown() -> None:
    volume = Volume(np.zeros((2, 3, 4), dtype=np.int16), Geometry.identity((2, 3, 4)))
    back = from_metatensor(to_metatensor(volume))
    assert (back.modality, back.unit) == ("unknown", "unknown")
    assert (back.slice_thickness_mm, back.acquisition_axis) == (None, None)


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", ">i2", "uint16", "uint32", "int32", "float16", ">f4", "float64"]
)
def test_values_of_every_type_survive(dtype) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    tensor = to_metatensor(Volume(array, Geometry.identity((2, 3, 4))))
    assert tensor.float().sum() == 276  # a type that torch can compute with
    np.testing.assert_array_equal(tensor[0].numpy(), array)


@pytest.mark.parametrize("view", [np.transpose, np.flip])
def test_views_and_read_only_arrays_are_taken(view) -> None:
    array = view(np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    array.setflags(write=False)
    tensor = to_metatensor(Volume(array, Geometry.identity(array.shape)))
    np.testing.assert_array_equal(tensor[0].numpy(), array)


def test_neither_side_shares_memory() -> None:
    volume = full_volume()
    tensor = to_metatensor(volume)
    back = from_metatensor(tensor)
    kept = volume.array.copy()
    tensor.zero_()
    np.testing.assert_array_equal(volume.array, kept)
    np.testing.assert_array_equal(back.array, kept)


@pytest.mark.parametrize(("axes", "flips"), TURNS)
def test_the_acquisition_axis_follows_the_array(axes, flips) -> None:
    volume = full_volume().reoriented(axes, flips)
    turned = Orientation("SPL", labels=(("L", "R"), ("P", "A"), ("I", "S")))(to_metatensor(volume))
    back = from_metatensor(turned)
    assert back.geometry.shape[back.acquisition_axis] == 5  # the second of 4, 5, 6
    along = np.abs(back.geometry.direction[:, back.acquisition_axis])
    np.testing.assert_allclose(along, np.abs(full_volume().geometry.direction[:, 1]), atol=1e-9)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_monai_moves_voxels_and_geometry_alike(seed) -> None:
    volume = noise_volume(seed, oblique_geometry(seed, (3, 4, 5), shear=0.2))
    data = {"a": to_metatensor(volume)}
    moved = Rotate90d("a", k=seed % 4, spatial_axes=(0, 2))(Flipd("a", seed % 3)(data))["a"]
    geometry = geometry_of(moved)
    for index in ((0, 0, 0), (1, 2, 1), (2, 0, 0)):
        source = volume.geometry.world_to_index(geometry.index_to_world(index))
        z, y, x = np.rint(source).astype(int)
        np.testing.assert_allclose(source, (z, y, x), atol=1e-6)
        assert moved[0][index] == volume.array[z, y, x]


def test_a_tensor_that_speaks_lps_is_understood() -> None:
    geometry = oblique_geometry(7)
    affine = torch.from_numpy(geometry.affine.copy())
    tensor = MetaTensor(torch.zeros(1, *geometry.shape), affine=affine, meta={"space": "LPS"})
    assert geometry_of(tensor) == geometry


def test_a_foreign_tensor_takes_its_meaning_from_like() -> None:
    like = full_volume()
    tensor = MetaTensor(torch.ones(1, 2, 3, 4), meta={"filename_or_obj": "doe_jane.nii"})
    back = from_metatensor(tensor, like)
    assert (back.modality, back.unit, back.slice_thickness_mm) == ("MR", "arbitrary", 2.5)
    assert "doe" not in repr(back.meta)
    assert from_metatensor(tensor).modality == "unknown"


def test_what_the_tensor_says_outweighs_like() -> None:
    tensor = to_metatensor(noise_volume(modality="PT", unit="SUVbw"))
    back = from_metatensor(tensor, noise_volume(modality="CT", unit="HU"))
    assert (back.modality, back.unit) == ("PT", "SUVbw")


@pytest.mark.parametrize(
    ("tensor", "match"),
    [
        (MetaTensor(torch.zeros(2, 3, 4, 5)), "one channel; got 2"),
        (MetaTensor(torch.zeros(3, 4, 5)), "is wanted; got"),
        (MetaTensor(torch.zeros(1, 2, 2, 2), affine=torch.zeros(4, 4)), "last row"),
        (list_data_collate([to_metatensor(noise_volume())] * 2), "is wanted; got"),
    ],
)
def test_what_is_no_single_volume_is_refused(tensor, match) -> None:
    with pytest.raises(ValueError, match=match):
        from_metatensor(tensor)


def test_pending_lazy_transforms_are_not_overlooked() -> None:
    data = {"a": to_metatensor(noise_volume())}
    lazy = Flipd("a", 0, lazy=True)(data)["a"]
    with pytest.raises(ValueError, match="lazy"):
        geometry_of(lazy)


def test_monai_collates_tensors_of_unlike_volumes() -> None:
    plain = noise_volume(1, full_volume().geometry)
    batch = list_data_collate([to_metatensor(full_volume()), to_metatensor(plain)])
    assert batch.shape == (2, 1, 4, 5, 6)

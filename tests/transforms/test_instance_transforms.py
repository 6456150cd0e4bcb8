"""Masks to label maps and label maps to tables inside MONAI pipelines."""

from __future__ import annotations

from typing import Any

import cc3d
import numpy as np
import pandas as pd
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Flipd
from transform_cases import oblique_geometry

from medseg.errors import InputRefused
from medseg.measurement import columns_of, measure
from medseg.transforms.bridge import geometry_of, to_metatensor
from medseg.transforms.instances import MeasureInstancesd, SplitInstancesd
from medseg.types import Geometry, Instances, Volume


def as_tensor(array: np.ndarray, geometry: Geometry | None = None, **said: Any) -> MetaTensor:
    return to_metatensor(Volume(array, geometry or Geometry.identity(array.shape), **said))


def blobs(seed: int, share: float = 0.2) -> np.ndarray:
    return (np.random.default_rng(seed).random((9, 10, 11)) < share).astype(np.uint8)


@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_a_mask_falls_into_the_parts_that_cc3d_finds(connectivity: Any) -> None:
    mask = blobs(0)
    split = SplitInstancesd("mask", connectivity)({"mask": as_tensor(mask)})["mask"]
    wanted, count = cc3d.connected_components(mask, connectivity=connectivity, return_N=True)
    got = split.numpy()[0]
    assert (split.shape, split.dtype) == ((1, 9, 10, 11), torch.int32)
    pairs = np.unique(np.stack([wanted.ravel(), got.ravel()]), axis=1)
    assert pairs.shape[1] == count + 1 == got.max() + 1


def test_parts_are_numbered_by_value_then_by_their_first_voxel() -> None:
    classes = np.zeros((4, 4, 8), dtype=np.uint8)
    classes[0, 0, 0], classes[0, 0, 1] = 2, 1  # touch, and are two objects
    classes[3, 3, 5:8] = 1
    classes[2, 0, 7] = 2
    split = SplitInstancesd("mask")({"mask": torch.from_numpy(classes)[None]})["mask"][0]
    assert not isinstance(split, MetaTensor)
    assert [int(split[place]) for place in ((0, 0, 1), (3, 3, 6), (0, 0, 0), (2, 0, 7))] == [
        1,
        2,
        3,
        4,
    ]


def test_affine_and_meta_stay_and_the_mask_is_not_changed() -> None:
    mask = as_tensor(blobs(1), oblique_geometry(4, (9, 10, 11)), modality="MR")
    before = mask.clone()
    split = SplitInstancesd("mask")({"mask": mask, "other": 1})
    assert split["other"] == 1
    assert geometry_of(split["mask"]) == geometry_of(mask)
    assert split["mask"].meta["modality"] == "MR"
    assert torch.equal(mask.as_tensor(), before.as_tensor())


def test_an_empty_mask_stays_empty_and_a_boolean_one_is_a_mask() -> None:
    empty = torch.zeros((1, 3, 4, 5), dtype=torch.bool)
    assert not SplitInstancesd("mask")({"mask": empty})["mask"].any()
    full = SplitInstancesd("mask")({"mask": torch.ones((1, 3, 4, 5), dtype=torch.bool)})["mask"]
    assert (full == 1).all()


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (torch.zeros((3, 4, 5)), r"\(1, Z, Y, X\)"),
        (torch.zeros((2, 3, 4, 5)), r"\(1, Z, Y, X\)"),
        (torch.full((1, 3, 4, 5), 0.5), "fractions"),
        (torch.full((1, 3, 4, 5), -1), "from 0 up"),
    ],
)
def test_what_is_no_label_map_is_an_error(mask: torch.Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SplitInstancesd("mask")({"mask": mask})


def test_a_wrong_setting_is_an_error_at_once() -> None:
    with pytest.raises(ValueError, match="6, 18 or 26"):
        SplitInstancesd("mask", 4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no group of columns is named 'volume'"):
        MeasureInstancesd("label", groups=("volume",))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="as many result keys"):
        MeasureInstancesd(("one", "two"))


def test_the_table_is_that_of_measure_on_the_same_grid() -> None:
    geometry = oblique_geometry(2, (9, 10, 11))
    array = np.random.default_rng(0).normal(size=(9, 10, 11)).astype(np.float32)
    image = Volume(array, geometry, "MR", "arbitrary", slice_thickness_mm=3.0, acquisition_axis=1)
    labels = cc3d.connected_components(blobs(3), connectivity=26).astype(np.int32)
    data = {"label": as_tensor(labels, geometry), "image": to_metatensor(image)}
    out = MeasureInstancesd("label", "image")(data)
    wanted = measure(Instances.from_labelmap(labels, geometry), image)
    pd.testing.assert_frame_equal(out["measures"], wanted, rtol=1e-9, atol=1e-9)
    assert set(data) == {"label", "image"}


def test_split_and_measure_stand_in_one_pipeline_behind_monai_transforms() -> None:
    mask = as_tensor(blobs(5), Geometry.from_spacing((9, 10, 11), (5.0, 0.7, 0.7)))
    steps = [
        Flipd("mask", spatial_axis=2),
        SplitInstancesd("mask", 6),
        MeasureInstancesd("mask", groups=("size",), result_key="table"),
    ]
    table = Compose(steps)({"mask": mask})["table"]
    assert list(table.columns) == [column.name for column in columns_of(["size"])]
    assert table["voxel_count"].sum() == int(mask.sum())
    assert table["volume_ml"].sum() == pytest.approx(int(mask.sum()) * 5 * 0.7 * 0.7 / 1000)


def test_two_label_maps_give_two_tables_and_a_missing_one_may_be_allowed() -> None:
    one, two = as_tensor(blobs(6)), as_tensor(2 * blobs(7))
    step = MeasureInstancesd(
        ("a", "b"), result_key=("of_a", "of_b"), groups=("size",), allow_missing_keys=True
    )
    out = step({"a": one, "b": two})
    assert (out["of_a"]["instance_id"].tolist(), out["of_b"]["instance_id"].tolist()) == ([1], [2])
    assert set(step({"b": two})) == {"b", "of_b"}


def test_without_an_affine_nothing_is_measured_and_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="'label' is no MetaTensor"):
        MeasureInstancesd("label")({"label": torch.from_numpy(blobs(8))[None]})
    label = as_tensor(blobs(8))
    image = as_tensor(
        np.zeros((9, 10, 11), np.float32), Geometry.from_spacing((9, 10, 11), (2.0, 1.0, 1.0))
    )
    with pytest.raises(InputRefused, match="grid-mismatch"):
        MeasureInstancesd("label", "image")({"label": label, "image": image})


def test_organs_and_slices_are_said_by_key_and_by_number() -> None:
    geometry = oblique_geometry(3, (9, 10, 11))
    labels, organs = blobs(9), 3 * blobs(10, 0.6)
    data = {"label": as_tensor(labels, geometry), "organs": as_tensor(organs, geometry)}
    said = {"slice_thickness_mm": 3.0, "acquisition_axis": 1}
    table = MeasureInstancesd("label", organs_key="organs", **said)(data)["measures"]
    around = Instances.from_labelmap(organs, geometry, None, "class")
    wanted = measure(Instances.from_labelmap(labels, geometry), organs=around, **said)
    pd.testing.assert_frame_equal(table, wanted, rtol=1e-9, atol=1e-9)
    assert table["organ"].tolist() == ["class_3"]
    assert table["recist_axis"].tolist() == ["y"]


def test_slices_that_the_image_says_otherwise_are_refused() -> None:
    array = np.zeros((9, 10, 11), np.float32)
    data = {"label": as_tensor(blobs(11)), "image": as_tensor(array, slice_thickness_mm=2.0)}
    with pytest.raises(InputRefused, match="its slices are 2 mm thick, not 3"):
        MeasureInstancesd("label", "image", slice_thickness_mm=3.0)(data)
    with pytest.raises(ValueError, match="axes 0, 1, 2; got 3"):
        MeasureInstancesd("label", acquisition_axis=3)
    with pytest.raises(ValueError, match="above 0; got -1"):
        MeasureInstancesd("label", slice_thickness_mm=-1)


@pytest.mark.parametrize("key", ["image_key", "organs_key"])
def test_a_missing_image_or_organs_is_an_error_or_measured_without(key: str) -> None:
    data = {"label": as_tensor(blobs(12))}
    with pytest.raises(KeyError, match="'beside' is missing in the data"):
        MeasureInstancesd("label", **{key: "beside"})(data)
    step = MeasureInstancesd("label", allow_missing_keys=True, **{key: "beside"})
    row = step(data)["measures"].iloc[0]
    assert row[["intensity_mean", "organ"]].isna().all()
    assert row["voxel_count"] == blobs(12).sum()


def test_organs_without_an_affine_or_on_another_grid_are_refused() -> None:
    step = MeasureInstancesd("label", organs_key="organs")
    with pytest.raises(ValueError, match="'organs' is no MetaTensor"):
        step({"label": as_tensor(blobs(13)), "organs": torch.from_numpy(blobs(13))[None]})
    far = as_tensor(blobs(13), Geometry.from_spacing((9, 10, 11), (2.0, 1.0, 1.0)))
    with pytest.raises(InputRefused, match="grid-mismatch"):
        step({"label": as_tensor(blobs(13)), "organs": far})

"""Volumes and instances: what they refuse, keep and give back."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from instance_cases import GRID, LESION, cuboid, instances

from medseg.types import (
    Geometry,
    InputWarning,
    Instance,
    InstanceClass,
    Instances,
    Volume,
    reoriented_array,
    tight_box,
)

# Volume


def test_a_volume_says_nothing_that_it_was_not_told() -> None:
    volume = Volume(np.zeros(GRID.shape), GRID)
    assert (volume.modality, volume.unit) == ("unknown", "unknown")
    assert (volume.slice_thickness_mm, volume.acquisition_axis) == (None, None)


@pytest.mark.parametrize(
    ("array", "fields", "said"),
    [
        (np.zeros((6, 7, 9)), {}, r"array \(6, 7, 9\) and geometry \(6, 7, 8\) differ in shape"),
        (np.zeros((6, 7)), {}, "differ in shape"),
        (np.zeros(GRID.shape, complex), {}, "holds real numbers; got complex128"),
        (np.zeros(GRID.shape, bool), {}, "holds real numbers; got bool"),
        (np.zeros(GRID.shape), {"modality": "XR"}, "unknown modality 'XR'"),
        (np.zeros(GRID.shape), {"unit": "hu"}, "unit 'hu'"),
        (np.zeros(GRID.shape), {"acquisition_axis": 3}, "acquisition_axis is 3"),
    ],
)
def test_a_volume_that_makes_no_sense_is_refused(array, fields, said) -> None:
    with pytest.raises(ValueError, match=said):
        Volume(array, GRID, **fields)


def test_the_facts_of_a_volume_are_a_copy_that_cannot_be_changed() -> None:
    facts = {"sha256": "1"}
    volume = Volume(np.zeros(GRID.shape), GRID, meta=facts)
    facts["sha256"] = "2"
    assert volume.meta["sha256"] == "1"
    with pytest.raises(TypeError, match="does not support item assignment"):
        volume.meta["sha256"] = "3"  # type: ignore[index]


def test_a_volume_can_be_copied_whole_as_for_another_process() -> None:
    warnings = (InputWarning("some", "thing"),)
    array = np.arange(6 * 7 * 8).reshape(GRID.shape)
    volume = Volume(array, GRID, "MR", "arbitrary", 2.5, 1, {"sha256": "1"}, warnings)
    twin = copy.deepcopy(volume)
    assert np.array_equal(twin.array, array)
    assert twin.geometry == GRID
    assert (twin.modality, twin.unit, twin.slice_thickness_mm) == ("MR", "arbitrary", 2.5)
    assert (twin.acquisition_axis, dict(twin.meta), twin.warnings) == (1, {"sha256": "1"}, warnings)


def test_the_acquisition_axis_follows_its_array_axis() -> None:
    volume = Volume(np.zeros(GRID.shape), GRID, acquisition_axis=0)
    turned = volume.reoriented((2, 0, 1), (True, False, False))
    assert turned.geometry.shape == (8, 6, 7)
    assert turned.acquisition_axis == 1


def test_a_crop_is_a_copy_that_keeps_its_place() -> None:
    array = np.arange(6 * 7 * 8).reshape(GRID.shape)
    part = Volume(array, GRID, "CT", "HU").crop((slice(1, 3), slice(2, 5), slice(4, 8)))
    assert part.array.tolist() == array[1:3, 2:5, 4:8].tolist()
    assert part.geometry.origin_mm == (4.0, 2.0, 1.0)
    assert (part.modality, part.unit) == ("CT", "HU")
    part.array[:] = -1
    assert array.min() == 0


def test_a_turned_array_is_in_c_order() -> None:
    turned = reoriented_array(np.arange(24).reshape(2, 3, 4), (2, 1, 0), (False, True, False))
    assert turned.flags.c_contiguous
    assert turned[0].tolist() == [[8, 20], [4, 16], [0, 12]]


# Instance


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": 0}, "an id is at least 1; got 0"),
        ({"mask": np.ones((2, 2, 3), bool)}, r"of shape \(2, 2, 2\) is wanted; got bool"),
        ({"mask": np.ones((2, 2, 2), np.uint8)}, "a boolean mask .* is wanted; got uint8"),
        ({"mask": np.zeros((2, 2, 2), bool)}, "its box is not tight"),
        ({"probability": np.ones((2, 2, 1), np.float16)}, "probability and mask differ in shape"),
    ],
)
def test_an_instance_that_makes_no_sense_is_refused(changes, said) -> None:
    good = {
        "id": 1,
        "class_name": "lesion",
        "kind": "lesion",
        "score": 1.0,
        "box": (slice(0, 2), slice(0, 2), slice(0, 2)),
        "mask": np.ones((2, 2, 2), bool),
    }
    assert Instance(**good).voxel_count == 8
    with pytest.raises(ValueError, match=said):
        Instance(**{**good, **changes})


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("end", [0, -1])
def test_a_box_with_an_empty_side_is_refused(axis: int, end: int) -> None:
    mask = np.ones((3, 3, 3), bool)
    np.moveaxis(mask, axis, 0)[end] = False
    with pytest.raises(ValueError, match="its box is not tight"):
        Instance(1, "lesion", "lesion", 1.0, (slice(0, 3),) * 3, mask)


def test_an_instance_without_any_voxel_is_refused() -> None:
    box = (slice(0, 0), slice(0, 2), slice(0, 2))
    with pytest.raises(ValueError, match="its box is not tight"):
        Instance(1, "lesion", "lesion", 1.0, box, np.ones((0, 2, 2), bool))


def test_from_mask_crops_mask_and_probability_and_moves_them() -> None:
    mask = np.zeros((4, 5, 6), bool)
    mask[1:3, 2, 3:6] = True
    probability = np.random.default_rng(0).random(mask.shape)
    item = Instance.from_mask(
        mask,
        id=4,
        class_name="lesion",
        kind="lesion",
        score=0.5,
        offset=(10, 20, 30),
        probability=probability,
    )
    assert item is not None
    assert item.box == (slice(11, 13), slice(22, 23), slice(33, 36))
    assert item.mask.all()
    assert item.probability is not None
    assert np.array_equal(item.probability, probability[1:3, 2:3, 3:6].astype(np.float16))
    mask[:] = False
    assert item.voxel_count == 6


def test_from_mask_of_nothing_is_none() -> None:
    empty = np.zeros((2, 2, 2), bool)
    assert Instance.from_mask(empty, id=1, class_name="lesion", kind="lesion") is None


@given(arrays(bool, st.tuples(*[st.integers(1, 5)] * 3)))
def test_the_tight_box_is_that_of_all_true_voxels(mask) -> None:
    places = np.argwhere(mask)
    if len(places) == 0:
        assert tight_box(mask) is None
    else:
        ends = zip(places.min(axis=0), places.max(axis=0) + 1, strict=True)
        assert tight_box(mask) == tuple(slice(int(a), int(b)) for a, b in ends)


# Instances


@pytest.mark.parametrize(
    ("items", "classes", "said"),
    [
        (["0:2,0:2,0:2", "3:4,3:4,3:4"], LESION, r"ids are used twice: \[5\]"),
        (["5:7,0:1,0:1"], LESION, "leaves the grid"),
        (["0:1,0:1,0:1"], (), "no lesion class is named 'lesion'"),
        (["0:1,0:1,0:1"], (InstanceClass("lesion", "organ", 1),), "no lesion class is named"),
        ([], LESION * 2, "two classes have the same name"),
    ],
)
def test_instances_that_contradict_each_other_are_refused(items, classes, said) -> None:
    with pytest.raises(ValueError, match=said):
        Instances(GRID, [cuboid(5, box) for box in items], classes)


def test_filter_and_sorted_keep_ids() -> None:
    found = instances(
        cuboid(3, "0:1,0:1,0:1", score=0.2),
        cuboid(9, "1:2,0:1,0:1", score=0.9),
        cuboid(5, "2:3,0:1,0:1", score=0.5),
    )
    assert [one.id for one in found.filter(lambda one: one.score > 0.3)] == [9, 5]
    assert [one.id for one in found.sorted(lambda one: one.score)] == [3, 5, 9]
    assert [one.id for one in found.sorted(lambda one: one.score, reverse=True)] == [9, 5, 3]
    assert [one.id for one in found] == [3, 9, 5]
    assert len(found) == 3


def test_voxels_of_several_instances_are_counted_once() -> None:
    found = instances(cuboid(1, "0:2,0:2,0:2"), cuboid(2, "1:3,0:2,0:2"), cuboid(3, "1:2,1:3,0:2"))
    assert found.overlap_voxels() == 4  # of 1:2,0:2,0:2 all are in 1 and 2, two in 3 as well
    assert instances(cuboid(1, "0:2,0:2,0:2"), cuboid(2, "2:3,0:2,0:2")).overlap_voxels() == 0
    assert instances().overlap_voxels() == 0


@given(arrays(bool, (4, 3, 3, 3)))
def test_overlap_is_counted_by_voxel_not_by_box(masks) -> None:
    found = [
        Instance.from_mask(mask, id=number, class_name="lesion", kind="lesion")
        for number, mask in enumerate(masks, start=1)
    ]
    grid = Geometry.identity((3, 3, 3))
    together = Instances(grid, [item for item in found if item is not None], LESION)
    assert together.overlap_voxels() == np.count_nonzero(masks.sum(axis=0) > 1)

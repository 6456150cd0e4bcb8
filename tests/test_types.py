"""Volumes and instances: what they refuse, keep and give back."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medseg.types import (
    Geometry,
    InputWarning,
    Instance,
    InstanceClass,
    Instances,
    Volume,
    as_labels,
    label_boxes,
    reoriented_array,
    tight_box,
)

GRID = Geometry.identity((6, 7, 8))
LESION = (InstanceClass("lesion", "lesion", 1),)


def cuboid(number: int, box: str, *, score: float = 1.0, kind: str = "lesion") -> Instance:
    """A full cuboid whose box is written as in NumPy, `0:2,1:3,2:4`."""
    z, y, x = (slice(*(int(end) for end in part.split(":"))) for part in box.split(","))
    mask = np.ones([part.stop - part.start for part in (z, y, x)], dtype=bool)
    return Instance(number, "lesion", kind, score, (z, y, x), mask)


def instances(*items: Instance) -> Instances:
    return Instances(GRID, list(items), LESION)


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


# Label maps


def test_an_overlap_is_no_label_map_unless_asked_for() -> None:
    found = instances(cuboid(3, "0:2,0:2,0:2"), cuboid(7, "1:3,0:2,0:2"))
    with pytest.raises(ValueError, match=r"instances 3 and 7 overlap"):
        found.to_labelmap()
    with pytest.raises(ValueError, match="on_overlap is 'error' or 'higher_score'; got 'last'"):
        found.to_labelmap("last")  # type: ignore[arg-type]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("scores", "winner"), [((0.4, 0.6), 7), ((0.6, 0.4), 3), ((0.5, 0.5), 3)])
def test_the_higher_score_then_the_lower_id_wins_a_shared_voxel(turned, scores, winner) -> None:
    items = [cuboid(3, "0:2,0:2,0:2", score=scores[0]), cuboid(7, "1:3,0:2,0:2", score=scores[1])]
    labels = instances(*(items[::-1] if turned else items)).to_labelmap("higher_score")
    assert labels[1, 0, 0] == winner
    assert (labels[0, 0, 0], labels[2, 0, 0], labels[5, 5, 5]) == (3, 7, 0)


def test_no_instance_is_a_label_map_of_zeros_and_back() -> None:
    labels = instances().to_labelmap()
    assert labels.shape == GRID.shape
    assert not labels.any()
    assert Instances.from_labelmap(labels, GRID).items == []


@pytest.mark.parametrize(
    ("largest", "dtype"), [(255, "u1"), (256, "u2"), (65535, "u2"), (65536, "u4")]
)
def test_a_label_map_has_the_smallest_type_that_holds_its_ids(largest: int, dtype: str) -> None:
    labels = instances(cuboid(largest, "0:1,0:1,0:1")).to_labelmap()
    assert labels.dtype == np.dtype(dtype)
    assert labels[0, 0, 0] == largest


def test_ids_with_gaps_and_masks_come_back() -> None:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[0:2, 0:3, 0:2] = 40
    labels[0, 0, 0] = 3  # one voxel in a corner of the grid, in the box of another
    labels[4:6, 2:4, 5:8] = 12  # at the border
    labels[3, 6, ::2] = 7  # in pieces
    found = Instances.from_labelmap(labels, GRID)
    assert [one.id for one in found] == [3, 7, 12, 40]
    assert [one.voxel_count for one in found] == [1, 4, 12, 11]
    assert {(one.class_name, one.kind, one.score) for one in found} == {("object", "lesion", 1.0)}
    assert np.array_equal(found.to_labelmap(), labels)


@given(
    arrays(
        np.uint16,
        st.tuples(*[st.integers(1, 5)] * 3),
        elements=st.sampled_from([0, 0, 1, 3, 255, 256, 65535]),
    )
)
def test_any_label_map_comes_back_from_its_instances(labels) -> None:
    found = Instances.from_labelmap(labels, Geometry.identity(labels.shape))
    assert [one.id for one in found] == sorted(set(labels[labels > 0].tolist()))
    assert np.array_equal(found.to_labelmap(), labels)


def test_one_value_a_voxel_of_65536_comes_back() -> None:
    labels = np.random.default_rng(0).permutation(65536).astype(np.uint32).reshape(16, 64, 64) + 1
    geometry = Geometry.identity(labels.shape)
    found = Instances.from_labelmap(labels, geometry)
    assert len(found) == 65536
    assert np.array_equal(found.to_labelmap(), labels)


@pytest.mark.parametrize("largest", [2**20, 2**20 + 1, 2**40])
def test_boxes_of_very_large_values_are_tight(largest: int) -> None:
    labels = np.zeros(GRID.shape, np.int64)
    labels[1:3, 2, 3:6] = largest
    labels[5, 6, 7] = 2
    assert list(label_boxes(labels).items()) == [
        (2, (slice(5, 6), slice(6, 7), slice(7, 8))),
        (largest, (slice(1, 3), slice(2, 3), slice(3, 6))),
    ]


def test_large_values_without_background_are_found() -> None:
    whole = (slice(0, 2),) * 3
    assert label_boxes(np.full((2, 2, 2), 2**40)) == {2**40: whole}


@pytest.mark.parametrize("dtype", ["?", "<u2", ">u2", "i1", "i8", "f4", "f8"])
def test_whole_numbers_of_any_type_are_labels(dtype: str) -> None:
    array = np.zeros(GRID.shape, dtype)
    array[1, 2, 3] = 1
    found = Instances.from_labelmap(array, GRID)
    assert [(one.id, one.box) for one in found] == [(1, (slice(1, 2), slice(2, 3), slice(3, 4)))]


@pytest.mark.parametrize(
    ("value", "dtype", "said"),
    [
        (0.5, "f4", "this one has fractions"),
        (np.nan, "f8", "NaN"),
        (np.inf, "f8", "infinity"),
        (-1, "i2", "numbers from 0 up; got -1"),
        (-2, "f4", "numbers from 0 up; got -2"),
        (1j, "c8", "whole numbers; got complex64"),
    ],
)
def test_what_is_no_label_is_refused(value, dtype: str, said: str) -> None:
    array = np.zeros(GRID.shape, dtype)
    array[0, 0, 0] = value
    with pytest.raises(ValueError, match=said):
        as_labels(array)
    with pytest.raises(ValueError, match=said):
        Instances.from_labelmap(array, GRID)


def test_a_label_map_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"label map \(6, 7, 9\) and geometry \(6, 7, 8\)"):
        Instances.from_labelmap(np.zeros((6, 7, 9), np.uint8), GRID)


def test_values_of_classes_become_one_organ_a_class() -> None:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[0], labels[2] = 5, 2
    found = Instances.from_labelmap(labels, GRID, values="class")
    assert [(one.id, one.class_name, one.kind) for one in found] == [
        (2, "class_2", "organ"),
        (5, "class_5", "organ"),
    ]


def test_values_of_classes_take_the_classes_given() -> None:
    classes = (
        InstanceClass("liver", "organ", 5, (1, 2, 3)),
        InstanceClass("spleen", "organ", 9),
        InstanceClass("tumor", "lesion", 2),
    )
    labels = np.zeros(GRID.shape, np.uint8)
    labels[0], labels[2] = 5, 2
    found = Instances.from_labelmap(labels, GRID, classes, values="class")
    assert [(one.id, one.class_name, one.kind) for one in found] == [
        (2, "tumor", "lesion"),
        (5, "liver", "organ"),
    ]
    assert found.classes == classes


def test_values_of_instances_take_the_one_class_given() -> None:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[0], labels[2] = 5, 2
    found = Instances.from_labelmap(labels, GRID, [InstanceClass("nodule", "lesion", 4)])
    assert [(one.id, one.class_name) for one in found] == [(2, "nodule"), (5, "nodule")]


@pytest.mark.parametrize(
    ("classes", "values", "said"),
    [
        ((InstanceClass("a", "organ", 1),), "class", r"no class has the label 2; .* \[1\]"),
        (
            (InstanceClass("a", "organ", 2), InstanceClass("b", "organ", 2)),
            "class",
            r"two classes share one label: \[2, 2\]",
        ),
        ((), "instance", "has one class; got 0"),
        (None, "color", "values is 'instance' or 'class'; got 'color'"),
    ],
)
def test_classes_that_do_not_fit_the_values_are_refused(classes, values, said) -> None:
    with pytest.raises(ValueError, match=said):
        Instances.from_labelmap(np.full(GRID.shape, 2), GRID, classes, values=values)

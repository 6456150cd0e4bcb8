"""Label maps to instances and back: overlap, types, values of classes, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from instance_cases import GRID, cuboid, instances

from medseg.types import Geometry, InstanceClass, Instances, as_labels, label_boxes


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

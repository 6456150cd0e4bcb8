"""The limits of RECIST 1.1 as printed, and which lesions are proposed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.measurement.recist import recist_diameters
from medseg.measurement.recist_rules import (
    acquisition_plane,
    are_nodes,
    measurable,
    node_status,
    propose_targets,
    recist_values_mm,
    sum_of_diameters_mm,
    target_organs,
)
from medseg.types import Geometry, Instance, InstanceClass, Instances

LESION, NODE = False, True


def one(
    *, long: float, short: float, node: bool, thickness: float | None, known: bool = True
) -> bool | None:
    (answer,) = measurable(
        [long], [short], slice_thickness_mm=thickness, plane_known=known, node=[node]
    )
    return answer


# Measurable


@pytest.mark.parametrize(
    ("thickness", "long", "wanted"),
    [
        (1.0, 10.0, True),
        (1.0, 9.99, False),
        (5.0, 10.0, True),
        (5.0, 9.99, False),
        (5.1, 10.1, False),
        (5.1, 10.2, True),
        (8.0, 15.9, False),
        (8.0, 16.0, True),
    ],
)
def test_a_lesion_is_measurable_from_10_mm_or_twice_the_thickness(thickness, long, wanted) -> None:
    assert one(long=long, short=1.0, node=LESION, thickness=thickness) is wanted


@pytest.mark.parametrize(
    ("thickness", "short", "wanted"),
    [
        (1.0, 14.99, False),
        (5.0, 15.0, True),
        (7.0, 14.99, False),
        (7.0, 15.0, True),
        (8.0, 15.9, False),
        (8.0, 16.0, True),
    ],
)
def test_a_node_is_measurable_by_its_short_diameter(thickness, short, wanted) -> None:
    assert one(long=40.0, short=short, node=NODE, thickness=thickness) is wanted


def test_rounding_does_not_decide_whether_a_limit_is_reached() -> None:
    assert one(long=9.9999999999, short=1.0, node=LESION, thickness=5.0) is True
    assert one(long=20.0, short=14.9999999999, node=NODE, thickness=1.0) is True
    assert one(long=9.99999, short=1.0, node=LESION, thickness=5.0) is False
    assert node_status([14.9999999999, 9.9999999999, 9.99999]) == ["target", "non-target", "normal"]


@pytest.mark.parametrize(
    ("thickness", "known"), [(None, True), (1.0, False), (0.0, True), (math.nan, True)]
)
def test_without_thickness_or_plane_it_is_unknown_whether_anything_is_measurable(
    thickness: float | None, known: bool
) -> None:
    for node in (LESION, NODE):
        assert one(long=99.0, short=99.0, node=node, thickness=thickness, known=known) is None


def test_a_diameter_that_is_missing_is_neither_measurable_nor_normal() -> None:
    assert one(long=math.nan, short=math.nan, node=LESION, thickness=1.0) is None
    assert node_status([math.nan]) == [None]


def test_columns_of_unlike_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one entry an object is wanted; got \(2,\), \(1,\)"):
        measurable([1, 2], [1], slice_thickness_mm=1.0, plane_known=True, node=[False])


def test_a_node_is_target_from_15_mm_and_normal_below_10() -> None:
    assert node_status([15.0, 14.9, 10.0, 9.9, 0.5]) == [
        *["target", "non-target", "non-target", "normal", "normal"]
    ]


def test_without_an_object_every_answer_is_empty() -> None:
    assert measurable([], [], slice_thickness_mm=1.0, plane_known=True, node=[]) == []
    assert node_status([]) == []
    assert target_organs([], node=[]) == []
    assert propose_targets([], [], []).tolist() == []
    assert sum_of_diameters_mm([], []) == 0.0


# The plane


def test_a_known_axis_is_the_plane() -> None:
    assert acquisition_plane(Geometry.identity((3, 3, 3)), 2) == (2, True)


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0), (2, 0, 1), (1, 0, 2)])
def test_an_unknown_plane_is_taken_as_axial_wherever_its_axis_lies(axes) -> None:
    tilted = np.eye(4)
    tilted[:3, 0], tilted[:3, 1], tilted[:3, 2] = [0.1, 1.6, 4.7], [0.1, 0.9, -0.3], [1, 0.1, 0]
    grid = Geometry((5, 6, 7), tilted).reoriented(axes, (True, False, True))
    assert acquisition_plane(grid, None) == (axes.index(0), False)


def test_an_axis_that_no_array_has_is_refused() -> None:
    with pytest.raises(ValueError, match="acquisition_axis is 3"):
        acquisition_plane(Geometry.identity((3, 3, 3)), 3)


# Targets


def test_the_value_of_a_node_is_its_short_diameter() -> None:
    assert recist_values_mm([30, 20], [10, 15], node=[False, True]).tolist() == [30, 15]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("kidney_left", "kidney_right"),
        ("left lung", "lung_upper_lobe_right"),
        ("Lung-L", "lung_lower_lobe_left"),
        ("adrenal_gland_left", "adrenal gland right"),
    ],
)
def test_the_two_of_a_pair_are_one_organ(first: str, second: str) -> None:
    one_organ, same = target_organs(["a", "a"], [first, second], node=[False, False])
    assert one_organ == same


def test_other_organs_stay_apart_and_a_name_of_sides_alone_stays() -> None:
    names = ["liver", "liver_segment", "vertebrae_L1", "vertebrae_L2", "left", "right"]
    assert len(set(target_organs(names, node=[False] * 6))) == 6


def test_all_nodes_are_one_organ_and_the_class_stands_for_an_unknown_one() -> None:
    found = target_organs(
        ["axillary", "node", "tumor_left", "tumor", "tumor"],
        ["arm", None, None, "", "liver"],
        node=[True, True, False, False, False],
    )
    assert found == ["lymph nodes", "lymph nodes", "tumor", "tumor", "liver"]


def test_the_largest_are_proposed_at_most_two_an_organ_and_five_in_all() -> None:
    values = [50, 40, 30, 12, 20, 19, 18, 60, 17]
    organs = ["liver", "liver", "liver", "lung", "bone", "bone", "lymph nodes", "skin", "lung"]
    able = [True] * 7 + [None, True]
    assert propose_targets(values, able, organs).tolist() == [0, 1, 4, 5, 6]
    assert propose_targets(values[:4], able[:4], organs[:4]).tolist() == [0, 1, 3]


def test_what_is_not_measurable_or_not_known_to_be_is_never_proposed() -> None:
    assert propose_targets([50, 40, 30], [False, None, True], ["a", "b", "c"]).tolist() == [2]


def test_of_equal_ones_the_first_is_proposed() -> None:
    values = [20.0, 20.0 + 1e-10, 20.0, 20.0 - 1e-10]
    assert propose_targets(values, [True] * 4, ["a"] * 4).tolist() == [0, 1]


@given(
    st.lists(
        st.tuples(
            st.integers(5, 60), st.sampled_from([True, False, None]), st.sampled_from("abcd")
        ),
        max_size=15,
    )
)
@settings(max_examples=1000)
def test_a_proposal_keeps_the_rules_and_leaves_out_nothing_larger(rows) -> None:
    values, able, organs = ([row[n] for row in rows] for n in range(3))
    chosen = propose_targets(values, able, organs).tolist()
    of_organ = [organs[n] for n in chosen]
    assert len(chosen) <= 5 and all(of_organ.count(organ) <= 2 for organ in of_organ)
    assert all(able[n] for n in chosen)
    for n in set(range(len(rows))) - set(chosen):  # each left out for a reason
        before = [m for m in chosen if values[m] >= values[n]]
        full = len(before) == 5 or [organs[m] for m in before].count(organs[n]) == 2
        assert not able[n] or full


def test_sum_of_diameters_takes_long_axes_and_short_ones_of_nodes() -> None:
    values = recist_values_mm([30, 20, 25], [10, 15, 12], node=[False, True, False])
    assert sum_of_diameters_mm(values, [0, 1]) == 45.0
    assert sum_of_diameters_mm(values, []) == 0.0


def test_a_study_from_masks_to_its_proposal() -> None:
    grid = Geometry.from_spacing((20, 60, 60), (5.0, 1.0, 1.0))
    classes = (InstanceClass("tumor", "lesion", 1), InstanceClass("ln", "lesion", 2, node=True))
    items = []
    for number, (name, rows, columns) in enumerate(
        [("tumor", 30, 40), ("ln", 12, 50), ("ln", 20, 21), ("tumor", 6, 7)], start=1
    ):
        mask = np.ones((2, rows, columns), bool)
        items.append(
            Instance.from_mask(
                mask, id=number, class_name=name, kind="lesion", offset=(number, 0, 0)
            )
        )
    instances = Instances(grid, items, classes)
    nodes = are_nodes(instances)
    assert nodes.tolist() == [False, True, True, False]
    found = recist_diameters(instances, acquisition_plane(grid, 0).axis)
    able = measurable(
        found.long_mm, found.short_mm, slice_thickness_mm=5.0, plane_known=True, node=nodes
    )
    # The chord of a box a x b, b <= a, is b * diagonal / a: of the long node 12.3 mm only.
    assert able == [True, False, True, False]
    values = recist_values_mm(found.long_mm, found.short_mm, node=nodes)
    organs = target_organs([item.class_name for item in items], node=nodes)
    targets = propose_targets(values, able, organs)
    assert targets.tolist() == [0, 2]
    assert sum_of_diameters_mm(values, targets) == pytest.approx(50 + 20 * 29 / 21, rel=1e-12)

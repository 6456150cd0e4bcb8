"""Merging objects and changing their class."""

from __future__ import annotations

import numpy as np
import pytest
from editing_cases import LESION, ball, full, instance

from medseg.editing import change_class, merge, split_parts
from medseg.types import Geometry, Instance, InstanceClass, Instances

GRID = Geometry.identity((9, 9, 20))
CLASSES = (
    LESION,
    InstanceClass("node", "lesion", 2),
    InstanceClass("liver", "organ", 3),
    InstanceClass("spleen", "organ", 4),
)


def at(x: float, number: int, *, score: float = 0.75) -> Instance:
    return instance(ball(GRID, np.array([x, 4.0, 4.0]), 2.5), number, score)


def named(item: Instance, name: str) -> Instance:
    (one,) = (one for one in CLASSES if one.name == name)
    mask = full(item, GRID)
    made = Instance.from_mask(mask, id=item.id, class_name=one.name, kind=one.kind)
    assert made is not None
    return made


def test_merged_objects_hold_what_each_held_with_the_highest_score_and_no_probability() -> None:
    items = [at(4, 3, score=0.5), at(6, 7, score=0.9), at(16, 12, score=0.1)]
    found = merge(items, 40)
    np.testing.assert_array_equal(
        full(found, GRID), np.logical_or.reduce([full(one, GRID) for one in items])
    )
    assert (found.id, found.class_name, found.score) == (40, "lesion", 0.9)
    assert found.probability is None


def test_merging_and_splitting_by_parts_gives_the_parts_back() -> None:
    items = [at(3, 3), at(9, 7), at(15, 12)]
    found = split_parts(merge(items, 3), next_id=13)
    assert [part.id for part in found] == [3, 13, 14]
    assert sorted(str(part.box) for part in found) == sorted(str(item.box) for item in items)
    for part in found:
        (same,) = (item for item in items if item.box == part.box)
        np.testing.assert_array_equal(part.mask, same.mask)


def test_merging_several_classes_wants_the_class_said() -> None:
    items = [at(4, 1), named(at(9, 2), "node")]
    with pytest.raises(ValueError, match=r"several classes \(lesion, node\): say the class"):
        merge(items, 1)
    found = merge(items, 1, CLASSES[1])
    assert (found.class_name, found.kind) == ("node", "lesion")


@pytest.mark.parametrize("numbers", [[], [4], [4, 4]])
def test_merging_wants_two_objects(numbers) -> None:
    with pytest.raises(ValueError, match="two objects or more, each once"):
        merge([at(4, number) for number in numbers], 1)


def test_another_class_changes_name_and_kind_and_keeps_mask_and_probability() -> None:
    items = Instances(GRID, [at(4, 1), at(9, 2)], CLASSES)
    found = change_class(items.items[0], "liver", items)
    assert (found.class_name, found.kind, found.id, found.score) == ("liver", "organ", 1, 0.75)
    assert found.mask is items.items[0].mask
    assert found.probability is items.items[0].probability is not None


def test_a_second_object_of_an_organ_is_a_bad_call_and_of_a_lesion_is_not() -> None:
    items = Instances(GRID, [at(4, 1), named(at(9, 2), "liver")], CLASSES)
    with pytest.raises(ValueError, match="object 2 is liver already.*merge object 1 into it"):
        change_class(items.items[0], "liver", items)
    assert change_class(items.items[1], "liver", items).class_name == "liver"
    assert change_class(items.items[1], "lesion", items).kind == "lesion"
    with pytest.raises(ValueError, match="no class is named 'lung'; there are lesion, node, liver"):
        change_class(items.items[0], "lung", items)

"""From a painted label map back to the objects that it shows."""

from __future__ import annotations

import numpy as np
import pytest
from editing_cases import LESION, full, instance

from medseg.editing import label_changes
from medseg.types import Box, Geometry, Instance, Instances

GRID = Geometry.identity((6, 8, 10))
WHOLE: Box = (slice(0, 6), slice(0, 8), slice(0, 10))


def two() -> list[Instance]:
    """Objects 3 and 12, a voxel apart."""
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[1:4, 2:6, 1:4] = True
    return [instance(mask, 3), instance(np.roll(mask, 4, axis=2), 12)]


def shown(items: list[Instance]) -> np.ndarray:
    return Instances(GRID, items, (LESION,)).to_labelmap(on_overlap="higher_score")


def test_any_painted_map_of_objects_that_do_not_overlap_is_what_comes_back() -> None:
    items = two()
    old = shown(items)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        low = [int(rng.integers(0, n - 1)) for n in GRID.shape]
        z, y, x = (
            slice(a, int(rng.integers(a + 1, n + 1))) for a, n in zip(low, GRID.shape, strict=True)
        )
        box = (z, y, x)
        new = old.copy()
        new[box] = rng.choice([0, 3, 12, 40], size=new[box].shape)
        changed = label_changes(items, box, old[box], new[box], of=LESION)
        after = {item.id: item for item in items} | changed
        left = [item for item in after.values() if item is not None]
        np.testing.assert_array_equal(shown(left), new)
        assert all(after[n] is None for n in (3, 12) if not (new == n).any())


def test_only_what_changed_is_named_and_keeps_all_but_its_probability() -> None:
    items = two()
    box: Box = (slice(1, 2), slice(2, 3), slice(3, 6))
    old = shown(items)[box]
    new = old.copy()
    new[0, 0, 1] = 3
    changed = label_changes(items, box, old, new)
    assert list(changed) == [3]
    assert (changed[3].voxel_count, changed[3].score) == (37, 0.75)
    assert changed[3].probability is None
    assert label_changes(items, box, old, old) == {}


def test_a_lesion_painted_over_an_organ_takes_nothing_from_it_where_it_alone_is_edited() -> None:
    items = two()
    old = shown(items)
    new = old.copy()
    new[2, 3, 1:8] = 12
    changed = label_changes(items, WHOLE, old, new, only=12)
    assert list(changed) == [12] and changed[12].voxel_count == 36 + 4
    both = label_changes(items, WHOLE, old, new)
    assert both[3].voxel_count == 36 - 3
    assert label_changes(items, WHOLE, old, new, only=3)[3].voxel_count == 36 - 3


def test_what_lies_hidden_under_another_object_stays() -> None:
    under, over = two()
    mask = full(under, GRID)
    mask[1:4, 2:6, 1:8] = True
    under = instance(mask, 3, score=0.1)
    old = shown([under, over])
    new = np.where(old == 12, 0, old)
    changed = label_changes([under, over], WHOLE, old, new)
    assert changed == {12: None}
    new = np.where(old == 12, 3, old)
    assert label_changes([under, over], WHOLE, old, new, only=3) == {}


def test_a_new_label_becomes_an_object_of_the_class_said() -> None:
    items = two()
    old = shown(items)
    new = old.copy()
    new[5, 7, 8:10] = 41
    made = label_changes(items, WHOLE, old, new, of=LESION)[41]
    assert made.box == (slice(5, 6), slice(7, 8), slice(8, 10))
    assert (made.id, made.class_name, made.score) == (41, "lesion", 1.0)
    with pytest.raises(ValueError, match="has 41, which no object has: say the class"):
        label_changes(items, WHOLE, old, new)


def test_a_stale_map_and_a_wrong_shape_are_refused() -> None:
    items = two()
    old = shown(items)
    wrong = old.copy()
    wrong[5, 7, 9] = 3
    with pytest.raises(ValueError, match="shows voxels of object 3 that it does not have"):
        label_changes(items, WHOLE, wrong, old)
    wrong[5, 7, 9] = 77
    with pytest.raises(ValueError, match="shows voxels of object 77"):
        label_changes(items, WHOLE, wrong, old, of=LESION)
    with pytest.raises(ValueError, match=r"a region of shape \(6, 8, 10\) is wanted twice"):
        label_changes(items, WHOLE, old[1:], old)

"""The tables of the head and neck model: swapped sides are seen, undrawn organs do not count."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from medseg.types import Geometry, Instance, InstanceClass, Instances, tight_box

Load = Callable[[str], ModuleType]
SHAPE = (6, 10, 20)
NAMES = ("parotid_right", "parotid_left")


@pytest.fixture
def headneck(load: Load) -> ModuleType:
    return load("model_headneck")


def glands(**columns: int) -> Instances:
    """Cubes of 4 voxels a side that begin in these columns, by name."""
    geometry = Geometry.from_spacing(SHAPE, (2.0, 1.0, 1.0))
    classes = tuple(InstanceClass(name, "organ", n) for n, name in enumerate(NAMES, start=1))
    items = []
    for number, (name, column) in enumerate(columns.items(), start=1):
        whole = np.zeros(SHAPE, dtype=bool)
        whole[1:5, 2:6, column : column + 4] = True
        box = tight_box(whole)
        items.append(Instance(number, name, "organ", 1.0, box, whole[box]))
    return Instances(geometry, items, classes)


def test_swapped_glands_are_seen_on_both_sides(headneck: ModuleType) -> None:
    truth = glands(parotid_right=1, parotid_left=14)
    swapped = glands(parotid_right=14, parotid_left=1)
    rows = headneck.objects_rows(NAMES, [(truth, truth), (swapped, truth)])
    assert [row["count"] for row in rows] == [0, 2]
    assert rows[1]["of"] == 4


def test_an_organ_counts_where_it_was_drawn(headneck: ModuleType) -> None:
    both, one = glands(parotid_right=1, parotid_left=14), glands(parotid_right=1)
    row = headneck.surface_row("parotid_left", [(both, both), (both, one), (one, both)])
    assert (row["drawn"], row["missed"], row["mean distance mm"]) == (2, 1, 0.0)


def test_overlap_is_of_the_cases_where_an_organ_was_drawn(headneck: ModuleType) -> None:
    both, one = glands(parotid_right=1, parotid_left=14), glands(parotid_right=3)
    row = headneck.overlap_row("parotid_right", [(both, one), (one, one)])
    assert (row["drawn"], row["mean Dice"], row["median volume error"]) == (2, 0.75, 0.0)
    row = headneck.overlap_row("parotid_left", [(both, one)])
    assert (row["drawn"], row["mean Dice"], row["median volume error"]) == (0, None, None)
    row = headneck.overlap_row("parotid_left", [(one, both), (both, both), (both, both)])
    assert (row["drawn"], row["mean Dice"]) == (3, pytest.approx(2 / 3))
    assert row["median volume error"] == 0.0
    row = headneck.overlap_row("parotid_left", [(one, both)])
    assert (row["drawn"], row["mean Dice"], row["median volume error"]) == (1, 0.0, -1.0)


def test_a_gland_moved_by_a_voxel_is_that_far_away(headneck: ModuleType) -> None:
    row = headneck.surface_row(
        "parotid_right", [(glands(parotid_right=2), glands(parotid_right=1))]
    )
    assert 0.2 < row["mean distance mm"] < 1.0
    assert row["95 % distance mm, median"] == pytest.approx(1.0)

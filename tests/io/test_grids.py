"""Instances on another grid of the same voxels: nothing moves, nothing is resampled."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from medseg.errors import InputRefused
from medseg.io.grids import covering, on_grid
from medseg.types import Geometry, Instance, InstanceClass, Instances

GRID = Geometry.from_spacing((5, 7, 6), (3.0, 0.8, 1.25), (-20.0, 31.0, 400.0))
CLASSES = (InstanceClass("spot", "lesion", 1),)


def spots(geometry: Geometry) -> Instances:
    mask = np.random.default_rng(0).random(geometry.shape) < 0.1
    item = Instance.from_mask(
        mask, id=3, class_name="spot", kind="lesion", probability=mask.astype(np.float16)
    )
    assert item is not None
    return Instances(geometry, [item], CLASSES)


def world(instances: Instances) -> set[tuple[float, ...]]:
    item = instances.items[0]
    index = np.argwhere(item.mask) + [part.start for part in item.box]
    return {tuple(row) for row in instances.geometry.index_to_world(index).round(6).tolist()}


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", list(itertools.product((False, True), repeat=3)))
def test_voxels_stay_where_they_are_in_the_world(axes, flips) -> None:
    found = spots(GRID)
    moved = on_grid(found, GRID.reoriented(axes, flips), "x")
    assert world(moved) == world(found)
    item = moved.items[0]
    assert np.array_equal(item.mask, item.probability == 1)


def test_a_larger_grid_holds_the_same_voxels_and_a_smaller_one_refuses_them() -> None:
    small = GRID.crop((slice(1, 4), slice(2, 6), slice(1, 5)))
    found = spots(small)
    assert world(on_grid(found, GRID, "x")) == world(found)
    with pytest.raises(InputRefused, match="object 3 lies partly outside") as refused:
        on_grid(spots(GRID), small, "x")
    assert refused.value.code == "grid-mismatch"


def test_a_probability_s_box_is_cut_at_the_border() -> None:
    wider = spots(GRID)
    item = Instance(
        1,
        "spot",
        "lesion",
        1.0,
        (slice(2, 3), slice(2, 3), slice(2, 3)),
        np.ones((1, 1, 1), dtype=bool),
        np.ones((5, 3, 3), dtype=np.float16),
        (slice(0, 5), slice(1, 4), slice(1, 4)),
    )
    small = GRID.crop((slice(1, 4), slice(0, 7), slice(0, 6)))
    moved = on_grid(replace(wider, items=[item]), small, "x").items[0]
    assert moved.probability is not None
    assert moved.probability.shape == (3, 3, 3)
    assert moved.probability_box == (slice(0, 3), slice(1, 4), slice(1, 4))


@pytest.mark.parametrize(
    "other",
    [
        Geometry.from_spacing((5, 7, 6), (3.0, 0.8, 1.3), (-20.0, 31.0, 400.0)),
        Geometry.from_spacing((5, 7, 6), (3.0, 0.8, 1.25), (-20.1, 31.0, 400.0)),
        Geometry.from_spacing((5, 7, 6), (1.5, 0.8, 1.25), (-20.0, 31.0, 400.0)),
    ],
)
def test_other_voxels_are_refused(other: Geometry) -> None:
    for call in (lambda: on_grid(spots(GRID), other, "x"), lambda: covering(other, GRID, "x")):
        with pytest.raises(InputRefused) as refused:
            call()
        assert refused.value.code == "grid-mismatch"


def test_the_grid_of_two_holds_both_and_no_more() -> None:
    one = GRID.crop((slice(0, 2), slice(2, 7), slice(1, 4)))
    other = GRID.crop((slice(3, 5), slice(0, 4), slice(1, 6))).reoriented((2, 1, 0), (1, 0, 1))
    found = covering(one, other, "x")
    assert found.same_grid(GRID.crop((slice(0, 5), slice(0, 7), slice(1, 6))))

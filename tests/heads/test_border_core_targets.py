"""Cores of objects against closed forms, and shortest ways against a slow search."""

from __future__ import annotations

import numpy as np
import pytest
from border_core_cases import UNIT, block
from head_cases import target_of
from hypothesis import given, settings
from hypothesis import strategies as st
from modelling import LESIONS, card
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from medseg.heads.border_core.nearest import UNIT_MM, spread
from medseg.heads.border_core.targets import core_target, cores, owners

CLASSES = card(LESIONS).classes
EVERYWHERE = np.ones((3, 3, 3), dtype=bool)


def cores_of(*masks: np.ndarray, spacing_mm: tuple[float, ...] = UNIT, thickness_mm: float = 2.0):
    owner = np.zeros(masks[0].shape, dtype=np.int32)
    for n, mask in enumerate(masks, start=1):
        owner[mask] = n
    return cores(owner, np.array(spacing_mm), thickness_mm)


@pytest.mark.parametrize(
    ("spacing_mm", "thickness_mm", "off"),
    [
        ((1.0, 1.0, 1.0), 2.0, (1, 1, 1)),
        ((1.0, 1.0, 1.0), 3.0, (2, 2, 2)),
        ((3.0, 1.0, 0.5), 3.0, (0, 2, 5)),
        ((4.0, 4.0, 4.0), 2.0, (1, 1, 1)),  # never less than a voxel
    ],
)
def test_the_core_of_a_block_lies_so_many_millimetres_inside(
    spacing_mm: tuple[float, ...], thickness_mm: float, off: tuple[int, ...]
) -> None:
    shape, low, high = (20, 22, 24), (2, 3, 2), (17, 20, 21)
    found = cores_of(block(shape, low, high), spacing_mm=spacing_mm, thickness_mm=thickness_mm)
    inner = block(shape, np.add(low, off), np.subtract(high, off))
    assert np.array_equal(found, inner)


def test_a_thin_object_keeps_its_innermost_voxels() -> None:
    shape = (12, 12, 12)
    three = block(shape, (2, 2, 2), (5, 10, 10))
    assert np.array_equal(cores_of(three, thickness_mm=4.0), block(shape, (3, 3, 3), (4, 9, 9)))
    # The deepest of nine voxels lies at 5 mm: six tenths of that leave those at 3 mm.
    nine = block(shape, (2, 2, 2), (11, 11, 11))
    assert np.array_equal(cores_of(nine, thickness_mm=9.0), block(shape, (4, 4, 4), (9, 9, 9)))
    one = block(shape, (2, 2, 2), (3, 10, 10))
    assert np.array_equal(cores_of(one), one)
    voxel = block(shape, (2, 2, 2), (3, 3, 3))
    assert np.array_equal(cores_of(voxel), voxel)


def test_what_the_window_cuts_has_no_border_there() -> None:
    shape = (12, 12, 12)
    found = cores_of(block(shape, (0, 2, 2), (8, 10, 10)))
    assert np.array_equal(found, block(shape, (0, 3, 3), (7, 9, 9)))
    assert cores_of(block(shape, (0, 0, 0), shape)).all()


def test_a_dumbbell_keeps_one_core() -> None:
    shape = (11, 11, 40)
    bell = block(shape, (1, 1, 2), (10, 10, 12)) | block(shape, (1, 1, 26), (10, 10, 36))
    bell |= block(shape, (4, 4, 12), (7, 7, 26))
    found = cores_of(bell, thickness_mm=3.0)
    assert ndimage.label(found, EVERYWHERE)[1] == 1
    assert found[:, :, :12].any() and found[:, :, 26:].any() and (found < bell).any()


def test_touching_objects_have_cores_apart_however_coarse_the_grid() -> None:
    shape = (8, 8, 30)
    blocks = [block(shape, (1, 1, x), (7, 7, x + 4)) for x in range(2, 26, 4)]
    for spacing_mm in (UNIT, (5.0, 0.7, 0.7), (6.0, 6.0, 6.0)):
        found = cores_of(*blocks, spacing_mm=spacing_mm)
        assert ndimage.label(found, EVERYWHERE)[1] == len(blocks)


def test_a_sheet_of_one_voxel_between_two_blocks_keeps_a_core_of_its_own() -> None:
    shape = (10, 10, 20)
    parts = [block(shape, (1, 1, a), (9, 9, b)) for a, b in ((2, 9), (9, 10), (10, 17))]
    found = cores_of(*parts)
    assert ndimage.label(found, EVERYWHERE)[1] == 3
    assert all((found & part).any() for part in parts)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_every_object_has_one_core_that_touches_no_other_object(seed: int) -> None:
    rng, shape = np.random.default_rng(seed), (16, 18, 20)
    masks = []
    for _ in range(int(rng.integers(1, 7))):
        low = rng.integers(0, 12, 3)
        masks.append(block(shape, low, low + rng.integers(2, 9, 3)))
    (owner, _) = owners(target_of(masks), CLASSES, shape)
    found = cores(owner, rng.uniform(0.5, 3.0, 3), float(rng.uniform(0.5, 4.0)))
    for n in np.unique(owner[owner > 0]):
        own = owner == n
        assert ndimage.label(found & own, EVERYWHERE)[1] == 1
        others = ndimage.binary_dilation((owner > 0) & ~own, EVERYWHERE)
        free = own & ~others
        assert not (found & own & others).any() or not free.any()
    assert not (found & (owner == 0)).any()


def test_the_smaller_of_two_objects_has_the_voxels_of_both() -> None:
    shape = (12, 12, 24)
    large, small = block(shape, (1, 1, 1), (11, 11, 14)), block(shape, (3, 3, 9), (9, 9, 18))
    for masks in ([large, small], [small, large]):
        (owner, other) = owners(target_of(masks), CLASSES, shape)
        assert not other.any() and len(np.unique(owner)) == 3
        assert len(np.unique(owner[small])) == 1
        assert np.array_equal(owner > 0, large | small)


def test_objects_are_numbered_over_the_batch_and_pieces_count_apart() -> None:
    shape = (8, 8, 16)
    pieces = block(shape, (1, 1, 1), (5, 5, 5)) | block(shape, (1, 1, 9), (5, 5, 13))
    drawn = core_target(
        [target_of([pieces]), target_of([pieces], [1]), target_of([])], CLASSES, shape, UNIT
    )
    assert drawn.core.shape == drawn.owner.shape == (3, 2, *shape)
    assert drawn.owner.unique().tolist() == [0, 1, 2, 3, 4]
    assert [int(drawn.owner[n].max()) for n in range(3)] == [2, 4, 0]
    assert int(drawn.core.sum()) == 4 * 2**3


def test_the_middle_of_a_row_goes_to_the_lower_number() -> None:
    row = np.array([[[2, 0, 0, 0, 0, 0, 1]]], dtype=np.int32)
    assert spread(row, UNIT).ravel().tolist() == [2, 2, 2, 1, 1, 1, 1]
    assert spread(row[..., ::-1], UNIT).ravel().tolist() == [1, 1, 1, 1, 2, 2, 2]


def test_a_way_goes_round_what_is_outside_and_what_is_cut_off_stays() -> None:
    owner = np.full((1, 5, 9), -1, dtype=np.int32)
    owner[0, 0], owner[0, 4], owner[0, :, 8] = 0, 0, 0
    owner[0, 0, 0], owner[0, 4, 4] = 1, 2
    owner[0, 2, 2] = 0
    found = spread(owner, UNIT)
    assert found[0, 4, 0] == 2  # four steps; the first seed is as near through the wall
    assert found[0, 0, :7].tolist() == [1] * 7 and found[0, 2, 2] == 0
    assert (found[owner == -1] == -1).all()


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_the_nearest_seed_is_that_of_a_slow_search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    owner = np.where(rng.random((5, 6, 7)) < 0.6, 0, -1).astype(np.int32)
    inside = np.argwhere(owner == 0)
    seeds = rng.permutation(len(inside))[: min(len(inside), 6)]
    owner[tuple(inside[seeds].T)] = rng.integers(1, 5, len(seeds))
    spacing_mm = rng.choice([0.7, 1.0, 2.5], 3)
    apart = np.abs(inside[:, None] - inside[None])
    row, column = np.nonzero(apart.max(axis=2) == 1)
    lengths = np.linalg.norm(apart[row, column] * spacing_mm, axis=1)
    graph = coo_array((np.rint(lengths / UNIT_MM), (row, column)), shape=[len(inside)] * 2)
    numbers = owner[tuple(inside.T)]
    distance = np.stack(
        [
            dijkstra(graph.tocsr(), indices=np.flatnonzero(numbers == n), min_only=True)
            if (numbers == n).any()
            else np.full(len(inside), np.inf)
            for n in range(1, 5)
        ]
    )
    wanted = np.where(np.isfinite(distance.min(axis=0)), 1 + distance.argmin(axis=0), 0)
    assert np.array_equal(spread(owner, spacing_mm)[tuple(inside.T)], wanted)

"""Filling of contours: answers from fractions, closed forms, and the rule for centres on edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rtstruct_builders import inside, rings

from medseg.io.rtstruct.keyhole import with_keyholes
from medseg.io.rtstruct.nesting import nesting, repeated, without_area
from medseg.io.rtstruct.rasterise import UNITS, areas_voxels, fill, to_units
from medseg.io.rtstruct.trace import trace

quarters = st.integers(-8, 48).map(lambda n: n / 4)
polygons = st.lists(st.tuples(quarters, quarters), min_size=3, max_size=9)
masks = hnp.arrays(bool, st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)))
SHAPE = (1, 10, 10)
SQUARE = [(2, 2), (2, 7), (7, 7), (7, 2)]
HOLE = [(3.5, 3.5), (3.5, 5.5), (5.5, 5.5), (5.5, 3.5)]


def brute_force(*parts: list[tuple[float, float]]) -> np.ndarray:
    expected = np.zeros(SHAPE, dtype=bool)
    for _, row, column in np.ndindex(SHAPE):
        expected[0, row, column] = sum(inside(part, row, column) for part in parts) % 2
    return expected


@settings(max_examples=150)
@given(polygons, polygons)
def test_filling_is_that_of_exact_fractions_for_any_polygons(one, other):
    """They cross themselves and each other, and run through centres of voxels."""
    assert np.array_equal(fill(rings(one, other), SHAPE), brute_force(one, other))


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9)), min_size=3, max_size=7))
def test_rounding_points_moves_only_centres_that_lie_on_the_contour(polygon):
    found = fill(rings(polygon), SHAPE)
    for _, row, column in np.argwhere(found != brute_force(polygon)):
        ends = np.array([*polygon, polygon[0]])
        near = []
        for start, step in zip(ends[:-1], np.diff(ends, axis=0), strict=True):
            length = step @ step
            t = np.clip((np.array([row, column]) - start) @ step / length, 0, 1) if length else 0
            near.append(np.linalg.norm(start + t * step - (row, column)))
        assert min(near) < 1 / UNITS


def test_centres_on_an_edge_belong_to_the_side_of_growing_rows_and_columns():
    found = np.argwhere(fill(rings(SQUARE), SHAPE)[0])
    assert found.min(axis=0).tolist() == [2, 2]
    assert found.max(axis=0).tolist() == [6, 6]


@settings(max_examples=60)
@given(st.lists(st.tuples(quarters, quarters), min_size=1, max_size=5))
def test_two_regions_that_share_a_boundary_part_all_voxels_between_them(boundary):
    """However the boundary runs, also through centres."""
    left = [(-3, -3), (-3, 0), *boundary, (13, 4), (13, -3)]
    right = [(-3, 13), (13, 13), (13, 4), *reversed(boundary), (-3, 0)]
    together = fill(rings(left, right), SHAPE)
    apart = fill(rings(left), SHAPE) ^ fill(rings(right), SHAPE)
    assert np.array_equal(together, apart)
    assert together.all()


def test_a_hole_is_the_same_by_parity_and_through_a_keyhole():
    keyhole = [(2, 2), (2, 7), (7, 7), (7, 2), (3.5, 2), *HOLE[:1], *HOLE[:0:-1], HOLE[0], (3.5, 2)]
    by_parity = fill(rings(SQUARE, HOLE), SHAPE)
    assert np.array_equal(by_parity, fill(rings(keyhole), SHAPE))
    assert by_parity.sum() == 25 - 4


def test_an_island_in_a_hole_is_filled():
    island = [(3.6, 3.6), (3.6, 4.4), (4.4, 4.4), (4.4, 3.6)]
    assert fill(rings(SQUARE, HOLE, island), SHAPE).sum() == 25 - 4 + 1


def test_what_lies_outside_the_box_is_left_out():
    whole = fill(rings(SQUARE, HOLE, planes=[1, 1]), (3, 10, 10))
    assert np.array_equal(
        fill(rings(SQUARE, HOLE, planes=[1, 1]), (2, 4, 3), (1, 3, 4)), whole[1:3, 3:7, 4:7]
    )
    assert not fill(rings(), SHAPE).any()


def test_points_beyond_exact_arithmetic_are_refused():
    with pytest.raises(ValueError, match="voxels away"):
        to_units(np.array([[0.0, 2.0**20]]))
    with pytest.raises(ValueError, match="voxels away"):
        to_units(np.array([[0.0, np.nan]]))
    big = 2.0**20 - 1
    assert fill(rings([(-big, -big), (-big, big), (big, big), (big, -big)]), SHAPE).all()


@settings(max_examples=150)
@given(masks)
def test_rings_of_voxel_edges_give_back_the_voxels(mask):
    traced = trace(mask, (4, -2, 7))
    assert np.array_equal(fill(traced, mask.shape, (4, -2, 7)), mask)


@settings(max_examples=150)
@given(masks)
def test_keyholes_give_the_voxels_by_parity_and_by_union(mask):
    joined = with_keyholes(trace(mask))
    assert np.array_equal(fill(joined, mask.shape), mask)
    union = np.zeros_like(mask)
    for number in range(len(joined.ends)):
        alone = fill(joined.chosen(np.array([number])), mask.shape)
        assert not (union & alone).any()
        union |= alone
    assert np.array_equal(union, mask)


def test_voxels_that_meet_in_a_corner_have_rings_of_their_own():
    mask = np.array([[[1, 0], [0, 1]]], dtype=bool)
    assert [len(trace(mask).ring(n)) for n in range(len(trace(mask).ends))] == [4, 4]


def test_a_ring_has_points_only_where_it_turns_and_holes_turn_the_other_way():
    mask = np.ones((1, 5, 6), dtype=bool)
    mask[0, 2, 2:4] = False
    outer, hole = (trace(mask).ring(n) / UNITS for n in range(2))
    assert outer.tolist() == [[-0.5, -0.5], [-0.5, 5.5], [4.5, 5.5], [4.5, -0.5]]
    assert {tuple(point) for point in hole} == {(1.5, 1.5), (1.5, 3.5), (2.5, 3.5), (2.5, 1.5)}
    turns = []
    for ring in (outer, hole):
        (y0, x0), (y1, x1) = np.diff(ring[:3], axis=0)
        turns.append(x0 * y1 - y0 * x1)
    assert turns[0] > 0 > turns[1]


def test_an_empty_mask_has_no_ring():
    assert len(with_keyholes(trace(np.zeros((2, 3, 4), dtype=bool))).ends) == 0


@settings(max_examples=50)
@given(masks)
def test_area_inside_voxel_edges_is_the_number_of_voxels(mask):
    for traced in (trace(mask), with_keyholes(trace(mask))):
        assert nesting(traced).area_voxels == pytest.approx(mask.sum())
        assert nesting(traced).crossing_voxels == 0


def test_area_is_that_of_the_closed_form():
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    circle = [(20 + 10 * np.sin(a), 20 + 10 * np.cos(a)) for a in angle]
    assert areas_voxels(rings(circle))[0] == pytest.approx(np.pi * 100, rel=1e-3)
    assert fill(rings(circle), (1, 40, 40)).sum() == pytest.approx(np.pi * 100, rel=0.03)


def test_contours_that_cross_are_counted_by_the_voxels_in_both():
    other = [(y + 2, x + 2) for y, x in SQUARE]
    assert nesting(rings(SQUARE, other)).crossing_voxels == 9
    assert nesting(rings(SQUARE, HOLE)).crossing_voxels == 0
    assert nesting(rings(SQUARE, other, planes=[0, 1])).crossing_voxels == 0


def test_copies_and_lines_are_found():
    turned = [*SQUARE[2:], *SQUARE[:2]][::-1]
    line = [(1, 1), (2, 2), (5, 5)]
    eight = [(0, 0), (4, 4), (0, 4), (4, 0)]
    made = rings(SQUARE, HOLE, turned, line, eight, planes=[0, 0, 0, 0, 0])
    assert repeated(made).tolist() == [2]
    assert without_area(made).tolist() == [3]
    assert repeated(rings(SQUARE, SQUARE, planes=[0, 1])).tolist() == []

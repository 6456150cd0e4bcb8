"""Grids of all 48 axis orders, oblique, sheared and anisotropic: where their voxels lie."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from medseg.types import Geometry, Volume, check_box, reoriented_array

ORDERS = [
    (axes, flips)
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((False, True), repeat=3)
]
SPL = np.eye(3)[:, ::-1]  # columns: z, y, x lead to S, P, L
SHAPES = st.tuples(*[st.integers(1, 6)] * 3)


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_subnormal=False)


@st.composite
def geometries(draw: st.DrawFn, degrees: float = 180, shear: float = 0.4) -> Geometry:
    """A grid of any axis order, turned about a random axis, sheared and anisotropic."""
    axes, flips = draw(st.sampled_from(ORDERS))
    turn = Rotation.from_rotvec(
        np.deg2rad(draw(numbers(-degrees, degrees))) * _unit(draw(st.tuples(*[numbers(-1, 1)] * 3)))
    ).as_matrix()
    sheared = np.eye(3)
    sheared[[0, 0, 1], [1, 2, 2]] = draw(st.tuples(*[numbers(-shear, shear)] * 3))
    spacing = draw(st.tuples(*[numbers(0.2, 8)] * 3))
    affine = np.eye(4)
    affine[:3, :3] = (turn @ sheared @ SPL * spacing)[:, axes] * np.where(flips, -1, 1)
    affine[:3, 3] = draw(st.tuples(*[numbers(-500, 500)] * 3))
    return Geometry(draw(SHAPES), affine)


def _unit(way: tuple[float, float, float]) -> np.ndarray:
    length = np.linalg.norm(way)
    return np.array(way) / length if length > 1e-3 else np.array([0.0, 0.0, 1.0])


def all_indices(shape: tuple[int, int, int]) -> np.ndarray:
    return np.argwhere(np.ones(shape, bool))


# Making one


def test_a_straight_grid_leads_to_s_p_l_in_millimetres() -> None:
    grid = Geometry.from_spacing((4, 5, 6), (3.0, 2.0, 1.0), (10.0, 20.0, 30.0))
    assert grid.shape == (4, 5, 6)
    assert grid.spacing_mm == (3.0, 2.0, 1.0)
    assert grid.origin_mm == (10.0, 20.0, 30.0)
    assert grid.index_to_world((1, 0, 0)).tolist() == [10, 20, 33]
    assert grid.index_to_world((0, 1, 0)).tolist() == [10, 22, 30]
    assert grid.index_to_world((0, 0, 1)).tolist() == [11, 20, 30]
    assert grid.voxel_ml == pytest.approx(0.006)
    assert np.array_equal(grid.direction, SPL)


def test_identity_is_one_millimetre_from_the_origin() -> None:
    grid = Geometry.identity((2, 3, 4))
    assert (grid.spacing_mm, grid.origin_mm) == ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    assert grid.index_to_world((1, 2, 3)).tolist() == [3, 2, 1]


def changed(row: int, column: int, value: float) -> np.ndarray:
    affine = np.eye(4)
    affine[row, column] = value
    return affine


@pytest.mark.parametrize(
    ("shape", "affine", "said"),
    [
        ((2, 3), np.eye(4), r"three whole lengths of at least 1; got \(2, 3\)"),
        ((2, 3, 0), np.eye(4), r"got \(2, 3, 0\)"),
        ((2, 3, -1), np.eye(4), r"got \(2, 3, -1\)"),
        ((2, 3, 4.5), np.eye(4), r"got \(2, 3, 4.5\)"),
        ((2, 3, 4), np.eye(3), r"finite 4x4 matrix; got shape \(3, 3\)"),
        ((2, 3, 4), changed(0, 3, np.nan), "finite 4x4 matrix"),
        ((2, 3, 4), changed(1, 1, np.inf), "finite 4x4 matrix"),
        ((2, 3, 4), changed(3, 0, 1.0), r"the last row of an affine is 0 0 0 1; got \[1.0, 0.0"),
        ((2, 3, 4), changed(2, 2, 0.0), "singular"),
    ],
)
def test_what_spans_no_three_dimensions_is_refused(shape, affine, said) -> None:
    with pytest.raises(ValueError, match=said):
        Geometry(shape, affine)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_two_parallel_axes_are_singular_at_any_scale(size: float) -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.array([[1, 1, 0], [2, 2, 0], [3, 3, 1]]) * size
    with pytest.raises(ValueError, match="singular"):
        Geometry((2, 2, 2), affine)


def test_a_grid_of_micrometres_is_not_singular() -> None:
    grid = Geometry.from_spacing((2, 2, 2), (0.001, 0.001, 0.001))
    assert grid.voxel_ml == pytest.approx(1e-12)


# Index and world


@given(geometries())
def test_world_and_index_are_inverse(grid: Geometry) -> None:
    index = all_indices(grid.shape) - 0.25
    world = grid.index_to_world(index)
    assert world.shape == index.shape
    assert np.allclose(grid.world_to_index(world), index, atol=1e-6)
    assert np.allclose(world[0], (grid.affine @ [*index[0], 1])[:3])


def test_points_keep_their_leading_shape() -> None:
    grid = Geometry.identity((2, 3, 4))
    assert grid.index_to_world(np.zeros((5, 6, 3))).shape == (5, 6, 3)
    assert grid.world_to_index([1, 2, 3]).tolist() == [3, 2, 1]


@given(geometries())
def test_spacing_direction_and_volume_are_those_of_one_voxel(grid: Geometry) -> None:
    corner = grid.index_to_world((0, 0, 0))
    steps = grid.index_to_world(np.eye(3)) - corner
    assert np.allclose(np.linalg.norm(steps, axis=1), grid.spacing_mm)
    assert np.allclose(grid.direction * grid.spacing_mm, steps.T)
    z, y, x = steps
    assert grid.voxel_ml * 1000 == pytest.approx(abs(z @ np.cross(y, x)))


@given(geometries(shear=0.0))
def test_a_turned_grid_is_orthogonal(grid: Geometry) -> None:
    assert grid.is_orthogonal
    assert grid.voxel_ml * 1000 == pytest.approx(np.prod(grid.spacing_mm))


@pytest.mark.parametrize(("cosine", "orthogonal"), [(5e-5, True), (2e-4, False), (0.3, False)])
def test_a_sheared_grid_is_not_orthogonal(cosine: float, orthogonal: bool) -> None:
    affine = np.eye(4)
    affine[0, 1] = cosine
    assert Geometry((2, 2, 2), affine).is_orthogonal is orthogonal


# Other orders


@given(geometries(), st.sampled_from(ORDERS))
def test_a_value_stays_at_its_place_in_the_world_in_any_order(grid: Geometry, order) -> None:
    values = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    turned = Volume(values, grid).reoriented(*order)
    places = grid.index_to_world(all_indices(grid.shape))
    found = turned.geometry.index_to_world(all_indices(turned.geometry.shape))
    assert np.allclose(found[np.argsort(turned.array.ravel())], places, atol=1e-6)
    assert turned.geometry.voxel_ml == pytest.approx(grid.voxel_ml)


@pytest.mark.parametrize("order", ORDERS)
def test_closest_axes_undo_any_order_exactly(order) -> None:
    straight = Geometry.from_spacing((3, 4, 5), (2.0, 1.0, 0.5), (7.0, 8.0, 9.0))
    values = np.arange(60).reshape(straight.shape)
    turned = straight.reoriented(*order)
    back = turned.closest_axes()
    assert turned.reoriented(*back) == straight
    assert np.array_equal(reoriented_array(reoriented_array(values, *order), *back), values)


@given(geometries(degrees=20, shear=0.1))
def test_closest_axes_bring_a_nearly_straight_grid_to_s_p_l(grid: Geometry) -> None:
    turned = grid.reoriented(*grid.closest_axes())
    cosines = turned.direction[[2, 1, 0]]
    assert (np.diag(cosines) > 0.85).all()
    assert turned.closest_axes() == ((0, 1, 2), (False, False, False))


@given(geometries())
def test_closest_axes_are_the_best_of_all_48(grid: Geometry) -> None:
    def nearness(order) -> float:
        return float(np.trace(grid.reoriented(*order).direction[[2, 1, 0]]))

    assert nearness(grid.closest_axes()) == pytest.approx(max(map(nearness, ORDERS)))


@pytest.mark.parametrize("axes", [(0, 1, 1), (0, 1, 3), (0, 1)])
def test_an_order_that_is_none_is_refused(axes) -> None:
    with pytest.raises(ValueError, match=r"axes is an order of 0, 1, 2; got \(0, 1"):
        Geometry.identity((2, 3, 4)).reoriented(axes, (False, False, False))


# Parts


@given(geometries(), st.data())
def test_a_crop_keeps_the_place_of_each_voxel(grid: Geometry, data: st.DataObject) -> None:
    starts = [data.draw(st.integers(0, n - 1)) for n in grid.shape]
    stops = [data.draw(st.integers(a + 1, n)) for a, n in zip(starts, grid.shape, strict=True)]
    part = grid.crop(tuple(slice(a, b) for a, b in zip(starts, stops, strict=True)))
    assert part.shape == tuple(np.subtract(stops, starts))
    index = all_indices(part.shape)
    assert np.allclose(part.index_to_world(index), grid.index_to_world(index + starts), atol=1e-6)


@pytest.mark.parametrize(
    "part",
    [
        slice(0, 5),
        slice(-1, 2),
        slice(2, 2),
        slice(3, 1),
        slice(0, 4, 2),
        slice(None, 2),
        slice(1, None),
    ],
)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_that_leaves_the_grid_is_refused(axis: int, part: slice) -> None:
    box = [slice(0, 1)] * 3
    box[axis] = part
    with pytest.raises(ValueError, match="is empty, has a step or leaves the grid"):
        Geometry.identity((4, 4, 4)).crop(tuple(box))


def test_a_checked_box_has_plain_numbers() -> None:
    box = check_box((slice(np.int64(0), np.int64(2)), slice(0, 1), slice(0, 1, 1)), (2, 2, 2))
    assert box == (slice(0, 2), slice(0, 1), slice(0, 1))
    assert type(box[0].stop) is int


# Comparing


@given(geometries())
def test_a_grid_equals_its_copy_and_its_detour(grid: Geometry) -> None:
    twin = Geometry(list(grid.shape), grid.affine.tolist())
    assert twin == grid
    assert hash(twin) == hash(grid)
    assert len({twin, grid}) == 1
    assert grid.same_grid(twin)
    there_and_back = grid.reoriented((2, 0, 1), (True, False, True)).reoriented(
        (1, 2, 0), (False, True, True)
    )
    assert there_and_back.same_grid(grid)


def test_a_zero_without_sign_is_the_same_grid() -> None:
    negative = -np.eye(4) * 0.0 + np.eye(4)
    negative[0, 3] = -0.0
    one, other = Geometry((2, 2, 2), negative), Geometry((2, 2, 2), np.eye(4))
    assert one == other
    assert hash(one) == hash(other)


def test_grids_that_differ_are_not_equal() -> None:
    grid = Geometry.identity((2, 3, 4))
    assert grid != Geometry.identity((2, 3, 5))
    assert grid != Geometry.from_spacing((2, 3, 4), (1, 1, 1.001))
    assert grid != "a grid"


@pytest.mark.parametrize(("shift_mm", "same"), [(0.0009, True), (0.0011, False)])
def test_same_grid_allows_a_shift_up_to_its_tolerance(shift_mm: float, same: bool) -> None:
    grid = Geometry.identity((2, 3, 4))
    other = Geometry.from_spacing((2, 3, 4), (1, 1, 1), (shift_mm, 0, 0))
    assert grid.same_grid(other) is same
    assert grid.same_grid(other, atol_mm=0.01)


def test_same_grid_sees_what_grows_towards_the_far_corner() -> None:
    grid = Geometry.identity((512, 512, 512))
    assert not grid.same_grid(Geometry.from_spacing(grid.shape, (1, 1, 1.00001)))
    assert not grid.same_grid(Geometry.identity((512, 512, 511)))


def test_same_grid_sees_another_thickness_of_a_single_slice() -> None:
    thin = Geometry.from_spacing((1, 8, 8), (1.0, 1.0, 1.0))
    assert not thin.same_grid(Geometry.from_spacing((1, 8, 8), (5.0, 1.0, 1.0)))


# Not changing


def test_a_grid_cannot_be_changed() -> None:
    source = np.eye(4)
    grid = Geometry((2, 3, 4), source)
    source[0, 3] = 5
    assert grid.origin_mm == (0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 0] = 2
    with pytest.raises(AttributeError, match="no setter"):
        grid.shape = (1, 1, 1)  # type: ignore[misc]
    with pytest.raises(AttributeError, match="no attribute"):
        grid.note = "mine"  # type: ignore[attr-defined]


def test_a_copy_cannot_be_changed_either() -> None:
    twin = copy.deepcopy(Geometry.identity((2, 3, 4)))
    assert twin == Geometry.identity((2, 3, 4))
    with pytest.raises(ValueError, match="read-only"):
        twin.affine[0, 0] = 2


def test_its_text_says_shape_spacing_and_origin() -> None:
    text = repr(Geometry.from_spacing((2, 3, 4), (3, 0.7, 0.7), (-10, 20, 30.5)))
    assert text == (
        "Geometry(shape=(2, 3, 4), spacing_mm=(3, 0.7, 0.7), origin_mm=(-10, 20, 30.5))"
    )

"""Solids: their voxels, volumes and extents against brute force and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from medseg.phantom import Superellipsoid, rasterise, truth_of
from medseg.types import Geometry, InstanceClass

CLASSES = (InstanceClass("ball", "lesion", 1),)


def turned(seed: int) -> tuple[tuple[float, ...], ...]:
    matrix = Rotation.from_quat(np.random.default_rng(seed).normal(size=4)).as_matrix()
    return tuple(tuple(row) for row in matrix.tolist())


def grid(spacing_mm: tuple[float, float, float], seed: int | None, shear: float = 0.0) -> Geometry:
    """A grid of 60 mm around the world's origin, straight or turned and sheared."""
    shape = tuple(math.ceil(60 / mm) for mm in spacing_mm)
    affine = Geometry.from_spacing(shape, spacing_mm).affine.copy()
    affine[:3, 1] += shear * affine[:3, 2]
    if seed is not None:
        affine[:3, :3] = np.array(turned(seed)) @ affine[:3, :3]
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Geometry(shape, affine)


def voxels_ml(solid: Superellipsoid, geometry: Geometry) -> float:
    drawn = rasterise(solid, geometry)
    assert drawn is not None
    return int(drawn[1].sum()) * geometry.voxel_ml


@pytest.mark.parametrize(
    ("solid", "volume_ml"),
    [
        (Superellipsoid("ball", (0, 0, 0), (10, 10, 10)), 4 / 3 * math.pi),
        (Superellipsoid("ball", (0, 0, 0), (5, 10, 20)), 4 / 3 * math.pi),
        (Superellipsoid("ball", (0, 0, 0), (10, 10, 10), hollow=0.5), 4 / 3 * math.pi * 7 / 8),
        (Superellipsoid("ball", (0, 0, 0), (10, 10, 10), exponent=1000), 8.0),  # nearly a cube
        (Superellipsoid("ball", (0, 0, 0), (10, 10, 10), exponent=1.0001), 4 / 3),  # an octahedron
    ],
)
def test_the_volume_is_the_closed_form(solid: Superellipsoid, volume_ml: float) -> None:
    assert solid.volume_ml == pytest.approx(volume_ml, rel=1e-3)


@pytest.mark.parametrize("exponent", [1.5, 2.0, 2.4, 4.0])
@pytest.mark.parametrize("hollow", [0.0, 0.55])
@pytest.mark.parametrize(
    ("geometry", "rel"),
    [
        (grid((0.7, 0.7, 0.7), None), 0.01),
        (grid((0.7, 0.7, 0.7), 3), 0.01),
        (grid((2.0, 0.6, 0.8), 4), 0.02),
        (grid((1.0, 0.8, 0.7), 5, shear=0.3), 0.02),
    ],
)
def test_voxels_add_up_to_the_closed_form_on_any_grid(exponent, hollow, geometry, rel) -> None:
    solid = Superellipsoid("ball", (1.3, -2.1, 0.4), (9, 13, 16), turned(1), exponent, hollow)
    assert voxels_ml(solid, geometry) == pytest.approx(solid.volume_ml, rel=rel)


@settings(max_examples=40)
@given(
    st.tuples(*[st.floats(-35, 35, allow_subnormal=False)] * 3),
    st.tuples(*[st.floats(1, 20, allow_subnormal=False)] * 3),
    st.sampled_from([1.5, 2.0, 4.0]),
    st.sampled_from([0.0, 0.6]),
    st.integers(0, 50),
)
def test_a_voxel_belongs_to_a_solid_where_its_centre_does(centre, axes, exponent, hollow, seed):
    geometry = grid((3.1, 2.2, 1.9), seed, shear=0.2)
    solid = Superellipsoid("ball", centre, axes, turned(seed + 100), exponent, hollow)
    places = geometry.index_to_world(np.moveaxis(np.indices(geometry.shape), 0, -1))
    local = (places - centre) @ np.array(solid.rotation) / axes
    level = (np.abs(local) ** exponent).sum(axis=-1)
    clear = np.abs(level - 1) > 1e-9  # the rest is on the surface but for rounding
    clear &= np.abs(level - hollow**exponent) > 1e-9
    mask, filled = np.zeros((2, *geometry.shape), bool)
    drawn = rasterise(solid, geometry)
    if drawn is not None:
        mask[drawn[0]], filled[drawn[0]] = drawn[1], drawn[2]
    assert np.array_equal(filled[clear], (level <= 1)[clear])
    assert np.array_equal(mask[clear], ((level <= 1) & (level >= hollow**exponent))[clear])


@settings(max_examples=40)
@given(st.sampled_from([1.5, 2.0, 2.4, 4.0]), st.integers(0, 100))
def test_reach_and_extent_are_those_of_the_surface(exponent: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    solid = Superellipsoid("ball", (5, 6, 7), (3, 8, 12), turned(seed), exponent)
    ways = rng.normal(size=(20000, 3))
    surface = ways * solid.reach_mm(ways)[:, None]
    assert np.allclose(solid.level(np.add(surface, solid.centre_mm)), 1)
    rows = rng.normal(size=(4, 3))
    widest = (surface @ rows.T).max(axis=0)
    assert (widest <= solid.extent(rows) * (1 + 1e-9)).all()
    assert widest == pytest.approx(solid.extent(rows), rel=0.02)


def test_the_level_says_how_far_out_a_point_lies() -> None:
    solid = Superellipsoid("ball", (1, 2, 3), (10, 20, 30), hollow=0.5)
    points = [(1, 2, 3), (6, 2, 3), (11, 2, 3), (1, 22, 3), (1, 2, 63)]
    assert solid.level(points).tolist() == pytest.approx([0, 0.5, 1, 1, 2])


@pytest.mark.parametrize(
    "changes", [{"semi_axes_mm": (1, 0, 1)}, {"hollow": 1.0}, {"hollow": -0.1}, {"exponent": 1.0}]
)
def test_a_solid_that_is_none_is_refused(changes) -> None:
    good = {"class_name": "ball", "centre_mm": (0, 0, 0), "semi_axes_mm": (1, 1, 1)}
    with pytest.raises(ValueError, match="semi-axes above 0, hollow in"):
        Superellipsoid(**{**good, **changes})


def test_a_solid_beside_the_grid_has_no_voxel() -> None:
    solid = Superellipsoid("ball", (100, 0, 0), (10, 10, 10))
    assert rasterise(solid, grid((1, 1, 1), None)) is None


def test_solids_become_instances_in_their_order() -> None:
    geometry = grid((1, 1, 1), 7)
    solids = [Superellipsoid("ball", (x, 0, 0), (4, 5, 6)) for x in (-10, 10, 12)]
    truth = truth_of(solids, geometry, CLASSES)
    assert [item.id for item in truth] == [1, 2, 3]
    for item, solid in zip(truth, solids, strict=True):
        index = np.argwhere(item.mask) + [part.start for part in item.box]
        middle = geometry.index_to_world(index.mean(axis=0))
        assert middle == pytest.approx(np.array(solid.centre_mm), abs=0.2)


def test_a_solid_between_voxel_centres_is_refused() -> None:
    geometry = Geometry.from_spacing((8, 8, 8), (5.0, 5.0, 5.0))
    with pytest.raises(ValueError, match="is too coarse or too small for Superellipsoid"):
        truth_of([Superellipsoid("ball", (7.5, 7.5, 7.5), (1, 1, 1))], geometry, CLASSES)

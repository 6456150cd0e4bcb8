"""The largest 3D diameter, against all distances between all vertices of the mesh."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from relation_cases import as_study, overlapping_masks
from scipy.spatial.distance import pdist

from medseg.measurement.shape import mask_shape, shapes

STRAIGHT = (1.0, 1.0, 1.0)


def vertices(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The middles of all edges from a voxel inside to a neighbour outside, as indices (V, 3)."""
    padded = np.pad(mask, 1)
    found = []
    for axis in range(3):
        step = np.eye(3)[axis]
        crossing = np.diff(padded.astype(np.int8), axis=axis) != 0
        found.append(np.argwhere(crossing) - 1 + step / 2)
    return np.concatenate(found)


def slow_diameter(mask: NDArray[np.bool_], linear: NDArray[np.float64]) -> float:
    return float(pdist(vertices(mask) @ linear.T).max())


def diameter(mask: NDArray[np.bool_], linear: NDArray[np.float64]) -> float:
    return float(shapes(as_study(mask[None], linear)).diameter_3d_mm[0])


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7)),
    filled=st.sampled_from([0.05, 0.3, 0.7, 1.0]),
    sheared=st.booleans(),
)
@settings(max_examples=1000)
def test_it_is_the_largest_distance_of_two_vertices_of_overlapping_objects_too(
    seed, shape, filled, sheared
) -> None:
    rng = np.random.default_rng(seed)
    masks = overlapping_masks(rng, 2, shape, filled)
    linear = np.diag(rng.uniform(0.3, 5.0, size=3))
    if sheared:
        linear = rng.normal(size=(3, 3)) + 2 * np.eye(3)
    wanted = [slow_diameter(mask, linear) for mask in masks]
    assert shapes(as_study(masks, linear)).diameter_3d_mm == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("width", [61, 62, 63, 64, 125, 126, 127, 190])
def test_rows_longer_than_a_machine_word_count_whole(width: int) -> None:
    mask = np.zeros((2, 3, width), dtype=bool)
    mask[0, 0, 0] = mask[1, 2, -1] = mask[0, 1, width // 2] = True
    linear = np.diag([2.0, 1.5, 1.0])
    assert diameter(mask, linear) == pytest.approx(slow_diameter(mask, linear), rel=1e-12)


def ball(radius: float, off: float = 0.0) -> NDArray[np.bool_]:
    reach = math.ceil(radius) + 1
    z, y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1, -reach : reach + 1]
    return (z - off) ** 2 + (y + off / 2) ** 2 + (x - off / 3) ** 2 <= radius**2


def constant_width(width: float) -> NDArray[np.bool_]:
    """As good as as wide in all directions, and no ball: where no pair is far from the best."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * width / math.sqrt(8)
    axis = np.arange(-math.ceil(width * 0.7), math.ceil(width * 0.7) + 1)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    apart = np.linalg.norm(points[..., None, :] - corners, axis=-1)
    return (apart <= width).all(axis=-1)


def shell(radius: int) -> NDArray[np.bool_]:
    return ball(radius, 0.4) & ~np.pad(ball(radius - 2, 0.4), 2)


def two_far_apart() -> NDArray[np.bool_]:
    mask = np.zeros((40, 30, 20), dtype=bool)
    mask[:3, :3, :3] = mask[-3:, -3:, -3:] = True
    return mask


def plate() -> NDArray[np.bool_]:
    y, x = np.ogrid[-20:21, -20:21]
    return (y * y + x * x <= 400)[None]


@pytest.mark.parametrize(
    "mask",
    [ball(9.0), ball(9.3, 0.37), constant_width(20.0), shell(9), two_far_apart(), plate()],
    ids=["ball", "ball off the grid", "constant width", "shell", "two parts", "plate"],
)
@pytest.mark.parametrize("spacing_mm", [STRAIGHT, (2.5, 0.8, 0.8)])
def test_it_is_exact_where_many_pairs_are_nearly_as_far_apart(mask, spacing_mm) -> None:
    found = mask_shape(mask, spacing_mm).diameter_3d_mm
    assert found == pytest.approx(slow_diameter(mask, np.diag(spacing_mm)), rel=1e-12)


@pytest.mark.parametrize("counts", [(1, 1, 1), (1, 1, 9), (4, 5, 6), (7, 2, 2)])
def test_of_a_box_it_reaches_from_face_to_face(counts: tuple[int, int, int]) -> None:
    # Vertices lie half a voxel outside the outermost centres, along one axis at a time.
    spacing = np.array([3.0, 1.0, 0.5])
    ends = [(np.array(counts) - 1 + np.eye(3)[axis]) * spacing for axis in range(3)]
    found = mask_shape(np.ones(counts, dtype=bool), (3.0, 1.0, 0.5)).diameter_3d_mm
    assert found == pytest.approx(max(np.linalg.norm(end) for end in ends), rel=1e-12)


def test_a_larger_ball_is_as_wide_as_it_is() -> None:
    # 2 * 60 voxels from centre to centre and half a voxel on either side.
    assert mask_shape(ball(60.0), STRAIGHT).diameter_3d_mm == pytest.approx(121.0, rel=1e-12)

"""Crops across an image's grid, and their objects back on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from brain_cases import ball_ml, model
from scipy.spatial.transform import Rotation

from medseg.inference.oblique import around, crop_grid, cropped, on_grid
from medseg.types import Geometry, Instance, InstanceClass, Instances, Volume, tight_box

TURN = Rotation.from_euler("xyz", (25, -10, 40), degrees=True).as_matrix()
BALL = InstanceClass("ball", "organ", 1)


def distance_mm(geometry: Geometry, centre_mm: np.ndarray) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    return np.linalg.norm(geometry.index_to_world(index) - centre_mm, axis=-1)


def ball(geometry: Geometry, centre_mm: np.ndarray, *, soft: bool) -> Instances:
    probability = 1 / (1 + np.exp(2 * (distance_mm(geometry, centre_mm) - 8.0)))
    mask = probability > 0.5
    box = tight_box(mask)
    assert box is not None
    item = Instance(1, "ball", "organ", 1.0, box, mask[box])
    if soft:
        whole = tight_box(np.ones_like(mask))
        crop = probability.astype(np.float16)
        item = replace(item, probability=crop, probability_box=whole)
    return Instances(geometry, [item], (BALL,))


def test_a_crop_lies_around_its_point_with_its_axes_as_the_turn_says() -> None:
    grid = crop_grid([10.0, -4.0, 7.0], TURN, model().card)
    assert grid.shape == (16, 16, 16) and grid.spacing_mm == pytest.approx((2, 2, 2))
    np.testing.assert_allclose(grid.index_to_world([7.5, 7.5, 7.5]), [10, -4, 7], atol=1e-9)
    np.testing.assert_allclose(grid.direction, TURN[:, ::-1], atol=1e-12)


def test_a_crop_shows_the_values_of_the_world_it_lies_in() -> None:
    source = Geometry.from_spacing((60, 70, 80), (1.0, 1.2, 0.9), (-30.0, -40.0, -30.0))
    index = np.stack(np.meshgrid(*map(np.arange, source.shape), indexing="ij"), axis=-1)
    ramp = source.index_to_world(index) @ np.array([1.0, 2.0, -3.0])
    grid = crop_grid([2.0, 1.0, -1.0], TURN, model().card)
    part = cropped(Volume(ramp.astype(np.float32), source, "MR"), grid)
    at = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    wanted = grid.index_to_world(at) @ np.array([1.0, 2.0, -3.0])
    inner = (slice(4, -4),) * 3  # beyond the border of the image there is its minimum
    np.testing.assert_allclose(part.array[inner], wanted[inner], atol=0.05)
    assert part.geometry == grid and part.modality == "MR"


def test_what_lies_around_a_point_is_cut_out_as_it_is() -> None:
    array = np.random.default_rng(0).normal(size=(30, 40, 50)).astype(np.float32)
    geometry = Geometry.from_spacing(array.shape, (4.0, 2.0, 1.0))
    volume = Volume(array, geometry, "MR").reoriented((1, 2, 0), (False, True, False))
    part = around(volume, [20.0, 40.0, 60.0], (32.0, 32.0, 32.0))
    np.testing.assert_array_equal(
        part.reoriented((2, 0, 1), (False, False, True)).array, array[11:20, 12:29, 4:37]
    )
    edge = around(volume, [-900.0, 40.0, 60.0], (32.0, 32.0, 32.0))
    assert 0 < edge.array.size < part.array.size


def test_a_crop_beyond_the_image_holds_one_value() -> None:
    volume = Volume(np.arange(27, dtype=np.float32).reshape(3, 3, 3), Geometry.identity((3, 3, 3)))
    part = cropped(volume, crop_grid([500.0, 0.0, 0.0], TURN, model().card))
    assert np.ptp(part.array) == 0


@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (3.0, 0.8, 0.8)])
def test_an_organ_keeps_place_and_volume_on_a_grid_across(spacing_mm, soft) -> None:
    shape = [round(60 / mm) for mm in spacing_mm]
    target = Geometry.from_spacing(shape, spacing_mm, (-30.0, -30.0, -30.0))
    centre = np.array([1.3, -2.2, 0.7])
    grid = crop_grid(centre, TURN, model().card)
    (found,) = on_grid(ball(grid, centre, soft=soft), target)
    assert found.voxel_count * target.voxel_ml == pytest.approx(ball_ml(8.0), rel=0.08)
    where = np.argwhere(found.mask) + [part.start for part in found.box]
    np.testing.assert_allclose(target.index_to_world(where).mean(axis=0), centre, atol=0.3)
    assert found.probability is not None and found.probability[found.core][found.mask].min() > 0.4


def test_a_probability_that_ends_at_its_mask_does_not_shrink_it() -> None:
    target = Geometry.from_spacing((60, 60, 60), (1.0, 1.0, 1.0), (-30.0, -30.0, -30.0))
    grid = crop_grid([0.0, 0.0, 0.0], TURN, model().card)
    soft = ball(grid, np.zeros(3), soft=True)
    inside = soft.items[0].probability[soft.items[0].core]
    cut = replace(soft.items[0], probability=inside, probability_box=None)
    (found,) = on_grid(replace(soft, items=[cut]), target)
    assert found.voxel_count * target.voxel_ml == pytest.approx(ball_ml(8.0), rel=0.08)


def test_an_organ_on_its_own_grid_stays_as_it_is() -> None:
    grid = Geometry.from_spacing((20, 22, 24), (1.0, 1.0, 1.0))
    one = ball(grid, np.array([11.0, 10.0, 9.0]), soft=True)
    (found,) = on_grid(one, grid)
    assert found.box == one.items[0].box
    np.testing.assert_array_equal(found.mask, one.items[0].mask)


def test_an_organ_beyond_the_image_is_none_there() -> None:
    grid = Geometry.from_spacing((20, 22, 24), (1.0, 1.0, 1.0))
    far = Geometry.from_spacing((9, 9, 9), (1.0, 1.0, 1.0), (400.0, 0.0, 0.0))
    assert on_grid(ball(grid, np.array([11.0, 10.0, 9.0]), soft=True), far) == []
    assert on_grid(Instances(grid, [], (BALL,)), grid) == []

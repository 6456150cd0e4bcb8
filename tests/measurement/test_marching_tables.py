"""How far the mesh's area and volume lie from those of scikit-image's marching cubes, as stated."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import marching_cubes, mesh_surface_area

from medseg.measurement import mask_shape


def differences_percent(mask: np.ndarray) -> tuple[float, float]:
    """How much larger area and volume are than those of Lewiner's table, in percent."""
    ours = mask_shape(mask, (1.0, 1.0, 1.0))
    vertices, faces, _, _ = marching_cubes(np.pad(mask, 1).astype(np.float64), 0.5)
    first, second, third = vertices.astype(np.float64)[faces].transpose(1, 0, 2)
    volume_ml = abs((first * np.cross(second, third)).sum()) / 6000
    area_mm2 = float(mesh_surface_area(vertices, faces))
    return (
        100 * (ours.surface_area_mm2 / area_mm2 - 1),
        100 * (ours.volume_mesh_ml / volume_ml - 1),
    )


def scattered(rng: np.random.Generator) -> np.ndarray:
    mask = rng.random((8, 8, 8)) < rng.uniform(0.05, 0.5)
    mask[4, 4, 4] = True
    return mask


def smooth(rng: np.random.Generator) -> np.ndarray:
    """Lumps of rounded outline: noise that was smoothed, above its mean."""
    return ndimage.gaussian_filter(rng.normal(size=(24, 24, 24)), 2.5) > 0


def test_scattered_voxels_differ_within_the_range_that_the_page_states() -> None:
    rng = np.random.default_rng(0)
    area, volume = np.transpose([differences_percent(scattered(rng)) for _ in range(300)])
    assert -11 <= area.min() < -8 and area.max() < 1
    assert -11 <= volume.min() < -7 and 8 < volume.max() <= 11


def test_smooth_objects_differ_by_a_fraction_of_a_percent() -> None:
    rng = np.random.default_rng(0)
    area, volume = np.abs([differences_percent(smooth(rng)) for _ in range(20)]).T
    assert area.max() < 0.2 and volume.max() < 0.02


def test_where_no_face_has_two_corners_across_the_tables_agree() -> None:
    mask = np.zeros((5, 6, 7), dtype=bool)
    mask[1:4, 1:5, 1:6] = True
    assert differences_percent(mask) == pytest.approx((0, 0), abs=1e-3)

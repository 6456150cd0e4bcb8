"""Cards, grids and images that the tests of transforms share."""

from __future__ import annotations

import itertools

import numpy as np

from medseg.card import Card
from medseg.types import Geometry, Volume

TURNS = [
    (axes, flips)
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((False, True), repeat=3)
]
RAMP = np.array([3.0, 5.0, 7.0])

CT_WINDOW = {
    "kind": "ct_window",
    "low_hu": -200.0,
    "high_hu": 300.0,
    "mean_hu": 50.0,
    "std_hu": 100.0,
}
Z_SCORE = {"kind": "z_score"}
SUV = {"kind": "suv", "high_suv": 10.0}


def make_card(*channels, modality="MR", spacing_mm=(1.0, 1.0, 1.0)) -> Card:
    """A card with channels (name, required, normalisation); one "t1" without any."""
    listed = channels or (("t1", True, Z_SCORE),)
    return Card.model_validate(
        {
            "name": "toy",
            "version": "1",
            "summary": "",
            "intended_use": "",
            "limits": "",
            "modality": modality,
            "body_part": "",
            "licence": {"data": "CC0-1.0", "weights": "CC0-1.0", "attribution": ""},
            "channels": [
                {"name": name, "required": required, "normalisation": rule}
                for name, required, rule in listed
            ],
            "classes": [{"name": "ball", "kind": "lesion", "label": 1}],
            "spacing_mm": spacing_mm,
            "window_shape": (32, 32, 32),
            "backbone": {"name": "toy"},
            "head": {"name": "toy"},
            "training": {"name": "toy", "cases": 0, "minutes": 0, "device": "cpu"},
        }
    )


def rotation(rng: np.random.Generator) -> np.ndarray:
    """A rotation or, half of the time, a mirrored one."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.diag(r))


def oblique_geometry(seed, shape=(18, 20, 22), *, shear=0.0, spacing_mm=None) -> Geometry:
    """A grid in any direction with unequal spacing at a random place."""
    rng = np.random.default_rng(seed)
    steps = rotation(rng) @ (np.eye(3) + shear * np.triu(np.ones((3, 3)), 1))
    spacing = rng.uniform(0.5, 3.0, size=3) if spacing_mm is None else np.asarray(spacing_mm)
    affine = np.eye(4)
    affine[:3, :3] = steps * spacing
    affine[:3, 3] = rng.uniform(-300, 300, size=3)
    return Geometry(shape, affine)


def all_indices(shape) -> np.ndarray:
    """(Z, Y, X, 3): the index of every voxel."""
    return np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)


def world_ramp(geometry: Geometry) -> np.ndarray:
    """3x + 5y + 7z at every voxel, LPS millimetres."""
    return geometry.index_to_world(all_indices(geometry.shape)) @ RAMP


def noise_volume(seed=0, geometry=None, modality="MR", unit="arbitrary", **fields) -> Volume:
    """Noise with a mean of 100 and a standard deviation of 20."""
    grid = geometry or Geometry.from_spacing((8, 10, 12), (1.0, 1.0, 1.0))
    array = np.random.default_rng(seed).normal(100, 20, grid.shape).astype(np.float32)
    return Volume(array, grid, modality, unit, **fields)

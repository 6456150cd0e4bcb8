"""Masks on grids of any steps, for the tests of shape."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
from numpy.typing import NDArray

from medseg.measurement.shape import MaskShape, shapes
from medseg.types import Geometry, Instances

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

CUBES = (1.0, 1.0, 1.0)
LENGTHS = ("diameter_3d_mm", "axis_major_mm", "axis_minor_mm", "axis_least_mm")
SHEARED = np.array([[0.5, 0.0, 2.0], [0.0, 3.0, 1.0], [4.0, 0.0, 0.0]])
"""Columns z, y, x lead to (0.5, 0, 4), (0, 3, 0) and (2, 1, 0) mm; determinant -24 mm3."""


def on_grid(mask: Mask, linear: Array) -> MaskShape:
    """Shape of one mask on a grid of any steps."""
    affine = np.eye(4)
    affine[:3, :3] = linear
    found = shapes(Instances.from_labelmap(mask.astype(np.uint8), Geometry(mask.shape, affine)))
    return MaskShape(*(float(value[0]) for value in astuple(found)))


def turned(rng: np.random.Generator) -> Array:
    """A rotation, uniform over all orientations."""
    matrix, upper = np.linalg.qr(rng.normal(size=(3, 3)))
    matrix = matrix * np.sign(np.diag(upper))
    return matrix * np.linalg.det(matrix)


def blob(seed: int, shape: tuple[int, int, int] = (9, 11, 13)) -> Mask:
    """A ragged object, with cavities and diagonal contacts."""
    rng = np.random.default_rng(seed)
    points = (np.indices(shape).transpose(1, 2, 3, 0) + 0.5) / shape * 2 - 1
    return (np.linalg.norm(points, axis=-1) < 0.9) & (rng.random(shape) < 0.8)

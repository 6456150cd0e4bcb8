"""Volumes in which a wrong grid or a mirrored axis shows at once."""

from __future__ import annotations

import numpy as np

from medseg.types import Geometry, Modality, Unit, Volume

ARM_VALUES = {"L": 100, "P": 200, "S": 300}
_ARM_LENGTHS = {"L": 0.8, "P": 0.6, "S": 0.4}  # of what the grid reaches from its middle


def ramp(geometry: Geometry, *, modality: Modality = "CT", unit: Unit = "HU") -> Volume:
    """The value 3x + 5y + 7z of each voxel's centre in LPS millimetres, float64."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij", sparse=True)
    a, b, c, d = np.array([3.0, 5.0, 7.0, 0.0]) @ geometry.affine
    return Volume(a * z + b * y + c * x + d, geometry, modality, unit)


def orientation_marker(geometry: Geometry) -> Volume:
    """Three arms from the grid's middle: 100 to the left, 200 to the back, 300 upwards; int16.

    They end at 0.8, 0.6 and 0.4 of the ball that fits on the grid, so that no turn and no mirror
    of the volume looks like another. The middle, where they meet, is 400 and belongs to no arm.

    Raises ValueError where the grid is too small to show them.
    """
    centre = geometry.index_to_world((np.asarray(geometry.shape) - 1) / 2)
    inverse = np.linalg.inv(geometry.affine[:3, :3])
    half = (np.asarray(geometry.shape) - 1) / 2
    reach = float(np.min(half / np.linalg.norm(inverse, axis=1)))
    thick = max(0.08 * reach, 0.75 * max(geometry.spacing_mm))
    if thick > 0.12 * reach:
        msg = f"the grid {geometry} is too small for arms that can be told apart"
        raise ValueError(msg)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij"), axis=-1)
    offset = geometry.index_to_world(index) - centre
    array = np.zeros(geometry.shape, dtype=np.int16)
    for axis, (name, value) in enumerate(ARM_VALUES.items()):
        across = np.delete(np.abs(offset), axis, axis=-1).max(axis=-1)
        along = offset[..., axis]
        array[(across <= thick) & (along > thick) & (along <= _ARM_LENGTHS[name] * reach)] = value
    array[np.abs(offset).max(axis=-1) <= thick] = 400
    return Volume(array, geometry, "unknown", "arbitrary", meta={"phantom": "orientation"})

"""Where a slab's image voxels lie in its maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medseg.heads.contract import Slab


def slab_corner(slab: Slab) -> NDArray[np.int64]:
    """Where the slab begins on the image's grid, (3,)."""
    return np.array([slab.start, 0, 0], dtype=np.int64)


def slab_axes(slab: Slab, name: str) -> tuple[NDArray[np.float64], ...]:
    """Coordinates of the slab's image slices, rows and columns in the map's array."""
    ends = ((slab.start, slab.stop), (0, slab.shape[1]), (0, slab.shape[2]))
    return tuple(
        slab.grids[name].coordinates(axis, start, stop) for axis, (start, stop) in enumerate(ends)
    )


def map_coordinates(slab: Slab, name: str, points: NDArray[np.integer]) -> NDArray[np.float64]:
    """Coordinates (3, N) in the map's array of points (N, 3) on the image's grid."""
    grid = slab.grids[name]
    return np.asarray((points * np.asarray(grid.scale) + grid.offset).T)

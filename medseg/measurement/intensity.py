"""What the image's values are inside instances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.io import require_same_grid
from medseg.types import Instances, Volume


@dataclass(frozen=True, eq=False)
class Intensities:
    """Statistics of each instance in the image's unit, all (N,) in the order of `items`.

    NaN and infinite voxels are left out and counted in `left_out`; an instance without a finite
    voxel has NaN everywhere. `std` is the population's (divided by N).
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    min: NDArray[np.float64]
    max: NDArray[np.float64]
    left_out: NDArray[np.int64]


def intensities(instances: Instances, volume: Volume) -> Intensities:
    """Mean, standard deviation, least and largest value of the image in each instance.

    Raises InputRefused (`grid-mismatch`) where the image has another grid.
    """
    require_same_grid(volume.geometry, instances.geometry, "image", other="objects")
    rows = np.full((len(instances), 4), np.nan)
    left_out = np.zeros(len(instances), dtype=np.int64)
    for row, item in enumerate(instances.items):
        values = volume.array[item.box][item.mask].astype(np.float64)
        finite = values[np.isfinite(values)]
        left_out[row] = values.size - finite.size
        if finite.size:
            rows[row] = finite.mean(), finite.std(), finite.min(), finite.max()
    return Intensities(rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3], left_out)

"""What the image's values are inside instances."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.io import require_same_grid
from medseg.types import Instances, Volume

_PARTS = np.array([0.1, 0.25, 0.5, 0.75, 0.9])


@dataclass(frozen=True, eq=False)
class Intensities:
    """Statistics of each instance in the image's unit, all (N,) in the order of `items`.

    NaN and infinite voxels are left out and counted in `left_out`; an instance without a finite
    voxel has NaN everywhere. `std` is the population's (divided by N). Median and percentiles lie
    linearly between the two values next to them, counted from the least (0) to the largest (1).
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    min: NDArray[np.float64]
    max: NDArray[np.float64]
    median: NDArray[np.float64]
    p10: NDArray[np.float64]
    p25: NDArray[np.float64]
    p75: NDArray[np.float64]
    p90: NDArray[np.float64]
    left_out: NDArray[np.int64]


def intensities(instances: Instances, volume: Volume) -> Intensities:
    """Statistics of the image in each instance: mean, spread, least, largest and percentiles.

    They do not depend on the direction of the grid's axes. No instance gives arrays of shape (0,).

    Raises InputRefused (`grid-mismatch`) where the image has another grid.

    Source: IBSI 1, intensity-based statistics (Zwanenburg et al., Radiology 2020).
    """
    require_same_grid(volume.geometry, instances.geometry, "image", other="objects")
    rows = np.full((len(instances), 4 + _PARTS.size), np.nan)
    left_out = np.zeros(len(instances), dtype=np.int64)
    for row, item in enumerate(instances.items):
        values = np.sort(volume.array[item.box][item.mask])
        finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        left_out[row] = values.size - finite.size
        if finite.size:
            rows[row] = _statistics(finite)
    mean, std, least, largest, p10, p25, median, p75, p90 = rows.T
    return Intensities(mean, std, least, largest, median, p10, p25, p75, p90, left_out)


def _statistics(ordered: NDArray[Any]) -> NDArray[np.float64]:
    """Mean, standard deviation, least, largest, percentiles of values in rising order."""
    mean = np.add.reduce(ordered, dtype=np.float64) / ordered.size
    std = math.sqrt(np.add.reduce(np.square(ordered - mean)) / ordered.size)
    place = _PARTS * (ordered.size - 1)
    below = place.astype(np.int64)
    low = ordered[below].astype(np.float64)
    high = ordered[np.minimum(below + 1, ordered.size - 1)].astype(np.float64)
    parts = low + (high - low) * (place - below)
    return np.concatenate([[mean, std, ordered[0], ordered[-1]], parts])

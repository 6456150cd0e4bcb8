"""Classes of size, by an object's volume."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from medseg.measurement.selection import VOLUME_ROUNDING


def size_names(edges_ml: Sequence[float]) -> tuple[str, ...]:
    """Names of the classes that `edges_ml` part, by rising size: one more than edges.

    Without an edge there is no class: ().
    """
    ends = [f"{edge:g}" for edge in edges_ml]
    if not ends:
        return ()
    between = [f"{low} to {high} ml" for low, high in pairwise(ends)]
    return (f"below {ends[0]} ml", *between, f"{ends[-1]} ml and more")


def size_positions(volumes_ml: NDArray[np.float64], edges_ml: Sequence[float]) -> NDArray[np.int64]:
    """Position in `size_names` of each volume, (N,); a volume on an edge is in the upper class."""
    edges = np.asarray(edges_ml, dtype=np.float64) * (1 - VOLUME_ROUNDING)
    return np.searchsorted(edges, volumes_ml, side="right").astype(np.int64)

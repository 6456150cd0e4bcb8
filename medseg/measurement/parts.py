"""Connected parts of one mask."""

from __future__ import annotations

from typing import Literal

import cc3d
import numpy as np
from numpy.typing import NDArray

Connectivity = Literal[6, 18, 26]


def labelled_parts(
    mask: NDArray[np.bool_], connectivity: Connectivity = 26
) -> tuple[NDArray[np.uint32], int]:
    """The connected part of each voxel of `mask` (z, y, x), from 1, 0 outside; and how many.

    Voxels are connected by faces (6), also by edges (18), also by corners (26). An empty mask has
    no part.

    Raises ValueError for another connectivity.
    """
    check_connectivity(connectivity)
    # Without a margin cc3d (4.1.1) makes room for too few labels where axes are odd and voxels lie
    # scattered, and raises RuntimeError: two voxels with one between them are the least case.
    padded = np.zeros([length + 1 for length in mask.shape], dtype=np.bool_)
    padded[:-1, :-1, :-1] = mask
    labels, count = cc3d.connected_components(padded, connectivity=connectivity, return_N=True)
    return labels[:-1, :-1, :-1].astype(np.uint32, copy=False), int(count)


def check_connectivity(connectivity: int) -> None:
    """Refuse another connectivity than 6, 18 or 26 with a ValueError."""
    if connectivity not in (6, 18, 26):
        msg = f"connectivity is 6, 18 or 26; got {connectivity}"
        raise ValueError(msg)

"""What makes a drawing look measured: contrast, bias field, z-score."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from medseg.types import Instance, Shape


def contrast_map(
    shape: Shape, items: Iterable[Instance], contrasts: Iterable[float]
) -> NDArray[np.float32]:
    """The sum of the contrasts of all instances in a voxel over the root of their number."""
    total = np.zeros(shape, dtype=np.float32)
    count = np.zeros(shape, dtype=np.float32)
    for item, contrast in zip(items, contrasts, strict=True):
        total[item.box] += item.mask * np.float32(contrast)
        count[item.box] += item.mask
    return np.asarray(total / np.sqrt(np.maximum(count, 1)), dtype=np.float32)


def bias_field(
    rng: np.random.Generator, shape: Shape, *, sd: float, scale_voxels: tuple[float, float, float]
) -> NDArray[np.float32]:
    """A smooth positive field whose logarithm has mean 0 and standard deviation `sd`.

    White noise on nodes half a scale apart, spread by Gaussians of `scale_voxels` (z, y, x).
    """
    spread = []
    for length, scale in zip(shape, scale_voxels, strict=True):
        nodes = np.arange(-2 * scale, length + 2.5 * scale, scale / 2)
        apart = (np.arange(length)[:, None] - nodes) / scale
        spread.append(np.exp(-0.5 * apart**2).astype(np.float32))
    white = rng.standard_normal([one.shape[1] for one in spread], dtype=np.float32)
    field = np.einsum("zi,yj,xk,ijk->zyx", *spread, white, optimize=True)
    field -= field.mean()
    return np.asarray(np.exp(field * (sd / field.std())), dtype=np.float32)


def z_scored(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean 0 and standard deviation 1 over all voxels."""
    return np.asarray((image - image.mean()) / image.std(), dtype=np.float32)

"""Resampling between parallel grids: separable, world-exact, smoothed where it down-samples.

MONAI's `Spacing` samples the same grid through a dense field of coordinates, and drops shear; one
axis after the other needs a fraction of its time and memory, and leaves an axis alone that fits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from monai.networks.layers.convutils import gaussian_1d
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from medseg.transforms.grids import GridMap
from medseg.types import Geometry, Shape

SAME_SPACING = 1e-3
"""Spacings that differ by less than this share count as equal: the axis is left alone."""

_TIE = 1e-4
"""Voxels by which an extent may miss a half and still be rounded up: files round spacings."""


def spacing_grid(source: Geometry, spacing_mm: Sequence[float]) -> Geometry:
    """The grid of `source` at another spacing (z, y, x): same axes, same centre of voxel 0.

    It is the grid of MONAI's `Spacing` for square axes: as many voxels as bring the last centre
    nearest to the source's last centre. Shear is kept, so it stays parallel to its source.
    """
    steps, shape = [], []
    for wanted, present, length in zip(spacing_mm, source.spacing_mm, source.shape, strict=True):
        if not wanted > 0:
            msg = f"spacing_mm is above 0; got {tuple(spacing_mm)}"
            raise ValueError(msg)
        same = abs(wanted / present - 1.0) <= SAME_SPACING
        steps.append(1.0 if same else wanted / present)
        extent = (length - 1) / steps[-1]
        shape.append(length if same else math.floor(extent + 0.5 + _TIE) + 1)
    affine = source.affine.copy()
    affine[:3, :3] *= steps
    return Geometry(shape, affine)


def blur_sigma(step: float) -> float:
    """Standard deviation, in source voxels, of the smoothing before sampling at `step` voxels.

    Point spreads are taken as Gaussians whose full width at half maximum is the voxel: the
    smoothing is what turns the source's into the target's (Cardoso et al., "Scale factor point
    spread function matching", MICCAI 2015). 0 where nothing is down-sampled.
    """
    if step <= 1.0 + SAME_SPACING:
        return 0.0
    return math.sqrt((step**2 - 1.0) / (8.0 * math.log(2.0)))


def resample_linear(
    values: Tensor, to_source: GridMap, shape: Shape, *, antialias: bool = True
) -> Tensor:
    """Linear values on a parallel grid of `shape`, (C, Z, Y, X); beyond the border: its value.

    Shapes: values (C, Z, Y, X) of any real type; `to_source` takes indices of the result to
    indices of `values`. float64 stays, all else gives float32. An axis whose coordinates are its
    own indices is not touched. With `antialias` an axis that is down-sampled is smoothed first
    (`blur_sigma`); a linear function of position passes unchanged, away from the border.
    """
    steps = [abs(scale) for scale in to_source.scale]
    out = values
    for axis in sorted(range(3), key=lambda axis: -steps[axis]):
        coordinates = to_source.coordinates(axis, 0, shape[axis])
        sigma = blur_sigma(steps[axis]) if antialias else 0.0
        own = np.arange(values.shape[axis + 1])
        if coordinates.shape == own.shape and np.abs(coordinates - own).max() < 1e-6:
            continue
        out = _sample_axis(out, axis + 1, coordinates, sigma)
    return out.to(_float_type(values))


def smooth(values: Tensor, steps: Sequence[float]) -> Tensor:
    """`values` (C, Z, Y, X) smoothed as for sampling each `steps` voxels; borders are extended."""
    out = values
    for axis, step in enumerate(steps):
        if blur_sigma(step) > 0:
            coordinates = np.arange(values.shape[axis + 1], dtype=np.float64)
            out = _sample_axis(out, axis + 1, coordinates, blur_sigma(step))
    return out


def _float_type(values: Tensor) -> torch.dtype:
    return torch.float64 if values.dtype == torch.float64 else torch.float32


def _weights(
    coordinates: NDArray[np.float64], length: int, sigma: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Source indices and weights of every sample, (taps, N) each: Gaussian, then linear."""
    kernel = np.ones(1)
    if sigma > 0:
        bell = gaussian_1d(torch.tensor(sigma), approx="sampled", normalize=True)
        kernel = bell.numpy().astype(np.float64)
        kernel /= kernel.sum()
    clamped = np.clip(coordinates, 0.0, length - 1.0)
    low = np.floor(clamped).astype(np.int64)
    fraction = clamped - low
    weights = np.zeros((kernel.size + 1, coordinates.size))
    weights[:-1] += kernel[:, None] * (1.0 - fraction)
    weights[1:] += kernel[:, None] * fraction
    taps = np.arange(kernel.size + 1)[:, None] - kernel.size // 2
    return np.clip(low + taps, 0, length - 1), weights


def _sample_axis(
    values: Tensor, axis: int, coordinates: NDArray[np.float64], sigma: float
) -> Tensor:
    """Sample one axis of (C, Z, Y, X)."""
    index, weights = _weights(coordinates, values.shape[axis], sigma)
    used = weights.any(axis=1)
    index, weights = np.ascontiguousarray(index[used]), np.ascontiguousarray(weights[used])
    source = np.ascontiguousarray(values.detach().cpu().numpy())
    before, after = source.shape[:axis], source.shape[axis + 1 :]
    kind = np.float64 if source.dtype == np.float64 else np.float32
    out = np.empty((*before, coordinates.size, *after), dtype=kind)
    lines = source.reshape(math.prod(before), source.shape[axis], math.prod(after))
    results = out.reshape(lines.shape[0], coordinates.size, lines.shape[2])
    sample = _sample_lines if lines.shape[2] == 1 else _sample_rows
    sample(lines, index, weights.astype(kind), results)
    return torch.from_numpy(out).to(values.device)


@njit(cache=True, nogil=True)
def _sample_lines(  # pragma: no cover - compiled
    values: NDArray[np.generic],
    index: NDArray[np.int64],
    weights: NDArray[np.floating],
    out: NDArray[np.floating],
) -> None:
    taps, count = index.shape
    for a in range(values.shape[0]):
        for n in range(count):
            total = out.dtype.type(0)
            for t in range(taps):
                total += weights[t, n] * out.dtype.type(values[a, index[t, n], 0])
            out[a, n, 0] = total


@njit(cache=True, nogil=True)
def _sample_rows(  # pragma: no cover - compiled
    values: NDArray[np.generic],
    index: NDArray[np.int64],
    weights: NDArray[np.floating],
    out: NDArray[np.floating],
) -> None:
    taps, count = index.shape
    length = values.shape[2]
    for a in range(values.shape[0]):
        for start in range(0, length, 4096):
            stop = min(start + 4096, length)
            for n in range(count):
                out[a, n, start:stop] = 0
                for t in range(taps):
                    weight, row = weights[t, n], index[t, n]
                    for b in range(start, stop):
                        out[a, n, b] += weight * out.dtype.type(values[a, row, b])

"""From one grid to another: separable index maps, and sampling through them on a CPU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medseg.types import Geometry


@dataclass(frozen=True)
class GridMap:
    """Takes index i of one grid's axis to `scale * i + offset` on the other's; one pair an axis.

    Shapes: scale (z, y, x), offset (z, y, x), in voxels of the target grid.
    """

    scale: tuple[float, float, float]
    offset: tuple[float, float, float]

    @classmethod
    def between(cls, source: Geometry, target: Geometry) -> GridMap:
        """The map of indices of `source` to indices of `target`.

        Raises ValueError where their axes are not parallel, one to one.
        """
        matrix = np.linalg.inv(target.affine) @ source.affine
        slopes = matrix[:3, :3]
        drift = np.abs(slopes - np.diag(np.diag(slopes))) * np.asarray(source.shape)
        if drift.max() > 1e-2:
            msg = "the two grids are not parallel: one is no crop or rescaling of the other"
            raise ValueError(msg)
        z, y, x = (float(value) for value in np.diag(slopes))
        dz, dy, dx = (float(value) for value in matrix[:3, 3])
        return cls((z, y, x), (dz, dy, dx))

    def strided(self, stride: int) -> GridMap:
        """The same map onto a grid of cells of `stride` voxels, aligned at the outer corner."""
        z, y, x = (value / stride for value in self.scale)
        dz, dy, dx = ((value + 0.5) / stride - 0.5 for value in self.offset)
        return GridMap((z, y, x), (dz, dy, dx))

    def shifted(self, start: tuple[int, int, int]) -> GridMap:
        """The same map onto the part of the target grid that begins at index `start`."""
        z, y, x = (value - first for value, first in zip(self.offset, start, strict=True))
        return GridMap(self.scale, (z, y, x))

    def coordinates(self, axis: int, start: int, stop: int) -> NDArray[np.float64]:
        """Target coordinates of source indices `start` to `stop` along `axis`."""
        index = np.arange(start, stop, dtype=np.float64)
        return index * self.scale[axis] + self.offset[axis]


@njit(cache=True, nogil=True)
def _split(coordinate: float, length: int) -> tuple[int, int, float]:  # pragma: no cover - compiled
    clamped = min(max(coordinate, 0.0), length - 1.0)
    low = int(clamped)
    high = min(low + 1, length - 1)
    return low, high, clamped - low


@njit(cache=True, nogil=True)
def _argmax(  # pragma: no cover - compiled
    maps: NDArray[np.float32],
    z: NDArray[np.float64],
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    out: NDArray[np.uint8],
) -> None:
    channels, depth, height, width = maps.shape
    rows = np.empty((channels, width), dtype=np.float32)
    for k in range(z.size):
        z0, z1, fz = _split(z[k], depth)
        for j in range(y.size):
            y0, y1, fy = _split(y[j], height)
            for c in range(channels):
                for i in range(width):
                    near = maps[c, z0, y0, i] * (1 - fy) + maps[c, z0, y1, i] * fy
                    far = maps[c, z1, y0, i] * (1 - fy) + maps[c, z1, y1, i] * fy
                    rows[c, i] = near * (1 - fz) + far * fz
            for i in range(x.size):
                x0, x1, fx = _split(x[i], width)
                best, best_value = 0, np.float32(-np.inf)
                for c in range(channels):
                    value = rows[c, x0] * (1 - fx) + rows[c, x1] * fx
                    if value > best_value:
                        best, best_value = c, value
                out[k, j, i] = best


@njit(cache=True, nogil=True)
def _interpolate(  # pragma: no cover - compiled
    maps: NDArray[np.float32],
    z: NDArray[np.float64],
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    channels, depth, height, width = maps.shape
    for n in range(z.size):
        z0, z1, fz = _split(z[n], depth)
        y0, y1, fy = _split(y[n], height)
        x0, x1, fx = _split(x[n], width)
        for c in range(channels):
            a = maps[c, z0, y0, x0] * (1 - fx) + maps[c, z0, y0, x1] * fx
            b = maps[c, z0, y1, x0] * (1 - fx) + maps[c, z0, y1, x1] * fx
            d = maps[c, z1, y0, x0] * (1 - fx) + maps[c, z1, y0, x1] * fx
            e = maps[c, z1, y1, x0] * (1 - fx) + maps[c, z1, y1, x1] * fx
            near = a * (1 - fy) + b * fy
            far = d * (1 - fy) + e * fy
            out[c, n] = near * (1 - fz) + far * fz


def argmax_on_grid(
    maps: NDArray[np.float32],
    z: NDArray[np.float64],
    y: NDArray[np.float64],
    x: NDArray[np.float64],
) -> NDArray[np.uint8]:
    """The channel with the largest trilinearly interpolated value, (z.size, y.size, x.size).

    Shapes: maps (C, Z, Y, X), C at most 256; z, y, x are coordinates in voxels of `maps`, clamped
    to its border. Channels are interpolated and compared voxel by voxel: no array of
    channels x output is made. Equal values give the lower channel.
    """
    if maps.shape[0] > 256:
        msg = f"at most 256 channels fit the output type; got {maps.shape[0]}"
        raise ValueError(msg)
    out = np.empty((z.size, y.size, x.size), dtype=np.uint8)
    _argmax(np.ascontiguousarray(maps, dtype=np.float32), z, y, x, out)
    return out


def interpolate_at(
    maps: NDArray[np.float32],
    z: NDArray[np.float64],
    y: NDArray[np.float64],
    x: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Trilinear values at N points, (C, N); points outside take the border's value.

    Shapes: maps (C, Z, Y, X); z, y, x (N,) in voxels of `maps`.
    """
    out = np.empty((maps.shape[0], z.size), dtype=np.float32)
    _interpolate(np.ascontiguousarray(maps, dtype=np.float32), z, y, x, out)
    return out


def above_on_grid(
    values: NDArray[np.float32],
    z: NDArray[np.float64],
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    *,
    threshold: float,
) -> NDArray[np.bool_]:
    """Where the trilinearly interpolated value is above `threshold`, (z.size, y.size, x.size).

    Shapes: values (Z, Y, X); z, y, x as for `argmax_on_grid`.
    """
    pair = np.stack([np.full_like(values, threshold), values])
    return argmax_on_grid(pair, z, y, x) > 0

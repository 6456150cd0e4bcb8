"""Where windows lie in a volume, and how much each counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from monai.data.utils import compute_importance_map
from numpy.typing import NDArray

from medseg.types import Shape


@dataclass(frozen=True)
class WindowPlan:
    """Windows of one shape over a grid, in layers of one z each, from the first slice up.

    `padded` is the grid's shape after repeating its border at the end, so that one window fits.
    """

    window: Shape
    padded: Shape
    starts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    @property
    def count(self) -> int:
        """Number of windows."""
        return int(np.prod([len(axis) for axis in self.starts]))


def plan_windows(shape: Shape, window: Shape, *, overlap: float, multiple: int) -> WindowPlan:
    """Lay windows over a grid of `shape` with at least `overlap` of their length in common.

    A window is never longer than the grid needs: its lengths are cut to the next `multiple` above
    the grid's, so that little is padded. All starts are even, for maps of stride 2.
    """
    lengths = [
        min(_up(wanted, multiple), _up(length, multiple))
        for length, wanted in zip(shape, window, strict=True)
    ]
    padded = [max(_up(length, 2), part) for length, part in zip(shape, lengths, strict=True)]
    z, y, x = (_starts(length, part, overlap) for length, part in zip(padded, lengths, strict=True))
    return WindowPlan(_shape(lengths), _shape(padded), (z, y, x))


def blending_weights(window: Shape, stride: int) -> NDArray[np.float32]:
    """MONAI's Gaussian importance map of a window of `window` voxels at `stride`, above 0."""
    cells = tuple(length // stride for length in window)
    weights = compute_importance_map(cells, mode="gaussian", sigma_scale=0.125)
    values = np.asarray(weights, dtype=np.float32)
    return np.asarray(np.maximum(values, values[values > 0].min()))


def _up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple


def _starts(length: int, window: int, overlap: float) -> tuple[int, ...]:
    room = length - window
    step = max(window * (1 - overlap), 1.0)
    count = int(np.ceil(room / step)) + 1
    even = 2 * np.rint(np.linspace(0, room, count) / 2).astype(int)
    return tuple(int(start) for start in np.unique(even))


def _shape(lengths: Sequence[int]) -> Shape:
    z, y, x = (int(length) for length in lengths)
    return z, y, x

"""The fringe of objects: voxels outside the masks, over which a probability fades."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from scipy.spatial import cKDTree

from medseg.heads.contract import Slab
from medseg.heads.gather import Found
from medseg.heads.slabs import map_coordinates, slab_axes, slab_corner
from medseg.measurement.parts import labelled_parts
from medseg.transforms.grids import above_on_grid, interpolate_at
from medseg.types import Box, Shape, box_inside, tight_box

Points = NDArray[np.int32]
Probability = NDArray[np.float16]

NO_POINTS, NO_PROBABILITY = np.empty((0, 3), dtype=np.int32), np.empty(0, dtype=np.float16)

FADED = 0.02
"""Probability at or below which nothing is kept."""

FRINGE_MM, FRINGE_VOXELS = 6.0, 2.5
"""How far a fringe goes from its mask: in mm, or in voxels of image or model where that is more."""

OUTER, MOST_OUTER = 0.75, 0.02
"""A fringe with more than this part of an object beyond this part of its reach does not fade."""


@dataclass
class Fringe:
    """The voxels of one class outside its masks that are near them, gathered slab by slab.

    What is far from every mask is dropped at once; only of the last slices all is kept until the
    next slab shows what lies above. `model_mm` is the spacing (z, y, x) of the model's grid.
    """

    model_mm: NDArray[np.float64]
    image_mm: NDArray[np.float64] = field(default_factory=lambda: np.ones(3))
    shape: Shape = (0, 0, 0)
    # Whether a mask has a voxel in a cell as wide as the reach: near are those in cells around it.
    masked: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0, 0), dtype=np.bool_))
    waiting: tuple[Points, Probability] = field(default_factory=lambda: (NO_POINTS, NO_PROBABILITY))
    kept: list[tuple[Points, Probability]] = field(default_factory=list)

    @property
    def reach_mm(self) -> NDArray[np.float64]:
        """Half axes (z, y, x) of the ellipsoid around a mask's voxel that may be its fringe."""
        return np.maximum(FRINGE_MM, FRINGE_VOXELS * np.maximum(self.image_mm, self.model_mm))

    def collect(
        self,
        slab: Slab,
        source: tuple[str, int],
        inside: tuple[NDArray[np.generic], int],
        masked: NDArray[np.int64],
    ) -> None:
        """Keep what is faint in a slab: `source` is a map and the channel of the class in it.

        `inside` is an array over the slab's image voxels, and the value that it has in the masks;
        `masked` are the indices (N, 3) of those on the image's grid.
        """
        if not self.masked.size:
            self._begin(slab, source[0])
        cell = self._cell
        self.masked[tuple((masked // cell).T)] = True
        points = _faint(slab, source, inside)
        near, waits = self._sorted(points, slab.stop)
        points = points[near | waits]
        values = slab.maps[source[0]][source[1]][None]
        found = interpolate_at(values, *map_coordinates(slab, source[0], points))[0]
        points = np.concatenate([self.waiting[0], points])
        probability = np.concatenate([self.waiting[1], found.astype(np.float16)])
        near, waits = self._sorted(points, slab.stop)
        self.kept.append((points[near], probability[near]))
        self.waiting = points[waits], probability[waits]

    def all(self) -> tuple[Points, Probability]:
        """Indices (N, 3) on the image's grid and class probability (N,), in no order."""
        points, probability = zip((NO_POINTS, NO_PROBABILITY), *self.kept, strict=True)
        return np.concatenate(points), np.concatenate(probability)

    @property
    def _cell(self) -> NDArray[np.int32]:
        return np.ceil(self.reach_mm / self.image_mm).astype(np.int32)

    def _begin(self, slab: Slab, name: str) -> None:
        self.image_mm = self.model_mm * np.abs(slab.grids[name].scale)
        self.shape = slab.shape
        cells = [-(-length // n) for length, n in zip(slab.shape, self._cell, strict=True)]
        self.masked = np.zeros(cells, dtype=np.bool_)

    def _sorted(self, points: Points, stop: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which points may be near a mask seen so far, and which of the others near a later one."""
        if not len(points):
            return np.zeros(0, dtype=np.bool_), np.zeros(0, dtype=np.bool_)
        cells = points // self._cell
        first, last = int(cells[:, 0].min()), int(cells[:, 0].max())
        low = max(first - 1, 0)
        around = binary_dilation(self.masked[low : last + 2], np.ones((3, 3, 3), dtype=np.bool_))
        near = around[cells[:, 0] - low, cells[:, 1], cells[:, 2]]
        return near, ~near & (cells[:, 0] + 1 >= stop // self._cell[0])


def with_fringes(found: Sequence[Found], fringe: Fringe) -> list[Found]:
    """The objects of a class with the probability around their masks; the masks stay.

    A voxel of the fringe belongs to the nearest mask alone, if it hangs together with it through
    others (26). An object's probability gets a box that goes a voxel beyond all of it, where the
    image goes on. Where it does not fade within `reach_mm`, the object is left as it is.
    """
    points, probability = fringe.all()
    if not found:
        return []
    borders = [_border(one) for one in found]
    owner = np.repeat(np.arange(len(found)), [len(border) for border in borders])
    unit = fringe.image_mm / fringe.reach_mm
    tree = cKDTree(np.concatenate(borders) * unit)
    distance, nearest = tree.query(points * unit, distance_upper_bound=1.0)
    near = np.flatnonzero(np.isfinite(distance))
    order = near[np.argsort(owner[nearest[near]], kind="stable")]
    ends = np.searchsorted(owner[nearest[order]], np.arange(1, len(found)))
    return [
        _with_fringe(one, (points[own], probability[own]), distance[own], fringe.shape)
        for one, own in zip(found, np.split(order, ends), strict=True)
    ]


def _with_fringe(
    one: Found, around: tuple[Points, Probability], distance: NDArray[np.float64], shape: Shape
) -> Found:
    points, probability = around
    wider = _box_around(one.box, points, shape)
    core = box_inside(one.box, wider)
    crop = np.zeros([part.stop - part.start for part in wider], dtype=np.float16)
    crop[core] = one.probability
    at = tuple((points - [part.start for part in wider]).T)
    crop[at] = probability
    parts, count = labelled_parts(crop > 0)
    own = np.zeros(count + 1, dtype=np.bool_)
    own[parts[core][one.mask]] = True
    crop[~own[parts]] = 0
    outer = crop[at][distance > OUTER].sum(dtype=np.float64)
    if outer > MOST_OUTER * crop.sum(dtype=np.float64):
        return one
    return replace(one, probability=crop, probability_box=wider)


def _box_around(box: Box, points: Points, shape: Shape) -> Box:
    """The box a voxel around `box` and `points`, inside `shape`: its faces are 0 or the image's."""
    low, high = (np.array([getattr(part, end) for part in box]) for end in ("start", "stop"))
    if len(points):
        low, high = np.minimum(low, points.min(axis=0)), np.maximum(high, points.max(axis=0) + 1)
    low, high = np.maximum(low - 1, 0), np.minimum(high + 1, shape)
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return z, y, x


def _border(one: Found) -> NDArray[np.int64]:
    """Indices (N, 3) on the image's grid of the mask's voxels that miss a neighbour by a face."""
    mask = one.mask
    inner = np.zeros_like(mask)
    middle = inner[1:-1, 1:-1, 1:-1]
    middle[...] = mask[1:-1, 1:-1, 1:-1]
    for axis in range(3):
        for step in (slice(None, -2), slice(2, None)):
            moved = [slice(1, -1)] * 3
            moved[axis] = step
            middle &= mask[tuple(moved)]
    corner = np.array([part.start for part in one.box], dtype=np.int64)
    return np.asarray(np.argwhere(mask & ~inner) + corner)


def _faint(slab: Slab, source: tuple[str, int], inside: tuple[NDArray[np.generic], int]) -> Points:
    """Indices (N, 3) on the image's grid of the voxels above `FADED` that are not inside."""
    values = slab.maps[source[0]][source[1]]
    seen = tight_box(values > FADED)
    if seen is None:
        return NO_POINTS
    crop, rows, axes = [], [], []
    for part, length, axis in zip(seen, values.shape, slab_axes(slab, source[0]), strict=True):
        # Between voxels of the map the value is above only beside one that is.
        reached = (axis > part.start - 1) | (part.start == 0)
        reached &= (axis < part.stop) | (part.stop == length)
        index = np.flatnonzero(reached)
        if not index.size:
            return NO_POINTS
        start = max(part.start - 1, 0)
        crop.append(slice(start, part.stop + 1))
        rows.append(slice(int(index[0]), int(index[-1]) + 1))
        axes.append(axis[rows[-1]] - start)
    above = above_on_grid(values[tuple(crop)], *axes, threshold=FADED)
    label, value = inside
    above &= label[tuple(rows)] != value
    corner = slab_corner(slab) + [part.start for part in rows]
    return (np.argwhere(above) + corner).astype(np.int32)

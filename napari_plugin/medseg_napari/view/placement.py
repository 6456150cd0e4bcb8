"""Where an image lies in napari: turned to the nearest patient axes, straight, in mm."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medseg.types import Axes, Box, Flips, Geometry, reoriented_array

Triple = tuple[float, float, float]

OBLIQUE_DEGREES = 1.0
"""From here on people are told that the planes follow the image and not the patient."""

_TO_PATIENT_ZYX = np.eye(3)[::-1]  # columns z, y, x of a straight grid in LPS (x, y, z)


@dataclass(frozen=True)
class Placement:
    """How the array of an image's own grid becomes the array of a layer, and back.

    Axis i of the layer is axis `axes[i]` of the image, turned round where `flips[i]`, so that
    z, y, x lead as nearly as can be to S, P, L. The layer stands straight in napari's world, which
    is millimetres along its own axes (z, y, x): for a straight image the patient's, for an oblique
    one turned with it. Grids of equal directions fit together there whatever else sets them apart.
    """

    geometry: Geometry
    axes: Axes
    flips: Flips

    @classmethod
    def of(cls, geometry: Geometry) -> Self:
        """The placement of an image's grid."""
        return cls(geometry, *geometry.closest_axes())

    @cached_property
    def shown(self) -> Geometry:
        """The grid of the layer's array in the patient."""
        return self.geometry.reoriented(self.axes, self.flips)

    @property
    def scale_mm(self) -> Triple:
        """The layer's scale, (z, y, x), never negative."""
        return self.shown.spacing_mm

    @property
    def translate_mm(self) -> Triple:
        """The layer's translation, (z, y, x)."""
        z, y, x = self.lps_to_world(self.shown.origin_mm).tolist()
        return z, y, x

    @cached_property
    def oblique_degrees(self) -> float:
        """The largest angle between an axis of the image and the patient's axis nearest to it."""
        cosines = np.clip(np.sum(self.shown.direction * _TO_PATIENT_ZYX, axis=0), -1.0, 1.0)
        return round(float(np.degrees(np.arccos(cosines)).max()), 3)

    def turned_degrees(self, other: Placement) -> float:
        """The largest angle between axes of two layers that napari draws parallel."""
        cosines = np.sum(self.shown.direction * other.shown.direction, axis=0)
        return float(np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0))).max())

    def to_shown(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array of the image's grid as the layer holds it: a view, nothing is copied."""
        self._require(array, self.geometry)
        return np.transpose(array, self.axes)[_backwards(self.flips)]

    def to_own(self, array: NDArray[Any]) -> NDArray[Any]:
        """A layer's array on the image's own grid again, C-ordered."""
        self._require(array, self.shown)
        axes, flips = self._back
        return reoriented_array(array, axes, flips)

    def shown_box(self, box: Box) -> Box:
        """Where a box of the image's grid lies in the layer's array."""
        return _turned_box(box, self.geometry, self.axes, self.flips)

    def own_box(self, box: Box) -> Box:
        """Where a box of the layer's array lies on the image's grid."""
        return _turned_box(box, self.shown, *self._back)

    def shown_mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A crop of the image's grid turned as the layer is; a view."""
        return np.transpose(mask, self.axes)[_backwards(self.flips)]

    def world_to_lps(self, world_mm: ArrayLike) -> NDArray[np.float64]:
        """Points (..., 3) of napari's world, (z, y, x), in the patient, LPS (x, y, z)."""
        return np.asarray(np.asarray(world_mm, dtype=np.float64) @ self.shown.direction.T)

    def lps_to_world(self, point_lps_mm: ArrayLike) -> NDArray[np.float64]:
        """Points (..., 3) in the patient, LPS (x, y, z), in napari's world, (z, y, x)."""
        inverse = np.linalg.inv(self.shown.direction)
        return np.asarray(np.asarray(point_lps_mm, dtype=np.float64) @ inverse.T)

    def world_to_index(self, world_mm: ArrayLike) -> NDArray[np.float64]:
        """Points of napari's world as indices (z, y, x) of the image's own grid, not rounded."""
        return self.geometry.world_to_index(self.world_to_lps(world_mm))

    def index_to_world(self, index_zyx: ArrayLike) -> NDArray[np.float64]:
        """Indices (z, y, x) of the image's own grid as points of napari's world."""
        return self.lps_to_world(self.geometry.index_to_world(index_zyx))

    def own_axis(self, shown_axis: int) -> int:
        """Which axis of the image a layer's axis is."""
        return self.axes[shown_axis]

    @property
    def _back(self) -> tuple[Axes, Flips]:
        z, y, x = (self.axes.index(axis) for axis in range(3))
        return (z, y, x), (self.flips[z], self.flips[y], self.flips[x])

    @staticmethod
    def _require(array: NDArray[Any], geometry: Geometry) -> None:
        if array.shape != geometry.shape:
            msg = f"an array of shape {geometry.shape} is wanted; got {array.shape}"
            raise ValueError(msg)


def _backwards(flips: Flips) -> Box:
    z, y, x = (slice(None, None, -1 if flip else 1) for flip in flips)
    return z, y, x


def _turned_box(box: Box, grid: Geometry, axes: Axes, flips: Flips) -> Box:
    z, y, x = (
        slice(grid.shape[old] - box[old].stop, grid.shape[old] - box[old].start)
        if flip
        else box[old]
        for old, flip in zip(axes, flips, strict=True)
    )
    return z, y, x

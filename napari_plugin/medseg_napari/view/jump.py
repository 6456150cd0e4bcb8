"""Going to a place: the slice, and what of it is in the middle of the canvas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from medseg.types import Box
from medseg_napari.view.facts import LayerFacts, facts_of
from medseg_napari.view.planes import slice_axis

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

_SHARE = 0.3
"""How much of the canvas's shorter side an object takes where a jump to it zooms."""
_LEAST_SHARE, _MOST_SHARE = 0.1, 0.6
"""The zoom stays where an object takes so much of it: a walk along lesions is a calm one."""


def jump_to_world(
    viewer: ViewerModel, world_mm: Sequence[float], *, extent_mm: float | None = None
) -> None:
    """Put a point of napari's world, (z, y, x), on display and in the middle of the canvas.

    `extent_mm` is the size of what is there: where it would be too small or too large on the
    canvas it takes a third of it. None keeps the zoom.
    """
    viewer.dims.set_point(range(viewer.dims.ndim - 3, viewer.dims.ndim), list(world_mm))
    point = viewer.dims.point
    viewer.scene.camera.center = tuple(float(point[axis]) for axis in viewer.dims.displayed)
    if extent_mm is not None and extent_mm > 0:
        side_pixels = min(viewer.canvas.size)
        share = viewer.scene.camera.zoom * extent_mm / side_pixels
        if not _LEAST_SHARE <= share <= _MOST_SHARE:
            viewer.scene.camera.zoom = _SHARE * side_pixels / extent_mm


def jump_to_index(
    viewer: ViewerModel, layer: Layer, index_zyx: ArrayLike, *, box: Box | None = None
) -> None:
    """As `jump_to_world`, to a voxel of the image's own grid behind a layer of medseg.

    With the `box` of an object on that grid it is shown at a size at which one sees it.
    """
    facts = required_facts(layer)
    world = facts.placement.index_to_world(index_zyx)
    extent = None
    if box is not None:
        lengths = [part.stop - part.start for part in box]
        extent = float(np.max(np.multiply(lengths, facts.placement.geometry.spacing_mm)))
    jump_to_world(viewer, world.tolist(), extent_mm=extent)


def jump_to_lps(viewer: ViewerModel, layer: Layer, point_lps_mm: ArrayLike) -> None:
    """As `jump_to_world`, to a point in the patient, LPS (x, y, z)."""
    jump_to_world(viewer, required_facts(layer).placement.lps_to_world(point_lps_mm).tolist())


def own_slice_axis(viewer: ViewerModel, layer: Layer) -> int:
    """The axis of the image's own grid across which slices are shown now."""
    return required_facts(layer).placement.own_axis(slice_axis(viewer))


def index_at(layer: Layer, world_mm: Sequence[float]) -> tuple[int, int, int] | None:
    """The voxel (z, y, x) of the image's own grid at a point of napari's world; None outside."""
    placement = required_facts(layer).placement
    z, y, x = (int(n) for n in np.rint(placement.world_to_index(list(world_mm)[-3:])))
    ends = zip((z, y, x), placement.geometry.shape, strict=True)
    return (z, y, x) if all(0 <= n < length for n, length in ends) else None


def required_facts(layer: Layer) -> LayerFacts:
    """The facts of a layer; ValueError where it is not one of medseg's."""
    facts = facts_of(layer)
    if facts is None:
        msg = f"layer {layer.name!r} is not one of medseg's"
        raise ValueError(msg)
    return facts

"""Pictures of the canvas: what is on display with letters, scale bar and the lesions' numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from medseg.io.atomic import atomic_path
from medseg.types import Instance
from medseg_napari.view.adapter import unwrapped
from medseg_napari.view.facts import LayerFacts, placement_keywords
from medseg_napari.view.jump import required_facts
from medseg_napari.view.planes import slice_axis

if TYPE_CHECKING:
    from napari import Viewer
    from napari.components import ViewerModel
    from napari.layers import Layer

_NUMBER_SIZE = 11
_NUMBER_COLOR = "white"


class Number(NamedTuple):
    """The number of an object and where it stands, (z, y, x) in voxels of the layer's array."""

    id: int
    place: tuple[float, float, float]


def numbers_on_display(
    viewer: ViewerModel, layer: Layer, ids: Collection[int] | None = None
) -> list[Number]:
    """The objects of a layer that the slice on display cuts, each amid what one sees of it.

    In 3D all objects, at the middle of their boxes. `ids` are those to name (None: all).
    """
    facts = required_facts(layer)
    items = () if facts.instances is None else facts.instances.items
    items = [item for item in items if ids is None or item.id in ids]
    if viewer.dims.ndisplay == 3:
        return [Number(item.id, _middle(item, facts)) for item in items]
    axis = slice_axis(viewer)
    point = viewer.dims.point[viewer.dims.ndim - 3 + axis]
    start, step = facts.placement.translate_mm[axis], facts.placement.scale_mm[axis]
    index = round((point - start) / step)
    found = ((item.id, _place(item, layer, axis, index)) for item in items)
    return [Number(number, place) for number, place in found if place is not None]


def screenshot(
    viewer: Viewer,
    path: str | Path | None = None,
    *,
    numbers_of: Layer | None = None,
    ids: Collection[int] | None = None,
    scale: float | None = None,
) -> NDArray[np.uint8]:
    """The canvas as it is on display, (rows, columns, 4) RGBA; written as a PNG where `path` says.

    The scale bar is on it, and with `numbers_of` the numbers of that layer's objects (`ids`; None:
    all). `scale` enlarges it. Letters and banner are there where `attach` was called.

    Raises OutputError where the file cannot be written.
    """
    own = unwrapped(viewer)
    bar = own.canvas.overlays.scale_bar
    shown, bar.visible = bar.visible, True
    try:
        with _numbered(own, numbers_of, ids):
            picture = np.asarray(own.screenshot(scale=scale, canvas_only=True, flash=False))
    finally:
        bar.visible = shown
    if path is not None:
        from matplotlib.image import imsave

        with atomic_path(Path(path)) as temporary:
            imsave(temporary, picture, format="png")
    return picture


@contextmanager
def _numbered(viewer: Viewer, layer: Layer | None, ids: Collection[int] | None) -> Iterator[None]:
    """The numbers of a layer's objects on the canvas, for as long as the block runs."""
    numbers = [] if layer is None else numbers_on_display(viewer, layer, ids)
    if layer is None or not numbers:
        yield
        return
    active, selected = viewer.layers.selection.active, set(viewer.layers.selection)
    added = viewer.add_points([one.place for one in numbers], **_look(layer, numbers))
    try:
        yield
    finally:
        viewer.layers.remove(added)
        viewer.layers.selection = selected
        viewer.layers.selection.active = active


def _look(layer: Layer, numbers: list[Number]) -> dict[str, Any]:
    return {
        **placement_keywords(required_facts(layer).placement),
        "name": "numbers",
        "size": 0.01,
        "face_color": "transparent",
        "border_color": "transparent",
        "text": {
            "string": {"array": [str(one.id) for one in numbers], "default": ""},
            "size": _NUMBER_SIZE,
            "color": _NUMBER_COLOR,
        },
    }


def _middle(item: Instance, facts: LayerFacts) -> tuple[float, float, float]:
    z, y, x = ((part.start + part.stop - 1) / 2 for part in facts.placement.shown_box(item.box))
    return z, y, x


def _place(
    item: Instance, layer: Layer, axis: int, index: int
) -> tuple[float, float, float] | None:
    """The voxel of an object that lies deepest in what one sees of it in a slice of the layer.

    Where others hide it wholly, deepest in all of it.
    """
    placement = required_facts(layer).placement
    box = placement.shown_box(item.box)
    if not box[axis].start <= index < box[axis].stop:
        return None
    area = placement.shown_mask(item.mask).take(index - box[axis].start, axis=axis)
    if not area.any():
        return None
    seen = area & (layer.data[box].take(index - box[axis].start, axis=axis) == item.id)
    others = [other for other in range(3) if other != axis]
    depth_mm = distance_transform_edt(
        np.pad(seen if seen.any() else area, 1),
        sampling=[placement.scale_mm[other] for other in others],
    )[1:-1, 1:-1]
    place = [float(index)] * 3
    for other, n in zip(others, np.unravel_index(depth_mm.argmax(), area.shape), strict=True):
        place[other] = float(n + box[other].start)
    return place[0], place[1], place[2]

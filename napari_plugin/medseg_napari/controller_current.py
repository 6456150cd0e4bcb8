"""The current object in a layer of its own: outlined, and edited whatever overlaps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from medseg.types import Box, Instance, box_inside, item_boxes
from medseg_napari.controller_keys import bind_undo
from medseg_napari.view.adapter import forget_strokes
from medseg_napari.view.facts import placement_keywords

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

    from medseg_napari.controller import Controller

NAME = "current object"
_OUTLINE = (1.0, 1.0, 0.2, 1.0)
_CLEAR = (0.0, 0.0, 0.0, 0.0)
_WIDTH = 1


class CurrentLayer:
    """A labels layer that holds the mask of one object, its value the id.

    As it holds nothing else, a stroke in it can take nothing from others. Pages of its array that
    are never written take no memory.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._boxes: list[Box] = []
        self._item: Instance | None = None
        self.layer: Labels | None = None

    @property
    def number(self) -> int | None:
        """The id of what the layer holds; None where it holds nothing."""
        return None if self._item is None else self._item.id

    def show(self, item: Instance | None, *, anew: bool = False) -> None:
        """Let the layer hold an object as it is now, or nothing; `anew` even where it does."""
        if (item is self._item and not anew) or (item is None and self.layer is None):
            return
        layer = self._there()
        before, self._item = self.number, item
        number = self._controller.brush.new_id if item is None else item.id
        for shown_box in self._boxes:
            layer.data[shown_box] = 0
        self._boxes = []
        if item is not None:
            placement = self._controller.placement
            for box in item_boxes([item]):
                shown_box = placement.shown_box(box)
                mask = placement.shown_mask(item.mask[box_inside(box, item.box)])
                layer.data[shown_box][mask] = item.id
                self._boxes.append(shown_box)
        if number is not None and (before != number or layer.selected_label):
            layer.selected_label = number  # else 0 was chosen, which erases in it
        forget_strokes(layer)
        layer.refresh()

    def ready(self) -> Labels:
        """The layer, active, for tools that paint in it: empty where a new object is waited for."""
        layer = self._there()
        self._controller.restore()
        if self.number is not None:
            layer.selected_label = self.number
        self._controller.viewer.layers.selection.active = layer
        return layer

    def forget(self) -> None:
        """The layer was taken away by hand; the next object gets a new one."""
        self.layer, self._boxes, self._item = None, [], None

    def close(self, viewer: ViewerModel) -> None:
        """Take the layer away."""
        viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)
        layer, self.layer, self._boxes, self._item = self.layer, None, [], None
        if layer is not None and layer in viewer.layers:
            viewer.layers.remove(layer)

    def _there(self) -> Labels:
        if self.layer is not None:
            return self.layer
        controller, viewer = self._controller, self._controller.viewer
        active = viewer.layers.selection.active
        self._boxes, self._item = [], None
        self.layer = viewer.add_labels(
            np.zeros(controller.placement.shown.shape, dtype=np.uint16),
            name=NAME,
            colormap={None: _OUTLINE, 0: _CLEAR},
            opacity=1.0,
            multiscale=False,
            **placement_keywords(controller.placement),
        )
        viewer.layers.selection.active = active or controller.objects
        viewer.dims.events.ndisplay.connect(self._on_ndisplay)
        self._on_ndisplay()
        bind_undo(self.layer, controller)
        controller.brush.listen(self.layer)
        return self.layer

    def _on_ndisplay(self, _event: object = None) -> None:
        """Outlines are of slices: in 3D the object is drawn full."""
        if self.layer is not None:
            self.layer.contour = _WIDTH if self._controller.viewer.dims.ndisplay == 2 else 0

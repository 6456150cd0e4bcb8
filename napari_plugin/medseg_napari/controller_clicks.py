"""Clicks on the picture: they select an object, or give the points that a tool asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from medseg_napari.controller import Controller

Points = NDArray[np.float64]
_STILL_PIXELS = 4.0
"""A press that moves further is a drag, which pans."""
_STEPS_OF_VOXEL = 4
"""So dense is a line of sight looked at."""


class Clicks:
    """What the next click of a viewer means."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._points: list[Points] = []
        self._wanted = 0
        self._then: Callable[[Points], None] | None = None
        controller.viewer.mouse_drag_callbacks.append(self._on_press)

    @property
    def asking(self) -> int:
        """How many more points a tool waits for."""
        return self._wanted - len(self._points) if self._then is not None else 0

    def ask(self, number: int, what: str, then: Callable[[Points], None]) -> None:
        """Take the next clicks as points for `then`: (number, 3) in LPS mm."""
        self._points, self._wanted, self._then = [], number, then
        self._let_click()
        self._controller.say(what)

    def cancel(self) -> None:
        """Ask for points no more."""
        if self._then is not None:
            self._then = None
            self._controller.say("cancelled")

    def click(self, world_mm: Any) -> None:
        """A click at a point of napari's world."""
        if self._then is None:
            self._controller.pick(world_mm)
            return
        point = self._controller.placement.world_to_lps(np.asarray(world_mm)[-3:])
        self._points.append(point)
        if self.asking > 0:
            self._controller.say(f"click {self.asking} more, or press Escape")
            return
        then, points, self._then = self._then, np.array(self._points), None
        then(points)

    def close(self, viewer: ViewerModel) -> None:
        """Let go of the viewer."""
        if self._on_press in viewer.mouse_drag_callbacks:
            viewer.mouse_drag_callbacks.remove(self._on_press)

    def _let_click(self) -> None:
        """Put brushes away, whose press would paint."""
        active = self._controller.viewer.layers.selection.active
        if active is not None and str(getattr(active, "mode", "")) != "pan_zoom":
            active.mode = "pan_zoom"

    def _on_press(self, viewer: ViewerModel, event: Any) -> Iterator[None]:
        active = viewer.layers.selection.active
        mode = str(getattr(active, "mode", "pan_zoom"))
        if event.button != 1 or event.modifiers or mode not in ("pan_zoom", "none"):
            return
        first = np.asarray(event.pos, dtype=np.float64)
        yield
        while event.type == "mouse_move":
            if np.linalg.norm(np.asarray(event.pos) - first) > _STILL_PIXELS:
                return
            yield
        if viewer.dims.ndisplay == 2:
            self.click(event.position)
            return
        if self._then is not None:
            self._controller.say("click on a slice: switch to 2D")
            return
        number = self._first_along(event)
        if number is not None:
            self._controller.select([number], go=False)

    def _first_along(self, event: Any) -> int | None:
        """The first object along the line of sight that no filter hides."""
        layer, hidden = self._controller.objects, self._controller.hidden
        ends = layer.get_ray_intersections(
            event.position, event.view_direction, event.dims_displayed, world=True
        )
        if any(end is None for end in ends):
            return None
        start, stop = (np.asarray(end)[-3:] for end in ends)
        points = np.linspace(start, stop, 2 + int(_STEPS_OF_VOXEL * np.linalg.norm(stop - start)))
        inside = np.clip(np.rint(points).astype(int), 0, np.subtract(layer.data.shape, 1))
        values = layer.data[tuple(inside.T)].tolist()
        return next((one for one in values if one and one not in hidden), None)

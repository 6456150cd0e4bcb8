"""The RECIST diameters of the current lesion as lines that can be dragged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medseg.measurement import measure
from medseg.types import Instance
from medseg_napari.controller_keys import bind_undo
from medseg_napari.controller_steps import reset_diameters
from medseg_napari.session import Line, Lines, Session, Which
from medseg_napari.session.packing import mask_sum
from medseg_napari.view.adapter import move_shapes
from medseg_napari.view.facts import placement_keywords
from medseg_napari.view.jump import jump_to_lps
from medseg_napari.view.planes import PLANES, show_plane, slice_axis

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Shapes

    from medseg_napari.controller import Controller

NAME = "diameters"
WHICH: tuple[Which, ...] = ("long", "short")
_COLORS = ("#ffd140", "#54c8ff")
_WIDTH_PIXELS_OF_MM = 0.6
_SAME_MM = 1e-3
_DECIMALS = 6


class LinesLayer:
    """A shapes layer with the long and the short diameter; dragging an end is a step."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._shown: tuple[int, tuple[Line, Line]] | None = None
        self._note = ""
        self._known: tuple[Instance, Lines] | None = None
        self._quiet = False
        self.layer: Shapes | None = None
        self.wanted = True

    def show(self, item: Instance | None, *, anew: bool = False) -> None:
        """Draw the diameters of a lesion; of an organ, or with `wanted` off, none."""
        lines = self._lines_of(item) if self.wanted and item is not None else None
        shown = None if lines is None or item is None else (item.id, (lines.long, lines.short))
        if shown is None and self.layer is None:
            return
        note = "" if lines is None or item is None else _note_on(lines, item)
        same = shown == self._shown and note == self._note
        if same and self.layer is not None and not anew:
            return
        self._shown, self._note = shown, note
        layer = self._there()
        self._quiet = True
        try:
            self._draw(layer, () if shown is None else shown[1], anew=anew)
        finally:
            self._quiet = False

    def _draw(self, layer: Shapes, lines: Sequence[Line], *, anew: bool) -> None:
        corners = [self._to_layer(line) for line in lines]
        if anew or len(corners) != len(layer.data):
            layer.data = []
            if corners:
                layer.add_lines(corners, edge_color=list(_COLORS), edge_width=_WIDTH_PIXELS_OF_MM)
        if lines:
            words = " × ".join(f"{line.length_mm:.1f}" for line in lines)
            layer.features = {"mm": [f"{words} mm{self._note}", ""]}
            move_shapes(layer, corners)

    def set_wanted(self, *, wanted: bool) -> None:
        """Show or hide the diameters."""
        self.wanted = wanted
        self.show(self._controller.item)

    def go(self) -> None:
        """Go to the slice of the long diameter, in its plane, ready to drag its ends."""
        controller = self._controller
        self.set_wanted(wanted=True)
        if self._shown is None or self.layer is None:
            controller.say("select a lesion first: diameters are of lesions")
            return
        line = self._shown[1][0]
        self._face(controller.viewer)
        middle = (np.asarray(line.start_lps_mm) + np.asarray(line.stop_lps_mm)) / 2
        jump_to_lps(controller.viewer, controller.objects, middle)
        controller.viewer.layers.selection.active = self.layer
        self.layer.mode = "direct"

    def _face(self, viewer: ViewerModel) -> None:
        """Turn to the plane of both lines, where the one on display cuts them to points."""
        if self._shown is None or viewer.dims.ndisplay != 2:
            return
        ends = np.concatenate([self._to_layer(line) for line in self._shown[1]])
        flat = np.ptp(ends, axis=0) * self._controller.placement.scale_mm < _SAME_MM
        if flat.any() and not flat[slice_axis(viewer)]:
            show_plane(viewer, PLANES[int(flat.argmax())])

    def close(self, viewer: ViewerModel) -> None:
        """Take the layer away."""
        layer, self.layer = self.layer, None
        if layer is not None and layer in viewer.layers:
            viewer.layers.remove(layer)

    def dragged(self) -> None:
        """Make of what the lines in the layer are now a step, or draw them as they were."""
        if self._shown is None or self.layer is None:
            return
        number, lines = self._shown
        session, controller = self._controller.session, self._controller
        if len(self.layer.data) < len(lines):
            self.show(controller.item, anew=True)
            controller.say("a diameter is moved, not deleted: drag its ends")
            return
        for which, old, points in zip(WHICH, lines, self.layer.data, strict=False):
            start, stop = self._from_layer(np.asarray(points)[[0, -1]])
            ends = [
                point if np.abs(np.subtract(point, was)).max() > _SAME_MM else was
                for point, was in ((start, old.start_lps_mm), (stop, old.stop_lps_mm))
            ]  # an end that stayed is exactly where it was
            if ends != [old.start_lps_mm, old.stop_lps_mm]:
                if controller.attempt(partial(session.move_line, number, which, *ends)) is None:
                    self.show(controller.item, anew=True)
                return
        self.show(controller.item, anew=True)

    def reset(self) -> None:
        """Take the diameters of the mask again, where the reader moved them."""
        controller, item = self._controller, self._controller.item
        if item is None:
            controller.say("select a lesion first: diameters are of lesions")
            return
        edit = controller.attempt(partial(reset_diameters, controller.session, item.id))
        if edit is not None and controller.apply(edit):
            controller.say(f"{edit.name}: done")

    def _lines_of(self, item: Instance) -> Lines | None:
        if item.kind != "lesion":
            return None
        if self._known is None or self._known[0] is not item:
            self._known = (item, measured_lines(self._controller.session, item))
        mask, said = self._known[1], self._controller.session.review(item.id)
        return Lines(
            said.long or mask.long,
            said.short or mask.short,
            "reader" if said.long else "mask",
            "reader" if said.short else "mask",
        )

    def _there(self) -> Shapes:
        if self.layer is not None:
            return self.layer
        viewer = self._controller.viewer
        active = viewer.layers.selection.active
        self.layer = viewer.add_shapes(
            ndim=3,
            name=NAME,
            opacity=1.0,
            features={"mm": np.zeros(0, dtype=object)},
            text={"string": "{mm}", "size": 10, "color": "white", "anchor": "upper_left"},
            **placement_keywords(self._controller.placement),
        )
        viewer.layers.selection.active = active or self._controller.objects
        self.layer.events.data.connect(self._on_data)
        bind_undo(self.layer, self._controller)
        return self.layer

    def _on_data(self, event: Any) -> None:
        action = str(getattr(event, "action", "")).rsplit(".", 1)[-1].lower()
        if not self._quiet and action in ("changed", "removed"):
            self.dragged()

    def _to_layer(self, line: Line) -> NDArray[np.float64]:
        placement = self._controller.placement
        world = placement.lps_to_world([line.start_lps_mm, line.stop_lps_mm])
        points = (world - placement.translate_mm) / placement.scale_mm
        return np.asarray(points.round(_DECIMALS))

    def _from_layer(self, points: NDArray[np.float64]) -> list[list[float]]:
        placement = self._controller.placement
        found = placement.world_to_lps(points * placement.scale_mm + placement.translate_mm)
        return [[float(value) for value in point] for point in found]


def _note_on(lines: Lines, item: Instance) -> str:
    """What stands beside lengths of which one was drawn on another mask than the lesion has now."""
    sums = {line.mask_sum for line in (lines.long, lines.short)} - {None}
    return ", drawn on another mask" if sums and sums != {mask_sum(item)} else ""


def measured_lines(session: Session, item: Instance) -> Lines:
    """The diameters of one lesion's mask, as the table has them; the others are not measured."""
    options = session.table.options
    row = measure(
        replace(session.instances, items=[item]),
        session.volume,
        groups=["recist"],
        slice_thickness_mm=options.slice_thickness_mm,
        acquisition_axis=options.acquisition_axis,
    ).iloc[0]
    start, stop = (
        {which: [row[f"recist_{which}_{end}_{axis}_mm"] for axis in "xyz"] for which in WHICH}
        for end in ("start", "stop")
    )
    long, short = (Line.of(start[which], stop[which]) for which in WHICH)
    return Lines(long, short, "mask", "mask")

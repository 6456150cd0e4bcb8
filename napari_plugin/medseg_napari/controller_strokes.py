"""Painting in napari as steps of the session: one stroke, one step, on one object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medseg.editing import erase, label_changes, paint, paint_new
from medseg.editing.regions import placed
from medseg.types import Box, Instance, InstanceClass, meeting
from medseg_napari.session import Edit, Session, named
from medseg_napari.view.adapter import Drawn, is_encircling, painted
from medseg_napari.view.jump import own_slice_axis
from medseg_napari.view.layer_data import LARGEST_ID, redraw
from medseg_napari.view.placement import Placement

if TYPE_CHECKING:
    from napari.layers import Labels

    from medseg_napari.controller import Controller

_BRUSHES = ("paint", "erase")
_DECIMALS = 3
FIRST_RADIUS_MM = 3.0


class Brush:
    """The brush of napari, measured in mm: what it covers is computed anew on the true grid.

    While the mouse moves napari draws what its own brush covers. When the stroke ends it becomes
    one step of the session, with a ball of exactly `radius_mm`, or a disc on the slice, and the
    layers are drawn as the session has it. Fills and polygons become a step voxel by voxel.
    `keep_out` leaves to other lesions what they hold.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._way: list[Sequence[float]] = []
        self._setting = False
        self._late: tuple[Labels, Box] | None = None
        self.radius_mm = FIRST_RADIUS_MM
        self.ball = False
        self.keep_out = True
        self.class_name: str | None = None
        self.new_id: int | None = None
        self._beside: int | None = None
        self._recorders: dict[int, Callable[..., Any]] = {}

    @property
    def waits(self) -> bool:
        """Whether the next stroke is to make a new object: once another row is taken, no more."""
        current = self._controller.session.selection.current
        return self.new_id is not None and current in (None, self._beside)

    def listen(self, layer: Labels) -> None:
        """Turn what is painted in a layer into steps."""
        recorder = self._recorder()
        self._recorders[id(layer)] = recorder
        layer.mouse_drag_callbacks.append(recorder)
        layer.events.paint.connect(self._on_paint)
        layer.events.brush_size.connect(self._on_brush_size)
        layer.events.labels_update.connect(self._on_drawn)
        layer.events.set_data.connect(self._on_drawn)
        self._set_size(layer)

    def forget(self, layer: Labels) -> None:
        """Leave a layer alone."""
        layer.events.paint.disconnect(self._on_paint)
        layer.events.brush_size.disconnect(self._on_brush_size)
        layer.events.labels_update.disconnect(self._on_drawn)
        layer.events.set_data.disconnect(self._on_drawn)
        recorder = self._recorders.pop(id(layer), None)
        if recorder in layer.mouse_drag_callbacks:
            layer.mouse_drag_callbacks.remove(recorder)

    def resize(self, radius_mm: float) -> None:
        """Set the radius, in mm."""
        self.radius_mm = radius_mm
        for layer in self._layers():
            self._set_size(layer)

    def start(self, mode: str, *, new: bool = False) -> None:
        """Take the brush: "paint" or "erase"; with `new` the next stroke makes a new object."""
        controller = self._controller
        if not new and controller.item is None:
            controller.say("select a row first, or paint a new object")
            return
        self.new_id = controller.session.next_id if new else None
        if self.new_id is not None and self.new_id > LARGEST_ID:
            controller.say(f"no layer shows an object above {LARGEST_ID}")
            return
        self._beside = controller.session.selection.current
        layer = controller.current.ready()
        self.shape()
        layer.mode = mode

    def stop(self) -> None:
        """Put the brush away."""
        controller = self._controller
        if self.new_id is not None:
            self.new_id = None
            controller.restore()  # the layer was emptied for the new object
        for layer in self._layers():
            layer.mode = "pan_zoom"
        selection = controller.viewer.layers.selection
        if controller.current.layer is not None and selection.active is controller.current.layer:
            selection.active = controller.objects  # which is what one saves

    def shape(self, *, ball: bool | None = None) -> None:
        """Paint with a ball through slices, or with a disc on one."""
        self.ball = self.ball if ball is None else ball
        for layer in self._layers():
            layer.n_edit_dimensions = 3 if self.ball else 2
            self._set_size(layer)

    def lesion_class(self) -> InstanceClass | None:
        """The class of what is painted anew: the chosen one, else the first of lesions."""
        classes = self._controller.session.instances.classes
        named_so = [one for one in classes if one.name == self.class_name]
        return next(iter([*named_so, *(one for one in classes if one.kind == "lesion")]), None)

    def finish(self, layer: Labels, atoms: Sequence[Any]) -> None:
        """What was painted becomes a step, or is taken back where it cannot."""
        controller = self._controller
        way, self._way = self._way, []
        shown_box, old, new = painted(layer, atoms)
        touched = controller.placement.own_box(shown_box)
        edit = controller.attempt(lambda: self._edit(layer, way, touched, (old, new)))
        done = edit is not None and controller.apply(edit)
        self._say_hidden(layer, touched, new)
        number = self.new_id
        if done and number is not None:
            self.new_id = None
            controller.select([number], go=False)
        self._late = None
        if np.array_equal(layer.data[shown_box], new):
            self._restore(layer, shown_box)
        else:
            self._late = (layer, shown_box)  # napari writes it when all listeners were told

    def _restore(self, layer: Labels, shown_box: Box) -> None:
        """Let the layers show what the session has, whatever was painted."""
        controller = self._controller
        touched = controller.placement.own_box(shown_box)
        if layer is controller.objects:
            redraw(controller.objects, controller.session.instances, touched)
        else:
            layer.data[shown_box] = 0
        controller.restore()

    def _on_drawn(self, event: Any) -> None:
        if self._late is not None and self._late[0] is event.source:
            late, self._late = self._late, None
            self._restore(*late)

    def _edit(
        self, layer: Labels, way: list[Sequence[float]], box: Box, values: tuple[Drawn, Drawn]
    ) -> Edit:
        number = self._target(layer)
        if way and str(layer.mode) in _BRUSHES and self._controller.viewer.dims.ndisplay == 2:
            return self._along(number, way, erasing=_erases(layer))
        return self._voxels(number, box, values)

    def _target(self, layer: Labels) -> int:
        """The one object that a stroke is about: the current one, or a new one."""
        controller = self._controller
        current, erasing = controller.session.selection.current, _erases(layer)
        if erasing or not self.waits:
            self.new_id = None
        if self.new_id not in (None, controller.session.next_id):
            self.new_id = None
            msg = "another object was made since: choose Paint new again"
            raise ValueError(msg)
        wanted = self.new_id if self.new_id is not None else current
        if wanted is None:
            msg = "select a row first: a stroke is about one object"
            raise ValueError(msg)
        label = int(layer.selected_label)
        if not erasing and label != wanted:
            msg = f"the brush is set to {label}, not to {wanted}: select a row, or choose Paint new"
            raise ValueError(msg)
        return wanted

    def _along(self, number: int, way: list[Sequence[float]], *, erasing: bool) -> Edit:
        controller, session = self._controller, self._controller.session
        geometry, items = session.instances.geometry, session.instances.items
        stroke = controller.placement.world_to_lps([list(point)[-3:] for point in way])
        axis = None if self.ball else own_slice_axis(controller.viewer, controller.objects)
        item = next((one for one in items if one.id == number), None)
        others = self._others(number)
        if item is None:
            left: Instance | None = paint_new(
                geometry, stroke, self.radius_mm,
                id=number, of=self._new_class(), axis=axis, keep_out=others,
            )  # fmt: skip
        elif erasing:
            left = erase(item, geometry, stroke, self.radius_mm, axis=axis)
        else:
            left = paint(item, geometry, stroke, self.radius_mm, axis=axis, keep_out=others)
        arguments = {
            "id": number,
            "radius_mm": self.radius_mm,
            "axis": axis,
            "keep_out": bool(others),
            "stroke_lps_mm": stroke.round(_DECIMALS).tolist(),
        }
        return _stroke(session, number, left, arguments, erasing=erasing)

    def _voxels(self, number: int, box: Box, values: tuple[Drawn, Drawn]) -> Edit:
        session = self._controller.session
        placement = self._controller.placement
        old, new = (own_crop(placement, one) for one in values)
        new = np.where(placed(self._others(number), box) & (new == number), old, new)
        of = self._new_class() if self._is_new(number) else None
        found = label_changes(session.instances.items, box, old, new, only=number, of=of)
        if number not in found:
            raise _nothing()
        erasing = not ((new == number) & (old != number)).any()
        return _stroke(session, number, found[number], {"id": number}, erasing=erasing)

    def _others(self, number: int) -> list[Instance]:
        """The other lesions that keep what they hold, where a lesion is painted."""
        items = self._controller.session.instances.items
        organ = any(one.id == number and one.kind == "organ" for one in items)
        if organ or not self.keep_out:
            return []
        return [one for one in items if one.kind == "lesion" and one.id != number]

    def _say_hidden(self, layer: Labels, box: Box, new: Drawn) -> None:
        """Say which objects under a stroke the filter hides: they are kept as they are."""
        controller, label = self._controller, int(layer.selected_label)
        if not controller.hidden or _erases(layer):
            return
        drawn = own_crop(controller.placement, new) == label
        hidden = (
            item
            for item in controller.session.instances
            if item.id in controller.hidden and item.kind == "lesion" and item.id != label
        )
        found = [
            item
            for item in hidden
            if meeting(item.box, box) is not None and (placed([item], box) & drawn).any()
        ]
        if found:
            what = named("", found).strip()
            how = "the stroke keeps off" if self.keep_out else "both hold what is painted there"
            controller.say(f"the filter hides {what} here: {how}")

    def _is_new(self, number: int) -> bool:
        return all(item.id != number for item in self._controller.session.instances)

    def _new_class(self) -> InstanceClass:
        session, found = self._controller.session, self.lesion_class()
        if found is None:
            msg = "there is no class of lesions: add one first"
            raise ValueError(msg)
        if found.kind == "organ" and any(
            item.class_name == found.name for item in session.instances
        ):
            msg = f"{found.name} is there already, and an organ is one object: select it"
            raise ValueError(msg)
        return found

    def _layers(self) -> list[Labels]:
        layers = [self._controller.objects, self._controller.current.layer]
        return [layer for layer in layers if layer is not None]

    def _recorder(self) -> Callable[..., Iterator[None]]:
        def record(layer: Labels, event: Any) -> Iterator[None]:
            self._way = []
            if event.button != 1 or str(layer.mode) not in _BRUSHES or is_encircling(layer):
                return  # a press while an outline is drawn only pans
            self._way.append(event.position)
            yield
            while event.type == "mouse_move":
                self._way.append(event.position)
                yield

        return record

    def _on_paint(self, event: Any) -> None:
        self.finish(event.source, event.value)

    def _on_brush_size(self, event: Any) -> None:
        if not self._setting:
            least = min(self._controller.placement.scale_mm)
            self.radius_mm = max(float(event.source.brush_size) / 2 * least, least / 2)

    def _set_size(self, layer: Labels) -> None:
        """Let the cursor be as large as the ball, as nearly as napari's whole voxels go."""
        self._setting = True
        try:
            least = min(self._controller.placement.scale_mm)
            layer.brush_size = max(1, round(2 * self.radius_mm / least))
        finally:
            self._setting = False


def _erases(layer: Labels) -> bool:
    """Whether what napari paints takes away: with the eraser, or with the label of nothing."""
    return str(layer.mode) == "erase" or not int(layer.selected_label)


def own_crop(placement: Placement, crop: Drawn) -> Drawn:
    """A crop of the layer's array turned as the image's own grid is."""
    flipped = np.flip(crop, tuple(axis for axis, flip in enumerate(placement.flips) if flip))
    return np.ascontiguousarray(np.transpose(flipped, np.argsort(placement.axes)))


def _stroke(
    session: Session,
    number: int,
    left: Instance | None,
    arguments: dict[str, Any],
    *,
    erasing: bool,
) -> Edit:
    items = {item.id: item for item in session.instances}
    before = items.get(number)
    if before is left:
        raise _nothing()
    verb = "Erase in" if erasing else ("Paint a new" if before is None else "Paint in")
    shown = left if left is not None else before
    name = named(verb, [] if shown is None else [shown])
    operation = "erase" if erasing else "paint"
    return session.edit(name, operation, arguments, {number: left})


def _nothing() -> ValueError:
    return ValueError("the stroke changes nothing")

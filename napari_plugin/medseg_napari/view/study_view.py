"""Letters, banner and scale bar on a viewer's canvas, true to what it shows at any moment."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Literal

from medseg_napari.view.adapter import still_open, unwrapped
from medseg_napari.view.facts import facts_of
from medseg_napari.view.planes import (
    PLANES,
    Plane,
    banner,
    letters,
    plane_of,
    reference_layer,
    show_plane,
)
from medseg_napari.view.presets import set_range

if TYPE_CHECKING:
    from napari.components import ViewerModel

_PLACES = {
    "medseg_left": "middle_left",
    "medseg_right": "middle_right",
    "medseg_top": "top_center",
    "medseg_bottom": "bottom_center",
}
_BANNER = "medseg_banner"
_LETTER_COLOR, _BANNER_COLOR = "#ffffff", "#ffd140"
_BOX_COLOR = "#000000c0"  # dark in every theme: the letters lie on the image
_LETTER_SIZE, _BANNER_SIZE = 16, 11

_VIEWS: weakref.WeakKeyDictionary[Any, StudyView] = weakref.WeakKeyDictionary()


class StudyView:
    """The view of studies in one viewer: the plane, and what the canvas says of it.

    `attach` makes the one of a viewer. It listens to the viewer and holds it weakly.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        from napari.components.overlays import TextOverlay

        self._viewer = weakref.ref(viewer)
        overlays = viewer.canvas.overlays
        for name, place in _PLACES.items():
            overlays[name] = TextOverlay(
                position=place,
                font_size=_LETTER_SIZE,
                color=_LETTER_COLOR,
                box_color=_BOX_COLOR,
            )
        overlays[_BANNER] = TextOverlay(
            position="top_left",
            font_size=_BANNER_SIZE,
            color=_BANNER_COLOR,
            box_color=_BOX_COLOR,
        )
        overlays.scale_bar.visible = True
        dims, camera, layers = viewer.dims.events, viewer.scene.camera.events, viewer.layers
        for event in (dims.order, dims.ndisplay, camera.orientation, camera.angles):
            event.connect(self.update)
        layers.events.inserted.connect(self._on_inserted)
        layers.events.removed.connect(self.update)
        layers.selection.events.active.connect(self.update)
        for layer in layers:
            layer.events.visible.connect(self.update)
            set_range(layer)
        if any(facts_of(layer) is not None for layer in layers):
            self.show("axial")
        self.update()

    @property
    def viewer(self) -> ViewerModel:
        """The viewer; ReferenceError where it has been closed."""
        return still_open(self._viewer())

    @property
    def plane(self) -> Plane | None:
        """The plane on display, None where the user turned the view in another way."""
        return plane_of(self.viewer)

    def show(self, plane: Plane, *, ndisplay: Literal[2, 3] = 2) -> None:
        """Show a plane with the patient upright, or with `ndisplay=3` the volume seen so."""
        if plane not in PLANES:
            msg = f"plane is one of {', '.join(PLANES)}; got {plane!r}"
            raise ValueError(msg)
        show_plane(self.viewer, plane, ndisplay=ndisplay)
        self.update()

    def update(self, _event: object = None) -> None:
        """Let letters and banner say what is on display now."""
        viewer = self._viewer()
        if viewer is None:
            return
        layer = reference_layer(viewer)
        facts = None if layer is None else facts_of(layer)
        shown = ("",) * len(_PLACES) if facts is None else letters(viewer, facts.placement)
        for name, text in zip(_PLACES, shown, strict=True):
            self._say(name, text)
        self._say(_BANNER, banner(viewer))

    def _say(self, name: str, text: str) -> None:
        overlay = self.viewer.canvas.overlays[name]
        if text:
            overlay.text = text
        overlay.visible = bool(text)

    def _on_inserted(self, event: Any) -> None:
        layer, viewer = event.value, self.viewer
        layer.events.visible.connect(self.update)
        if facts_of(layer) is None:
            return
        set_range(layer)
        ours = [one for one in viewer.layers if facts_of(one) is not None]
        if len(ours) == 1:  # the first of a study: whatever the viewer showed before, upright now
            self.show("axial")
        self.update()


def attach(viewer: ViewerModel) -> StudyView:
    """The view of a viewer, made at the first call."""
    own = unwrapped(viewer)
    if own not in _VIEWS:
        _VIEWS[own] = StudyView(own)
    return _VIEWS[own]

"""The one module that touches what napari keeps private, each in a function with a test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from medseg.types import Box, box_inside

if TYPE_CHECKING:
    from napari import Viewer
    from napari.components import ViewerModel
    from napari.layers import Labels, Layer, Shapes

T = TypeVar("T")
Drawn = NDArray[Any]


def unwrapped(viewer: T) -> T:
    """The viewer itself where napari hands a plugin a proxy of it."""
    found: T = getattr(viewer, "__wrapped__", viewer)
    return found


def still_open(viewer: T | None) -> T:
    """A viewer that was held weakly; ReferenceError where it has been closed."""
    if viewer is None:
        msg = "the viewer is closed"
        raise ReferenceError(msg)
    return viewer


def open_viewer() -> Viewer | None:
    """The viewer whose window is in front, None where there is no window; imports no Qt."""
    if "napari._qt.qt_main_window" not in sys.modules:
        return None
    from napari import current_viewer

    viewer: Viewer | None = current_viewer()
    return viewer


def when_closed(viewer: ViewerModel, act: Callable[[], None]) -> None:
    """Call `act` when the window of a viewer is gone; never where it has none."""
    window: Any = getattr(viewer, "window", None)
    if window is not None:
        window._qt_window.destroyed.connect(lambda _=None: act())


def forget_strokes(layer: Labels) -> None:
    """Empty the undo and redo of a labels layer: they would write old values into new ones."""
    layer._reset_history()


def is_encircling(layer: Labels) -> bool:
    """Whether the outline of napari's tool that fills what is encircled is being drawn."""
    return bool(getattr(layer._overlays.get("brush_stroke"), "active", False))


@contextmanager
def refreshed_once(layers: Iterable[Layer]) -> Iterator[None]:
    """Whatever changes in the layers, each is sliced and drawn once: by a jump, or at the end."""
    slices = [(layer, layer._slice_input) for layer in layers]
    with ExitStack() as held:
        for layer, _ in slices:
            held.enter_context(layer._block_refresh())
        yield
    for layer, before in slices:
        if layer._slice_input is before:  # no jump has sliced it anew
            layer.refresh()


def move_shapes(layer: Shapes, corners: Sequence[NDArray[np.float64]]) -> None:
    """Put the corners of all shapes of a layer elsewhere; `data = ` would make them anew."""
    layer.selected_data = set()
    for index, points in enumerate(corners):
        layer._data_view.edit(index, points)
    layer.refresh()


def painted(layer: Labels, atoms: Sequence[Any]) -> tuple[Box, Drawn, Drawn]:
    """The box of a layer's array that a stroke touched, and the values in it before and after.

    napari tells of a stroke before or after it writes it into the array: both give the same.
    """
    boxes = [_atom_box(atom) for atom in atoms]
    z, y, x = (
        slice(min(box[n].start for box in boxes), max(box[n].stop for box in boxes))
        for n in range(3)
    )
    box = (z, y, x)
    old = np.array(layer.data[box])
    for atom in reversed(atoms):
        _put(old, box, atom, before=True)
    new = old.copy()
    for atom in atoms:
        _put(new, box, atom, before=False)
    return box, old, new


def canvas_widget(viewer: ViewerModel) -> Any:
    """The Qt widget in which a viewer draws, for tests of keys and of the mouse."""
    window: Any = unwrapped(viewer).window
    return window._qt_viewer.canvas.native


def window_widget(viewer: ViewerModel) -> Any:
    """The Qt main window of a viewer, the parent of dialogs."""
    window: Any = unwrapped(viewer).window
    return window._qt_window


def _put(values: Drawn, box: Box, atom: Any, *, before: bool) -> None:
    """Write into the values of a box what a part of a stroke found there, or what it left."""
    if hasattr(atom, "slice_key"):
        region = values[box_inside(_atom_box(atom), box)]
        mask = True if atom.mask is None else np.reshape(atom.mask, region.shape)
        found = atom.old_values
        if before and atom.mask is None:
            found = np.reshape(found, region.shape)
        region[mask] = found if before else atom.new_value
        return
    indices, found, left = atom
    inside = tuple(np.asarray(n) - part.start for n, part in zip(indices, box, strict=True))
    values[inside] = found if before else left


def _atom_box(atom: Any) -> Box:
    if hasattr(atom, "slice_key"):
        z, y, x = (
            part if isinstance(part, slice) else slice(int(part), int(part) + 1)
            for part in atom.slice_key
        )
        return z, y, x
    z, y, x = (slice(int(np.min(n)), int(np.max(n)) + 1) for n in atom[0])
    return z, y, x

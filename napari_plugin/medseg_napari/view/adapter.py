"""The one module that touches what napari keeps private, each in a function with a test."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from napari import Viewer
    from napari.components import ViewerModel
    from napari.layers import Labels

T = TypeVar("T")


def unwrapped(viewer: T) -> T:
    """The viewer itself where napari hands a plugin a proxy of it."""
    found: T = getattr(viewer, "__wrapped__", viewer)
    return found


def open_viewer() -> Viewer | None:
    """The viewer whose window is in front, None where there is no window; imports no Qt."""
    if "napari._qt.qt_main_window" not in sys.modules:
        return None
    from napari import current_viewer

    viewer: Viewer | None = current_viewer()
    return viewer


def forget_strokes(layer: Labels) -> None:
    """Empty the undo and redo of a labels layer: they would write old values into new ones."""
    layer._reset_history()


def canvas_widget(viewer: ViewerModel) -> Any:
    """The Qt widget in which a viewer draws, for tests of keys and of the mouse."""
    window: Any = unwrapped(viewer).window
    return window._qt_viewer.canvas.native


def window_widget(viewer: ViewerModel) -> Any:
    """The Qt main window of a viewer, the parent of dialogs."""
    window: Any = unwrapped(viewer).window
    return window._qt_window

"""Keys of review and undo, bound in code: napari ignores those of a manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from medseg_napari.controller import Controller

Action = Callable[["Controller"], None]

KEYS: Mapping[str, str] = {
    "next": "N",
    "previous": "Shift-N",
    "accept": "G",
    "reject": "W",
    "unsure": "U",
    "go": "J",
}
"""The usual key of each action; free in napari for every kind of layer. G is good, W wrong."""

UNDO, REDO, CANCEL = "Control-Z", "Control-Shift-Z", "Escape"

ACTIONS: Mapping[str, Action] = {
    "next": lambda work: work.step(1),
    "previous": lambda work: work.step(-1),
    "accept": lambda work: work.decide("accept", then_next=True),
    "reject": lambda work: work.decide("reject", then_next=True),
    "unsure": lambda work: work.decide("unsure", then_next=True),
    "go": lambda work: work.go(),
}


def bind_keys(viewer: ViewerModel, controller: Controller) -> None:
    """Bind the keys of review, undo and Escape for as long as no layer takes them itself."""
    for name, key in controller.keys.items():
        viewer.bind_key(key, _calling(ACTIONS[name], controller), overwrite=True)
    viewer.bind_key(UNDO, _calling(_undo, controller), overwrite=True)
    viewer.bind_key(REDO, _calling(_redo, controller), overwrite=True)
    viewer.bind_key(CANCEL, _calling(_cancel, controller), overwrite=True)


def unbind_keys(viewer: ViewerModel, controller: Controller) -> None:
    """Give the keys back."""
    for key in (*controller.keys.values(), UNDO, REDO, CANCEL):
        viewer.bind_key(key, None, overwrite=True)
    if controller.objects in viewer.layers:
        for key in (UNDO, REDO):
            controller.objects.bind_key(key, None, overwrite=True)


def bind_undo(layer: Layer, controller: Controller) -> None:
    """Let undo and redo in a layer be the session's: one step, by name."""
    layer.bind_key(UNDO, _calling(_undo, controller), overwrite=True)
    layer.bind_key(REDO, _calling(_redo, controller), overwrite=True)


def _calling(action: Action, controller: Controller) -> Callable[[Any], None]:
    return lambda _: action(controller)


def _undo(controller: Controller) -> None:
    controller.undo()


def _redo(controller: Controller) -> None:
    controller.redo()


def _cancel(controller: Controller) -> None:
    controller.clicks.cancel()

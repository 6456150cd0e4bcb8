"""A viewer model with a session bound, and strokes as the mouse makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from medseg_napari.controller import Controller, bind
from medseg_napari.session import Session
from medseg_napari.view.jump import required_facts
from medseg_napari.view.layer_data import image_data, labels_data
from medseg_napari.view.opening import add_layers
from session_cases import image, output

from medseg.types import Instances, Volume


def bound(viewer, instances: Instances | None = None, volume: Volume | None = None) -> Controller:
    """A session on objects, by default 12, 3, 7, 1 (liver) and 40, bound to a viewer."""
    start = output() if instances is None else instances
    seen = image() if volume is None else volume
    _, layer = add_layers(viewer, [image_data(seen), labels_data(start)])
    return bind(viewer, Session.begin(seen, start, "AB"), layer)


def only(*numbers: int) -> Instances:
    """Some of the default objects."""
    return replace(output(), items=[item for item in output() if item.id in numbers])


def world_of(work: Controller, index: Sequence[float]) -> list[float]:
    """The point of napari's world at a voxel of the image's own grid."""
    found: list[float] = required_facts(work.objects).placement.index_to_world(index).tolist()
    return found


def event_at(position: Sequence[float], kind: str = "mouse_press", **more: Any) -> SimpleNamespace:
    """What napari tells of the mouse."""
    base = {
        "type": kind,
        "position": tuple(position),
        "button": 1,
        "modifiers": (),
        "pos": np.zeros(2),
        "view_direction": None,
        "dims_displayed": [1, 2],
    }
    return SimpleNamespace(**(base | more))


def drag(layer: Any, way: Sequence[Sequence[float]], callbacks: Sequence[Any]) -> None:
    """A press at the first point, moves to the others, a release at the last."""
    event = event_at(way[0])
    running = []
    for callback in callbacks:
        generator = callback(layer, event)
        if generator is not None:
            running.append(generator)
            next(generator, None)
    for point in way[1:]:
        event.type, event.position = "mouse_move", tuple(point)
        for generator in running:
            next(generator, None)
    event.type = "mouse_release"
    for generator in running:
        next(generator, None)


def labels_of(work: Controller) -> np.ndarray:
    """The layer's array on the image's own grid."""
    found: np.ndarray = required_facts(work.objects).placement.to_own(work.objects.data)
    return found


def agree(work: Controller) -> None:
    """The picture shows exactly what the session has."""
    from medseg_napari.view.layer_data import drawn

    placement = required_facts(work.objects).placement
    wanted = drawn(work.session.instances, placement)
    assert np.array_equal(work.objects.data, wanted)
    if work.current.layer is not None:
        item = work.item
        alone = replace(work.session.instances, items=[] if item is None else [item])
        assert np.array_equal(work.current.layer.data, drawn(alone, placement))

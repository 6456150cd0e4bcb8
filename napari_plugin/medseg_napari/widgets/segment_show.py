"""A session brought to a viewer: its objects as a layer, bound to the panels; needs no Qt."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from medseg_napari.controller import Controller, bind, set_aside
from medseg_napari.controller_aside import in_words
from medseg_napari.session import Filter, Session
from medseg_napari.session.view_state import KeptView
from medseg_napari.view.facts import StudySource
from medseg_napari.view.layer_data import labels_data
from medseg_napari.view.opening import add_layers
from medseg_napari.widgets.preferences import Preferences, preferences, review_keys

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

BRING_BACK = "Bring it back"


def show_session(
    viewer: ViewerModel,
    session: Session,
    *,
    name: str,
    source: StudySource,
    wishes: Preferences | None = None,
) -> Controller:
    """Add a layer with a session's objects and bind the session; another one is closed.

    With `wishes.min_volume_ml` smaller objects of a session whose table nobody changed yet are
    hidden, by the filter that the table shows.
    Raises InputRefused (`labels-not-integer`) for an id above 65535.
    """
    data = labels_data(session.instances, name=name, source=source)
    layer = add_layers(viewer, [data])[0]
    return bind_session(viewer, session, layer, Preferences() if wishes is None else wishes)


def bind_session(
    viewer: ViewerModel, session: Session, layer: Labels, wishes: Preferences
) -> Controller:
    """Bind a session to the layer of its objects, with the keys and the filter that are wished."""
    controller = bind(viewer, session, layer, keys=review_keys(wishes))
    if wishes.min_volume_ml > 0 and session.view == KeptView():
        controller.show(filter=Filter(volume_ml=(wishes.min_volume_ml, math.inf)))
    return controller


def bring_back(viewer: ViewerModel) -> None:
    """Bind again the session that was set aside last, if there is one, on its own layer."""
    aside = set_aside(viewer)
    if aside:
        session, layer = aside.pop()
        if layer not in viewer.layers:
            viewer.layers.append(layer)
        bind(viewer, session, layer, keys=review_keys(preferences()))


def way_back(viewer: ViewerModel) -> list[tuple[str, Callable[[], None]]]:
    """The button of a banner that brings back what was set aside; none where nothing was."""
    return [(BRING_BACK, partial(bring_back, viewer))] if set_aside(viewer) else []


def remarks(session: Session, controller: Controller) -> list[str]:
    """What the reader should know of a session that was just brought to him, a line each."""
    image = () if session.volume is None else session.volume.warnings
    said = dict.fromkeys([*session.instances.warnings, *image, *session.notes])
    lines = [f"{detail} [{code}]" for code, detail in said]
    hidden = len(session.instances) - len(session.selection.ids)
    if hidden:
        least = controller.session.selection.filter.volume_ml
        why = "" if least is None else f" of less than {least[0]:g} ml"
        lines.append(f"{hidden} objects{why} are hidden, none is deleted: see the table's filter")
    if session.store is None:
        lines.append("this work is not kept on the disk: no folder was given")
    lines += [in_words(other) for other, _ in set_aside(controller.viewer)]
    return lines

"""One session in one viewer: picture and selection follow the session, and never lead it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from medseg.errors import MedsegError
from medseg.types import Instance
from medseg_napari.controller_aside import warn_of_aside
from medseg_napari.controller_clicks import Clicks
from medseg_napari.controller_current import CurrentLayer
from medseg_napari.controller_keys import KEYS, bind_keys, bind_undo, unbind_keys
from medseg_napari.controller_lines import LinesLayer
from medseg_napari.controller_strokes import Brush
from medseg_napari.session import Change, Decision, Edit, Filter, Order, Session
from medseg_napari.view.adapter import refreshed_once, still_open, unwrapped, when_closed
from medseg_napari.view.jump import index_at, jump_to_index, own_slice_axis, required_facts
from medseg_napari.view.layer_data import recolor, redraw, rising

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

What = Literal["change", "selection", "rows", "message"]
"""What listeners are told of: a step, another current row, other rows, or something to read."""


class Controller:
    """Binds a session to the layer of its objects in a viewer; `bind` makes the one of a viewer.

    All work goes through it: it takes steps of the session, shows them in the layers, and says so
    to whoever listens. It holds the viewer weakly and needs no Qt. What fails is said by `message`
    and changes nothing. `keys` are those of the actions of review that have one.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        objects: Labels,
        *,
        keys: Mapping[str, str] = KEYS,
    ) -> None:
        own = unwrapped(viewer)
        self.session, self.objects, self.keys = session, objects, dict(keys)
        self.placement = required_facts(objects).placement
        self.message = ""
        self._viewer = weakref.ref(own)
        self._listeners: list[Callable[[What], None]] = []
        self.hidden: frozenset[int] = frozenset()
        self._colored: dict[int, str] = {}
        self._label = int(objects.selected_label)
        self._end = session.subscribe(self._on_change)
        self.brush = Brush(self)
        self.clicks = Clicks(self)
        self.current = CurrentLayer(self)
        self.lines = LinesLayer(self)
        self.brush.listen(objects)
        bind_undo(objects, self)
        bind_keys(own, self)
        own.layers.events.removed.connect(self._on_removed)
        objects.events.selected_label.connect(self._on_label)
        if _shows(objects, session):
            self._colored = {item.id: item.class_name for item in session.instances}
        else:
            redraw(objects, session.instances, _everywhere(session))
        self._recolor()
        self._show_current()

    @property
    def viewer(self) -> ViewerModel:
        """The viewer; ReferenceError where it has been closed."""
        return still_open(self._viewer())

    @property
    def item(self) -> Instance | None:
        """The current object, None where there is none."""
        number = self.session.selection.current
        return None if number is None else self.session.instance(number)

    @property
    def chosen(self) -> tuple[int, ...]:
        """The objects that the next step is about: none that the filter hides but the current."""
        current = self.session.selection.current
        chosen = self.session.selection.chosen
        return tuple(one for one in chosen if one == current or one not in self.hidden)

    def subscribe(self, listener: Callable[[What], None]) -> Callable[[], None]:
        """Call `listener` whenever something is to be shown anew; what is returned ends that."""
        self._listeners.append(listener)
        return lambda: _without(self._listeners, listener)

    def say(self, text: str) -> None:
        """Let listeners show a line to the reader."""
        self.message = text
        self._tell("message")

    def select(self, ids: Iterable[int], *, go: bool = True) -> None:
        """Choose objects; the last is the current one, outlined, and with `go` gone to."""
        self.session.selection.choose(ids)
        self._selected(go=go)

    def step(self, by: Literal[1, -1]) -> None:
        """Go to the next (1) or previous (-1) row on display."""
        if self.session.selection.step(by) is None:
            self.say("this is the last row" if by > 0 else "this is the first row")
            return
        self._selected(go=True)

    def go(self) -> None:
        """Show the current object where it covers the largest area."""
        item = self.item
        if item is None:
            return
        viewer = self.viewer
        axis = own_slice_axis(viewer, self.objects)
        place = self.session.largest_slice(item.id, axis)
        jump_to_index(viewer, self.objects, place.index_zyx, box=item.box)

    def at(self, world_mm: Sequence[float]) -> list[int]:
        """The objects on display at a point of napari's world, the uppermost first."""
        index = index_at(self.objects, world_mm)
        if index is None:
            return []
        found = [item for item in self.session.instances if _holds(item, index)]
        return [item.id for item in reversed(rising(found)) if item.id not in self.hidden]

    def pick(self, world_mm: Sequence[float]) -> int | None:
        """Select the object at a point; where several overlap, each click takes the next one."""
        found = self.at(world_mm)
        if not found:
            return None
        current = self.session.selection.current
        place = found.index(current) + 1 if current in found else 0
        self.select([found[place % len(found)]], go=False)
        return self.session.selection.current

    def apply(self, edit: Edit) -> bool:
        """Take a step; False where it could not be taken."""
        return self.attempt(lambda: self.session.apply(edit)) is not None

    def attempt(self, work: Callable[[], Any]) -> Any:
        """What `work` gives; None where it refuses, which is said."""
        try:
            return work()
        except (ValueError, MedsegError) as error:
            self.say(str(error))
            return None

    def undo(self) -> None:
        """Take the last step back, or say that there is none."""
        name = self.session.undo_name
        if name is None:
            self.say("there is nothing to undo")
        elif self.attempt(self.session.undo) is not None:
            self.say(f"undone: {name}")

    def redo(self) -> None:
        """Take the last step again that was taken back, or say that there is none."""
        name = self.session.redo_name
        if name is None:
            self.say("there is nothing to redo")
        elif self.attempt(self.session.redo) is not None:
            self.say(f"done again: {name}")

    def decide(self, decision: Decision | None, *, then_next: bool = False) -> None:
        """Mark the chosen objects; with `then_next` go to the next row that was on display."""
        chosen = self.chosen
        if not chosen:
            self.say("select a row first")
            return
        shown = self.session.selection.ids.tolist()
        last = chosen[-1]
        after = shown[shown.index(last) + 1 :] if last in shown else []
        if self.attempt(lambda: self.session.mark(chosen, decision)) is None or not then_next:
            return
        still = set(self.session.selection.ids.tolist())
        following = next((number for number in after if number in still), None)
        if following is not None:
            self.select([following])

    def comment(self, text: str) -> None:
        """Write a comment on the current object."""
        item = self.item
        if item is not None and text.strip() != self.session.review(item.id).comment:
            self.attempt(lambda: self.session.comment(item.id, text))

    def show(self, *, filter: Filter | None = None, order: Order | None = None) -> None:  # noqa: A002
        """Filter or sort the rows; what is filtered away is hidden in the picture too."""
        self.attempt(lambda: self.session.show(filter=filter, order=order))
        if filter is not None:
            self._recolor()
        self._tell("rows")

    def take_keys(self, keys: Mapping[str, str]) -> None:
        """Let the actions of review have other keys from now on."""
        unbind_keys(self.viewer, self)
        self.keys = dict(keys)
        bind_keys(self.viewer, self)
        bind_undo(self.objects, self)

    def close(self) -> None:
        """Take the own layers, keys and callbacks away; the session stays open."""
        self._end()
        viewer = self._viewer()
        if viewer is not None:
            viewer.layers.events.removed.disconnect(self._on_removed)
            unbind_keys(viewer, self)
            self.clicks.close(viewer)
            self.current.close(viewer)
            self.lines.close(viewer)
        self.objects.events.selected_label.disconnect(self._on_label)
        self.brush.forget(self.objects)
        self._listeners.clear()

    def restore(self) -> None:
        """Show the current object as the session has it, whatever was painted over it."""
        self.current.show(None if self.brush.waits else self.item, anew=True)

    def _selected(self, *, go: bool) -> None:
        layers = (self.current.layer, self.lines.layer)
        with refreshed_once(layer for layer in layers if layer is not None):
            self._show_current()
            if go:
                self.go()
        self._tell("selection")

    def _show_current(self) -> None:
        item, before, label = self.item, self.current.number, int(self.objects.selected_label)
        self.current.show(None if self.brush.waits else item)
        self.lines.show(item)
        if item is not None and label != item.id and (label or before != item.id):
            self.objects.selected_label = item.id  # else 0 was chosen, which erases in it

    def _on_change(self, change: Change) -> None:
        if change.boxes:
            self._make_room()
            redraw(self.objects, self.session.instances, *change.boxes)
        self._recolor()
        self._show_current()
        self._tell("change")

    def _make_room(self) -> None:
        """Give the layer a type that holds the new ids."""
        largest = max((item.id for item in self.session.instances), default=0)
        if largest > np.iinfo(self.objects.data.dtype).max:
            self.objects.data = self.objects.data.astype(np.uint16)

    def _recolor(self) -> None:
        """Colour what is new or of another class, and clear what the filter hides."""
        classes = {item.id: item.class_name for item in self.session.instances}
        hidden = frozenset(classes).difference(self.session.selection.ids.tolist())
        known = all(self._colored.get(number) == name for number, name in classes.items())
        if known and hidden == self.hidden & classes.keys():
            return
        recolor(self.objects, hidden)
        self.hidden, self._colored = hidden, classes

    def _on_label(self, _event: object) -> None:
        """The label chosen in napari's own controls, or picked there, is the current object."""
        number = int(self.objects.selected_label)
        if number == self._label:  # napari tells of it when the mode changes, too
            return
        self._label = number
        known = any(item.id == number for item in self.session.instances)
        if known and number != self.session.selection.current:
            self.select([number], go=False)

    def _tell(self, what: What) -> None:
        for listener in tuple(self._listeners):
            listener(what)

    def _on_removed(self, event: Any) -> None:
        if event.value is self.objects:
            release(self.viewer)
        elif event.value is self.current.layer:
            self.current.forget()
        elif event.value is self.lines.layer:
            self.lines.layer = None


class _Desk:
    """The controller of a viewer, and who wants to know when it is another one."""

    def __init__(self) -> None:
        self.controller: Controller | None = None
        self.aside: list[tuple[Session, Labels]] = []
        self.watchers: list[Callable[[Controller | None], None]] = []

    def put(self, controller: Controller | None) -> None:
        if self.controller is not None:
            self.controller.close()
        self.controller = controller
        for watcher in tuple(self.watchers):
            watcher(controller)

    def part(self) -> None:
        """Close the session; one whose steps are nowhere on the disk is set aside instead."""
        if self.controller is None:
            return
        session, objects = self.controller.session, self.controller.objects
        if session.steps_at_risk:
            self.aside.append((session, objects))
            warn_of_aside(session)
        self.put(None)
        session.close()

    def end(self) -> None:
        """The window was closed: there is nothing to draw in, and the session ends as it should."""
        if self.controller is not None:
            self.controller.session.close()


_DESKS: weakref.WeakKeyDictionary[Any, _Desk] = weakref.WeakKeyDictionary()


def bind(
    viewer: ViewerModel, session: Session, objects: Labels, *, keys: Mapping[str, str] = KEYS
) -> Controller:
    """Bring a session to a viewer in which its objects are a layer; another one there is released.

    `keys` are those of the actions of review, by the names of `KEYS`.

    Raises ValueError where the layer is not one of medseg's.
    """
    release(viewer)
    made = Controller(viewer, session, objects, keys=keys)
    _desk(viewer).put(made)
    return made


def release(viewer: ViewerModel) -> None:
    """Part the viewer from its session, and close that; see `set_aside`."""
    _desk(viewer).part()


def set_aside(viewer: ViewerModel) -> list[tuple[Session, Labels]]:
    """The sessions, with their layers, that were parted from a viewer and are not on the disk.

    The last one stands last. Who takes one out of the list has it in his hands.
    """
    return _desk(viewer).aside


def controller_of(viewer: ViewerModel) -> Controller | None:
    """The controller of a viewer, None where no session is bound."""
    return _desk(viewer).controller


def watch(viewer: ViewerModel, watcher: Callable[[Controller | None], None]) -> Callable[[], None]:
    """Call `watcher` whenever a viewer gets or loses a session; what is returned ends that."""
    desk = _desk(viewer)
    desk.watchers.append(watcher)
    return lambda: _without(desk.watchers, watcher)


def _desk(viewer: ViewerModel) -> _Desk:
    own = unwrapped(viewer)
    if own not in _DESKS:
        _DESKS[own] = _Desk()
        when_closed(own, _DESKS[own].end)
    return _DESKS[own]


def _without(listeners: list[Any], one: Any) -> None:
    if one in listeners:
        listeners.remove(one)


def _shows(objects: Labels, session: Session) -> bool:
    """Whether a layer was drawn of the very objects that the session begins with."""
    drawn_of = required_facts(objects).instances
    items = session.instances.items
    if drawn_of is None or len(drawn_of.items) != len(items):
        return False
    same = all(one is other for one, other in zip(drawn_of.items, items, strict=True))
    return same and drawn_of.classes == session.instances.classes


def _everywhere(session: Session) -> tuple[slice, slice, slice]:
    z, y, x = (slice(0, length) for length in session.instances.geometry.shape)
    return z, y, x


def _holds(item: Instance, index: tuple[int, int, int]) -> bool:
    inside = [at - part.start for at, part in zip(index, item.box, strict=True)]
    if not all(0 <= at < length for at, length in zip(inside, item.mask.shape, strict=True)):
        return False
    return bool(item.mask[tuple(inside)])

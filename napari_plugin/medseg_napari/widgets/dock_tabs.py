"""Panels share one dock area as tabs: napari puts one from its menu below those that are there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

if TYPE_CHECKING:
    _Widget = QWidget
else:  # whatever widget it is mixed into
    _Widget = object


class SharesTabs(_Widget):
    """Stands before a panel's class; the panel becomes a tab beside another one, once, in front.

    Where the reader drags it later it stays.
    """

    _is_placed = False

    def event(self, event: QEvent | None) -> bool:
        """Join the others as soon as the panel's dock has a place, or else when it is shown."""
        handled = bool(super().event(event))
        kind = None if event is None else event.type()
        dock = _dock_of(self) if kind in (QEvent.Type.ParentChange, QEvent.Type.Show) else None
        if dock is None or self._is_placed:
            return handled
        if kind == QEvent.Type.Show:
            self._join()
        else:  # before it is laid out below the others, which would make the window grow
            dock.dockLocationChanged.connect(self._join)
        return handled

    def _join(self, _area: object = None) -> None:
        dock = _dock_of(self)
        window = None if dock is None else dock.parentWidget()
        if self._is_placed or dock is None or not isinstance(window, QMainWindow):
            return
        self._is_placed = True
        opened = dock.toggleViewAction()
        if opened is not None:
            opened.toggled.connect(partial(_to_the_front, dock))
        if dock.isFloating() or window.tabifiedDockWidgets(dock):
            return  # whoever opened it put it where it is
        area = window.dockWidgetArea(dock)
        for other in window.findChildren(QDockWidget):
            is_beside = other is not dock and not other.isFloating() and _holds_panel(other)
            if is_beside and window.dockWidgetArea(other) == area:
                window.tabifyDockWidget(other, dock)
                dock.show()
                dock.raise_()
                wanted = max(other.width(), self.sizeHint().width())
                window.resizeDocks([dock], [wanted], Qt.Orientation.Horizontal)
                return


def _to_the_front(dock: QDockWidget, shown: bool) -> None:  # noqa: FBT001 - Qt's signal
    """A dock that was closed and is opened again comes back behind the others."""
    if shown:
        dock.raise_()


def _holds_panel(dock: QDockWidget) -> bool:
    return any(isinstance(one, SharesTabs) for one in dock.findChildren(QWidget))


def _dock_of(widget: QWidget) -> QDockWidget | None:
    """The dock that a widget is in."""
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    return parent

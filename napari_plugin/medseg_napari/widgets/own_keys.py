"""Keys of a panel that the window's menus would take otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent
from qtpy.QtGui import QKeyEvent

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget as _Widget
else:  # whatever widget it is mixed into
    _Widget = object


class OwnKeys(_Widget):
    """Stands before a widget's class; acts on keys of its own, the others are Qt's."""

    def action_of(self, event: QKeyEvent) -> Callable[[], object] | None:
        """What a key does here, None for one that is not ours."""
        raise NotImplementedError

    def event(self, event: QEvent | None) -> bool:
        """Keep our keys from the window's menus."""
        override = event is not None and event.type() == QEvent.Type.ShortcutOverride
        if override and isinstance(event, QKeyEvent) and self.action_of(event) is not None:
            event.accept()
            return True
        return bool(super().event(event))

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's
        """Act on a key of ours."""
        action = None if event is None else self.action_of(event)
        if action is None:
            super().keyPressEvent(event)
        else:
            action()

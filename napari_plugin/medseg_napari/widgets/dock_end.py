"""The end of a panel: napari takes the panel out of a dock that is closed, and leaves it alive."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QTimer

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget as _Widget
else:  # whatever widget it is mixed into
    _Widget = object

Act = Callable[[], object]


class EndsWithDock(_Widget):
    """Stands before a panel's class; the panel ends when its dock is closed or its window is."""

    _acts: list[Act] | None = None

    def at_end(self, *acts: Act) -> None:
        """Call these once, in their order, when the panel ends: by then it may be half gone."""
        if self._acts is None:
            left: list[Act] = []
            self._acts = left
            self.destroyed.connect(lambda _=None: _call(left))
        self._acts.extend(acts)

    def event(self, event: QEvent | None) -> bool:
        """End where nothing holds the panel any more."""
        handled = bool(super().event(event))
        changed = event is not None and event.type() == QEvent.Type.ParentChange
        if changed and self.parentWidget() is None and self._acts is not None:
            for timer in self.findChildren(QTimer):
                timer.stop()
            _call(self._acts)
            self.deleteLater()
        return handled


def _call(acts: list[Act]) -> None:
    while acts:
        acts.pop(0)()

"""The size that the tall panels ask for when they are docked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget as _Widget
else:  # whatever widget it is mixed into
    _Widget = object

_WIDTH, _HEIGHT = 440, 680


class PanelSize(_Widget):
    """Stands before a panel's class."""

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's
        """Wide enough for the first columns, narrow enough for a screen of 1280."""
        return QSize(_WIDTH, _HEIGHT)

"""Groups of fields one below the other, scrolled where the panel is too low for them."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QGroupBox, QScrollArea, QVBoxLayout, QWidget


def scrolled(parts: Sequence[tuple[str, QWidget]], parent: QWidget) -> QScrollArea:
    """A column of titled groups, each around a widget."""
    forms = QWidget(parent)
    column = QVBoxLayout(forms)
    column.setContentsMargins(0, 0, 0, 0)
    for title, part in parts:
        group = QGroupBox(title, parent)
        inner = QVBoxLayout(group)
        inner.setContentsMargins(8, 6, 8, 8)
        inner.addWidget(part)
        column.addWidget(group)
    column.addStretch(1)
    scroll = QScrollArea(parent)
    scroll.setWidget(forms)
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    return scroll

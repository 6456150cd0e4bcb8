"""The dialog in which columns are chosen."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from medseg_napari.widgets.lesions_columns import SLOW_COLUMNS, definition_of, title_of

_WIDTH, _HEIGHT = 380, 520
_CHECKED, _UNCHECKED = Qt.CheckState.Checked, Qt.CheckState.Unchecked


class ColumnsDialog(QDialog):
    """All columns with a tick each, those on display first and in their order; drag to reorder."""

    def __init__(
        self, known: Sequence[str], shown: Sequence[str], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("medseg: columns")
        self.resize(_WIDTH, _HEIGHT)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search")
        self.list = QListWidget()
        self.list.setDragDropMode(QListWidget.DragDropMode.InternalMove)
        for name in [*shown, *(one for one in known if one not in shown)]:
            words = title_of(name).replace("\n", ", ")
            item = QListWidgetItem(
                f"{words} (slow for thousands)" if name in SLOW_COLUMNS else words
            )
            item.setData(Qt.ItemDataRole.UserRole, name)
            item.setToolTip(definition_of(name))
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(_CHECKED if name in shown else _UNCHECKED)
            self.list.addItem(item)
        buttons = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(buttons.Ok | buttons.Cancel)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.search.textChanged.connect(self._on_search)
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel("Tick the columns to show; drag them into their order."))
        layout.addWidget(self.search)
        layout.addWidget(self.list)
        layout.addWidget(self.buttons)

    @property
    def chosen(self) -> list[str]:
        """The ticked columns, in their order."""
        return [
            str(item.data(Qt.ItemDataRole.UserRole))
            for item in self._items()
            if item.checkState() == _CHECKED
        ]

    def tick(self, name: str, *, on: bool = True) -> None:
        """Tick a column, or take its tick away."""
        for item in self._items():
            if item.data(Qt.ItemDataRole.UserRole) == name:
                item.setCheckState(_CHECKED if on else _UNCHECKED)

    def _items(self) -> list[QListWidgetItem]:
        found = (self.list.item(row) for row in range(self.list.count()))
        return [item for item in found if item is not None]

    def _on_search(self, text: str) -> None:
        wanted = text.lower().strip()
        for item in self._items():
            name = str(item.data(Qt.ItemDataRole.UserRole))
            item.setHidden(wanted not in f"{item.text()} {name}".lower())

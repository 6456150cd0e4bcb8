"""Count and volume of each class, always in view, and true after every step."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from medseg_napari.session import ClassCount
from medseg_napari.widgets.swatches import swatch

_HEADS = ("Class", "Objects", "Volume mL", "Kept", "Kept mL")
_TIPS = (
    "The class",
    "How many objects there are",
    "Volume of their union: what two share counts once",
    "How many were not rejected",
    "Volume of the union of those that were not rejected",
)
_MOST_ROWS = 4


class TotalsTable(QTableWidget):
    """A row a class, lesions first; as high as its rows, at most four of them, then it scrolls."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(_HEADS), parent)
        self.setHorizontalHeaderLabels(_HEADS)
        for column, tip in enumerate(_TIPS):
            head = self.horizontalHeaderItem(column)
            if head is not None:
                head.setToolTip(tip)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        rows, heads = self.verticalHeader(), self.horizontalHeader()
        if rows is not None and heads is not None:
            rows.hide()
            rows.setDefaultSectionSize(22)
            heads.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            heads.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
            heads.setHighlightSections(False)

    def show_totals(
        self, totals: Mapping[str, ClassCount], colors: Mapping[str, tuple[int, int, int]]
    ) -> None:
        """Show the totals of a session."""
        ordered = sorted(totals.items(), key=lambda one: one[1].kind != "lesion")
        self.setRowCount(len(ordered))
        for row, (name, one) in enumerate(ordered):
            texts = (
                name,
                f"{one.count}",
                f"{one.volume_ml:.3f}",
                f"{one.kept_count}",
                f"{one.kept_volume_ml:.3f}",
            )
            for column, text in enumerate(texts):
                cell = QTableWidgetItem(text)
                if column:
                    cell.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                else:
                    cell.setData(Qt.ItemDataRole.DecorationRole, swatch(colors[name]))
                self.setItem(row, column, cell)
        self._fit(len(ordered))

    def text_of(self, class_name: str) -> tuple[str, ...]:
        """What stands in the row of a class, after its name; empty where there is none."""
        for row in range(self.rowCount()):
            cells = [self.item(row, column) for column in range(self.columnCount())]
            texts = ["" if cell is None else cell.text() for cell in cells]
            if texts[0] == class_name:
                return tuple(texts[1:])
        return ()

    def _fit(self, rows: int) -> None:
        heads = self.horizontalHeader()
        height = 24 if heads is None else max(24, heads.sizeHint().height())
        self.setFixedHeight(height + 22 * max(1, min(rows, _MOST_ROWS)) + 4)

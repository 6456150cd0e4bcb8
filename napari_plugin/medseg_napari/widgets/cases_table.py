"""The list of studies as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt
from qtpy.QtGui import QFont

from medseg.measurement.selection import several
from medseg_napari.session import CaseRow, Exported

HEADS = ("Case", "Status", "Work", "Others")


class CaseTable(QAbstractTableModel):
    """A row for each case; the one that is open is bold."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.rows: Sequence[CaseRow] = ()
        self.open_id: str | None = None

    def show(self, rows: Sequence[CaseRow], open_id: str | None) -> None:
        """Show other rows."""
        self.beginResetModel()
        self.rows, self.open_id = rows, open_id
        self.endResetModel()

    def place(self, case_id: str | None) -> int:
        """The row of a case; -1 where there is none."""
        return next((n for n, row in enumerate(self.rows) if row.case.id == case_id), -1)

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """As Qt asks."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """As Qt asks."""
        return 0 if parent is not None and parent.isValid() else len(HEADS)

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """As Qt asks."""
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        return HEADS[section] if orientation == Qt.Orientation.Horizontal else section + 1

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """As Qt asks."""
        row = self.rows[index.row()]
        if role == Qt.ItemDataRole.FontRole and row.case.id == self.open_id:
            font = QFont()
            font.setBold(True)
            return font
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return cells(row)[index.column()]
        return None


def cells(row: CaseRow) -> tuple[str, str, str, str]:
    """The cells of a case in words."""
    others = ", ".join(f"{reader}: {status}" for reader, status in row.others.items())
    return row.case.id, row.status, _work(row), others


def export_in_words(found: Exported) -> list[str]:
    """What an export wrote, and a line for each reason why cases are not in it."""
    objects = ", ".join(f"{n} {name}" for name, n in found.objects.items())
    lines = [f"{several(len(found.cases), 'case')}, {objects or 'no object'}"]
    by_reason: dict[str, list[str]] = {}
    for case, reason in found.left_out.items():
        by_reason.setdefault(reason, []).append(case)
    lines += [f"not in it, {reason}: {', '.join(cases)}" for reason, cases in by_reason.items()]
    if found.unsure:
        lines.append(f"{several(found.unsure, 'object')} in it marked as unsure")
    return lines


def _work(row: CaseRow) -> str:
    if row.session is None:
        return row.problem or row.case.note
    steps = row.session.steps
    words = "1 step" if steps == 1 else f"{steps} steps"
    if row.session.in_use:
        return f"{words}, open"
    return f"{words}, not closed" if row.session.crashed else words

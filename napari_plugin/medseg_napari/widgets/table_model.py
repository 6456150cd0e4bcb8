"""The rows of a session for Qt: what is on display, in its order, read column by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from qtpy.QtGui import QPixmap

from medseg.io.colors import class_colors
from medseg_napari.session import REVIEW_COLUMNS, Order, Session
from medseg_napari.widgets.lesions_columns import (
    definition_of,
    is_number,
    shown_value,
    title_of,
    with_flags,
)
from medseg_napari.widgets.swatches import swatch

Index = QModelIndex | QPersistentModelIndex
_Role = Qt.ItemDataRole

WAITING = "…"
"""In a column that is not measured yet."""
FEW = 8
"""So many rows are measured at once: nobody notices."""


class LesionTableModel(QAbstractTableModel):
    """The session's selection as a table; sorting and filtering are the session's.

    A column is an array over all objects, read when one of its cells is drawn: an edit of one row
    reads the columns in view again, and nothing is copied. Columns that are not measured show
    dots until `measure_some` has come to their end.
    """

    def __init__(
        self, session: Session, columns: Sequence[str], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._columns = with_flags(columns)
        self._values: dict[str, Any] = {}
        self._ids: NDArray[np.int64] = session.selection.ids
        self._places: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._colors: dict[str, QPixmap] = {}
        self._take()

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in their order."""
        return list(self._columns)

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids of the rows, in their order."""
        return self._ids

    def row_of(self, number: int) -> int | None:
        """The row of an id, None where it is not on display."""
        found = np.flatnonzero(self._ids == number)
        return int(found[0]) if found.size else None

    def refresh(self) -> None:
        """Take over what a step, a filter or an order did to the rows."""
        same = np.array_equal(self._ids, self._session.selection.ids)
        if not same:
            self.beginResetModel()
        self._take()
        if not same:
            self.endResetModel()
        else:
            self._say_all_changed()

    def set_columns(self, columns: Sequence[str]) -> None:
        """Show other columns."""
        self.beginResetModel()
        self._columns = with_flags(columns)
        self.endResetModel()

    def measure_some(self, most: int) -> int:
        """Measure a part of what the columns lack; how many rows, counted a group, are left."""
        missing = self._missing()
        if not missing:
            return 0
        left = self._session.table.measure_some(most, missing)
        ready = [name for name in missing if not self._session.table.unmeasured([name])]
        for name in ready:
            self._values.pop(name, None)
        if ready:
            self._say_all_changed()
        return left

    def text(self, rows: Sequence[int]) -> str:
        """Rows with a header, tab by tab, as a spreadsheet takes them; values are not rounded."""
        for name in self._columns:
            self._values[name] = self._read(name)
        lines = ["\t".join(self._columns)]
        for row in rows:
            place = int(self._places[row])
            lines.append("\t".join(_plain(self._values[name][place]) for name in self._columns))
        return "\n".join(lines) + "\n"

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, N802 - Qt's
        """How many rows are on display."""
        return 0 if parent.isValid() else len(self._ids)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, N802 - Qt's
        """How many columns are chosen."""
        return 0 if parent.isValid() else len(self._columns)

    def data(self, index: Index, role: int = _Role.DisplayRole) -> Any:
        """What Qt draws of a cell; None for what it need not know."""
        if not index.isValid() or not 0 <= index.row() < len(self._ids):
            return None
        name = self._columns[index.column()]
        if role == _Role.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if is_number(name) else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        if role in (_Role.DisplayRole, _Role.ToolTipRole, _Role.UserRole):
            value = self._value(name, index.row())
            return value if role == _Role.UserRole else shown_value(name, value)
        if role == _Role.DecorationRole and name == "class_name":
            return self._colors.get(str(self._value(name, index.row())))
        return None

    def headerData(  # noqa: N802 - Qt's
        self, section: int, orientation: Qt.Orientation, role: int = _Role.DisplayRole
    ) -> Any:
        """The column's title and unit, and its definition as a tool tip."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self._columns):
            return None
        name = self._columns[section]
        if role == _Role.DisplayRole:
            volume = self._session.volume
            return title_of(name, "" if volume is None else volume.unit)
        return definition_of(name) if role == _Role.ToolTipRole else None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort the session's rows; what the column lacks is measured."""
        if not 0 <= column < len(self._columns):
            return
        descending = order == Qt.SortOrder.DescendingOrder
        self._session.show(order=Order(self._columns[column], descending))
        self.refresh()

    def _take(self) -> None:
        items = self._session.instances
        every = np.fromiter((item.id for item in items), dtype=np.int64, count=len(items))
        self._ids = self._session.selection.ids
        by_id = np.argsort(every)
        self._places = by_id[np.searchsorted(every, self._ids, sorter=by_id)]
        self._colors = {name: swatch(rgb) for name, rgb in class_colors(items.classes).items()}
        self._values.clear()

    def _missing(self) -> list[str]:
        table = self._session.table
        mine = [name for name in self._columns if name not in REVIEW_COLUMNS]
        return [name for name in mine if table.unmeasured([name])]

    def _value(self, name: str, row: int) -> Any:
        if name not in self._values:
            late = name not in REVIEW_COLUMNS and self._session.table.unmeasured([name]) > FEW
            self._values[name] = None if late else self._read(name)
        column = self._values[name]
        return WAITING if column is None else column[int(self._places[row])]

    def _read(self, name: str) -> Any:
        if name in REVIEW_COLUMNS:
            said = [one for one in self._columns if one in REVIEW_COLUMNS] or [name]
            frame = self._session.frame({name, *said})
            self._values |= {one: frame[one].to_numpy() for one in frame.columns}
            return self._values[name]
        return self._session.table.column(name)

    def _say_all_changed(self) -> None:
        if len(self._ids) and self._columns:
            last = self.index(len(self._ids) - 1, len(self._columns) - 1)
            self.dataChanged.emit(self.index(0, 0), last)


def _plain(value: Any) -> str:
    """A value as a spreadsheet reads it: unrounded, empty where there is none."""
    if pd.isna(value):
        return ""
    return str(value).replace("\t", " ").replace("\n", " ")

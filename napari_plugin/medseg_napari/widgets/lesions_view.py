"""The table of lesions on the screen: rows chosen by hand or from the picture, keys of review."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from qtpy.QtCore import QItemSelection, QItemSelectionModel, Qt, Signal
from qtpy.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from medseg_napari.session import Session
from medseg_napari.widgets.own_keys import OwnKeys
from medseg_napari.widgets.table_model import LesionTableModel

_ROW_HEIGHT = 22
_WIDTHS = {
    "instance_id": 48,
    "class_name": 92,
    "mark": 74,
    "volume_ml": 64,
    "recist_long_mm": 52,
    "recist_short_mm": 52,
    "intensity_mean": 58,
    "score": 52,
    "organ": 80,
    "comment": 160,
}
_WIDTH = 90


class LesionTable(OwnKeys, QTableView):
    """Rows of a session; `picked` gives the ids that a hand chose, the last one the current."""

    picked = Signal(list)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._following = False
        self._keys: dict[str, Callable[[], object]] = {}
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setMinimumHeight(160)
        self.setSortingEnabled(False)
        self.setWordWrap(False)
        self.setShowGrid(False)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        rows, heads = self.verticalHeader(), self.horizontalHeader()
        if rows is not None and heads is not None:
            rows.hide()
            rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
            rows.setDefaultSectionSize(_ROW_HEIGHT)
            heads.setSectionsMovable(True)
            heads.setHighlightSections(False)
            heads.setStretchLastSection(True)
            heads.setSortIndicatorShown(True)
            heads.sectionClicked.connect(self._on_head)

    @property
    def rows(self) -> LesionTableModel | None:
        """The model, None before a session is there."""
        model = self.model()
        return model if isinstance(model, LesionTableModel) else None

    def take(self, model: LesionTableModel | None, session: Session | None) -> None:
        """Show the rows of a session, or none."""
        former = self.selectionModel(), self.model()
        self.setModel(model)
        for one in former:
            if one is not None:
                one.deleteLater()  # Qt keeps them, and they their session with its image
        if model is None or session is None:
            return
        selection = self.selectionModel()
        if selection is not None:
            selection.selectionChanged.connect(self._on_selected)
        model.modelReset.connect(lambda: self.follow(session))
        self.fit_columns()
        self.show_order(session)

    def fit_columns(self) -> None:
        """Give columns their widths: those of the contents would be asked of every row."""
        if self.rows is not None:
            for place, name in enumerate(self.rows.columns):
                self.setColumnWidth(place, _WIDTHS.get(name, _WIDTH))

    def show_order(self, session: Session) -> None:
        """Let the arrow in the head say how rows are sorted."""
        heads, order = self.horizontalHeader(), session.selection.order
        if self.rows is None or heads is None:
            return
        names = self.rows.columns
        place = names.index(order.column) if order.column in names else -1
        way = Qt.SortOrder.DescendingOrder if order.descending else Qt.SortOrder.AscendingOrder
        heads.setSortIndicator(place, way)

    def follow(self, session: Session) -> None:
        """Mark the chosen rows and bring the current one into view."""
        rows, selection = self.rows, self.selectionModel()
        if rows is None or selection is None:
            return
        self._following = True
        try:
            marked = QItemSelection()
            found = [rows.row_of(number) for number in session.selection.chosen]
            there = [row for row in found if row is not None]
            last = max(0, rows.columnCount() - 1)
            for row in there:
                marked.select(rows.index(row, 0), rows.index(row, last))
            flags = QItemSelectionModel.SelectionFlag
            selection.select(marked, flags.ClearAndSelect | flags.Rows)
            if there:
                current = rows.index(there[-1], 0)
                selection.setCurrentIndex(current, flags.NoUpdate)
                self.scrollTo(current)
        finally:
            self._following = False

    def chosen_rows(self) -> list[int]:
        """The marked rows from top to bottom, all where none is."""
        selection = self.selectionModel()
        found = [] if selection is None else [one.row() for one in selection.selectedRows()]
        count = 0 if self.rows is None else self.rows.rowCount()
        return sorted(found) or list(range(count))

    def copy(self, rows: Sequence[int] | None = None) -> None:
        """Put rows, by default the marked ones, on the clipboard."""
        board = QGuiApplication.clipboard()
        if self.rows is not None and board is not None:
            board.setText(self.rows.text(self.chosen_rows() if rows is None else rows))

    def on_keys(self, actions: Mapping[str, Callable[[], object]]) -> None:
        """Let these keys, written as napari does, and no others act while the table has focus."""
        self._keys = {
            QKeySequence(key.replace("Control", "Ctrl").replace("-", "+")).toString(): action
            for key, action in actions.items()
        }

    def action_of(self, event: QKeyEvent) -> Callable[[], object] | None:
        """What a key of review does."""
        return self._keys.get(QKeySequence(event.keyCombination()).toString())

    def _on_head(self, place: int) -> None:
        """Sort by a column: up first, then down."""
        heads = self.horizontalHeader()
        if self.rows is not None and heads is not None:
            self.rows.sort(place, heads.sortIndicatorOrder())

    def _on_selected(self, _new: object, _old: object) -> None:
        selection, rows = self.selectionModel(), self.rows
        if self._following or selection is None or rows is None:
            return
        numbers = rows.ids[sorted(one.row() for one in selection.selectedRows())].tolist()
        current = selection.currentIndex().row()
        if 0 <= current < len(rows.ids):
            here = int(rows.ids[current])
            numbers.sort(key=lambda number: number == here)
        self.picked.emit(numbers)

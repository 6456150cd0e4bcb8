"""The parts of the Cases panel: which studies, and two readers beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from medseg_napari.widgets.cases_compare import HEADS, Comparison

_ONE, _ALL = "this case", "all cases"
_ROWS_SHOWN = 4


class StudiesForm(QWidget):
    """The folder of studies, where work is kept, and who reads."""

    wanted = Signal()

    def __init__(self, reader: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.studies, self.out = QLineEdit(self), QLineEdit(self)
        self.studies.setPlaceholderText("folder of studies, or of a batch")
        self.studies.setToolTip("One folder or file a study, or what medseg batch wrote")
        self.out.setPlaceholderText("medseg in it, of a batch readers")
        self.reader = QLineEdit(reader, self)
        self.reader.setPlaceholderText("your initials")
        self.open = QPushButton("Open list", self)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(4)
        form.addRow("Studies", self._with_button(self.studies))
        form.addRow("Keep in", self._with_button(self.out))
        last = QHBoxLayout()
        last.addWidget(self.reader, 1)
        last.addWidget(self.open)
        form.addRow("Reader", last)
        self.open.clicked.connect(lambda _=False: self.wanted.emit())

    def _with_button(self, line: QLineEdit) -> QHBoxLayout:
        button = QPushButton("…", self)
        button.setFixedWidth(32)
        button.clicked.connect(lambda _=False: self._ask(line))
        layout = QHBoxLayout()
        layout.addWidget(line, 1)
        layout.addWidget(button)
        return layout

    def _ask(self, line: QLineEdit) -> None:
        found = QFileDialog.getExistingDirectory(self, "Choose a folder", line.text())
        if found:
            line.setText(found)

    @property
    def folders(self) -> tuple[Path | None, Path | None]:
        """The folder of studies and that of work, None where nothing is written."""
        texts = (self.studies.text().strip(), self.out.text().strip())
        studies, out = (Path(text).expanduser() if text else None for text in texts)
        return studies, out


class CompareForm(QWidget):
    """Another reader, this case or all, and what the comparison gave."""

    wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.reader, self.scope = QComboBox(self), QComboBox(self)
        self.scope.addItems([_ONE, _ALL])
        self.compare = QPushButton("Compare", self)
        self.table = QTableWidget(0, len(HEADS), self)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        side, top = self.table.verticalHeader(), self.table.horizontalHeader()
        if side is not None and top is not None:
            side.hide()
            top.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            top.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.words = QLabel(self)
        self.words.setWordWrap(True)
        line = QHBoxLayout()
        line.addWidget(QLabel("with", self))
        line.addWidget(self.reader, 1)
        line.addWidget(QLabel("in", self))
        line.addWidget(self.scope, 1)
        line.addWidget(self.compare)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(line)
        layout.addWidget(self.table)
        layout.addWidget(self.words)
        self.compare.clicked.connect(lambda _=False: self.wanted.emit())
        self.show_result(None)

    @property
    def is_all(self) -> bool:
        """Whether all cases are wanted."""
        return self.scope.currentText() == _ALL

    def offer(self, readers: Sequence[str]) -> None:
        """Offer other readers; the one that was chosen stays."""
        if readers != [self.reader.itemText(n) for n in range(self.reader.count())]:
            chosen = self.reader.currentText()
            self.reader.clear()
            self.reader.addItems(list(readers))
            self.reader.setCurrentText(chosen)
        self.compare.setEnabled(bool(readers))
        self.compare.setToolTip("" if readers else "nobody else has a session on these cases")

    def show_result(self, found: Comparison | None) -> None:
        """Show a comparison, or nothing."""
        for widget in (self.table, self.words):
            widget.setVisible(found is not None)
        if found is None:
            return
        self.table.setHorizontalHeaderLabels(list(found.heads))
        self.table.setRowCount(len(found.rows))
        for n, row in enumerate(found.rows):
            for k, text in enumerate(row):
                item = QTableWidgetItem(text)
                if k:
                    side = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    item.setTextAlignment(side)
                self.table.setItem(n, k, item)
        top = self.table.horizontalHeader()
        height = 0 if top is None else top.sizeHint().height()
        rows = min(len(found.rows), _ROWS_SHOWN)
        self.table.setFixedHeight(height + sum(self.table.rowHeight(n) for n in range(rows)) + 4)
        self.words.setText("\n".join(found.lines))

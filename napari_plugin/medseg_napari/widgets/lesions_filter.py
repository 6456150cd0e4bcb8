"""Which rows are shown: by class, organ, mark, score and volume."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, QTimer, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from medseg_napari.session import NO_ORGAN, Filter
from medseg_napari.session.selection import Marked

_ALL, _LESIONS = "all", "all lesions"
_KINDS = 2
"""So many entries come before the classes."""
_MARKS: tuple[tuple[str, Marked], ...] = (
    ("accepted", "accept"),
    ("rejected", "reject"),
    ("unsure", "unsure"),
    ("not marked", ""),
)
_PAUSE_MS = 150
_MOST_ML = 9_999.0
_NARROW = "QAbstractSpinBox { min-width: 48px; padding: 1px 2px; }"
"""Against napari's own style, in which four of them would be half a small screen wide."""


class FilterBox(QWidget):
    """The choices of a filter; `changed` is emitted when the hands rest."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.classes, self.organs, self.marks = QComboBox(), QComboBox(), QComboBox()
        self.score = (_spin(1.0, 2, 0.05), _spin(1.0, 2, 0.05))
        self.volume = (_spin(_MOST_ML, 3, 0.1), _spin(_MOST_ML, 3, 0.1))
        self.reset = QPushButton("Show all")
        self.reset.setToolTip("Take every filter away")
        self.marks.addItem(_ALL)
        self.marks.addItems([words for words, _ in _MARKS])
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PAUSE_MS)
        self._timer.timeout.connect(self.changed)
        self.clear()
        self._lay_out()
        for box in (self.classes, self.organs, self.marks):
            box.currentIndexChanged.connect(self._wait)
        for spin in (*self.score, *self.volume):
            spin.valueChanged.connect(self._wait)
        self.reset.clicked.connect(self.clear)

    def offer(self, classes: Sequence[str], organs: Sequence[str]) -> None:
        """Offer classes and organs; what is chosen stays where it is still there."""
        for box, names in (
            (self.classes, [_ALL, _LESIONS, *classes]),
            (self.organs, [_ALL, "no organ", *organs]),
        ):
            if [box.itemText(n) for n in range(box.count())] == names:
                continue
            was = box.currentText()
            with QSignalBlocker(box):
                box.clear()
                box.addItems(names)
                box.setCurrentIndex(max(0, box.findText(was)))

    def show_filter(self, wanted: Filter) -> None:
        """Let the fields say what is filtered, without a word of a change."""
        if self._timer.isActive() or wanted == self.filter:
            return  # a hand is at work, or there is nothing to say
        mark = next(iter(wanted.marks or ()), None)
        words = next((said for said, one in _MARKS if one == mark), _ALL)
        organ = next(iter(wanted.organs or ()), _ALL)
        name = _LESIONS if wanted.kinds else next(iter(wanted.classes or ()), _ALL)
        for box, text in (
            (self.classes, name),
            (self.organs, "no organ" if organ == NO_ORGAN else organ),
            (self.marks, words),
        ):
            with QSignalBlocker(box):
                box.setCurrentIndex(max(0, box.findText(text)))
        for spins, ends in ((self.score, wanted.score), (self.volume, wanted.volume_ml)):
            for spin, end in zip(spins, ends or (0.0, _MOST_ML), strict=True):
                with QSignalBlocker(spin):
                    spin.setValue(min(end, spin.maximum()))

    def clear(self) -> None:
        """Show everything."""
        for box in (self.classes, self.organs, self.marks):
            box.setCurrentIndex(0)
        for low, high in (self.score, self.volume):
            low.setValue(low.minimum())
            high.setValue(high.maximum())

    @property
    def filter(self) -> Filter:
        """The filter that is chosen."""
        name, organ = self.classes.currentText(), self.organs.currentText()
        organs = {"no organ": NO_ORGAN}.get(organ, organ)
        mark = self.marks.currentIndex()
        return Filter(
            classes=None if self.classes.currentIndex() < _KINDS else frozenset([name]),
            kinds=frozenset(["lesion"]) if name == _LESIONS else None,
            organs=None if self.organs.currentIndex() < 1 else frozenset([organs]),
            marks=None if mark < 1 else frozenset([_MARKS[mark - 1][1]]),
            score=_range(self.score),
            volume_ml=_range(self.volume),
        )

    def _wait(self, _value: object = None) -> None:
        self._timer.start()

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(4)
        places: tuple[tuple[str, QWidget, int, int], ...] = (
            ("Class", self.classes, 0, 0),
            ("Organ", self.organs, 0, 2),
            ("Mark", self.marks, 1, 0),
            ("Score", _pair(self.score), 1, 2),
            ("mL", _pair(self.volume), 2, 0),
        )
        for words, widget, row, column in places:
            grid.addWidget(QLabel(words), row, column)
            grid.addWidget(widget, row, column + 1)
        grid.addWidget(self.reset, 2, 2, 1, 2)
        for column in (1, 3):
            grid.setColumnStretch(column, 1)
        for box in (self.classes, self.organs, self.marks):
            box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)


def _pair(ends: tuple[QDoubleSpinBox, QDoubleSpinBox]) -> QWidget:
    both = QWidget()
    row = QGridLayout(both)
    row.setContentsMargins(0, 0, 0, 0)
    row.setHorizontalSpacing(3)
    row.addWidget(ends[0], 0, 0)
    row.addWidget(QLabel("to"), 0, 1)
    row.addWidget(ends[1], 0, 2)
    row.setColumnStretch(0, 1)
    row.setColumnStretch(2, 1)
    return both


def _spin(most: float, decimals: int, step: float) -> QDoubleSpinBox:
    spin = QDoubleSpinBox()
    spin.setRange(0.0, most)
    spin.setDecimals(decimals)
    spin.setSingleStep(step)
    spin.setKeyboardTracking(False)
    spin.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
    spin.setStyleSheet(_NARROW)
    spin.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return spin


def _range(ends: tuple[QDoubleSpinBox, QDoubleSpinBox]) -> tuple[float, float] | None:
    """Both ends; None where they leave nothing out. The last value stands for "and above"."""
    low, high = ends
    at_ends = low.value() <= low.minimum(), high.value() >= high.maximum()
    if all(at_ends):
        return None
    most = float("inf") if at_ends[1] else high.value()
    return (low.value(), most)

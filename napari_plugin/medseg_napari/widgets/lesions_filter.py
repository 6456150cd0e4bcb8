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
_DECIMALS = 6
_ALL_VALUES = (0.0, float("inf"))
_NARROW = "QAbstractSpinBox { min-width: 48px; padding: 1px 2px; }"
"""Against napari's own style, in which four of them would be half a small screen wide."""


class End(QDoubleSpinBox):
    """An end of a range, written without idle zeros; what it was shown it keeps unrounded."""

    def __init__(self, most: float, step: float) -> None:
        super().__init__()
        self._given, self._rounded = 0.0, 0.0
        self.setRange(0.0, most)
        self.setDecimals(_DECIMALS)
        self.setSingleStep(step)
        self.setKeyboardTracking(False)
        self.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.setStyleSheet(_NARROW)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def textFromValue(self, value: float) -> str:  # noqa: N802 - Qt's
        """As Qt writes it, but 0.5 for 0.500000."""
        text, point = super().textFromValue(value), self.locale().decimalPoint()
        return text.rstrip("0").removesuffix(point) if point in text else text

    def show_exactly(self, value: float) -> None:
        """Show a value, and keep it as it is until another one is entered."""
        self.setValue(min(value, self.maximum()))
        self._given, self._rounded = value, self.value()

    @property
    def exact(self) -> float:
        """The value that was shown or entered; the largest stands for "and above"."""
        if self.value() == self._rounded:
            return self._given
        return self.value() if self.value() < self.maximum() else float("inf")


class FilterBox(QWidget):
    """The choices of a filter; `changed` is emitted when the hands rest."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.classes, self.organs, self.marks = QComboBox(), QComboBox(), QComboBox()
        self.score = (End(1.0, 0.05), End(1.0, 0.05))
        self.volume = (End(_MOST_ML, 0.1), End(_MOST_ML, 0.1))
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
            for spin, end in zip(spins, ends or _ALL_VALUES, strict=True):
                with QSignalBlocker(spin):
                    spin.show_exactly(end)

    def clear(self) -> None:
        """Show everything."""
        for box in (self.classes, self.organs, self.marks):
            box.setCurrentIndex(0)
        for low, high in (self.score, self.volume):
            low.show_exactly(_ALL_VALUES[0])
            high.show_exactly(_ALL_VALUES[1])

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


def _pair(ends: tuple[End, End]) -> QWidget:
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


def _range(ends: tuple[End, End]) -> tuple[float, float] | None:
    """Both ends; None where they leave nothing out."""
    found = ends[0].exact, ends[1].exact
    return None if found == _ALL_VALUES else found

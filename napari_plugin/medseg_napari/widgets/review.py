"""Accept, reject or doubt the chosen lesions, and say why."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from medseg_napari.controller_keys import KEYS
from medseg_napari.session import Decision, Review

_BUTTONS: tuple[tuple[str, Decision | None, str], ...] = (
    ("✓ Accept", "accept", "accept"),
    ("✗ Reject", "reject", "reject"),
    ("? Unsure", "unsure", "unsure"),
    ("Unmark", None, ""),
)


class ReviewBox(QWidget):
    """Buttons and a line; `decided` gives the decision, `commented` the text."""

    decided = Signal(object)
    commented = Signal(str)
    stepped = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: dict[Decision | None, QPushButton] = {}
        self.previous = _button("◀ Previous", f"Key {KEYS['previous']}")
        self.next = _button("Next ▶", f"Key {KEYS['next']}")
        self.go_on = QCheckBox("then next")
        self.go_on.setChecked(True)
        self.go_on.setToolTip("After a decision go to the next row")
        self.said = QLabel("")
        self.said.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.comment = QLineEdit()
        self.comment.setPlaceholderText("Comment, then Enter")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(4)
        grid.setVerticalSpacing(4)
        grid.addWidget(self.previous, 0, 0)
        grid.addWidget(self.next, 0, 1)
        grid.addWidget(self.said, 0, 2, 1, 2)
        for column, (words, decision, action) in enumerate(_BUTTONS):
            key = KEYS.get(action)
            button = _button(words, f"Key {key}" if key else "Take the decision away")
            button.clicked.connect(lambda _=False, one=decision: self.decided.emit(one))
            self.buttons[decision] = button
            grid.addWidget(button, 1, column)
            grid.setColumnStretch(column, 1)
        grid.addWidget(self.comment, 2, 0, 1, 3)
        grid.addWidget(self.go_on, 2, 3)
        self.previous.clicked.connect(lambda: self.stepped.emit(-1))
        self.next.clicked.connect(lambda: self.stepped.emit(1))
        self.comment.editingFinished.connect(lambda: self.commented.emit(self.comment.text()))

    def show_review(self, number: int | None, said: Review | None) -> None:
        """Show what was said of the current object."""
        for button in (*self.buttons.values(), self.comment):
            button.setEnabled(number is not None)
        text = "" if said is None else said.comment
        if self.comment.text() != text:
            self.comment.setText(text)
        mark = None if said is None else said.mark
        when = "" if mark is None else f"{mark.time[:10]} {mark.time[11:16]} UTC"
        self.said.setText("" if mark is None else f"{mark.decision} by {mark.reader}, {when}")
        self.said.setToolTip(self.said.text())


def _button(words: str, tip: str) -> QPushButton:
    button = QPushButton(words)
    button.setToolTip(tip)
    return button

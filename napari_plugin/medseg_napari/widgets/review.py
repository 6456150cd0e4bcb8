"""Accept, reject or doubt the chosen lesions, and say why."""

from __future__ import annotations

from collections.abc import Mapping

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
        self._number: int | None = None
        self.previous, self.next = QPushButton("◀ Previous"), QPushButton("Next ▶")
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
        for column, (words, decision, _) in enumerate(_BUTTONS):
            button = QPushButton(words)
            button.clicked.connect(lambda _=False, one=decision: self._on_button(one))
            self.buttons[decision] = button
            grid.addWidget(button, 1, column)
            grid.setColumnStretch(column, 1)
        grid.addWidget(self.comment, 2, 0, 1, 3)
        grid.addWidget(self.go_on, 2, 3)
        for button, by in ((self.previous, -1), (self.next, 1)):
            button.clicked.connect(lambda _=False, by=by: self._on_step(by))
        self.comment.editingFinished.connect(self._on_comment)

    def show_keys(self, keys: Mapping[str, str]) -> None:
        """Let the tips of the buttons name their keys; an action without one has none."""
        actions = {action: self.buttons[decision] for _, decision, action in _BUTTONS}
        for action, button in {**actions, "previous": self.previous, "next": self.next}.items():
            button.setToolTip(f"Key {keys[action]}" if action in keys else "")
        self.buttons[None].setToolTip("Take the decision away")

    def show_review(self, number: int | None, said: Review | None) -> None:
        """Show what was said of the current object; a comment that is being written stays."""
        writing = self.comment.isModified() and number == self._number
        self._number = number
        for button in (*self.buttons.values(), self.comment):
            button.setEnabled(number is not None)
        text = "" if said is None else said.comment
        if not writing and self.comment.text() != text:
            self.comment.setText(text)
        mark = None if said is None else said.mark
        words = "" if mark is None else f"{mark.decision} by {mark.reader}, {mark.time[:10]}"
        self.said.setText(words)
        self.said.setToolTip("" if mark is None else f"{words} {mark.time[11:16]} UTC")

    def _on_comment(self) -> None:
        self.comment.setModified(False)
        self.commented.emit(self.comment.text())

    def _on_button(self, decision: Decision | None) -> None:
        self._keep_comment()
        self.decided.emit(decision)

    def _on_step(self, by: int) -> None:
        self._keep_comment()
        self.stepped.emit(by)

    def _keep_comment(self) -> None:
        """Not on every system does a click on a button end the writing of a comment."""
        if self.comment.isModified():
            self._on_comment()

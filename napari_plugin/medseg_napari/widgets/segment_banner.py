"""A coloured line above a panel: what went wrong, what a reader should know, what he is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

Tone = Literal["error", "warning", "question", "good"]
Action = tuple[str, Callable[[], None]]

_COLORS: dict[Tone, tuple[int, int, int]] = {
    "error": (214, 69, 65),
    "warning": (217, 131, 36),
    "question": (52, 131, 199),
    "good": (60, 150, 90),
}
_DISMISS = "Dismiss"
_MOST_LINES = 5


class Banner(QFrame):
    """Hidden until something is said."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("medseg_banner")
        self.text = QLabel(self)
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.MinimumExpanding)
        self._buttons = QHBoxLayout()
        self._buttons.setContentsMargins(0, 0, 0, 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 6, 8, 6)
        layout.setSpacing(4)
        layout.addWidget(self.text)
        layout.addLayout(self._buttons)
        self.hide()

    def say(self, lines: Sequence[str], tone: Tone, actions: Sequence[Action] = ()) -> None:
        """Show lines, with a button for each action and one that takes them away.

        Of many lines the first are shown, and all of them when the mouse rests on it.
        """
        self._take_buttons()
        red, green, blue = _COLORS[tone]
        self.setStyleSheet(
            f"#medseg_banner {{ border: none; border-left: 4px solid rgb({red}, {green}, {blue}); "
            f"background: rgba({red}, {green}, {blue}, 45); }}"
            "#medseg_banner QLabel { background: transparent; }"
        )
        more = len(lines) - _MOST_LINES
        shown = [*lines[:_MOST_LINES], f"… and {more} more"] if more > 0 else lines
        self.text.setText("\n".join(shown))
        self.setToolTip("\n".join(lines) if more > 0 else "")
        self._buttons.addStretch(1)
        for name, act in (*actions, (_DISMISS, self.clear)):
            button = QPushButton(name, self)
            button.clicked.connect(lambda _=False, act=act: act())
            self._buttons.addWidget(button)
        self.show()

    def clear(self) -> None:
        """Say nothing."""
        self._take_buttons()
        self.text.clear()
        self.hide()

    def button(self, name: str) -> QPushButton:
        """The button of that name. Raises ValueError where there is none."""
        for button in self.findChildren(QPushButton):
            if button.text() == name and button.isEnabled():
                return button
        msg = f"there is no button {name!r}"
        raise ValueError(msg)

    def _take_buttons(self) -> None:
        while self._buttons.count():
            item = self._buttons.takeAt(0)
            widget = None if item is None else item.widget()
            if widget is not None:
                widget.setEnabled(False)
                widget.hide()
                widget.deleteLater()

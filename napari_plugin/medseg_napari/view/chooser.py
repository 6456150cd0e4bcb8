"""The dialogs of opening: which of several volumes, and whether a file holds an image or labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QMessageBox,
    QVBoxLayout,
    QWidget,
)

from medseg.errors import MedsegError
from medseg_napari.run import Job
from medseg_napari.run.qt import JobWatcher
from medseg_napari.view.adapter import window_widget
from medseg_napari.view.choices import Choice, thumbnail
from medseg_napari.view.opening import Asking

if TYPE_CHECKING:
    from napari.components import ViewerModel

_SIDE = 96
_WIDTH, _HEIGHT = 640, 480


class ChooserDialog(QDialog):
    """A list of volumes with thumbnails, sizes and descriptions; what is refused says why.

    Volumes are read for their thumbnails one after the other in a thread, until it is closed.
    """

    def __init__(self, choices: Sequence[Choice], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("medseg: which volumes?")
        self.resize(_WIDTH, _HEIGHT)
        self._choices = list(choices)
        shown = (one.refusal is None and one.objects is None for one in self._choices)
        self._waiting = [n for n, has_picture in enumerate(shown) if has_picture]
        self.list = QListWidget()
        self.list.setIconSize(QSize(_SIDE, _SIDE))
        self.list.setSelectionMode(QListWidget.SelectionMode.ExtendedSelection)
        self.list.setWordWrap(True)
        self._rows = [_row(one) for one in self._choices]
        for item in self._rows:
            self.list.addItem(item)
        buttons = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(buttons.Open | buttons.Cancel)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.list.itemDoubleClicked.connect(self.accept)
        self.list.itemSelectionChanged.connect(self._on_selection)
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel("The folder holds several volumes. Choose what to open."))
        layout.addWidget(self.list)
        layout.addWidget(self.buttons)
        self._watcher = JobWatcher(self)
        self._watcher.finished.connect(self._on_drawn)
        self._watcher.failed.connect(self._on_refused)
        self._draw_next()
        self._on_selection()

    @property
    def chosen(self) -> list[Choice]:
        """The selected volumes, in the order of the list."""
        rows = sorted(self.list.row(item) for item in self.list.selectedItems())
        return [self._choices[row] for row in rows]

    def done(self, result: int) -> None:
        """Close; no more thumbnails are read."""
        self._watcher.stop()
        super().done(result)

    def _on_selection(self) -> None:
        button = self.buttons.button(QDialogButtonBox.StandardButton.Open)
        if button is not None:
            button.setEnabled(bool(self.chosen))

    def _draw_next(self) -> None:
        if self._waiting:
            choice = self._choices[self._waiting[0]]
            self._watcher.watch(Job(lambda _: _drawn(choice)))

    def _on_drawn(self, grey: NDArray[np.uint8] | None) -> None:
        item = self._rows[self._waiting.pop(0)]
        if grey is None:
            item.setToolTip("no thumbnail: text is burned into its pixels")
        else:
            item.setIcon(QIcon(_pixmap(grey)))
        self._draw_next()

    def _on_refused(self, error: MedsegError) -> None:
        row = self._waiting.pop(0)
        self._rows[row].setText(f"{_text(self._choices[row])}\n{error}")
        self._draw_next()


def choose(choices: Sequence[Choice], parent: QWidget | None = None) -> list[Choice]:
    """Ask which volumes to open; none where the dialog was closed."""
    dialog = ChooserDialog(choices, parent)
    accepted = dialog.exec() == QDialog.DialogCode.Accepted
    chosen = dialog.chosen if accepted else []
    dialog.deleteLater()
    return chosen


def ask_labels(name: str, parent: QWidget | None = None) -> bool:
    """Ask whether a file of whole numbers is a label map."""
    box = QMessageBox(parent)
    box.setWindowTitle("medseg: image or objects?")
    box.setText(f"{name} holds whole numbers. Are they objects (a label map) or grey values?")
    objects = box.addButton("Objects", QMessageBox.ButtonRole.YesRole)
    box.addButton("Grey values", QMessageBox.ButtonRole.NoRole)
    box.exec()
    answered = box.clickedButton() is objects
    box.deleteLater()
    return answered


def asking(viewer: ViewerModel) -> Asking:
    """Asking by dialogs of a viewer's window."""
    parent = window_widget(viewer)
    return Asking(
        volumes=lambda choices: choose(choices, parent),
        labels=lambda name: ask_labels(name, parent),
    )


def _drawn(choice: Choice) -> NDArray[np.uint8] | None:
    """The thumbnail of a volume, None where text is burned in. Raises InputRefused."""
    volume = choice.read()
    if any(one.code == "burned-in-annotation" for one in volume.warnings):
        return None
    return thumbnail(volume, _SIDE)


def _row(choice: Choice) -> QListWidgetItem:
    item = QListWidgetItem(_text(choice))
    item.setSizeHint(QSize(_WIDTH // 2, _SIDE + 8))
    if choice.refusal is not None:
        item.setFlags(Qt.ItemFlag.NoItemFlags)
        item.setText(f"{_text(choice)}\nrefused: {choice.refusal.detail} [{choice.refusal.code}]")
    return item


def _text(choice: Choice) -> str:
    kind = " ".join(one for one in (choice.modality, choice.unit) if one != "unknown")
    lines = [" - ".join(one for one in (choice.title, choice.description) if one)]
    held = "" if choice.objects is None else f"{choice.objects} objects"
    lines.append(", ".join(one for one in (choice.size, kind, held) if one))
    return "\n".join(lines)


def _pixmap(grey: NDArray[np.uint8]) -> QPixmap:
    rows, columns = grey.shape
    pixels = grey.tobytes()  # row after row, without padding
    image = QImage(pixels, columns, rows, columns, QImage.Format.Format_Grayscale8)
    return QPixmap.fromImage(image.copy())

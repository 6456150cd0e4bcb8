"""The parts of the Segment panel: model with its card, channels, region, where the work is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QTextBrowser,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from medseg.card import Card
from medseg.errors import MedsegError
from medseg.types import Box, Volume
from medseg_napari.view.facts import AXIS_LABELS, UNITS, facts_of, volume_layers
from medseg_napari.view.placement import Placement
from medseg_napari.view.planes import slice_axis
from medseg_napari.widgets.segment_plan import (
    ModelChoice,
    box_around,
    box_in_words,
    model_choices,
    suggested,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer, Shapes

REGION_LAYER = "region"
_NONE = "(none)"
_CARD_HEIGHT = 240


class ModelForm(QWidget):
    """Which model, and what its card says."""

    changed = Signal()
    refused = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.choices = model_choices()
        self.list = QComboBox(self)
        for one in self.choices:
            self.list.addItem(one.title)
        self.folder = QPushButton("Folder …", self)
        self.folder.setToolTip("Choose the folder of another model package")
        self.summary = QLabel(self)
        self.summary.setWordWrap(True)
        self.about = QToolButton(self)
        self.about.setText("About this model")
        self.about.setCheckable(True)
        self.about.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.about.setArrowType(Qt.ArrowType.RightArrow)
        self.card = QTextBrowser(self)
        self.card.setFixedHeight(_CARD_HEIGHT)
        self.card.setOpenLinks(False)
        self.card.hide()
        line = QHBoxLayout()
        line.addWidget(self.list, 1)
        line.addWidget(self.folder)
        layout = _column(self)
        layout.addLayout(line)
        for widget in (self.summary, self.about, self.card):
            layout.addWidget(widget)
        self.list.currentIndexChanged.connect(self._show)
        self.folder.clicked.connect(self._ask_folder)
        self.about.toggled.connect(self._unfold)
        self._show()
        self._chosen = False

    @property
    def choice(self) -> ModelChoice | None:
        """The model that is chosen."""
        place = self.list.currentIndex()
        return self.choices[place] if 0 <= place < len(self.choices) else None

    def add_folder(self, folder: str | Path) -> None:
        """Choose a package by its folder; what is wrong with it goes to `refused`."""
        try:
            choice = ModelChoice.of(folder)
        except MedsegError as error:
            self.refused.emit(error)
            return
        self.choices.append(choice)
        self.list.addItem(choice.title)
        self.list.setCurrentIndex(len(self.choices) - 1)

    def suggest(self, volume: Volume) -> None:
        """Choose the model that suits an image best, unless a person chose one for its modality."""
        choice = self.choice
        kept = self._chosen and choice is not None and choice.card.modality == volume.modality
        if not kept:
            self.list.setCurrentIndex(suggested(self.choices, volume))
            self._chosen = False

    def _ask_folder(self) -> None:
        found = QFileDialog.getExistingDirectory(self, "Folder of a model package")
        if found:
            self.add_folder(found)

    def _unfold(self, unfolded: bool) -> None:  # noqa: FBT001 - Qt's signal
        arrow = Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow
        self.about.setArrowType(arrow)
        self.card.setVisible(unfolded)

    def _show(self) -> None:
        self._chosen = True  # whoever only proposes says so
        choice = self.choice
        self.summary.setText("" if choice is None else choice.summary)
        page = "" if choice is None else choice.page
        self.card.setMarkdown(re.sub(r"^#+ ", "#### ", page, flags=re.MULTILINE))
        self.changed.emit()


class ChannelForm(QWidget):
    """An image for each channel of a model, among the layers that medseg read."""

    changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._card: Card | None = None
        self._layers: list[Layer] = []
        self.lists: dict[str, QComboBox] = {}
        self._form = _form(self)

    def show_card(self, card: Card | None) -> None:
        """One line for each channel of a model."""
        if card == self._card:
            return
        self._card = card
        while self._form.rowCount():
            self._form.removeRow(0)
        self.lists = {}
        for channel in () if card is None else card.channels:
            self.lists[channel.name] = QComboBox(self)
            word = channel.name if channel.required else f"{channel.name} (optional)"
            self._form.addRow(word, self.lists[channel.name])
            self.lists[channel.name].currentIndexChanged.connect(lambda _: self.changed.emit())
        self.follow_layers()

    def follow_layers(self) -> None:
        """Offer the images that are open; the first channel takes the newest if none is chosen."""
        kept = {name: self.layer(name) for name in self.lists}
        self._layers = volume_layers(self._viewer.layers)
        for n, (name, box) in enumerate(self.lists.items()):
            was = kept[name]
            quiet = QSignalBlocker(box)
            box.clear()
            box.addItems([_NONE, *(layer.name for layer in self._layers)])
            place = next((k for k, one in enumerate(self._layers) if one is was), None)
            if place is None and n == 0 and self._layers:
                place = len(self._layers) - 1
            box.setCurrentIndex(0 if place is None else place + 1)
            quiet.unblock()
        self.changed.emit()

    def layer(self, name: str) -> Layer | None:
        """The layer that is chosen for a channel."""
        place = self.lists[name].currentIndex() - 1
        return self._layers[place] if 0 <= place < len(self._layers) else None

    @property
    def first(self) -> Layer | None:
        """The layer of the channel that gives the grid."""
        return next((self.layer(name) for name in self.lists), None)

    @property
    def volumes(self) -> Mapping[str, Volume | None]:
        """What is chosen, by channel."""
        found = {}
        for name in self.lists:
            layer = self.layer(name)
            facts = None if layer is None else facts_of(layer)
            found[name] = None if facts is None else facts.volume
        return found


class RegionForm(QWidget):
    """The whole image, or a box: a rectangle that is drawn in a slice, and how deep it goes."""

    changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._axis = 0
        self.list = QComboBox(self)
        self.list.addItems(["Whole image", "Box"])
        self.draw = QPushButton("Draw", self)
        self.draw.setToolTip("Draw a rectangle in the slice on display")
        self.reach = QDoubleSpinBox(self)
        self.reach.setRange(0.0, 1000.0)
        self.reach.setDecimals(0)
        self.reach.setSuffix(" mm to both sides")
        self.reach.setSpecialValueText("through all slices")
        self.words = QLabel(self)
        self.words.setWordWrap(True)
        line = QHBoxLayout()
        line.addWidget(self.list, 1)
        line.addWidget(self.draw)
        layout = _column(self)
        layout.addLayout(line)
        layout.addWidget(self.reach)
        layout.addWidget(self.words)
        self.list.currentIndexChanged.connect(self._choose)
        self.draw.clicked.connect(self.start_drawing)
        self.reach.valueChanged.connect(lambda _: self.changed.emit())
        self._choose()

    @property
    def is_box(self) -> bool:
        """Whether a part of the image is wanted."""
        return self.list.currentIndex() == 1

    def box(self, placement: Placement) -> Box | None:
        """The box on an image's own grid; None where none is drawn, or it lies outside."""
        shapes = self._shapes()
        if not self.is_box or shapes is None or not len(shapes.data):
            return None
        corners = np.asarray([shapes.data_to_world(point) for point in shapes.data[-1]])
        return box_around(placement, corners[:, -3:], self._axis, self.reach.value())

    def show_size(self, placement: Placement | None) -> None:
        """Say how large the box is."""
        box = None if placement is None else self.box(placement)
        if not self.is_box:
            self.words.clear()
        elif placement is None or box is None:
            self.words.setText("No box yet: press Draw, then drag a rectangle in the image.")
        else:
            self.words.setText(box_in_words(box, placement.geometry.spacing_mm))
        self.words.setVisible(self.is_box)

    def start_drawing(self) -> None:
        """Let the next drag in the image draw the rectangle."""
        shapes = self._shapes()
        if shapes is None:
            shapes = self._viewer.add_shapes(
                None,
                ndim=3,
                name=REGION_LAYER,
                units=UNITS,
                axis_labels=AXIS_LABELS,
                face_color="transparent",
                edge_color="#ffd140",
                edge_width=1,
            )
        shapes.events.data.connect(self._drawn)  # napari keeps one of several
        self._viewer.layers.selection.active = shapes
        shapes.mode = "add_rectangle"

    def let_go(self) -> None:
        """Listen to the rectangle no more."""
        shapes = self._shapes()
        if shapes is not None:
            shapes.events.data.disconnect(self._drawn)

    def _drawn(self, _event: object = None) -> None:
        self._axis = slice_axis(self._viewer)
        shapes = self._shapes()
        if shapes is not None and len(shapes.data):
            shapes.mode = "pan_zoom"
        self.changed.emit()

    def _choose(self) -> None:
        for widget in (self.draw, self.reach):
            widget.setVisible(self.is_box)
        self.show_size(None)
        self.changed.emit()

    def _shapes(self) -> Shapes | None:
        return next((one for one in self._viewer.layers if one.name == REGION_LAYER), None)


class KeepForm(QWidget):
    """Who reads, and where the work is kept."""

    changed = Signal()

    def __init__(self, reader: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.reader = QLineEdit(reader, self)
        self.reader.setPlaceholderText("your initials")
        self.folder = QLineEdit(self)
        self._proposed: Path | None = None
        self._is_beside = False
        self.folder.setPlaceholderText("none: the work is not kept")
        self.choose = QPushButton("Folder …", self)
        line = QHBoxLayout()
        line.addWidget(self.folder, 1)
        line.addWidget(self.choose)
        form = _form(self)
        form.addRow("Reader", self.reader)
        form.addRow("Keep in", line)
        self.reader.textChanged.connect(lambda _: self.changed.emit())
        self.choose.clicked.connect(self._ask)

    @property
    def path(self) -> Path | None:
        """The folder of the session."""
        text = self.folder.text().strip()
        return Path(text).expanduser() if text else None

    def propose(self, folder: Path | None) -> None:
        """Put in a folder unless the user wrote one himself, or took one beside this very one."""
        was, self._proposed = self._proposed, folder
        if self.folder.isModified() or (self._is_beside and folder == was):
            return
        self._is_beside = False
        self._put(folder)

    def put_beside(self, folder: Path) -> None:
        """Put in a folder in the place of the proposed one, until another one is proposed."""
        self._is_beside = True
        self._put(folder)

    def _put(self, folder: Path | None) -> None:
        self.folder.setText("" if folder is None else str(folder))
        self.folder.setCursorPosition(0)
        self.folder.setToolTip(self.folder.text())

    def _ask(self) -> None:
        found = QFileDialog.getExistingDirectory(self, "Folder for this work")
        if found:
            self.folder.setText(found)
            self.folder.setModified(True)


def _column(widget: QWidget) -> QVBoxLayout:
    layout = QVBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    return layout


def _form(widget: QWidget) -> QFormLayout:
    form = QFormLayout(widget)
    form.setContentsMargins(0, 0, 0, 0)
    form.setSpacing(4)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form

"""The page before a session: which objects, who reads, where the work is kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from medseg.errors import MedsegError
from medseg.types import Geometry, Volume
from medseg_napari.controller import bind
from medseg_napari.session import Session, find_session
from medseg_napari.view.facts import facts_of, instance_layers, volume_layers
from medseg_napari.widgets.segment_sessions import default_folder, session_source

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels


class StartBox(QWidget):
    """Begins the review of a labels layer of medseg, or goes on with the one of a folder."""

    def __init__(self, viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.layers, self.reader, self.folder = QComboBox(), QLineEdit(), QLineEdit()
        self.reader.setPlaceholderText("Initials, such as AB")
        self.folder.setPlaceholderText("None: nothing is kept")
        self.browse, self.begin = QPushButton("…"), QPushButton("Begin review")
        self.browse.setMaximumWidth(32)
        self.message = QLabel("")
        self.message.setWordWrap(True)
        self._proposed = ""
        place = QHBoxLayout()
        place.addWidget(self.folder, 1)
        place.addWidget(self.browse)
        form = QFormLayout()
        form.addRow("Objects", self.layers)
        form.addRow("Reader", self.reader)
        form.addRow("Keep in", place)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(QLabel("Review the objects of a layer, one by one."))
        layout.addLayout(form)
        layout.addWidget(self.begin)
        layout.addWidget(self.message)
        layout.addStretch(1)
        self.browse.clicked.connect(self._on_browse)
        self.begin.clicked.connect(self.start)
        self.folder.textChanged.connect(self._show_found)
        self.reader.textChanged.connect(self._propose)
        self.layers.currentIndexChanged.connect(self._propose)
        viewer.layers.events.inserted.connect(self.refresh)
        viewer.layers.events.removed.connect(self.refresh)
        self.refresh()

    def refresh(self, _event: object = None) -> None:
        """Offer the labels layers that medseg opened or made."""
        was = self.layers.currentText()
        self.layers.clear()
        self.layers.addItems([layer.name for layer in instance_layers(self._viewer.layers)])
        self.layers.setCurrentIndex(max(0, self.layers.findText(was)))
        there = self.layers.count() > 0
        self.begin.setEnabled(there)
        self.message.setText("" if there else "Open or segment a study first.")

    def start(self) -> None:
        """Begin or go on; what is refused is said."""
        layer = self._layer()
        if layer is None:
            return
        try:
            session = self._session(layer)
        except (MedsegError, ValueError) as error:
            self.message.setText(str(error))
            return
        bind(self._viewer, session, layer)

    def _layer(self) -> Labels | None:
        name = self.layers.currentText()
        found = (one for one in instance_layers(self._viewer.layers) if one.name == name)
        return next(found, None)

    def _propose(self, _what: object = None) -> None:
        """Propose the folder of the reader's work, unless another one was written."""
        layer = self._layer()
        if layer is None or self.folder.text() != self._proposed:
            return
        found = default_folder(layer, self.reader.text())
        self._proposed = "" if found is None else str(found)
        self.folder.setText(self._proposed)

    def _session(self, layer: Labels) -> Session:
        facts = facts_of(layer)
        if facts is None or facts.instances is None:
            msg = "the layer shows no objects of medseg"
            raise ValueError(msg)
        volume = self._volume_of(facts.instances.geometry)
        text = self.folder.text().strip()
        if not text:
            return Session.begin(volume, facts.instances, self.reader.text())
        folder = Path(text)
        if find_session(folder) is not None:
            return Session.resume(volume, folder, self.reader.text())
        return Session.begin(
            volume,
            facts.instances,
            self.reader.text(),
            folder=folder,
            source=session_source(facts),
        )

    def _volume_of(self, geometry: Geometry) -> Volume | None:
        """The open image on whose grid the objects lie."""
        for layer in volume_layers(self._viewer.layers):
            facts = facts_of(layer)
            volume = None if facts is None else facts.volume
            if volume is not None and volume.geometry.same_grid(geometry):
                return volume
        return None

    def _on_browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder of the session")
        if chosen:
            self.folder.setText(chosen)

    def _show_found(self, text: str) -> None:
        """Say what lies in the folder before the work begins."""
        try:
            there = bool(text.strip()) and find_session(Path(text.strip())) is not None
        except MedsegError as error:
            self.message.setText(str(error))
            return
        self.begin.setText("Go on with the review" if there else "Begin review")

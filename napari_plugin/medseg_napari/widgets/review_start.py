"""The page before a session: which objects, who reads, where the work is kept, what lies there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, QTimer
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
from medseg.io import require_same_grid
from medseg.types import Volume
from medseg_napari.controller import controller_of, set_aside
from medseg_napari.controller_aside import in_words
from medseg_napari.session import Session, find_session
from medseg_napari.session.cases import initials
from medseg_napari.view.facts import (
    LayerFacts,
    StudySource,
    facts_of,
    instance_layers,
    volume_layers,
)
from medseg_napari.widgets.preferences import preferences
from medseg_napari.widgets.segment_banner import Action, Banner, Tone
from medseg_napari.widgets.segment_sessions import (
    CASE_KEY,
    Offer,
    default_folder,
    free_folder,
    offer_of,
    offers,
    resumed,
    session_source,
)
from medseg_napari.widgets.segment_show import (
    BRING_BACK,
    bind_session,
    bring_back,
    show_session,
)

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels, Layer

_NO_IMAGE = "none on their grid: no intensities"
_NO_STUDY = "Open a study first."
_NO_OBJECTS = "No objects yet: find some in Segment, or open a file that holds them."
_ASK_READER = "Enter your initials, letters and digits, then begin."


class StartBox(QWidget):
    """Begins the review of a labels layer of medseg, or goes on with work that lies there.

    Work on objects that lie on an open image is that image's: it is kept and found with the study.
    """

    def __init__(self, viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.banner = Banner(self)
        self.layers, self.images, self.folder = QComboBox(), QComboBox(), QLineEdit()
        self.images.setToolTip("The image on the objects' grid whose intensities are measured")
        self._images: list[Layer] = []
        self.reader = QLineEdit(preferences().reader)
        self.reader.setPlaceholderText("Initials, such as AB")
        self.folder.setPlaceholderText("None: nothing is kept")
        self.browse, self.begin = QPushButton("…"), QPushButton("Begin review")
        self.browse.setMaximumWidth(32)
        self.message = QLabel("")
        self.message.setWordWrap(True)
        self._proposed = ""
        self._asked_of: Layer | None = None
        self._look = QTimer(self)  # whoever opened a layer first says all he knows of it
        self._look.setSingleShot(True)
        self._arrange()
        self._look.timeout.connect(self._offer)
        self.browse.clicked.connect(self._on_browse)
        self.begin.clicked.connect(self.start)
        self.folder.textChanged.connect(self._show_found)
        self.reader.textChanged.connect(self._propose)
        self.layers.currentIndexChanged.connect(self._list_images)
        self.layers.currentIndexChanged.connect(self._propose)
        self.images.currentIndexChanged.connect(self._propose)
        self.images.currentIndexChanged.connect(lambda _: self._look.start(0))
        viewer.layers.events.inserted.connect(self.refresh)
        viewer.layers.events.removed.connect(self.refresh)
        self.refresh()

    def refresh(self, _event: object = None) -> None:
        """Offer the labels layers that medseg opened or made, and work that lies there."""
        was = self.layers.currentText()
        self.layers.clear()
        self.layers.addItems([layer.name for layer in instance_layers(self._viewer.layers)])
        self.layers.setCurrentIndex(max(0, self.layers.findText(was)))
        self._list_images()
        there = self.layers.count() > 0
        self.begin.setEnabled(there)
        missing = _NO_OBJECTS if self._images else _NO_STUDY
        self.message.setText("" if there else missing)
        self._look.start(0)

    def let_go(self) -> None:
        """Follow the layers no more."""
        self._viewer.layers.events.inserted.disconnect(self.refresh)
        self._viewer.layers.events.removed.disconnect(self.refresh)

    @property
    def has_offer(self) -> bool:
        """Whether there is earlier work of the reader on the study that is open."""
        image = self._image()
        found = [] if image is None else offers(image, self.reader.text())
        return any(not one.is_of_another for one in found)

    def start(self) -> None:
        """Begin, or ask about the work that lies in the folder; what is refused is said."""
        layer, folder = self._layer(), self._folder()
        if layer is None:
            return
        there = None if folder is None else offer_of(folder, self.reader.text())
        if there is not None:
            self._ask(there, self._image() or layer)
            return
        try:
            session = self._session(layer, folder)
        except (MedsegError, ValueError) as error:
            self.message.setText(str(error))
            return
        bind_session(self._viewer, session, layer, preferences())

    def begin_or_ask(self) -> None:
        """Begin at once, unless it is not known who reads or there is work to go on with."""
        if self.has_offer:
            return
        if self.reader.text().strip():
            self.start()
        else:
            self.message.setText(_ASK_READER)
            self.reader.setFocus()

    def resume(self, offer: Offer, on: Layer) -> None:
        """Go on with a session, on an image or where none is open on the grid of objects.

        Its objects get a layer of their own, for those that are open may be others. What is refused
        is said.
        """
        self.banner.clear()
        facts = facts_of(on)
        if on not in self._viewer.layers or facts is None or offer.found is None:
            return
        try:
            session = self._resumed(offer, facts)
        except (MedsegError, ValueError) as error:
            self.banner.say([str(error)], "error")
            return
        for layer in instance_layers(self._viewer.layers):
            layer.visible = False  # the session's own objects are what is worked on
        name, source = f"{on.name}: objects", facts.source
        show_session(self._viewer, session, name=name, source=source, wishes=preferences())

    def _arrange(self) -> None:
        place = QHBoxLayout()
        place.addWidget(self.folder, 1)
        place.addWidget(self.browse)
        form = QFormLayout()
        form.addRow("Objects", self.layers)
        form.addRow("Image", self.images)
        form.addRow("Reader", self.reader)
        form.addRow("Keep in", place)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.banner)
        layout.addWidget(QLabel("Review the objects of a layer, one by one."))
        layout.addLayout(form)
        layout.addWidget(self.begin)
        layout.addWidget(self.message)
        layout.addStretch(1)

    def _layer(self) -> Labels | None:
        name = self.layers.currentText()
        found = (one for one in instance_layers(self._viewer.layers) if one.name == name)
        return next(found, None)

    def _image(self) -> Layer | None:
        """The chosen image; None where none lies on the grid of the chosen objects."""
        place = self.images.currentIndex()
        return self._images[place] if 0 <= place < len(self._images) else None

    def _list_images(self, _place: int = 0) -> None:
        """Offer the open images on whose grid the chosen objects lie; without objects all."""
        objects, was = self._layer(), self._image()
        facts = None if objects is None else facts_of(objects)
        images = volume_layers(self._viewer.layers)
        if facts is not None and facts.instances is not None:
            grid = facts.instances.geometry
            found = ((layer, facts_of(layer)) for layer in images)
            images = [one for one, own in found if own and own.placement.geometry.same_grid(grid)]
        self._images = images
        with QSignalBlocker(self.images):
            self.images.clear()
            self.images.addItems([layer.name for layer in images] or [_NO_IMAGE])
            self.images.setCurrentIndex(next((n for n, one in enumerate(images) if one is was), 0))
        self.images.setEnabled(len(images) > 1)

    def _offer(self) -> None:
        """Ask once of each image whether to go on with what lies there."""
        if controller_of(self._viewer) is not None:
            return
        image = self._image()
        self._show_found(self.folder.text())  # a session that was just closed can be gone on with
        if set_aside(self._viewer):
            self._ask_about_lost()
        elif image is not self._asked_of:
            self._ask_about(image)

    def _ask_about_lost(self) -> None:
        """Ask what becomes of work that is nowhere on the disk, and whose layer was parted."""
        aside = set_aside(self._viewer)
        actions: list[Action] = [(BRING_BACK, self._bring_back), ("Let it go", self._let_it_go)]
        self.banner.say([in_words(session) for session, _ in aside], "warning", actions)

    def _bring_back(self) -> None:
        self.banner.clear()
        bring_back(self._viewer)

    def _let_it_go(self) -> None:
        set_aside(self._viewer).clear()
        self.banner.clear()
        self._look.start(0)

    def _ask_about(self, image: Layer | None) -> None:
        self._asked_of = image
        self.banner.clear()
        if image is None or CASE_KEY in image.metadata:
            return  # the list of cases opens the sessions itself
        found = offers(image, self.reader.text())
        if found:
            self._ask(found[0], image)

    def _ask(self, offer: Offer, on: Layer) -> None:
        """Ask whether to go on with a session, on an image or on objects without one."""
        actions: list[Action] = []
        if offer.can_resume:
            actions.append(("Go on", lambda: self.resume(offer, on)))
        if self.layers.count():
            actions.append(("Begin anew", self._begin_anew))
        tone: Tone = "warning" if offer.is_unfinished or not offer.can_resume else "question"
        self.banner.say([offer.words], tone, actions)

    def _begin_anew(self) -> None:
        """Another session on the chosen objects, beside those that are there."""
        on = self._image() or self._layer()
        own = None if on is None else default_folder(on, self.reader.text())
        if self.folder.text() != self._proposed:
            own = self._folder() or own
        if own is None:
            self.message.setText(_ASK_READER)
            return
        self.banner.clear()
        # As proposed: of another study another one is.
        self._proposed = str(own if offer_of(own) is None else free_folder(own))
        self.folder.setText(self._proposed)
        self.start()

    def _propose(self, _what: object = None) -> None:
        """Propose the folder of the reader's work, unless another one was written."""
        layer = self._image() or self._layer()
        if layer is None or self.folder.text() != self._proposed:
            return
        found = default_folder(layer, self.reader.text())
        self._proposed = "" if found is None else str(found)
        self.folder.setText(self._proposed)

    def _folder(self) -> Path | None:
        text = self.folder.text().strip()
        return Path(text).expanduser() if text else None

    def _resumed(self, offer: Offer, facts: LayerFacts) -> Session:
        session = resumed(offer, facts.volume, self.reader.text())
        try:
            require_same_grid(session.output.geometry, facts.placement.geometry, "session")
        except MedsegError:
            session.close()
            raise
        return session

    def _session(self, layer: Labels, folder: Path | None) -> Session:
        facts = facts_of(layer)
        if facts is None or facts.instances is None:
            msg = "the layer shows no objects of medseg"
            raise ValueError(msg)
        image = self._image()
        of_image = None if image is None else facts_of(image)
        volume: Volume | None = None if of_image is None else of_image.volume
        reader = initials(self.reader.text())
        if folder is None:
            return Session.begin(volume, facts.instances, reader)
        source = StudySource().as_dict() if of_image is None else session_source(of_image)
        return Session.begin(volume, facts.instances, reader, folder=folder, source=source)

    def _on_browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder of the session")
        if chosen:
            self.folder.setText(chosen)

    def _show_found(self, text: str) -> None:
        """Say what lies in the folder before the work begins."""
        try:
            place = Path(text.strip()).expanduser()
            found = find_session(place) if text.strip() else None
        except MedsegError as error:
            self.message.setText(str(error))
            return
        offer = Offer(place, found, reader=self.reader.text())
        self.begin.setText("Go on with the review" if offer.can_resume else "Begin review")

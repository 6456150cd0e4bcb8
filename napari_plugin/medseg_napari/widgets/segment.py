"""The Segment panel: a model, an image, one button; the network runs in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from medseg.errors import MedsegError
from medseg.types import Box, Instances
from medseg_napari.controller import Controller, controller_of, watch
from medseg_napari.run import JobEstimate, JobState, Worker
from medseg_napari.run.qt import JobWatcher
from medseg_napari.session import Session
from medseg_napari.session.cases import initials
from medseg_napari.view.adapter import unwrapped
from medseg_napari.view.facts import LayerFacts, facts_of
from medseg_napari.view.study_view import attach
from medseg_napari.widgets.dock_end import EndsWithDock
from medseg_napari.widgets.dock_tabs import SharesTabs
from medseg_napari.widgets.preferences import preferences, recolored
from medseg_napari.widgets.scrolled import scrolled
from medseg_napari.widgets.segment_banner import Action, Banner, Tone
from medseg_napari.widgets.segment_forms import ChannelForm, KeepForm, ModelForm, RegionForm
from medseg_napari.widgets.segment_plan import (
    ModelChoice,
    estimate_in_words,
    missing,
    nothing_yet,
    state_in_words,
    to_point,
)
from medseg_napari.widgets.segment_sessions import (
    CASE_KEY,
    Offer,
    begun,
    default_folder,
    free_folder,
    offer_of,
    offers,
    resumed,
)
from medseg_napari.widgets.segment_show import remarks, show_session, way_back

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

_DEVICES = {"Automatic": "auto", "CPU": "cpu", "Graphics card": "cuda"}
_DEBOUNCE_MS = 400
_WIDTH = 310


class _Run(NamedTuple):
    """What a run was started with: while it lasts other studies may be opened."""

    layer: Layer
    choice: ModelChoice
    folder: Path | None
    reader: str


class SegmentPanel(SharesTabs, EndsWithDock, QWidget):
    """Chooses, estimates, runs, and brings the result to the viewer as a session."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = unwrapped(napari_viewer)
        attach(self.viewer)
        self.worker = Worker()
        self.watcher = JobWatcher(self)
        self.banner = Banner(self)
        wishes = preferences()
        self.model = ModelForm(self)
        self.channels = ChannelForm(self.viewer, self)
        self.region = RegionForm(self.viewer, self)
        self.keep = KeepForm(wishes.reader, self)
        self.device = QComboBox(self)
        self.device.addItems([*_DEVICES])
        self.device.setCurrentIndex([*_DEVICES.values()].index(wishes.device))
        self.estimate = QLabel(self)
        self.estimate.setWordWrap(True)
        self.start = QPushButton("Segment", self)
        self.cancel = QPushButton("Cancel", self)
        self.progress = QProgressBar(self)
        self.progress.setTextVisible(False)
        self.status = QLabel(self)
        self.status.setWordWrap(True)
        self._arrange()
        self._running: _Run | None = None
        self._waiting = False
        self._asked: tuple[Any, ...] | None = None
        self._delay = QTimer(self)
        self._delay.setSingleShot(True)
        self._delay.setInterval(_DEBOUNCE_MS)
        self._guest: Layer | None = None
        self._offered = False
        self._greeting = QTimer(self)  # whoever opened the layer first says all he knows of it
        self._greeting.setSingleShot(True)
        self._connect()
        self.channels.show_card(None if self.model.choice is None else self.model.choice.card)
        self._welcome(self.channels.first)
        self._refresh()

    def _arrange(self) -> None:
        parts = (("Model", self.model), ("Image", self.channels), ("Region", self.region))
        scroll = scrolled([*parts, ("Work", self.keep)], self)
        line = QHBoxLayout()
        line.addWidget(QLabel("Run on", self))
        line.addWidget(self.device, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(self.banner)
        layout.addWidget(scroll, 1)
        layout.addLayout(line)
        layout.addWidget(self.estimate)
        buttons = QHBoxLayout()
        buttons.addWidget(self.start, 2)
        buttons.addWidget(self.cancel, 1)
        layout.addLayout(buttons)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        self.setMinimumWidth(_WIDTH)

    def _connect(self) -> None:
        self.model.changed.connect(self._model_changed)
        self.model.refused.connect(self._failed)
        for part in (self.channels, self.region, self.keep):
            part.changed.connect(self._refresh)
        self.device.currentIndexChanged.connect(lambda _: self._refresh())
        self.start.clicked.connect(self.run)
        self.cancel.clicked.connect(self.watcher.cancel)
        self.watcher.changed.connect(self._show_state)
        self.watcher.finished.connect(self._finished)
        self.watcher.failed.connect(self._failed)
        self.watcher.cancelled.connect(self._ended)
        self._delay.timeout.connect(self._ask_estimate)
        self._greeting.timeout.connect(lambda: self._welcome(self._guest))
        layers = self.viewer.layers.events
        layers.inserted.connect(self._layer_inserted)
        layers.removed.connect(self._layer_removed)
        self.at_end(
            partial(layers.inserted.disconnect, self._layer_inserted),
            partial(layers.removed.disconnect, self._layer_removed),
            watch(self.viewer, self._on_session),
            self.region.let_go,
            self.worker.close,
        )

    @property
    def facts(self) -> LayerFacts | None:
        """The facts of the image that gives the grid."""
        layer = self.channels.first
        return None if layer is None else facts_of(layer)

    @property
    def box(self) -> Box | None:
        """The part of the image to segment; None for all of it."""
        facts = self.facts
        return None if facts is None else self.region.box(facts.placement)

    @property
    def problem(self) -> str:
        """Why it cannot start yet; "" where it can."""
        choice, facts = self.model.choice, self.facts
        if choice is None:
            return "Choose a model."
        lost = missing(choice.card, self.channels.volumes)
        if lost or facts is None:
            return lost or "Open a study first: drag its folder or file into the window."
        if self.region.is_box and self.box is None:
            return "Draw the box first, or take the whole image."
        try:
            initials(self.keep.reader.text())
        except ValueError:
            return "Enter the reader's initials: letters and digits."
        return ""

    @property
    def to_point(self) -> str:
        """What to do with a model that wants a point; "" where it can run as it is."""
        choice, facts = self.model.choice, self.facts
        if choice is None or facts is None:
            return ""
        geometry = facts.placement.geometry
        return to_point(choice.card, geometry if self.box is None else geometry.crop(self.box))

    def run(self) -> None:
        """Start, unless something is missing, or a session lies in the folder already."""
        if self.problem:
            return
        folder, layer = self.keep.path, self.channels.first
        offer = None if folder is None else offer_of(folder, self.keep.reader.text())
        if folder is not None and offer is not None and layer is not None:
            self._ask_about(offer, layer, [("Keep both", lambda: self._run_beside(folder, layer))])
            return
        self._start_or_wait()

    def resume(self, offer: Offer, layer: Layer) -> None:
        """Go on with a session that lies on the disk, on the open image that it was offered for."""
        self.banner.clear()
        facts = facts_of(layer)
        if layer not in self.viewer.layers or facts is None or offer.found is None:
            return
        try:
            session = resumed(offer, facts.volume, self.keep.reader.text())
        except (MedsegError, ValueError) as error:
            self.banner.say([str(error)], "error")
            return
        self._show_session(session, layer, f"{layer.name}: objects")

    def _run_beside(self, folder: Path, layer: Layer) -> None:
        if self.channels.first is layer:  # else another image was chosen since, with its own folder
            self.keep.put_beside(free_folder(folder))
        self.run()

    def _start_or_wait(self) -> None:
        """Start now, or as soon as the estimate that runs has ended: it loads the model anyway."""
        self.banner.clear()
        self._waiting = self.watcher.is_busy
        if self._waiting:
            self._refresh()
        else:
            self._start()

    def _start(self) -> None:
        choice, layer = self.model.choice, self.channels.first
        if choice is None or layer is None:
            return
        run = _Run(layer, choice, self.keep.path, initials(self.keep.reader.text()))
        facts = self.facts
        if self.to_point and facts is not None:
            self._keep(nothing_yet(choice.card, facts.placement.geometry), run)
            self.status.setText("Begun. Go to Correct: Add by click.")
            self._refresh()
            return
        volumes = {name: one for name, one in self.channels.volumes.items() if one is not None}
        device = _DEVICES[self.device.currentText()]
        try:
            job = self.worker.segment(volumes, choice.name, device=device, box=self.box)
        except MedsegError as error:
            self._failed(error)
            return
        self._running = run
        self.watcher.watch(job)
        self._refresh()

    def _ask_estimate(self) -> None:
        facts, choice = self.facts, self.model.choice
        said = self.problem or self.to_point
        if said or facts is None or choice is None or self.watcher.is_busy:
            return
        geometry = facts.placement.geometry
        geometry = geometry if self.box is None else geometry.crop(self.box)
        asked = choice.name, geometry, _DEVICES[self.device.currentText()]
        if asked == self._asked or not self.isVisible():
            return
        try:
            job = self.worker.estimate(geometry, choice.name, device=asked[2])
        except MedsegError as error:
            self._failed(error)
            return
        self._asked = asked
        self.estimate.setText("Estimating time and memory …")
        self.watcher.watch(job)
        self._refresh()

    def _finished(self, result: object) -> None:
        running, self._running = self._running, None
        if isinstance(result, JobEstimate):
            self.estimate.setText(estimate_in_words(result))
        elif isinstance(result, Instances) and running is not None:
            self._keep(result, running)
        self._ended()

    def _keep(self, found: Instances, run: _Run) -> None:
        """A session on the result; where it cannot be kept on the disk it is shown all the same."""
        facts = facts_of(run.layer)
        if facts is None:
            return
        output = recolored(found, preferences().colors)
        session, lost = begun(facts, output, run.reader, run.folder)
        if run.layer in self.viewer.layers:
            name = f"{run.layer.name}: {run.choice.card.name}"
            self._show_session(session, run.layer, name, lost)
            return
        session.close()
        kept = "is kept, and offered with it" if session.store else "could not be kept"
        self.banner.say([f"{run.layer.name} was closed: its result {kept}", *lost], "warning")

    def _show_session(
        self, session: Session, layer: Layer, name: str, lost: list[str] | None = None
    ) -> None:
        facts = facts_of(layer)
        if facts is None:
            return
        controller = show_session(
            self.viewer, session, name=name, source=facts.source, wishes=preferences()
        )
        counts = [f"{one.count} {name}" for name, one in session.totals().items()]
        self.status.setText(f"{', '.join(counts) or 'No object'} found.")
        lines = [*(lost or []), *remarks(session, controller)]
        if lines:
            back = way_back(self.viewer)
            self._offered = bool(back)
            self.banner.say(lines, "error" if lost else "warning", back)

    def _failed(self, error: MedsegError) -> None:
        self._running, self._waiting = None, False
        self.estimate.clear()
        self.banner.say([str(error)], "error")
        self._ended()

    def _ended(self) -> None:
        self._running = None
        waiting, self._waiting = self._waiting, False
        if waiting and not self.problem:
            self._start()
            return
        self._refresh()

    def _show_state(self, state: JobState) -> None:
        self.progress.setRange(0, state.total)  # 0 to 0: that it works, not how far it is
        self.progress.setValue(state.done)
        self.status.setText("" if state.phase == "done" else state_in_words(state))

    def _refresh(self) -> None:
        layer, facts = self.channels.first, self.facts
        self.region.show_size(None if facts is None else facts.placement)
        if layer is not None:
            self.keep.propose(default_folder(layer, self.keep.reader.text()))
        problem, busy = self.problem, self._running is not None or self._waiting
        words = self.to_point
        self.start.setText("Begin, then point" if words else "Segment")
        self.start.setEnabled(not problem and not busy)
        self.start.setToolTip(problem)
        self.cancel.setEnabled(self.watcher.is_busy)
        self.progress.setVisible(self.watcher.is_busy)
        for part in (self.model, self.channels, self.region, self.keep, self.device):
            part.setEnabled(not busy)
        if problem or words:
            self._asked = None
            self.estimate.setText(problem or words)
        self._delay.start()

    def _model_changed(self) -> None:
        choice = self.model.choice
        self._asked = None
        self.channels.show_card(None if choice is None else choice.card)
        self._refresh()

    def _layer_inserted(self, event: Any) -> None:
        self.channels.follow_layers()
        facts = facts_of(event.value)
        if facts is not None and facts.volume is not None:
            self._guest = event.value
            self._greeting.start(0)

    def _on_session(self, controller: Controller | None) -> None:
        """Work that was begun elsewhere answers the question whether to go on."""
        if controller is not None and self._offered:
            self._offered = False
            self.banner.clear()

    def _layer_removed(self, _event: Any) -> None:
        self.channels.follow_layers()

    def _welcome(self, layer: Layer | None) -> None:
        """Of a study that was opened: the model that suits it, and work that lies there."""
        self._guest = None
        facts = None if layer is None else facts_of(layer)
        if layer is None or facts is None or facts.volume is None or self._running is not None:
            return
        self.model.suggest(facts.volume)
        self._refresh()
        if CASE_KEY in layer.metadata:
            return  # the list of cases opens the sessions itself
        bound = controller_of(self.viewer) is not None
        found = [] if bound else offers(layer, self.keep.reader.text())
        if found:
            self._ask_about(found[0], layer)

    def _ask_about(self, offer: Offer, layer: Layer, others: Sequence[Action] = ()) -> None:
        self._offered = True
        go_on = [("Go on", lambda: self.resume(offer, layer))] if offer.can_resume else []
        tone: Tone = "warning" if offer.is_unfinished or not go_on else "question"
        self.banner.say([offer.words], tone, [*go_on, *others])

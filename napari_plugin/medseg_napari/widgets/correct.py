"""Panel "Correct": every button is one step of the session, undone by its name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import (
    QFileDialog,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from medseg.errors import MedsegError
from medseg_napari.controller import Controller, What, controller_of, watch
from medseg_napari.controller_steps import Step
from medseg_napari.session import named
from medseg_napari.view.adapter import unwrapped
from medseg_napari.widgets.correct_forms import (
    AddForm,
    DrawForm,
    ObjectForm,
    ShapeForm,
    UndoForm,
)
from medseg_napari.widgets.correct_model import ModelRunner
from medseg_napari.widgets.correct_tools import Settings, Tools
from medseg_napari.widgets.correct_worker import StepRunner
from medseg_napari.widgets.dock_end import EndsWithDock
from medseg_napari.widgets.dock_tabs import SharesTabs
from medseg_napari.widgets.own_keys import OwnKeys
from medseg_napari.widgets.panel_size import PanelSize
from medseg_napari.widgets.segment_plan import ModelChoice, model_choices, pointed

if TYPE_CHECKING:
    import napari


class CorrectPanel(OwnKeys, PanelSize, SharesTabs, EndsWithDock, QWidget):
    """The panel of a viewer; its tools work on the rows that are chosen."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)  # napari hands in the viewer by the argument's name
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self._viewer = unwrapped(napari_viewer)
        self._end_listening: Callable[[], None] = _nothing
        self.controller: Controller | None = None
        self.tools: Tools | None = None
        self.settings = Settings()
        self.runner, self.looker = StepRunner(self), ModelRunner(self)
        self._choices = model_choices()
        self.target, self.message = QLabel(""), QLabel("")
        self.target.setTextFormat(Qt.TextFormat.PlainText)
        self.message.setWordWrap(True)
        self.history, self.object, self.shape = UndoForm(), ObjectForm(), ShapeForm()
        self.draw, self.add = DrawForm(), AddForm()
        self.forms = (self.object, self.shape, self.draw, self.add)
        self._lay_out()
        self._connect()
        self._on_bound(controller_of(self._viewer))
        ends = watch(self._viewer, self._on_bound), self._stop_listening
        self.at_end(*ends, self.runner.forget, self.looker.close)

    def run(self, step: Step, heavy: bool) -> None:  # noqa: FBT001 - the shape of `Run`
        """Take a step: at once, or where it is heavy beside the interface."""
        if self.controller is None:
            return
        if self._busy:
            self.controller.say("wait: a step is being computed")
        elif not heavy:
            self._take(step)
        elif self.runner.start(step, self._take):
            self.controller.say("computing…")

    def add_folder(self, folder: str) -> None:
        """Offer a model package under Add by click; what is wrong with it is said."""
        work = self.controller
        if work is None:
            return
        try:
            choice = ModelChoice.of(folder)
        except MedsegError as error:
            work.say(str(error))
            return
        if not pointed([choice], work.session.volume):
            work.say(f"{choice.card.name} does not outline what is pointed at in this image")
            return
        self._choices.append(choice)
        self._offer_models(choice)

    @property
    def _busy(self) -> bool:
        return self.runner.busy or self.looker.busy

    def _take(self, step: Step) -> None:
        work = self.controller
        edit = None if work is None else work.attempt(step)
        if work is not None and edit is not None and work.apply(edit):
            work.say(f"{edit.name}: done")

    def _lay_out(self) -> None:
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 6, 0)
        column.setSpacing(8)
        for form in self.forms:
            column.addWidget(form)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inner)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(6)
        layout.addWidget(self.target)
        layout.addWidget(self.history)
        layout.addWidget(scroll, 1)
        layout.addWidget(self.message)

    def _connect(self) -> None:
        self.history.undo.clicked.connect(self._on_undo)
        self.history.redo.clicked.connect(self._on_redo)
        for form in self.forms:
            form.pressed.connect(self._on_pressed)
            form.changed.connect(self._on_changed)
        self.runner.busy_changed.connect(self._on_busy)
        self.looker.busy_changed.connect(self._on_busy)
        self.looker.said.connect(self._on_said)

    def action_of(self, event: QKeyEvent) -> Callable[[], object] | None:
        """Undo and redo."""
        if event.matches(QKeySequence.StandardKey.Undo):
            return self._on_undo
        return self._on_redo if event.matches(QKeySequence.StandardKey.Redo) else None

    def _on_undo(self) -> None:
        if self.controller is not None:
            self.controller.undo()

    def _on_redo(self) -> None:
        if self.controller is not None:
            self.controller.redo()

    def _stop_listening(self) -> None:
        self._end_listening()
        self._end_listening = _nothing

    def _on_bound(self, controller: Controller | None) -> None:
        self.runner.forget()
        self.looker.cancel()
        self._stop_listening()
        self.controller, self.tools = controller, None
        there = controller is not None
        for form in (*self.forms, self.history):
            form.setEnabled(there)
        if controller is None:
            self.target.setText("No review yet: begin one in the panel Lesions.")
            self.message.setText("")
            return
        least_mm = min(controller.session.instances.geometry.spacing_mm)
        self.shape.by_mm.setValue(max(self.shape.by_mm.value(), math.ceil(10 * least_mm) / 10))
        self.tools = Tools(controller, self.settings, self.run, self.looker.start)
        self._offer_models()
        self._end_listening = controller.subscribe(self._on_told)
        self._on_changed()
        self._on_told("change")

    def _on_told(self, what: What) -> None:
        work = self.controller
        if work is None:
            return
        if what == "message":
            self.message.setText(work.message)
            return
        session = work.session
        chosen = [session.instance(number) for number in work.chosen]
        one = chosen[0] if len(chosen) == 1 else None
        words = named("", chosen).strip() if chosen else "nothing is selected"
        self.target.setText(words if one is None else f"{words}: {one.class_name}")
        if what == "change":
            self.history.show_names(session.undo_name, session.redo_name)
        self.object.offer(
            [item.name for item in session.instances.classes],
            None if one is None else one.class_name,
            several=len(chosen) > 1,
        )
        lesions = [item.name for item in session.instances.classes if item.kind == "lesion"]
        self.draw.offer(lesions)
        self.draw.show_radius(work.brush.radius_mm)

    def _on_pressed(self, name: str) -> None:
        work, tools = self.controller, self.tools
        if work is None or tools is None:
            return
        if name in ("paint", "erase", "new", "stop"):
            self._on_brush(work, name)
            return
        actions = {
            "delete": tools.delete,
            "merge": lambda: tools.merge(self.object.merge_class()),
            "parts": tools.split_parts,
            "clicks": tools.split_by_clicks,
            "class": lambda: tools.change_class(self.object.class_name()),
            "grow": lambda: tools.grow(1),
            "shrink": lambda: tools.grow(-1),
            "smooth": tools.smooth,
            "holes": tools.fill_holes,
            "slice holes": lambda: tools.fill_holes(by_slice=True),
            "largest": tools.keep_largest,
            "interpolate": tools.interpolate,
            "add": lambda: self._on_add(tools),
            "model": self._ask_folder,
            "cancel": self.looker.cancel,
        }
        actions[name]()

    def _on_brush(self, work: Controller, name: str) -> None:
        if name == "stop":
            work.brush.stop()
        else:
            work.brush.start("erase" if name == "erase" else "paint", new=name == "new")

    def _on_add(self, tools: Tools) -> None:
        model = self.add.model
        if model is None:
            tools.add_by_click()
        else:
            tools.add_by_model(model)

    def _ask_folder(self) -> None:
        found = QFileDialog.getExistingDirectory(self, "Folder of a model package")
        if found:
            self.add_folder(found)

    def _offer_models(self, wanted: ModelChoice | None = None) -> None:
        """Offer what takes a click here; chosen is what is wanted, else what knows the classes."""
        if self.controller is None:
            return
        session = self.controller.session
        found = pointed(self._choices, session.volume)
        lesions = {one.name for one in session.instances.classes if one.kind == "lesion"}
        knowing = (one for one in found if lesions <= {of.name for of in one.card.classes})
        own = next(knowing, None) if lesions else None
        self.add.offer(found, own if wanted is None else wanted)

    def _on_said(self, words: str) -> None:
        if self.controller is not None:
            self.controller.say(words)

    def _on_changed(self) -> None:
        """Take over what the fields say."""
        self.settings.by_mm = self.shape.by_mm.value()
        self.settings.sigma_mm = self.shape.sigma_mm.value()
        self.settings.reach_mm = self.add.reach_mm.value()
        self.settings.tolerance = self.add.tolerance_value()
        self.settings.keep_out = self.draw.keep_out.isChecked()
        self.settings.by_image = self.object.by_image.isChecked()
        work = self.controller
        if work is not None:
            work.brush.keep_out = self.draw.keep_out.isChecked()
            work.brush.class_name = self.draw.class_name() or None
            if abs(work.brush.radius_mm - self.draw.radius_mm.value()) > 1e-6:
                work.brush.resize(self.draw.radius_mm.value())
            if work.brush.ball != self.draw.ball.isChecked():
                work.brush.shape(ball=self.draw.ball.isChecked())

    def _on_busy(self) -> None:
        looking = self.looker.busy
        for form in (*self.forms, self.history):
            form.setEnabled(not self._busy or (looking and form is self.add))
        self.add.show_busy(busy=looking)


def _nothing() -> None:
    return None

"""A model that takes a click, beside the interface: in the process for networks, with a cancel."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, Signal

from medseg.types import Instances, Volume
from medseg_napari.run import JobState, Worker
from medseg_napari.run.qt import JobWatcher
from medseg_napari.session.review import Point
from medseg_napari.widgets.preferences import preferences
from medseg_napari.widgets.segment_plan import ModelChoice, state_in_words

Then = Callable[[Instances], None]


def _nothing(_found: Instances) -> None:
    return None


class ModelRunner(QObject):
    """Lets one model at a time look at a point; `busy_changed` says when, `said` how far it is."""

    busy_changed = Signal()
    said = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.worker, self._watcher = Worker(), JobWatcher(self)
        self._name = ""
        self._then: Then = _nothing
        self._watcher.changed.connect(self._on_changed)
        self._watcher.finished.connect(self._on_finished)
        self._watcher.failed.connect(lambda error: self._on_end(str(error)))
        self._watcher.cancelled.connect(lambda: self._on_end("cancelled"))

    @property
    def busy(self) -> bool:
        """Whether a model is looking."""
        return self._watcher.is_busy

    def start(self, volume: Volume, choice: ModelChoice, point_lps_mm: Point, then: Then) -> None:
        """Look at a point (x, y, z) of an image, then call `then` with what is there.

        Errors go to `said`. Raises ValueError while it is busy, ModelError (`model-unknown`).
        """
        given = {choice.card.channels[0].name: volume}
        device = preferences().device
        job = self.worker.segment(given, choice.name, device=device, at=point_lps_mm)
        self._name, self._then = choice.card.name, then
        self._watcher.watch(job)
        self.busy_changed.emit()

    def cancel(self) -> None:
        """End what is running; nothing of it is taken."""
        self._watcher.cancel()

    def close(self) -> None:
        """End whatever runs, and the process; nobody is told."""
        self._watcher.stop()
        self.worker.close()

    def _on_changed(self, state: JobState) -> None:
        if not state.is_over:
            self.said.emit(f"{self._name}: {state_in_words(state)}")

    def _on_finished(self, found: Instances) -> None:
        then, self._then = self._then, _nothing
        self.busy_changed.emit()
        then(found)

    def _on_end(self, words: str) -> None:
        self._then = _nothing
        self.said.emit(f"{self._name}: {words}")
        self.busy_changed.emit()

"""Steps that take long run beside the interface; their result is taken when it is there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import QObject, Signal

from medseg_napari.controller_steps import Step
from medseg_napari.run import Job
from medseg_napari.run.qt import JobWatcher


class StepRunner(QObject):
    """Computes one step at a time in a thread; `busy_changed` says when.

    The thread belongs to no widget and ends with the program: a window that is closed need not wait
    for it, and what it gives then is dropped.
    """

    busy_changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._watcher = JobWatcher(self)
        self._watcher.finished.connect(self._on_finished)
        self._then: Callable[[Step], None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a step is being computed."""
        return self._then is not None

    def start(self, step: Step, then: Callable[[Step], None]) -> bool:
        """Compute a step, then call `then`, on this thread, with what gives or raises the same.

        False where another one is being computed.
        """
        if self.busy:
            return False
        self._then = then
        self._watcher.watch(Job(lambda _: _computed(step)))
        self.busy_changed.emit()
        return True

    def forget(self) -> None:
        """Take nothing of what is being computed; nobody is told."""
        self._watcher.stop()
        self._then = None

    def _on_finished(self, computed: Step) -> None:
        then, self._then = self._then, None
        self.busy_changed.emit()
        if then is not None:
            then(computed)


def _computed(step: Step) -> Callable[[], Any]:
    """Take a step now; what gives or raises the same again."""
    try:
        found = step()
    except Exception as error:  # noqa: BLE001 - told on the thread of the interface
        return partial(_raised, error)
    return lambda: found


def _raised(error: Exception) -> Any:
    raise error

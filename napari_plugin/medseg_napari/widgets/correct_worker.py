"""Steps that take long run beside the interface; their result is taken when it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, QThread, Signal

from medseg_napari.controller_steps import Step


class _Thread(QThread):
    def __init__(self, step: Step, parent: QObject) -> None:
        super().__init__(parent)
        self._step = step
        self.found: Any = None
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.found = self._step()
        except Exception as error:  # noqa: BLE001 - told on the thread of the interface
            self.error = error


class StepRunner(QObject):
    """Computes one step at a time in a thread; `busy_changed` says when."""

    busy_changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thread: _Thread | None = None
        self._then: Callable[[Step], None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a step is being computed."""
        return self._thread is not None

    def start(self, step: Step, then: Callable[[Step], None]) -> bool:
        """Compute a step, then call `then`, on this thread, with what gives or raises the same.

        False where another one is being computed.
        """
        if self._thread is not None:
            return False
        self._thread, self._then = _Thread(step, self), then
        self._thread.finished.connect(self._on_finished)
        self.busy_changed.emit()
        self._thread.start()
        return True

    def wait(self) -> None:
        """Wait for the end of what is being computed, and forget it."""
        thread, self._thread, self._then = self._thread, None, None
        if thread is not None:
            thread.finished.disconnect(self._on_finished)
            thread.wait()
            thread.deleteLater()

    def _on_finished(self) -> None:
        thread, then = self._thread, self._then
        if thread is None or then is None:
            return
        self._thread, self._then = None, None
        found, error = thread.found, thread.error
        thread.deleteLater()
        self.busy_changed.emit()

        def again() -> Any:
            if error is not None:
                raise error
            return found

        then(again)

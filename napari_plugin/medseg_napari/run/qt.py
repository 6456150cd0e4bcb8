"""A job in Qt's event loop: asked ten times a second, told as signals in the interface's thread."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from medseg.errors import MedsegError
from medseg_napari.run.job import Job

INTERVAL_MS = 100


class JobWatcher(QObject):
    """Watches one job after another.

    Signals: `changed` with every state, then once `finished` with the result, `failed` with a
    MedsegError, or `cancelled`.
    """

    changed = Signal(object)
    finished = Signal(object)
    failed = Signal(object)
    cancelled = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.job: Job[Any] | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(INTERVAL_MS)
        self._timer.timeout.connect(self._look)

    @property
    def is_busy(self) -> bool:
        """Whether a job is watched that has not ended."""
        return self.job is not None

    def watch(self, job: Job[Any]) -> None:
        """Watch a job instead of any other."""
        self.job = job
        self._timer.start()
        self.changed.emit(job.state)

    def cancel(self) -> None:
        """Cancel what is watched."""
        if self.job is not None:
            self.job.cancel()
            self._look()

    def stop(self) -> None:
        """Watch nothing any more."""
        self._timer.stop()
        self.job = None

    def _look(self) -> None:
        job = self.job
        if job is None:
            return
        state = job.state
        self.changed.emit(state)
        if not state.is_over:
            return
        self.stop()
        if state.phase == "cancelled":
            self.cancelled.emit()
        elif state.phase == "failed":
            self._fail(job)
        else:
            self.finished.emit(job.result)

    def _fail(self, job: Job[Any]) -> None:
        """Tell of an error; a fault of the program is told too, and raised for who mends it."""
        try:
            error = job.error
        except Exception as fault:
            detail = f"a fault of the program ({type(fault).__name__})"
            self.failed.emit(MedsegError("program-fault", "medseg", detail, "please report it"))
            raise
        self.failed.emit(error)

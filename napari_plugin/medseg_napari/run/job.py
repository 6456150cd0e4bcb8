"""Work that goes on elsewhere, as an object that is asked now and then how far it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from medseg.errors import MedsegError

T = TypeVar("T")

Phase = Literal[
    "starting",
    "loading",
    "estimating",
    "segmenting",
    "collecting",
    "working",
    "done",
    "failed",
    "cancelled",
]
ENDS: frozenset[Phase] = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True)
class JobState:
    """How far a job is: `done` of `total` windows, cases or whatever it counts, 0 of 0 before.

    `seconds_left` is None where nothing tells it yet.
    """

    phase: Phase
    done: int = 0
    total: int = 0
    seconds_left: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.phase in ENDS


class Job(Generic[T]):
    """Work in a thread of its own, which ends with the program and may be cancelled.

    `work` is called with the job, tells it by `enter` and `count` how far it is, and gives the
    result. `on_cancel` makes it end early; what it gives then is dropped.
    """

    def __init__(
        self, work: Callable[[Job[T]], T], *, on_cancel: Callable[[], None] | None = None
    ) -> None:
        self._work, self._on_cancel = work, on_cancel
        self._future: Future[T] = Future()
        self._phase: Phase = "starting"
        self._counted = (0, 0)
        self._began_s = self._counted_s = time.monotonic()
        self._is_cancelled = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def state(self) -> JobState:
        """How far it is now; never waits."""
        done, total = self._counted
        if self._is_cancelled:
            return JobState("cancelled", done, total)
        if not self._future.done():
            return JobState(self._phase, done, total, self._seconds_left(done, total))
        return JobState("failed" if self._future.exception() else "done", done, total)

    @property
    def error(self) -> MedsegError | None:
        """Why it failed; None where it did not.

        Raises what is a fault of the program.
        """
        found = None if self._is_cancelled or not self._future.done() else self._future.exception()
        if found is not None and not isinstance(found, MedsegError):
            raise found
        return found

    @property
    def result(self) -> T:
        """What it gave. Raises its error; ValueError where there is no result yet, or cancelled."""
        if self._is_cancelled or not self._future.done():
            msg = "this job has no result"
            raise ValueError(msg)
        return self._future.result()

    def cancel(self) -> None:
        """End it; nothing of it is left. Nothing happens where it is over."""
        if self.state.is_over:
            return
        self._is_cancelled = True
        if self._on_cancel is not None:
            self._on_cancel()

    def wait(self, seconds: float | None = None) -> JobState:
        """Wait until its thread has ended, or so long; for who has no interface to keep alive."""
        self._thread.join(seconds)
        return self.state

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called while it ran."""
        return self._is_cancelled

    def enter(self, phase: Phase) -> None:
        """Say what is done now; called by the work."""
        self._phase = phase
        self._began_s = time.monotonic()

    def count(self, done: int, total: int) -> None:
        """Say how much is done; called by the work."""
        self._counted = (done, total)
        self._counted_s = time.monotonic()

    def _seconds_left(self, done: int, total: int) -> float | None:
        """At the pace so far, less what has passed since the last count."""
        if not 0 < done <= total:
            return None
        left = (self._counted_s - self._began_s) / done * (total - done)
        return max(0.0, left - (time.monotonic() - self._counted_s))

    def _run(self) -> None:
        try:
            self._future.set_result(self._work(self))
        except BaseException as error:  # noqa: BLE001 - raised again for whoever asks
            self._future.set_exception(error)

"""When to give a pass up: decided from what is seen, apart from whoever sees it."""

from __future__ import annotations

from typing import Literal

SHRUNK_S = 120.0

Verdict = Literal["go-on", "stalled", "no-workers", "shrunk"]


class Watch:
    """Looks at the progress of one pass and at the number of its workers.

    `stall_s` is how long nothing may finish, `wait_s` how long there may be no worker, and
    `workers` how many there should be, 0 where nobody said.
    """

    def __init__(self, now_s: float, *, stall_s: float, wait_s: float, workers: int) -> None:
        self._stall_s, self._wait_s, self._workers = stall_s, wait_s, workers
        self._finished = -1
        self._progress_s = self._some_s = self._all_s = now_s

    def look(self, now_s: float, *, finished: int, workers: int | None) -> Verdict:
        """What to do, when `finished` jobs are seen and so many workers; None: not known."""
        if finished != self._finished:
            self._finished, self._progress_s = finished, now_s
        if workers:
            self._some_s = now_s
        if workers is None or workers >= self._workers:
            self._all_s = now_s
        if now_s - self._some_s > self._wait_s:
            return "no-workers"
        if now_s - self._progress_s > self._stall_s:
            return "stalled"
        return "shrunk" if workers and now_s - self._all_s > SHRUNK_S else "go-on"

"""A plan's jobs on Dask: passes until all are finished, whatever happens to workers."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from medseg.errors import MedsegError, OutputError
from medseg_workflows.cluster import Connected, connected, has_entries, require_same
from medseg_workflows.cluster_file import Local
from medseg_workflows.ledger import TRIED_AGAIN, Ledger
from medseg_workflows.options import BatchOptions
from medseg_workflows.progress import Show, Tally
from medseg_workflows.records import Job
from medseg_workflows.watch_pass import Verdict, Watch
from medseg_workflows.worker import Ended, Errand, Names, do_job, stop_children

if TYPE_CHECKING:
    from distributed import Future

T = TypeVar("T")

AGAIN = "the same command goes on"

MOST_PASSES = 3
"""Passes in a row that may end without a single finished job."""

MOST_TROUBLES = 10
"""Tasks in a row that may fail without a job to blame."""

WINDOW = 3
"""Jobs under way for each thread of a worker: nothing grows with the batch."""

POLL_S = 0.5
COUNT_S = 2.0
ANSWER_S = 10.0

_Reason = Literal["finished", "stalled", "shrunk"]


def run_jobs(
    ledger: Ledger, root: Path, jobs: Sequence[Job], options: BatchOptions, progress: Progress
) -> None:
    """Run jobs until each is done or quarantined.

    Raises MedsegError where that cannot be, and whatever stops it; what is done stays.
    """
    idle = 0
    while left := [job for job in jobs if ledger.state(job.key) == "pending"]:
        before = progress.tally.finished
        with connected(options.cluster, ledger.out, insecure=options.insecure) as cluster:
            reason = _Pass(cluster, ledger, root, options, progress).run(left)
        ledger.note("pass", ended=reason)
        idle = 0 if progress.tally.finished > before else idle + 1
        if idle >= MOST_PASSES:
            raise MedsegError(
                "no-progress",
                "batch",
                f"{idle} passes in a row ended without a finished study",
                "see that workers can start (--debug), then run the same command again",
            )


class Progress:
    """Counts what ends, tells the audit log, and has it shown."""

    def __init__(self, ledger: Ledger, tally: Tally, show: Show) -> None:
        self._ledger, self.tally, self._show = ledger, tally, show

    def ended(self, job: Job) -> None:
        """A job is done or quarantined, as OUT says."""
        names = {"key": job.key, "study": job.study, "model": job.model.name}
        if self._ledger.state(job.key) == "done":
            self.tally.done += 1
            self.tally.lesions += sum(
                one["count"]
                for one in self._ledger.record(job.key).classes.values()
                if one["kind"] == "lesion"
            )
            self._ledger.note("done", **names)
        else:
            code = self._ledger.failure(job.key)["code"]
            self.tally.quarantined += 1
            self.tally.failures[code] += 1
            self._ledger.note("quarantined", **names, code=code)

    def show(self, workers: int | None) -> None:
        """Show the counts."""
        self.tally.workers = workers or 0
        self._show(self.tally)


class _Pass:
    """One client's work: hand jobs out, take back what ended, give up when nothing moves."""

    def __init__(
        self,
        cluster: Connected,
        ledger: Ledger,
        root: Path,
        options: BatchOptions,
        progress: Progress,
    ) -> None:
        self._cluster, self._client = cluster, cluster.client
        self._ledger, self._root, self._options = ledger, root, options
        self._progress = progress
        self._run = secrets.token_hex(4)
        self._veil = secrets.token_bytes(32)
        self._under_way: dict[Future[Any], Job] = {}
        self._again: list[Job] = []
        self._handed_out = self._troubles = 0
        self._alike = False
        self._counted_s, self._threads = -COUNT_S, cast("int | None", None)

    def run(self, jobs: Sequence[Job]) -> _Reason:
        """Until the jobs are finished, or the pass is given up.

        Raises MedsegError (`scheduler-gone`, `no-workers`, `tasks-fail`, what OUT refuses).
        """
        waiting = iter(jobs)
        watch = Watch(
            time.monotonic(),
            stall_s=self._options.longest_s,
            wait_s=self._options.cluster.wait_s,
            workers=self._cluster.workers,
        )
        try:
            while True:
                workers = self._workers()
                if workers:
                    self._require_alike()
                    self._hand_out(waiting, workers)
                    if not self._under_way:
                        return "finished"
                self._take_back()
                self._progress.show(workers)
                finished = self._progress.tally.finished
                verdict = watch.look(time.monotonic(), finished=finished, workers=workers)
                if (reason := self._given_up(verdict)) is not None:
                    return reason
        finally:
            self._end()

    def _given_up(self, verdict: Verdict) -> _Reason | None:
        """Why the pass ends; a cluster of ours is made anew, another one is its owner's."""
        if verdict == "no-workers" and not self._cluster.own:
            raise _no_workers(self._options.cluster.wait_s)
        if verdict == "go-on" or (verdict == "shrunk" and not self._cluster.own):
            return None
        return "shrunk" if verdict == "shrunk" else "stalled"

    def _workers(self) -> int | None:
        """How many threads there are, asked now and then; None where the scheduler is silent."""
        if time.monotonic() - self._counted_s > COUNT_S:
            self._counted_s = time.monotonic()
            self._cluster.revive()
            threads = _within(ANSWER_S, self._client.nthreads)
            self._threads = None if threads is None else sum(threads.values())
        return self._threads

    def _require_alike(self) -> None:
        if not self._alike and not isinstance(self._options.cluster, Local):
            require_same(self._client, self._ledger.out, self._root)
        self._alike = True

    def _hand_out(self, waiting: Iterator[Job], workers: int) -> None:
        while len(self._under_way) < WINDOW * workers:
            job = self._again.pop() if self._again else next(waiting, None)
            if job is None:
                return
            self._require_room()
            self._ledger.hand_out(job, self._veil)
            self._handed_out += 1
            future = self._client.submit(
                do_job,
                Names(job.key, job.study, job.patient, job.model.name),
                self._errand(job),
                key=f"{job.key}-{self._run}-{self._handed_out}",
                pure=False,
            )
            self._under_way[future] = job

    def _errand(self, job: Job) -> Errand:
        options, threads = self._options, job.settings.threads
        out = str(self._ledger.out)
        root = None if isinstance(options.cluster, Local) else str(self._root)
        return Errand(self._run, out, root, self._veil, threads, options.limits, options.work)

    def _require_room(self) -> None:
        free_mb = shutil.disk_usage(self._ledger.out).free / 2**20
        if free_mb < self._options.reserve_mb:
            detail = f"less than {self._options.reserve_mb:g} MB are left on its disk"
            raise OutputError("disk-full", "OUT", detail, "free some space")

    def _take_back(self) -> None:
        """Wait a moment for tasks, and see what became of the jobs of those that ended."""
        from distributed import CancelledError, wait

        if not self._under_way:
            time.sleep(POLL_S)
            return
        with suppress(TimeoutError, CancelledError), self._client.as_current():
            wait(list(self._under_way), timeout=POLL_S, return_when="FIRST_COMPLETED")
        for future in [one for one in self._under_way if one.done()]:
            job = self._under_way[future]
            if self._ledger.state(job.key) == "pending":
                self._left(future, job)
            else:
                self._finished(job)
            del self._under_way[future]
            future.release()

    def _finished(self, job: Job) -> None:
        self._ledger.take_back(job.key)
        if self._ledger.state(job.key) == "quarantined":
            self._require_root(job)
        self._troubles = 0
        self._progress.ended(job)

    def _require_root(self, job: Job) -> None:
        """A disk that went away is not the study's fault."""
        if self._ledger.failure(job.key)["code"] in TRIED_AGAIN and not has_entries(self._root):
            self._ledger.forgive(job.key)
            raise _root_gone()

    def _left(self, future: Future[Any], job: Job) -> None:
        """A task ended, and its job is neither done nor quarantined."""
        if future.status in ("cancelled", "lost"):
            raise MedsegError("scheduler-gone", "batch", "the scheduler of Dask went away", AGAIN)
        ended = self._said(future)
        if ended.code == "path-not-shared" and not has_entries(self._root):
            raise _root_gone()
        if ended.state == "out":
            raise OutputError(ended.code, "OUT", ended.detail, f"{ended.remedy}: {AGAIN}")
        self._again.append(job)
        self._troubles += 1
        if self._troubles >= MOST_TROUBLES:
            detail = f"{self._troubles} tasks in a row failed: {ended.state} ({ended.detail})"
            remedy = "see that medseg segment works on every worker"
            raise MedsegError("tasks-fail", "batch", detail, f"{remedy}: {AGAIN}")

    def _said(self, future: Future[Any]) -> Ended:
        """What a task gave back; a worker that dies before it is asked has the task run again."""
        if future.status == "error":
            return Ended("failed", detail=type(future.exception()).__name__)
        said = _within(ANSWER_S, future.result)
        return Ended("failed", detail="no answer") if said is None else said

    def _end(self) -> None:
        """Stop what is under way and every child, which workers of others would keep."""
        for job in self._under_way.values():
            self._ledger.take_back(job.key)
        if self._under_way:
            _within(ANSWER_S, lambda: self._client.cancel(list(self._under_way), force=True))
        _within(ANSWER_S, lambda: self._client.run(stop_children, self._run, on_error="ignore"))


def _root_gone() -> MedsegError:
    detail, remedy = "the folder of studies went away", "bring its disk back"
    return MedsegError("path-missing", "batch", detail, f"{remedy}: {AGAIN}")


def _no_workers(wait_s: float) -> MedsegError:
    detail = f"there has been no worker for {wait_s:g} s"
    return MedsegError("no-workers", "batch", detail, f"start workers: {AGAIN}")


def _within(seconds: float, ask: Callable[[], T]) -> T | None:
    """The answer, or None where there is none in time or at all: a scheduler may be frozen."""
    answers: list[T] = []

    def run() -> None:
        with suppress(Exception):  # gone, or going: whoever asks sees that there is no answer
            answers.append(ask())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    return answers[0] if answers else None

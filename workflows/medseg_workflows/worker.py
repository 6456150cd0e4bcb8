"""What runs in a Dask worker: a task for each job, and the guarded child that does the work.

A task gives back one word and raises nothing: Dask writes keys, arguments and errors of tasks that
fail to logs. What happened to a job stands in OUT.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from medseg import __version__
from medseg.errors import OutputError
from medseg_workflows.cluster import has_entries
from medseg_workflows.commit import count_attempt, has_room, is_done, is_quarantined, quarantine
from medseg_workflows.guard import Child, ChildError, Limits
from medseg_workflows.records import Failure

WORK = "medseg_workflows.study:segment_study"
MOST_ATTEMPTS = 5
"""How often a job may be under way when its worker is killed."""

_DEATHS = 2
_REMEDIES = {
    "timeout": "raise --timeout if studies of this size need so long, then --retry-quarantined",
    "memory": "run fewer workers, or raise --memory, then --retry-quarantined",
    "died": "run medseg segment on this study alone; report it if it dies there too",
}


@dataclass(frozen=True, slots=True)
class Errand:
    """What every task of a run is told. What it shows when it is printed says nothing.

    `root` is the folder of studies where workers may be on other machines, else None.
    """

    run: str
    out: str = field(repr=False)
    root: str | None = field(repr=False)
    veil: bytes = field(repr=False)
    threads: int
    limits: Limits
    work: str = WORK
    medseg: str = __version__


class Ended(NamedTuple):
    """How a task ended: the job is done or quarantined, or it is left, which blames nobody.

    `stale` is a task of a run that is over, `stopped` one that was told to stop; `no-start` means
    that no child can be started, `out` that OUT cannot be written, `failed` an error of ours.
    """

    state: Literal["done", "quarantined", "stale", "stopped", "no-start", "out", "failed"]
    code: str = ""
    detail: str = ""
    remedy: str = ""


class Names(NamedTuple):
    """A job as a task knows it: pseudonyms alone."""

    key: str
    study: str
    patient: str
    model: str


def do_job(names: Names, errand: Errand) -> Ended:
    """Do one job unless it is done; runs in a worker's thread."""
    try:
        return _do_job(names, errand, Path(errand.out))
    except OutputError as error:
        return Ended("out", error.code, error.detail, error.remedy)
    except Exception as error:  # noqa: BLE001 - Dask would log the arguments
        return Ended("failed", "failed", type(error).__name__)


def stop_children(run: str | None = None) -> None:
    """End the children of a run, or of all, in this worker, and let the tasks give up."""
    with _lock:
        keys = [key for key in _children if run in (None, key[0])]
        _stopped.update(key[0] for key in keys)
        if run is not None:
            _stopped.add(run)
        ending = [_children.pop(key) for key in keys]
    for child in ending:
        child.stop()


# A worker keeps one child for each of its threads, from task to task.
_children: dict[tuple[str, int], Child] = {}
_stopped: set[str] = set()
_lock = threading.Lock()


def _child(errand: Errand) -> Child | None:
    key = (errand.run, threading.get_ident())
    with _lock:
        if errand.run in _stopped:
            return None
        if key not in _children:
            _children[key] = Child(errand.work, threads=errand.threads)
        return _children[key]


def _do_job(names: Names, errand: Errand, out: Path) -> Ended:
    if (ended := _ended(out, names.key) or _stranger(errand)) is not None:
        return ended
    job = out / "jobs" / names.key
    if not job.is_file():
        return _ended(out, names.key) or Ended("stale")
    request = {"job": str(job), "veil": errand.veil.hex(), "out": errand.out}
    attempt = 0
    for death in range(1, _DEATHS + 1):
        child = _child(errand)
        if child is None:
            return Ended("stopped")
        try:
            child.begin()  # what goes wrong here is not the study's
            attempt = count_attempt(out, names.key)
            if attempt > MOST_ATTEMPTS:
                return _blamed(names, out, _worker_died(attempt - 1))
            return _answered(names, out, child.run(request, errand.limits), attempt)
        except ChildError as broken:
            if (ended := _after(names, out, broken, death, attempt)) is not None:
                return ended
    return Ended("failed", "failed", "no end")


def _stranger(errand: Errand) -> Ended | None:
    """Why this worker is none for the run: it may have come after all others were looked at."""
    if errand.medseg != __version__:
        detail = f"a worker has medseg {__version__}, this is {errand.medseg}"
        return Ended("out", "version-other", detail, "install the same version")
    if errand.root is not None and not has_entries(Path(errand.root)):
        detail = "the folder of studies is not there, under the same path, on every worker"
        return Ended("out", "path-not-shared", detail, "put it on a shared disk")
    return None


def _after(names: Names, out: Path, broken: ChildError, death: int, attempt: int) -> Ended | None:
    """How a job ended whose child could not answer; None where it is to be tried once more."""
    if (ended := _ended(out, names.key)) is not None:  # it died after it had committed
        return ended
    if broken.why in ("stopped", "no-start"):
        return Ended("stopped" if broken.why == "stopped" else "no-start", detail=broken.detail)
    if not has_room(out):
        return _no_room()
    if broken.why == "died" and death < _DEATHS:
        return None
    failure = Failure(broken.why, broken.detail, _REMEDIES[broken.why], attempt)
    return _blamed(names, out, failure)


def _answered(names: Names, out: Path, answer: dict[str, Any], attempt: int) -> Ended:
    if "ok" in answer:
        return Ended("stale" if answer["ok"]["stale"] else "done")
    if "out" in answer:
        return Ended("out", **answer["out"])
    said = answer["failure"]
    if said["code"] == "failed" and not has_room(out):  # libraries have other errors for that
        return _no_room()
    return _blamed(names, out, Failure(**said, attempts=attempt))


def _blamed(names: Names, out: Path, failure: Failure) -> Ended:
    quarantine(out, names._asdict(), failure)
    return Ended("quarantined", failure.code)


def _ended(out: Path, key: str) -> Ended | None:
    if is_done(out, key):
        return Ended("done")
    return Ended("quarantined") if is_quarantined(out, key) else None


def _no_room() -> Ended:
    return Ended("out", "disk-full", "there is no room left to write results", "free some space")


def _worker_died(attempts: int) -> Failure:
    return Failure(
        "worker-died",
        f"its worker was killed {attempts} times while it was under way",
        "see whether the machine runs out of memory, then --retry-quarantined",
        attempts,
    )

"""Work functions of children for tests: each commits a record of its own, or ends in its own way.

What a study does is said by its file's name, "KIND.nii.gz".
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from medseg_workflows.commit import commit, fresh_folder
from medseg_workflows.records import Job, Record

from medseg.errors import InputRefused
from medseg.io.pseudonyms import unveiled

SECONDS = 0.05


def echo(request: Mapping[str, Any]) -> Any:
    """Give back what is asked for, or do it."""
    if "print" in request:
        print(request["print"])  # noqa: T201 - as libraries do
    if "environment" in request:
        return os.environ.get(request["environment"])
    return request.get("echo")


def misbehave(request: Mapping[str, Any]) -> Any:
    return _MISBEHAVIOUR[request["how"]]()


def study(request: Mapping[str, Any]) -> dict[str, Any]:
    """A study of 0.05 s; or what the name of its file says."""
    try:
        data = unveiled(Path(request["job"]).read_bytes(), bytes.fromhex(request["veil"]))
    except (FileNotFoundError, ValueError):
        return {"stale": True}
    job, out = Job.from_dict(json.loads(data)), Path(request["out"])
    if warm := os.environ.get("CHAOS_WARM"):
        Path(warm, str(os.getpid())).touch()
    kind = Path(next(iter(job.inputs.values())).files[0]).name.partition(".")[0]
    if kind in _MISBEHAVIOUR:
        _MISBEHAVIOUR[kind]()
    time.sleep(SECONDS)
    with fresh_folder(out, job.key) as folder:
        (folder / "instances.csv").write_bytes(bytes(60_000 if kind == "large" else 100))
        commit(out, record_of(job), folder)
    return {"stale": False}


def record_of(job: Job) -> Record:
    total = {"kind": "lesion", "count": 1, "volume_ml": 1.0}
    return Record(
        key=job.key,
        study=job.study,
        patient=job.patient,
        model=job.model,
        settings=job.settings,
        inputs={},
        classes={"spot": total},
        warnings=[],
        files=["instances.csv"],
        versions={},
        seconds={},
        peak_memory_mb=1.0,
    )


def _hang_in_c() -> None:
    ctypes.PyDLL(None).sleep(600)  # keeps the interpreter's lock


def _hang_with_grandchild() -> None:
    if os.fork() == 0:
        time.sleep(600)
    time.sleep(600)


def _segfault() -> None:
    ctypes.string_at(0)


def _eat_memory() -> None:
    kept = b"x" * (700 * 2**20)
    time.sleep(600)
    del kept


def _refuse() -> None:
    raise InputRefused("missing-slices", "series 1", "the gap is 10 mm", "fetch the slices")


def _fail() -> None:
    msg = "an error that quotes CANARY^NAME"
    raise RuntimeError(msg)


def _full() -> None:
    raise OSError(errno.ENOSPC, "no space left")


def _killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_worker() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)


def _kill_scheduler() -> None:
    """Kill the process that the environment names, once."""
    pid = int(os.environ.get("CHAOS_SCHEDULER", "0"))
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        time.sleep(600)


def _gone() -> None:
    raise InputRefused("path-missing", "DICOM input", "there is nothing there", "check the path")


def _leave() -> None:
    os._exit(3)


_MISBEHAVIOUR = {
    "hang": _hang_in_c,
    "family": _hang_with_grandchild,
    "segfault": _segfault,
    "memory": _eat_memory,
    "refuse": _refuse,
    "fail": _fail,
    "full": _full,
    "killed": _killed,
    "killworker": _kill_worker,
    "killscheduler": _kill_scheduler,
    "gone": _gone,
    "leave": _leave,
}

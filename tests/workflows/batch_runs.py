"""Batches of studies that are only names, run for real; and what is true after each."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from medseg_workflows.cluster_file import Local
from medseg_workflows.ledger import Ledger, Said, Todo, read_failures, read_records
from medseg_workflows.options import BatchOptions
from medseg_workflows.progress import Show, Tally
from medseg_workflows.records import Job, Settings
from medseg_workflows.run import Progress, run_jobs
from run_cases import job_of, plan_of

from medseg.io.batch_sources import ImageInput
from medseg.io.pseudonyms import Pseudonyms

CODES = Pseudonyms(b"s" * 32)
QUICK = BatchOptions(
    cluster=Local(workers=2),
    timeout_s=20.0,
    memory_mb=600.0,
    reserve_mb=0.0,
    stall_s=60.0,
    work="chaos_work:study",
)


def jobs_of(*kinds: str) -> list[Job]:
    """A job for each word; it does what `chaos_work` says of the word."""
    return [
        job_of(ImageInput((f"/hidden_folder/{kind}.nii.gz",)), n) for n, kind in enumerate(kinds)
    ]


def run_all(
    root: Path,
    out: Path,
    jobs: Sequence[Job],
    options: BatchOptions = QUICK,
    show: Show = lambda _: None,
) -> tuple[Todo, Tally]:
    """Run jobs to their end in this process; what was to do, and what came of it."""
    root.mkdir(exist_ok=True)
    (root / "study").touch()
    with Ledger.open(out, CODES) as ledger:
        ledger.begin(Said(str(root), "", [], Settings()), resume=False)
        todo = ledger.plan(plan_of(jobs), retry=options.retry_quarantined)
        tally = Tally(len(jobs), todo.done + todo.quarantined, todo.done, todo.quarantined)
        run_jobs(ledger, root, todo.jobs, options, Progress(ledger, tally, show))
        return todo, tally


def states(out: Path) -> tuple[set[str], dict[str, str]]:
    """Keys that are done, and the code of each that failed; each key once and in one place."""
    done = [record.key for record in read_records(out)]
    failed = {one["key"]: one["code"] for one in read_failures(out)}
    assert max(Counter(done).values(), default=1) == 1 and not failed.keys() & set(done)
    assert all((out / "done" / key / "instances.csv").stat().st_size for key in done)
    return set(done), failed


def with_workers(options: BatchOptions, workers: int) -> BatchOptions:
    return replace(options, cluster=Local(workers=workers))


def traces(*words: bytes, under: Path) -> list[str]:
    """Where under a folder, or in the command line of any process, a word is legible."""
    found = []
    for path in under.rglob("*"):
        with suppress(OSError):  # what is renamed meanwhile is seen under its other name
            if path.is_file() and any(word in path.read_bytes() for word in words):
                found.append(str(path))
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or []).encode(errors="surrogateescape")
        if process.pid != os.getpid() and any(word in line for word in words):
            found.append(str(process.pid))
    return found


def events(out: Path) -> Counter[str]:
    lines = (out / "audit.jsonl").read_text().splitlines()
    return Counter(json.loads(line)["event"] for line in lines)


def processes(*words: str) -> list[psutil.Process]:
    """Living processes of this test, one of these words on their command line, in their order."""
    found, mark = [], os.environ["MEDSEG_TEST"]
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            line, alive = " ".join(process.cmdline()), process.status() != psutil.STATUS_ZOMBIE
            ours = alive and any(word in line for word in words)
            if ours and process.environ().get("MEDSEG_TEST") == mark:
                found.append(process)
    return sorted(found, key=lambda one: one.pid)


def children() -> list[psutil.Process]:
    """The guarded children of this test."""
    return processes("medseg_workflows.work")


def nothing_left(within_s: float = 5.0, *, workers: bool = True) -> bool:
    """Whether every guarded child of this test ends in time, and with `workers` every worker."""
    words = ("medseg_workflows.work", *(["spawn_main"] if workers else []))
    deadline = time.monotonic() + within_s
    while left := processes(*words):
        if time.monotonic() > deadline:
            pytest.fail(f"still there: {[one.cmdline()[-3:] for one in left]}")
        time.sleep(0.05)
    return True

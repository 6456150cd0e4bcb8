"""A batch under fire: workers and the orchestrator are killed, the disk fills up, a worker freezes.

After each: every study in one place, none twice, nobody blamed for another, no process left.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dask.config
import numpy as np
import psutil
import pytest
from batch_runs import QUICK, children, jobs_of, nothing_left, run_all, states
from chaos_main import CHAOS
from medseg_workflows.cluster_file import Local
from medseg_workflows.ledger import read_failures
from medseg_workflows.options import BatchOptions

from medseg.errors import MedsegError

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(sys.platform != "linux", reason="signals and mounts of Linux"),
]
STUDIES = 200
KILL_EVERY_S = 0.7
BAD = ("segfault", "memory", "hang")
WAIT_S = 200.0


def main(root: Path, out: Path, kinds: list[str]) -> subprocess.Popen[bytes]:
    script = Path(__file__).with_name("chaos_main.py")
    return subprocess.Popen(
        [sys.executable, str(script), str(root), str(out), *kinds], start_new_session=True
    )


def done_in(out: Path) -> int:
    return len(list((out / "done").glob("*"))) if (out / "done").is_dir() else 0


def until(true: Callable[[], bool], what: str, within_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within_s:g} s: {what}")
        time.sleep(0.05)


def soon(true: Callable[[], bool], within_s: float = 45.0) -> None:
    """Wait for something to be true, but not for long: a slow machine gets fewer blows."""
    deadline = time.monotonic() + within_s
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)


@pytest.fixture
def warm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where children say that they have begun with a study.

    If workers were killed whose child only starts, a slow machine would never begin.
    """
    folder = tmp_path / "warm"
    folder.mkdir()
    monkeypatch.setenv("CHAOS_WARM", str(folder))
    return folder


def workers_at_work(orchestrator: int, warm: Path) -> list[psutil.Process]:
    """Workers of a local cluster whose child has begun, in the order of their numbers."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for one in psutil.Process(orchestrator).children(recursive=True):
            with suppress(psutil.Error):
                if (warm / str(one.pid)).exists() and one.ppid() != orchestrator:
                    found.append(psutil.Process(one.ppid()))
    return sorted(found, key=lambda one: one.pid)


@contextmanager
def killer(process: Callable[[], int], warm: Path, seed: int) -> Iterator[list[int]]:
    """Kill a worker every 0.7 s while the block runs; gives the numbers of those killed."""
    killed: list[int] = []
    over, rng = threading.Event(), np.random.default_rng(seed)

    def run() -> None:
        while not over.wait(KILL_EVERY_S):
            if targets := workers_at_work(process(), warm):
                one = targets[int(rng.integers(len(targets)))]
                with suppress(psutil.NoSuchProcess):
                    one.kill()
                    killed.append(one.pid)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def test_killed_workers_and_a_killed_orchestrator_lose_and_blame_nobody(
    tmp_path: Path, warm: Path
) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    kinds = ["fine"] * (STUDIES - len(BAD)) + list(BAD)
    batch = main(root, out, kinds)
    try:
        with killer(lambda: batch.pid, warm, seed=7) as killed:
            soon(lambda: done_in(out) >= STUDIES // 4)
            batch.kill()
            batch.wait()
            before = {one.name: one.stat().st_ctime_ns for one in (out / "done").iterdir()}
            assert nothing_left()
            batch = main(root, out, kinds)
            soon(lambda: done_in(out) >= STUDIES * 3 // 4)
        assert batch.wait(WAIT_S) == 0
    finally:
        batch.kill()
        batch.wait()
    done, failed = states(out)
    assert len(done) == STUDIES - len(BAD) and len(killed) > 3
    bad = {job.key: kind for job, kind in zip(jobs_of(*kinds), kinds, strict=True) if kind in BAD}
    assert {bad[key]: code for key, code in failed.items()} == {
        "segfault": "died",
        "memory": "memory",
        "hang": "timeout",
    }
    again = {name: (out / "done" / name).stat().st_ctime_ns for name in before}
    assert again == before  # nothing that was done was done again
    assert nothing_left()
    assert not list((out / "tmp").iterdir()) and not list((out / "jobs").iterdir())


def test_killed_children_are_tried_again_and_nobody_is_lost(tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    rng, over, killed = np.random.default_rng(3), threading.Event(), []

    def run() -> None:
        while not over.wait(KILL_EVERY_S):
            if found := children():
                with suppress(psutil.NoSuchProcess):
                    one = found[int(rng.integers(len(found)))]
                    one.kill()
                    killed.append(one.pid)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        run_all(root, out, jobs_of(*["fine"] * 60), CHAOS)
    finally:
        over.set()
        thread.join()
    done, failed = states(out)
    assert killed and len(done) + len(failed) == 60
    assert set(failed.values()) <= {"died"} and len(failed) <= 1  # killed twice in a row
    assert nothing_left()


def test_a_hang_in_c_is_quarantined_within_its_limit_and_five_seconds(tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = BatchOptions(
        cluster=Local(workers=1), timeout_s=3.0, memory_mb=500.0, reserve_mb=0.0, work=CHAOS.work
    )
    run_all(tmp_path / "root", out, jobs_of("fine", "hang"), options)
    (key,) = states(out)[1]
    begun = (out / "attempts" / key).stat().st_mtime
    ended = (out / "quarantine" / f"{key}.json").stat().st_mtime
    assert 3.0 <= ended - begun < 8.0
    assert read_failures(out)[0]["code"] == "timeout"
    assert nothing_left()


@pytest.fixture
def small_disk(tmp_path: Path, skip_unless: Callable[[bool, str], None]) -> Iterator[Path]:
    """A file system of 3 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    skip_unless(os.geteuid() == 0, "only root mounts a small tmpfs")
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, check=False)
    skip_unless(mounted.returncode == 0, "a small tmpfs cannot be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_leaves_nothing_half_written_and_goes_on_with_room(
    tmp_path: Path, small_disk: Path
) -> None:
    root, out = tmp_path / "root", small_disk / "out"
    jobs = jobs_of(*["large"] * 80)
    with pytest.raises(MedsegError, match=r"disk-full"):
        run_all(root, out, jobs, QUICK)
    done, failed = states(out)
    assert 0 < len(done) < 80 and not failed
    for key in done:
        assert (out / "done" / key / "instances.csv").stat().st_size == 60_000
        json.loads((out / "done" / key / "record.json").read_text())
    assert nothing_left()
    subprocess.run(["mount", "-o", "remount,size=60m", str(small_disk)], check=True)
    run_all(root, out, jobs, QUICK)
    done, failed = states(out)
    assert len(done) == 80 and not failed
    assert not list((out / "tmp").iterdir())


def test_a_worker_that_freezes_and_wakes_leaves_one_result(tmp_path: Path, warm: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    frozen: list[psutil.Process] = []

    def freeze() -> None:
        until(lambda: bool(workers_at_work(os.getpid(), warm)), "a worker is at work")
        frozen.append(workers_at_work(os.getpid(), warm)[0])
        os.kill(frozen[0].pid, signal.SIGSTOP)
        until(lambda: done_in(out) == 20, "all are done without it")
        with suppress(ProcessLookupError):
            os.kill(frozen[0].pid, signal.SIGCONT)

    thread = threading.Thread(target=freeze)
    thread.start()
    with dask.config.set({"distributed.scheduler.worker-ttl": "3s"}):
        run_all(root, out, jobs_of(*["fine"] * 20), CHAOS)
    thread.join()
    assert frozen and len(states(out)[0]) == 20
    assert nothing_left(within_s=15.0)

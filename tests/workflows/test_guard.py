"""The guarded child: whatever a study does, it ends the child alone, in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from medseg_workflows.guard import Child, ChildError, Limits

PLENTY = Limits(60.0, 2000.0)
linux = pytest.mark.skipif(sys.platform != "linux", reason="the system has no such signal")


@pytest.fixture
def child() -> Iterator[Child]:
    made = Child("chaos_work:echo")
    yield made
    made.stop()


@pytest.fixture
def wild() -> Iterator[Child]:
    made = Child("chaos_work:misbehave")
    yield made
    made.stop()


def gone(pid: int, within_s: float = 5.0) -> bool:
    """Whether a process is gone or a zombie, which nobody may reap in a container."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def test_one_process_answers_request_after_request(child: Child) -> None:
    assert child.run({"echo": 1}, PLENTY) == {"ok": 1}
    first = child.pid
    assert child.run({"echo": [2, "ö"]}, PLENTY) == {"ok": [2, "ö"]}
    assert child.pid == first


def test_what_a_library_prints_is_no_answer(child: Child) -> None:
    assert child.run({"print": '{"ok": "wrong"}', "echo": 3}, PLENTY) == {"ok": 3}
    assert child.run({"echo": 4}, PLENTY) == {"ok": 4}


def test_its_threads_are_those_that_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    child = Child("chaos_work:echo", threads=2)
    assert child.run({"environment": "OMP_NUM_THREADS"}, PLENTY) == {"ok": "2"}
    child.stop()


def test_a_hang_in_c_that_keeps_the_lock_is_ended_in_time(wild: Child) -> None:
    wild.run({"how": "refuse"}, PLENTY)  # started
    pid, begun = wild.pid, time.monotonic()
    with pytest.raises(ChildError) as caught:
        wild.run({"how": "hang"}, Limits(1.0))
    assert caught.value.why == "timeout" and caught.value.detail == "not done after 1 s"
    assert time.monotonic() - begun < 6
    assert pid is not None and gone(pid)


def test_children_of_the_child_end_with_it(wild: Child) -> None:
    wild.run({"how": "refuse"}, PLENTY)
    assert wild.pid is not None
    process, family = psutil.Process(wild.pid), []

    def watch() -> None:
        while not family:
            family.extend(process.children())

    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(ChildError):
        wild.run({"how": "family"}, Limits(2.0))
    watcher.join()
    assert family and all(gone(one.pid) for one in family)


def test_too_much_memory_ends_it(wild: Child) -> None:
    with pytest.raises(ChildError) as caught:
        wild.run({"how": "memory"}, Limits(60.0, 300.0))
    assert caught.value.why == "memory" and "300 MB are allowed" in caught.value.detail


def test_a_segfault_is_told_with_its_signal_and_its_place_in_code(wild: Child) -> None:
    with pytest.raises(ChildError) as caught:
        wild.run({"how": "segfault"}, PLENTY)
    assert caught.value.why == "died"
    assert "signal 11 (SIGSEGV)" in caught.value.detail
    assert "__init__.py, line" in caught.value.detail  # of ctypes; no folder


def test_an_exit_is_told_with_its_code(wild: Child) -> None:
    with pytest.raises(ChildError, match="code 3"):
        wild.run({"how": "leave"}, PLENTY)


def test_after_a_death_the_next_request_gets_a_new_child(wild: Child) -> None:
    for _ in range(3):
        with pytest.raises(ChildError):
            wild.run({"how": "killed"}, PLENTY)
        assert wild.run({"how": "refuse"}, PLENTY)["failure"]["code"] == "missing-slices"


def test_an_error_of_the_program_is_told_without_its_text(wild: Child) -> None:
    said = wild.run({"how": "fail"}, PLENTY)
    assert said["failure"]["code"] == "failed"
    assert "RuntimeError" in said["failure"]["detail"] and "CANARY" not in str(said)


def test_a_full_disk_is_told_apart_from_a_failure(wild: Child) -> None:
    assert wild.run({"how": "full"}, PLENTY)["out"]["code"] == "disk-full"


def test_a_work_function_that_is_not_there_is_no_start() -> None:
    child = Child("chaos_work:nothing")
    with pytest.raises(ChildError) as caught:
        child.run({}, PLENTY)
    child.stop()
    assert caught.value.why == "no-start"


def test_a_start_that_takes_too_long_is_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_start.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    child = Child("slow_start:work", ready_s=0.5)
    with pytest.raises(ChildError) as caught:
        child.run({}, PLENTY)
    child.stop()
    assert caught.value.why == "no-start"


def test_it_is_replaced_after_a_number_of_studies() -> None:
    child = Child("chaos_work:echo", most_studies=2)
    child.run({}, PLENTY)
    first = child.pid
    child.run({}, PLENTY)
    assert child.pid is None and first is not None and gone(first)
    assert child.run({"echo": 3}, PLENTY) == {"ok": 3}
    child.stop()


def test_stopped_from_another_thread_it_ends_for_good(wild: Child) -> None:
    wild.run({"how": "refuse"}, PLENTY)
    pid = wild.pid
    timer = threading.Timer(0.3, wild.stop)
    timer.start()
    with pytest.raises(ChildError) as caught:
        wild.run({"how": "hang"}, PLENTY)
    assert caught.value.why == "stopped"
    with pytest.raises(ChildError) as again:
        wild.run({"how": "refuse"}, PLENTY)
    assert again.value.why == "stopped"
    assert pid is not None and gone(pid)


@linux
def test_it_ends_with_its_parent_even_while_it_hangs() -> None:
    code = (
        "import sys; from medseg_workflows.guard import *\n"
        "child = Child('chaos_work:misbehave')\n"
        "child.run({'how': 'refuse'}, Limits(60))\n"
        "print(child.pid, flush=True)\n"
        "child.run({'how': 'hang'}, Limits(60))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
    assert gone(pid)


@linux
def test_it_outlives_the_thread_that_asked_first(child: Child) -> None:
    asked = threading.Thread(target=child.run, args=({}, PLENTY))
    asked.start()
    asked.join()
    pid = child.pid
    assert child.run({"echo": 1}, PLENTY) == {"ok": 1} and child.pid == pid

"""Jobs on a local cluster of Dask: each done or explained, and nobody blamed for another."""

from __future__ import annotations

import tempfile
import threading
from contextlib import suppress
from dataclasses import replace
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil
import pytest
from batch_runs import QUICK, events, jobs_of, nothing_left, run_all, states, traces, with_workers
from medseg_workflows import run
from medseg_workflows.commit import count_attempt
from medseg_workflows.ledger import make_folders, read_failures, read_records
from medseg_workflows.watch_pass import SHRUNK_S, Watch
from medseg_workflows.worker import Errand, Names, do_job

from medseg.errors import MedsegError, OutputError

ONE = with_workers(QUICK, 1)
PAGES = ("/status", "/workers", "/info/main/workers.html", "/json/counts.json", "/metrics")
NO_HTTP = 0


def changed(out: Path) -> dict[str, int]:
    """When each finished result got its name."""
    return {one.key: (out / "done" / one.key).stat().st_ctime_ns for one in read_records(out)}


def test_every_study_is_done_or_explained(tmp_path: Path) -> None:
    kinds = ["fine", "refuse", "segfault", "fine", "hang", "memory", "fail", "leave", "fine"]
    options = replace(QUICK, timeout_s=5.0, memory_mb=400.0)
    _, tally = run_all(tmp_path / "root", tmp_path / "out", jobs_of(*kinds), options)
    done, failed = states(tmp_path / "out")
    found = {int(key[:12], 16): code for key, code in failed.items()}
    assert {int(key[:12], 16) for key in done} == {0, 3, 8}
    assert found == {
        1: "missing-slices",
        2: "died",
        4: "timeout",
        5: "memory",
        6: "failed",
        7: "died",
    }
    assert (tally.done, tally.quarantined, tally.lesions) == (3, 6, 3)
    assert tally.failures["died"] == 2
    attempts = {one["code"]: one["attempts"] for one in read_failures(tmp_path / "out")}
    assert attempts == {"missing-slices": 1, "died": 2, "timeout": 1, "memory": 1, "failed": 1}
    assert "CANARY" not in str(read_failures(tmp_path / "out"))
    assert events(tmp_path / "out")["done"] == 3 and events(tmp_path / "out")["quarantined"] == 6
    assert not list((tmp_path / "out" / "jobs").iterdir())
    assert nothing_left()


def test_no_path_is_legible_while_studies_are_done_refused_raise_and_die(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words, out, temporary = (b"hidden_folder", b"CANARY"), tmp_path / "out", tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("TMPDIR", str(temporary))
    seen: list[str] = []

    def search(_: object) -> None:
        seen.extend(traces(*words, under=out) + traces(*words, under=temporary))

    kinds = ["fine", "refuse", "fail", "killed", "segfault", "full"]
    with pytest.raises(OutputError):
        run_all(tmp_path / "root", out, jobs_of(*kinds), ONE, show=search)
    search(None)
    said = capfd.readouterr()
    assert not seen
    assert not any(word.decode() in said.out + said.err for word in words)
    assert not any(path.is_file() for path in temporary.rglob("*"))


def test_a_second_run_does_nothing_again_and_retries_on_request(tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    jobs = jobs_of("fine", "refuse", "fine")
    run_all(root, out, jobs, ONE)
    before = changed(out)
    todo, tally = run_all(root, out, jobs, ONE)
    assert not todo.jobs and (tally.done, tally.quarantined) == (2, 1)
    todo, _ = run_all(root, out, jobs, replace(ONE, retry_quarantined=True))
    assert [job.key for job in todo.jobs] == [jobs[1].key]
    assert changed(out) == before


def test_a_full_disk_ends_the_pass_and_blames_no_study(tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    with pytest.raises(OutputError, match=r"OUT: .*no room.*the same command goes on"):
        run_all(root, out, jobs_of("full", "full"), ONE)
    assert states(out) == (set(), {})
    assert nothing_left()


def test_no_study_is_begun_where_less_is_free_than_stays_reserved(tmp_path: Path) -> None:
    options = replace(ONE, reserve_mb=1e12)
    with pytest.raises(OutputError, match="disk-full"):
        run_all(tmp_path / "root", tmp_path / "out", jobs_of("fine"), options)
    assert not list((tmp_path / "out" / "attempts").iterdir())


def test_a_folder_of_studies_that_went_away_blames_no_study(tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    root.mkdir()
    jobs = jobs_of("gone")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run, "has_entries", lambda _: False)
        with pytest.raises(MedsegError, match="the folder of studies went away"):
            run_all(root, out, jobs, ONE)
    assert states(out) == (set(), {})
    run_all(root, out, jobs, ONE)  # it is there: the study alone is gone
    assert list(states(out)[1].values()) == ["path-missing"]


def test_a_study_whose_worker_is_killed_again_and_again_is_explained(tmp_path: Path) -> None:
    make_folders(tmp_path)
    (job,) = jobs_of("fine")
    (tmp_path / "jobs" / job.key).write_bytes(b"veiled")
    for _ in range(5):
        count_attempt(tmp_path, job.key)
    errand = Errand("run", str(tmp_path), str(tmp_path), b"k" * 32, 1, QUICK.limits, QUICK.work)
    names = Names(job.key, job.study, job.patient, job.model.name)
    assert do_job(names, errand).state == "quarantined"
    (failure,) = read_failures(tmp_path)
    assert failure["code"] == "worker-died" and "killed 5 times" in failure["detail"]
    assert do_job(names, errand).state == "quarantined"  # by whoever comes next


@pytest.mark.parametrize(
    ("change", "code"),
    [({"medseg": "0.0"}, "version-other"), ({"root": "/not/here"}, "path-not-shared")],
)
def test_a_worker_that_comes_late_and_is_unlike_the_others_does_no_study(
    tmp_path: Path, change: dict[str, str], code: str
) -> None:
    """Who is there at the beginning is looked at then; on a cluster workers come for hours."""
    make_folders(tmp_path)
    (job,) = jobs_of("fine")
    (tmp_path / "jobs" / job.key).write_bytes(b"veiled")
    errand = Errand("run", str(tmp_path), str(tmp_path), b"k" * 32, 1, QUICK.limits, QUICK.work)
    names = Names(job.key, job.study, job.patient, job.model.name)
    ended = do_job(names, replace(errand, **change))
    assert (ended.state, ended.code) == ("out", code)
    assert states(tmp_path) == (set(), {})
    assert not (tmp_path / "attempts" / job.key).exists()


def test_what_a_task_is_told_shows_nothing_when_it_is_printed() -> None:
    errand = Errand("4f", "/data/canary", "/data/canary", b"canary", 1, QUICK.limits)
    assert "canary" not in repr(errand) and "canary" not in str(errand)


def test_a_child_that_cannot_start_is_no_fault_of_a_study(tmp_path: Path) -> None:
    options = replace(ONE, work="chaos_work:nothing")
    with pytest.raises(MedsegError, match=r"tasks-fail.*medseg segment"):
        run_all(tmp_path / "root", tmp_path / "out", jobs_of("fine"), options)
    assert states(tmp_path / "out") == (set(), {})


def test_ctrl_c_leaves_what_is_done_and_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, seen = tmp_path / "out", threading.Event()
    real = run.Progress.ended

    def ended(self: run.Progress, job: object) -> None:
        real(self, job)  # type: ignore[arg-type]
        if seen.is_set():
            raise KeyboardInterrupt
        seen.set()

    monkeypatch.setattr(run.Progress, "ended", ended)
    with pytest.raises(KeyboardInterrupt):
        run_all(tmp_path / "root", out, jobs_of("fine", "fine", "hang", "hang"))
    done, failed = states(out)
    assert len(done) >= 2 and not failed
    assert nothing_left()


def test_a_local_cluster_listens_on_this_machine_alone(tmp_path: Path) -> None:
    listening: set[str] = set()

    def listen(_: object) -> None:
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        for one in family:
            with suppress(psutil.Error):
                for place in one.net_connections("inet"):
                    if place.status == psutil.CONN_LISTEN:
                        listening.add(place.laddr.ip)

    root, out = tmp_path / "root", tmp_path / "out"
    run_all(root, out, jobs_of(*["fine"] * 4), show=listen)
    assert listening == {"127.0.0.1"}


def test_no_page_of_dask_is_served_while_a_batch_runs(tmp_path: Path) -> None:
    answers: dict[int, set[int]] = {}

    def ask(_: object) -> None:
        for one in (psutil.Process(), *psutil.Process().children(recursive=True)):
            with suppress(psutil.Error):
                for place in one.net_connections("inet"):
                    if place.status == psutil.CONN_LISTEN and place.laddr.port not in answers:
                        answers[place.laddr.port] = set(
                            map(partial(status, place.laddr.port), PAGES)
                        )

    run_all(tmp_path / "root", tmp_path / "out", jobs_of(*["fine"] * 4), show=ask)
    assert answers and set().union(*answers.values()) <= {NO_HTTP, 404}


def status(port: int, page: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", page)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return NO_HTTP
    finally:
        connection.close()


def watch(workers: int = 2) -> Watch:
    return Watch(0.0, stall_s=1000.0, wait_s=100.0, workers=workers)


def test_a_pass_goes_on_while_studies_finish() -> None:
    one = watch()
    for n in range(50):
        assert one.look(900.0 * n, finished=n, workers=2) == "go-on"


def test_a_pass_without_a_finished_study_is_stalled() -> None:
    one = watch()
    assert one.look(500.0, finished=1, workers=2) == "go-on"
    assert one.look(1400.0, finished=1, workers=2) == "go-on"
    assert one.look(1501.0, finished=1, workers=2) == "stalled"


def test_workers_that_start_slowly_are_waited_for() -> None:
    one = watch(workers=0)
    assert one.look(60.0, finished=0, workers=0) == "go-on"
    assert one.look(99.0, finished=0, workers=1) == "go-on"
    assert one.look(198.0, finished=0, workers=0) == "go-on"
    assert one.look(200.0, finished=0, workers=0) == "no-workers"


def test_a_cluster_that_lost_workers_for_long_has_shrunk() -> None:
    one = watch()
    assert one.look(1.0, finished=0, workers=2) == "go-on"
    assert one.look(SHRUNK_S, finished=1, workers=1) == "go-on"
    assert one.look(SHRUNK_S + 2, finished=2, workers=1) == "shrunk"


def test_a_scheduler_that_is_silent_is_a_stall_at_last() -> None:
    one = watch()
    one.look(0.0, finished=0, workers=2)
    assert one.look(1001.0, finished=0, workers=None) in ("stalled", "no-workers")

"""OUT as the only truth: one owner, whole results, nothing twice, older ones put aside."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from chaos_work import record_of
from medseg_workflows import commit as commits
from medseg_workflows import owner
from medseg_workflows.commit import (
    commit,
    count_attempt,
    failure_path,
    fresh_folder,
    quarantine,
)
from medseg_workflows.ledger import Ledger, Said, make_folders, read_failures, read_records
from medseg_workflows.records import Failure, Job, Settings
from run_cases import job_of, plan_of, stub_jobs, use_of

from medseg.errors import OutputError
from medseg.io.batch_sources import ImageInput, read_sources
from medseg.io.pseudonyms import Pseudonyms

CODES = Pseudonyms(b"s" * 32)
SAID = Said("/studies", "", [use_of()], Settings())
NONE = Failure("missing-slices", "a gap", "fetch them")


def finish(out: Path, job: Job, text: str = "x") -> bool:
    with fresh_folder(out, job.key) as folder:
        (folder / "instances.csv").write_bytes(text.encode())
        return commit(out, record_of(job), folder)


def fail(out: Path, job: Job, failure: Failure = NONE) -> None:
    names = {"key": job.key, "study": job.study, "patient": job.patient, "model": job.model.name}
    quarantine(out, names, failure)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_a_second_run_on_the_folder_is_refused_and_the_owner_is_named(out: Path) -> None:
    with (
        Ledger.open(out, CODES),
        pytest.raises(OutputError, match=f"process {os.getpid()} on .* since 20"),
        Ledger.open(out, CODES),
    ):
        pass
    with Ledger.open(out, CODES):
        pass


def test_the_folder_is_free_once_its_owner_is_killed(out: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from medseg_workflows.owner import owned\n"
        "with owned(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)\n"
    )
    out.mkdir()
    with subprocess.Popen([sys.executable, "-c", code, out], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline()
        with pytest.raises(OutputError, match="out-owned"), Ledger.open(out, CODES):
            pass
        other.kill()
    with Ledger.open(out, CODES):
        pass


def test_another_host_keeps_the_folder_while_it_gives_signs_of_life(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out.mkdir()
    said = out / owner.OWNER
    said.write_text(json.dumps({"host": "elsewhere", "pid": 7, "started": "2026-01-01T20:00:00"}))
    with pytest.raises(OutputError, match="process 7 on elsewhere"), owner.owned(out):
        pass
    long_ago = said.stat().st_mtime - owner.FRESH_S - 1
    os.utime(said, (long_ago, long_ago))
    with owner.owned(out):
        pass


def test_a_folder_with_other_things_in_it_is_refused(out: Path) -> None:
    out.mkdir()
    (out / "thesis.doc").write_text("mine")
    with pytest.raises(OutputError, match="holds 1 files"), Ledger.open(out, CODES):
        pass
    assert [path.name for path in out.iterdir()] == ["thesis.doc"]


def test_another_secret_is_refused(out: Path) -> None:
    with Ledger.open(out, CODES) as ledger:
        ledger.begin(SAID, resume=False)
    with (
        pytest.raises(OutputError, match="another secret"),
        Ledger.open(out, Pseudonyms(b"t" * 32)),
    ):
        pass


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (SAID._replace(root="/other"), "folder of studies"),
        (SAID._replace(rules="[[rule]]"), "set of rules"),
        (SAID._replace(models=[replace(use_of(), version="9")]), "model"),
        (SAID._replace(settings=Settings(formats=("seg",))), "set of options"),
    ],
)
def test_another_wish_needs_resume_once_there_are_results(out: Path, said: Said, what: str) -> None:
    (job,) = stub_jobs(1)
    with Ledger.open(out, CODES) as ledger:
        ledger.begin(SAID, resume=False)
        ledger.begin(SAID._replace(root="/typing error"), resume=False)
        ledger.begin(SAID, resume=False)
        finish(out, job)
        ledger.begin(SAID, resume=False)
        with pytest.raises(OutputError, match=f"another {what}.*--resume"):
            ledger.begin(said, resume=False)
        ledger.begin(said, resume=True)
    assert "/studies" not in (out / "batch.json").read_text()


def test_of_two_that_finish_a_job_one_wins_and_nothing_is_left_over(out: Path) -> None:
    make_folders(out)
    (job,) = stub_jobs(1)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        won = pool.starmap(finish, [(out, job, str(n)) for n in range(8)])
    assert sorted(won) == [False] * 7 + [True]
    assert [path.name for path in (out / "done").iterdir()] == [job.key]
    assert not list((out / "tmp").iterdir())
    assert len(read_records(out)) == 1


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_without_room_nothing_half_written_is_done(
    out: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    make_folders(out)
    (job,) = stub_jobs(1)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    where = {"write": (Path, "write_text"), "fsync": (os, "fsync"), "rename": (Path, "rename")}
    with monkeypatch.context() as patched:
        patched.setattr(*where[call], full)
        with pytest.raises(OutputError, match="no room"):
            finish(out, job)
    assert not list((out / "done").iterdir()) and not list((out / "tmp").iterdir())
    assert finish(out, job)


def test_every_file_is_on_the_disk_before_its_name_is(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folders(out)
    (job,) = stub_jobs(1)
    steps: list[str] = []
    real_fsync, real_rename = os.fsync, Path.rename

    def fsync(handle: int) -> None:
        steps.append(Path(f"/proc/self/fd/{handle}").readlink().name.partition(".")[0])
        real_fsync(handle)

    def rename(source: Path, target: Path) -> Path:
        steps.append("rename")
        return real_rename(source, target)

    monkeypatch.setattr(commits.os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    finish(out, job)
    assert sorted(steps[:3]) == sorted(["instances", "record", job.key])
    assert steps[3:] == ["rename", "done"]


def test_attempts_count_up_whoever_makes_them(out: Path) -> None:
    make_folders(out)
    threads = [threading.Thread(target=count_attempt, args=(out, "k")) for _ in range(5)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert count_attempt(out, "k") == 6


def test_what_is_finished_is_not_to_do_again(out: Path) -> None:
    jobs = stub_jobs(4)
    with Ledger.open(out, CODES) as ledger:
        finish(out, jobs[0])
        fail(out, jobs[1])
        fail(out, jobs[2], Failure("path-missing", "nothing there", "check"))
        todo = ledger.plan(plan_of(jobs))
    assert [job.key for job in todo.jobs] == [jobs[2].key, jobs[3].key]
    assert (todo.done, todo.quarantined) == (1, 1)


def test_failures_are_tried_again_on_request_with_all_their_attempts(out: Path) -> None:
    jobs = stub_jobs(2)
    with Ledger.open(out, CODES) as ledger:
        finish(out, jobs[0])
        fail(out, jobs[1])
        count_attempt(out, jobs[1].key)
        todo = ledger.plan(plan_of(jobs), retry=True)
    assert [job.key for job in todo.jobs] == [jobs[1].key]
    assert count_attempt(out, jobs[1].key) == 1
    assert not read_failures(out)


def test_a_result_of_a_study_that_changed_is_put_aside_and_comes_back(out: Path) -> None:
    old, other = stub_jobs(2)
    new = replace(old, key=f"{old.study}-ffffffffffff")
    with Ledger.open(out, CODES) as ledger:
        finish(out, old)
        finish(out, other)
        todo = ledger.plan(plan_of([new, other]))
        assert [job.key for job in todo.jobs] == [new.key]
        assert ledger.done() == {other.key}
        assert [path.name for path in (out / "superseded").iterdir()] == [old.key]
        finish(out, new)
        assert not ledger.plan(plan_of([old, other])).jobs
        assert ledger.done() == {old.key, other.key}


def test_a_failure_of_a_study_that_changed_is_forgotten(out: Path) -> None:
    (old,) = stub_jobs(1)
    new = replace(old, key=f"{old.study}-ffffffffffff")
    with Ledger.open(out, CODES) as ledger:
        fail(out, old)
        ledger.plan(plan_of([new]))
    assert not read_failures(out)


def test_results_of_another_model_and_of_other_studies_stay(out: Path) -> None:
    here, elsewhere = stub_jobs(2)
    other = replace(here, key=f"{here.study}-ffffffffffff", model=replace(use_of(), name="organs"))
    with Ledger.open(out, CODES) as ledger:
        finish(out, other)
        finish(out, elsewhere)
        ledger.plan(plan_of([here]))
        assert ledger.done() == {other.key, elsewhere.key}


def test_what_a_killed_run_left_is_put_away(out: Path) -> None:
    make_folders(out)
    (out / "tmp" / "k.1234").mkdir()
    (out / "tmp" / "k.1234" / "half.nii.gz").write_text("ha")
    (out / "jobs" / "k").write_text("veiled")
    with Ledger.open(out, CODES):
        assert not list((out / "tmp").iterdir()) and not list((out / "jobs").iterdir())


def test_the_log_has_whole_lines_even_after_one_was_cut_off(out: Path) -> None:
    with Ledger.open(out, CODES) as ledger:
        ledger.note("done", key="a")
    with (out / "audit.jsonl").open("a") as file:
        file.write('{"event": "do')
    with Ledger.open(out, CODES) as ledger:
        ledger.note("done", key="b")
    lines = (out / "audit.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in (lines[0], lines[2])] == ["a", "b"]
    assert lines[1] == '{"event": "do'


def test_a_job_is_laid_out_so_that_its_paths_are_not_legible(out: Path) -> None:
    (job,) = stub_jobs(1)
    with Ledger.open(out, CODES) as ledger:
        ledger.hand_out(job, b"v" * 32)
        path = out / "jobs" / job.key
        assert b"nowhere" not in path.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600
        ledger.take_back(job.key)
        assert not path.exists()


def test_sources_are_legible_with_the_secret_alone(out: Path) -> None:
    jobs = stub_jobs(3)
    with Ledger.open(out, CODES) as ledger:
        finish(out, jobs[0])
        ledger.plan(plan_of(jobs[:2]))
        ledger.plan(plan_of(jobs[2:]))  # of the others, what is done stays known
    assert b"nowhere" not in (out / "sources").read_bytes()
    found = read_sources(out, CODES.key)
    assert set(found) == {jobs[0].key, jobs[2].key}
    assert found[jobs[0].key]["mr"] == jobs[0].inputs["mr"]
    with pytest.raises(ValueError, match="another key"):
        read_sources(out, Pseudonyms(b"t" * 32).key)


def test_a_failure_is_tried_again_once_its_image_was_written_again(
    out: Path, tmp_path: Path
) -> None:
    image = tmp_path / "image.nii.gz"
    image.write_bytes(b"x")
    job = job_of(ImageInput((str(image),)), 0)
    with Ledger.open(out, CODES) as ledger:
        fail(out, job)
        assert not ledger.plan(plan_of([job])).jobs
        later_ns = failure_path(out, job.key).stat().st_mtime_ns + 1
        os.utime(image, ns=(later_ns, later_ns))
        assert ledger.plan(plan_of([job])).jobs == [job]
        assert not read_failures(out)

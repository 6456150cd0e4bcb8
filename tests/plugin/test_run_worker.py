"""Jobs in another process: the same result as here, and a clear line for each way to fail."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from medseg_napari.run import Job, Worker
from medseg_napari.run.process import Child
from session_cases import state_of

from medseg import estimate, load_model, read, read_instances, samples, segment
from medseg.errors import InputRefused, MedsegError, ModelError, OutputError
from medseg.phantom import touching_lesions
from medseg.types import Geometry, Volume

MODEL = "phantom-lesions"
PATIENCE_S = 300.0

Fake = Callable[[str], Worker]


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """The true child, whose start costs some seconds."""
    made = Worker()
    yield made
    made.close()


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Fake]:
    """A worker whose child does what a script says after it has read a request."""
    made: list[Worker] = []

    def make(script: str) -> Worker:
        path = tmp_path / "child.py"
        start = "import json, os, sys, time\nrequest = json.loads(sys.stdin.readline())\n"
        say = "def say(**what):\n    print(json.dumps(what), flush=True)\n"
        path.write_text(start + say + textwrap.dedent(script), encoding="utf-8")
        made.append(Worker([sys.executable, str(path)]))
        return made[-1]

    yield make
    for one in made:
        one.close()


def picture() -> Volume:
    return touching_lesions(3).volume


def begun(worker: Worker) -> Job[object]:
    return worker.segment({"mr": picture()}, MODEL)


def wait_for(job: Job[object], phase: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while job.state.phase != phase and not job.state.is_over and time.monotonic() < end:
        time.sleep(0.01)
    assert job.state.phase == phase


def folder_of(worker: Worker) -> Path:
    assert worker._child is not None
    return worker._child.folder


def test_objects_are_those_that_segment_finds_here(worker: Worker) -> None:
    volume = picture()
    expected = segment(volume, load_model(MODEL), device="cpu")
    job = worker.segment({"mr": volume}, MODEL, device="cpu")
    assert job.wait(PATIENCE_S).phase == "done"
    found = job.result
    assert len(found) > 1
    assert state_of(found) == state_of(expected)
    assert found.warnings == expected.warnings
    assert found.provenance == expected.provenance
    assert (job.state.done, job.state.total) == (1, 1)
    assert [path.name for path in folder_of(worker).iterdir()] == ["stderr.txt"]


def test_an_estimate_counts_the_windows_of_the_grid(worker: Worker) -> None:
    geometry = Geometry.identity((96, 64, 64))
    job = worker.estimate(geometry, MODEL, device="cpu")
    assert job.wait(PATIENCE_S).phase == "done"
    here = estimate(
        Volume(np.zeros(geometry.shape, dtype=np.int16), geometry),
        load_model(MODEL),
        device="cpu",
    )
    assert job.result.windows == here.windows == 3
    assert job.result.memory_bytes == here.memory_bytes
    assert job.result.seconds > 0


def test_the_process_stays_for_the_next_job(worker: Worker) -> None:
    worker.estimate(Geometry.identity((48, 64, 64)), MODEL).wait(PATIENCE_S)
    number = worker.process_number
    worker.estimate(Geometry.identity((48, 64, 96)), MODEL).wait(PATIENCE_S)
    assert worker.process_number == number


def test_a_refusal_of_the_model_arrives_as_one(worker: Worker) -> None:
    volume = picture()
    scan = Volume(volume.array, volume.geometry, "CT", "HU")
    job = worker.segment({"mr": scan}, MODEL)
    assert job.wait(PATIENCE_S).phase == "failed"
    assert isinstance(job.error, InputRefused)
    assert job.error.code == "modality-mismatch"


def test_a_part_of_the_image_gives_objects_on_the_whole_grid(worker: Worker) -> None:
    volume = touching_lesions(4, shape=(60, 64, 80)).volume
    box = (slice(12, 60), slice(0, 64), slice(16, 80))
    job = worker.segment({"mr": volume}, MODEL, device="cpu", box=box)
    assert job.wait(PATIENCE_S).phase == "done"
    alone = segment(volume.crop(box), load_model(MODEL), device="cpu")
    assert job.result.geometry == volume.geometry
    assert len(job.result) == len(alone) > 0
    for whole, part in zip(job.result, alone, strict=True):
        assert whole.box[0].start == part.box[0].start + 12
        assert whole.box[2].start == part.box[2].start + 16
        np.testing.assert_array_equal(whole.mask, part.mask)


def test_a_point_gives_the_object_that_segment_finds_at_it(worker: Worker) -> None:
    folder = samples.path("lung_nodule_crop")
    volume = read(folder / "image.nii.gz", modality="CT", unit="HU")
    (truth,) = read_instances(folder / "label.nii.gz")
    inside = np.argwhere(truth.mask)[truth.voxel_count // 2] + [part.start for part in truth.box]
    at = volume.geometry.index_to_world(inside).tolist()
    job = worker.segment({"ct": volume}, "lung-nodule-ct", device="cpu", at=at)
    assert job.wait(PATIENCE_S).phase == "done"
    expected = segment(volume, load_model("lung-nodule-ct"), device="cpu", at=at)
    assert len(expected) == 1
    assert state_of(job.result) == state_of(expected)
    assert job.result.provenance == expected.provenance


def test_a_cancel_ends_the_process_at_once_and_leaves_nothing(worker: Worker) -> None:
    large = touching_lesions(4, shape=(96, 96, 96)).volume
    job = worker.segment({"mr": large}, MODEL, device="cpu")
    wait_for(job, "segmenting")
    number, folder = worker.process_number, folder_of(worker)
    start = time.monotonic()
    job.cancel()
    assert time.monotonic() - start < 1.0
    assert job.state.phase == "cancelled"
    assert number is not None
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
    job.wait(PATIENCE_S)
    assert not folder.exists()
    with pytest.raises(ValueError, match="no result"):
        _ = job.result


def test_the_folder_is_open_to_its_owner_alone(fake: Fake) -> None:
    worker = fake("time.sleep(60)")
    begun(worker)
    assert folder_of(worker).stat().st_mode & 0o077 == 0


def test_a_crash_is_one_line_with_its_cause(fake: Fake) -> None:
    job = begun(fake("raise ValueError('no such thing')"))
    assert job.wait(PATIENCE_S).phase == "failed"
    assert isinstance(job.error, MedsegError)
    assert job.error.code == "run-ended"
    assert "ValueError: no such thing" in str(job.error)
    assert "\n" not in str(job.error)


def test_an_end_without_a_word_names_the_exit_code(fake: Fake) -> None:
    job = begun(fake("os._exit(11)"))
    job.wait(PATIENCE_S)
    assert job.error is not None
    assert "exit code 11" in str(job.error)


def test_a_kill_by_the_system_is_want_of_memory(fake: Fake) -> None:
    worker = fake("say(event='phase', phase='segmenting'); time.sleep(60)")
    job = begun(worker)
    wait_for(job, "segmenting")
    assert worker.process_number is not None
    os.kill(worker.process_number, signal.SIGKILL)
    job.wait(PATIENCE_S)
    assert job.error is not None
    assert job.error.code == "out-of-memory"


@pytest.mark.parametrize(
    "words",
    [
        "raise MemoryError",
        "raise RuntimeError('CUDA out of memory. Tried to allocate 20 GiB')",
        "sys.exit('terminate called after throwing an instance of std::bad_alloc')",
    ],
)
def test_want_of_memory_is_told_from_other_crashes(fake: Fake, words: str) -> None:
    job = begun(fake(words))
    job.wait(PATIENCE_S)
    assert job.error is not None
    assert job.error.code == "out-of-memory"


def test_an_answer_that_is_no_message_ends_the_job(fake: Fake) -> None:
    job = begun(fake("print('hello', flush=True); time.sleep(60)"))
    assert job.wait(PATIENCE_S).phase == "failed"
    assert job.error is not None
    assert job.error.code == "run-ended"


def test_a_damaged_result_is_refused(fake: Fake) -> None:
    script = """
    open(sys.argv[1] + "/result.npz", "wb").write(b"PK nothing")
    say(event="result", file="result.npz")
    time.sleep(60)
    """
    job = begun(fake(script))
    job.wait(PATIENCE_S)
    assert job.error is not None
    assert job.error.code == "file-corrupt"


def test_time_left_follows_from_the_windows_so_far(fake: Fake) -> None:
    script = """
    say(event="phase", phase="segmenting")
    time.sleep(0.5)
    say(event="progress", done=1, total=3)
    time.sleep(60)
    """
    job = begun(fake(script))
    wait_for(job, "segmenting")
    end = time.monotonic() + PATIENCE_S
    while job.state.done == 0 and time.monotonic() < end:
        time.sleep(0.01)
    left = job.state.seconds_left
    assert job.state.total == 3
    assert left is not None
    assert 0.5 < left < 10  # two more windows like the first


def test_a_second_job_has_to_wait(fake: Fake) -> None:
    worker = fake("time.sleep(60)")
    begun(worker)
    with pytest.raises(ValueError, match="one job at a time"):
        begun(worker)


def test_after_a_crash_the_next_job_has_a_new_process(fake: Fake) -> None:
    worker = fake("raise SystemExit(3)")
    begun(worker).wait(PATIENCE_S)
    first, folder = worker.process_number, folder_of(worker)
    begun(worker).wait(PATIENCE_S)
    assert worker.process_number != first
    assert not folder.exists()


def test_an_unknown_model_is_refused_before_anything_starts(fake: Fake) -> None:
    worker = fake("time.sleep(60)")
    with pytest.raises(ModelError, match="model-unknown"):
        worker.segment({"mr": picture()}, "phantom-lesion")
    assert worker.process_number is None


def test_no_room_for_the_arrays_is_said_so(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medseg_napari.run.exchange.np.save", full)
    job = begun(fake("time.sleep(60)"))
    job.wait(PATIENCE_S)
    assert isinstance(job.error, OutputError)
    assert job.error.code == "disk-full"


def test_a_child_starts_where_the_working_directory_was_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    said = "os.path.isdir(os.getcwd()), all(map(os.path.isabs, sys.argv[1:]))"
    script = f"import os, sys; print({said}, file=sys.stderr); sys.exit(1)"
    child = Child([sys.executable, "-I", "-c", script])
    with pytest.raises(MedsegError, match="True True"):
        next(child.ask({}))


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import os
        from medseg_napari.run.process import Child
        child = Child()
        print(child.number, child.folder, flush=True)
        os._exit(1)  # as after a kill: nothing is tidied up
        """
    )
    import subprocess

    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    number, folder = said.stdout.split()
    end = time.monotonic() + PATIENCE_S
    while Path(folder).exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(folder).exists()
    while time.monotonic() < end:
        try:
            os.kill(int(number), 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the child is still there")

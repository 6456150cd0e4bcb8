"""A session on disk: what a crash leaves, what is offered again, who may write."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from medseg_napari.session import Session, find_session
from medseg_napari.session.snapshot import read_snapshot, write_snapshot
from session_cases import image, output, paint, random_step, session, snapshot, state_of

from medseg.errors import InputRefused, OutputError
from medseg.types import Instances

KILLS = 10


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def crash(work: Session) -> None:
    assert work.store is not None
    work.store.abandon()


def test_a_session_goes_on_where_it_was_left_with_undo_and_marks(tmp_path: Path) -> None:
    work = session(tmp_path)
    work.apply(paint(work, 7, (0, 4, 0, 4, 0, 4)))
    work.mark([3], "accept")
    work.comment(3, "as in 2024")
    work.move_line(7, "long", (0, 0, 0), (1, 2, 3))
    moved = work.review(7).long
    assert moved is not None and moved.mask_sum is not None
    work.undo()
    wanted = snapshot(work)
    crash(work)
    again = Session.resume(image(), tmp_path, "AB")
    assert snapshot(again) == wanted
    assert again.undo_name == "Comment on lesion 3"
    assert again.redo_name == "Move the long diameter of lesion 7"
    assert again.notes == ()
    again.redo()
    assert again.review(7).long == moved
    again.close()


def test_a_folder_says_what_lies_in_it_and_whether_it_was_left_by_a_crash(tmp_path: Path) -> None:
    assert find_session(tmp_path) is None
    work = Session.begin(image(), output(), "AB", folder=tmp_path, source={"series": "a1"})
    work.mark([3], "accept")
    work.keep_view(["instance_id", "volume_ml"])
    found = find_session(tmp_path)
    assert found is not None and found.in_use and not found.crashed
    crash(work)
    found = find_session(tmp_path)
    assert found is not None and found.crashed
    assert (found.saved.reader, found.steps) == ("AB", 1)
    assert found.saved.source == {"series": "a1"}
    assert found.saved.view["columns"] == ["instance_id", "volume_ml"]
    assert found.last_time == work.steps[-1].time
    Session.resume(image(), tmp_path, "AB").close()
    found = find_session(tmp_path)
    assert found is not None and not found.crashed
    assert files(tmp_path) == {"output.npz", "edits.jsonl", "session.json", "lock"}


def test_a_last_line_that_was_cut_off_anywhere_loses_that_step_alone(tmp_path: Path) -> None:
    work = session(tmp_path)
    work.apply(paint(work, 7, (0, 4, 0, 4, 0, 4)))
    before = snapshot(work)
    log = tmp_path / "edits.jsonl"
    whole = log.stat().st_size
    work.apply(paint(work, 7, (0, 8, 0, 4, 0, 4)))
    raw = log.read_bytes()
    crash(work)
    for cut in {whole, whole + 1, whole + 2, (whole + len(raw)) // 2, len(raw) - 2, len(raw) - 1}:
        log.write_bytes(raw[:cut])
        found = find_session(tmp_path)
        assert found is not None and (found.steps, found.torn) == (1, cut != whole)
        again = Session.resume(image(), tmp_path, "AB")
        assert snapshot(again) == before
        noted = [one.code for one in again.notes]
        assert noted == ([] if cut == whole else ["log-line-torn"])
        again.mark([3], "accept")  # and the next step stands on a line of its own
        crash(again)
        assert len(log.read_bytes().splitlines()) == 3
    log.write_bytes(raw[:-30] + b"\0" * 29 + b"\n")
    again = Session.resume(image(), tmp_path, "AB")
    assert snapshot(again) == before
    crash(again)


def test_a_step_that_cannot_be_written_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = session(tmp_path)
    before, write = snapshot(work), os.write
    raw = (tmp_path / "edits.jsonl").read_bytes()

    def half(file: int, data: bytes) -> int:
        write(file, bytes(data)[:10])
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "write", half)
    for step in (lambda: work.delete([3]), lambda: work.mark([3], "accept")):
        with pytest.raises(OutputError, match="disk-full"):
            step()
        assert (tmp_path / "edits.jsonl").read_bytes() == raw
    monkeypatch.undo()
    assert snapshot(work) == before and work.undo_name is None
    work.delete([7])
    assert len((tmp_path / "edits.jsonl").read_bytes().splitlines()) == 2
    crash(work)
    assert state_of(Session.resume(image(), tmp_path, "AB").instances) == state_of(work.instances)


def test_one_session_at_a_time_writes_to_a_folder(tmp_path: Path) -> None:
    work = session(tmp_path)
    with pytest.raises(OutputError, match=r"another session has it open \(AB on .* since .*in-use"):
        Session.resume(image(), tmp_path, "CD")
    work.close()
    with pytest.raises(OutputError, match="session-there"):
        session(tmp_path)
    again = Session.resume(image(), tmp_path, "CD")
    again.mark([3], "accept")
    mark = again.review(3).mark
    assert mark is not None and mark.reader == "CD"
    again.close()
    again.close()
    with pytest.raises(ValueError, match="is closed"):
        again.mark([3], "reject")


def test_a_folder_of_another_study_is_refused_and_left_free(tmp_path: Path) -> None:
    from dataclasses import replace

    from medseg.types import Geometry

    session(tmp_path).close()
    elsewhere = Geometry.from_spacing(image().geometry.shape, (1.0, 1.0, 1.0))
    with pytest.raises(InputRefused, match="grid-mismatch"):
        Session.resume(replace(image(), geometry=elsewhere), tmp_path, "AB")
    Session.resume(image(), tmp_path, "AB").close()


@pytest.mark.parametrize("name", ["output.npz", "session.json"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    session(tmp_path).close()
    raw = (tmp_path / name).read_bytes()
    for damage in (b"", raw[: len(raw) // 2], b"{}"):
        (tmp_path / name).write_bytes(damage)
        with pytest.raises(InputRefused, match=f"{name}: .*file-corrupt"):
            Session.resume(image(), tmp_path, "AB")


def test_without_its_small_state_a_session_still_goes_on(tmp_path: Path) -> None:
    work = session(tmp_path)
    work.delete([3])
    crash(work)
    (tmp_path / "session.json").unlink()
    (tmp_path / ".0badf00d.partial.session.json").write_text("{")
    again = Session.resume(image(), tmp_path, "AB")
    assert state_of(again.instances) == state_of(work.instances)
    again.close()
    assert files(tmp_path) == {"output.npz", "edits.jsonl", "session.json", "lock"}
    assert json.loads((tmp_path / "session.json").read_text())["closed"] is True


@pytest.mark.parametrize("empty", [False, True])
def test_the_models_output_comes_back_exactly(tmp_path: Path, empty: bool) -> None:
    from dataclasses import replace

    given = output()
    wider = replace(
        given.items[4],
        probability=np.linspace(0, 1, 12).reshape(2, 2, 3).astype(np.float16),
        probability_box=(slice(6, 8), slice(8, 10), slice(9, 12)),
    )
    given = replace(given, items=[] if empty else [*given.items[:4], wider])
    write_snapshot(given, tmp_path / "output.npz")
    found = read_snapshot(tmp_path / "output.npz")
    assert isinstance(found, Instances)
    assert state_of(found) == state_of(given)
    assert [one.probability_box for one in found] == [one.probability_box for one in given]
    assert found.geometry == given.geometry and found.classes == given.classes
    assert (found.warnings, found.provenance) == (given.warnings, given.provenance)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked and killed")
def test_kill_nine_at_random_moments_loses_at_most_the_last_step(tmp_path: Path) -> None:
    rng, lost, cut = np.random.default_rng(0), [], 0
    session(tmp_path).close()
    for kill in range(KILLS):
        said = work_until_killed(tmp_path, kill, float(rng.uniform(0.05, 0.25)))
        assert said, "killed before its first step: the machine is slower than the test allows"
        json.loads((tmp_path / "session.json").read_text())
        again = Session.resume(image(), tmp_path, "AB")
        cut += bool(again.notes)
        assert again.store is not None
        lost.append(again.store.steps - said[-1])
        again.table.frame()
        crash(again)
    assert set(lost) <= {0, 1}, lost  # 1: it was written, and killed before it could say so
    assert not [name for name in files(tmp_path) if ".partial" in name]


def work_until_killed(folder: Path, seed: int, seconds: float) -> list[int]:
    """Edit in another process, kill it (-9) after a while; the log's length after each step."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - it is killed
        try:
            work = Session.resume(image(), folder, "AB")
            rng = np.random.default_rng(seed)
            while work.store is not None:
                random_step(work, rng)
                work.keep_view([f"column {work.store.steps}"])
                os.write(write, work.store.steps.to_bytes(4, "little"))
        finally:
            os._exit(1)
    os.close(write)
    first = os.read(read, 4)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    said = first
    while part := os.read(read, 65536):
        said += part
    os.close(read)
    return [int.from_bytes(said[n : n + 4], "little") for n in range(0, len(said) - 3, 4)]

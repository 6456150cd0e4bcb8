"""Studies that arrive: taken once they are quiet, done once, done anew where they change."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from queue import Queue

import pytest
from batch_runs import QUICK, with_workers
from medseg_workflows import load_results, watch
from medseg_workflows.arrivals import Arrivals
from medseg_workflows.ledger import read_records
from medseg_workflows.receiver import Listen
from medseg_workflows.watch import WatchOptions, watch_inbox
from pydicom import dcmread
from pynetdicom import AE
from run_cases import MODEL, make_study

from medseg.errors import MedsegError, OutputError
from medseg.io.atomic import writable_folder

OPTIONS = replace(
    with_workers(QUICK, 1),
    work="medseg_workflows.study:segment_study",
    timeout_s=120,
    memory_mb=None,
)
SOON = WatchOptions(quiet_s=0.2, every_s=0.1)


class EnoughError(Exception):
    """Ends a watch from inside `say`."""


def until(lines: int, between: Callable[[int], object] = lambda _: None) -> Callable[[str], None]:
    """A `say` that keeps its lines, calls `between` after each, and ends the watch at the last."""
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if len(said) == lines:
            raise EnoughError(said)
        between(len(said))

    return say


def arrive(inbox: Path, name: str, seed: int) -> None:
    """A study that appears all at once."""
    made = make_study(inbox.parent / f"made-{name}", seed)
    inbox.mkdir(exist_ok=True)
    made.rename(inbox / name)


def watched(inbox: Path, out: Path, say: Callable[[str], None], soon: WatchOptions = SOON) -> None:
    with pytest.raises(EnoughError):
        watch_inbox(inbox, out, [MODEL], options=OPTIONS, watch=soon, say=say, warn=say)


def test_each_study_is_done_once_when_it_arrives_and_anew_when_it_changes(tmp_path: Path) -> None:
    inbox, out = tmp_path / "inbox", tmp_path / "out"
    arrive(inbox, "a", 1)

    def between(round_: int) -> None:
        if round_ == 1:
            arrive(inbox, "b", 2)
        else:
            first = sorted((inbox / "a").iterdir())[0]
            first.unlink()

    watched(inbox, out, until(3, between))
    studies = load_results(out).studies
    assert len(studies) == 2 and set(studies["state"]) == {"done"}
    assert len(read_records(out)) == 2
    assert len(list((out / "superseded").iterdir())) == 1


def test_a_restart_does_nothing_again(tmp_path: Path) -> None:
    inbox, out = tmp_path / "inbox", tmp_path / "out"
    arrive(inbox, "a", 1)
    watched(inbox, out, until(1))
    before = {one.key: one.seconds for one in read_records(out)}
    watched(inbox, out, until(1))
    assert {one.key: one.seconds for one in read_records(out)} == before


def test_what_a_scanner_sends_is_measured(tmp_path: Path) -> None:
    inbox, out = tmp_path / "inbox", tmp_path / "out"
    slices = [dcmread(file) for file in sorted(make_study(tmp_path / "sent", 3).iterdir())]
    lines: Queue[str] = Queue()

    def say(line: str) -> None:
        lines.put(line)
        if "done" in line:
            raise EnoughError

    listening = replace(SOON, listen=Listen("MEDSEG", "127.0.0.1", 0))
    thread = threading.Thread(target=watched, args=(inbox, out, say, listening))
    thread.start()
    port = int(lines.get(timeout=60).rpartition(":")[2])
    client = AE(ae_title="SCANNER")
    client.add_requested_context(slices[0].SOPClassUID)
    association = client.associate("127.0.0.1", port, ae_title="MEDSEG")
    assert all(association.send_c_store(one).Status == 0 for one in slices)
    association.release()
    assert lines.get(timeout=120).startswith("1 of 1 studies done")
    thread.join(60)
    assert len(read_records(out)) == 1


def test_a_round_that_fails_is_tried_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inbox" / "a").mkdir(parents=True)
    (tmp_path / "inbox" / "a" / "1.dcm").write_bytes(b"x")
    waits: list[float] = []
    monkeypatch.setattr(watch.time, "sleep", waits.append)

    def no_room(*_: object, **__: object) -> None:
        raise OutputError("disk-full", "OUT", "there is no room left", "free some space")

    monkeypatch.setattr(watch, "run_batch", no_room)
    watched(tmp_path / "inbox", tmp_path / "out", until(8), replace(SOON, quiet_s=0, every_s=10))
    assert waits == [20, 40, 80, 160, 300, 300, 300]


@pytest.mark.parametrize("code", ["out-owned", "batch-other"])
def test_what_no_waiting_mends_ends_the_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.dcm").write_bytes(b"x")

    def refused(*_: object, **__: object) -> None:
        raise OutputError(code, "OUT", "is not for this", "give another folder")

    monkeypatch.setattr(watch, "run_batch", refused)
    with pytest.raises(MedsegError, match=code):
        watch_inbox(tmp_path, tmp_path / "out", [MODEL], watch=replace(SOON, quiet_s=0))


def test_two_watches_do_not_fill_one_folder(tmp_path: Path) -> None:
    def another(_line: str) -> None:
        with pytest.raises(MedsegError, match="out-owned"):
            watch_inbox(tmp_path / "inbox", tmp_path / "out", [MODEL], options=OPTIONS, watch=SOON)
        raise EnoughError

    listening = replace(SOON, listen=Listen("MEDSEG", "127.0.0.1", 0))
    watched(tmp_path / "inbox", tmp_path / "out", another, listening)


def test_an_inbox_that_cannot_be_read_for_a_while_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inbox").mkdir()
    waits: list[float] = []
    monkeypatch.setattr(watch.time, "sleep", waits.append)

    def stale(*_: object) -> None:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(Arrivals, "look", stale)
    watched(tmp_path / "inbox", tmp_path / "out", until(3), replace(SOON, every_s=10))
    assert waits == [20, 40]


def test_failures_are_told_to_who_wants_no_other_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inbox").mkdir()
    monkeypatch.setattr(watch.time, "sleep", lambda _: None)

    def stale(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Arrivals, "look", stale)
    told = until(1)
    with pytest.raises(EnoughError, match=r"Input/output error \[path-unreadable\].*again in"):
        watch_inbox(
            tmp_path / "inbox", tmp_path / "out", [MODEL], options=OPTIONS, watch=SOON, warn=told
        )


def test_an_inbox_for_reading_alone_is_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive(tmp_path / "inbox", "a", 1)
    made: list[Path] = []

    def writable(folder: Path) -> Path:
        made.append(folder)
        return writable_folder(folder)

    monkeypatch.setattr(watch, "writable_folder", writable)
    watched(tmp_path / "inbox", tmp_path / "out", until(1))
    assert made == [tmp_path / "out"]  # nothing was tried in the inbox

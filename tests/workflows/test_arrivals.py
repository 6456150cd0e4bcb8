from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from medseg_workflows.arrivals import Arrivals


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def arrivals(tmp_path: Path, clock: Clock) -> Arrivals:
    return Arrivals(tmp_path, 120, clock)


def put(file: Path, size: int = 10) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(bytes(size))


def test_a_study_is_quiet_once_nothing_changed_for_long_enough(
    tmp_path: Path, arrivals: Arrivals, clock: Clock
) -> None:
    put(tmp_path / "study" / "series" / "1.dcm")
    assert arrivals.look() == set()
    clock.now = 119
    assert arrivals.look() == set()
    clock.now = 120
    assert arrivals.look() == {tmp_path / "study"}


@pytest.mark.parametrize("change", ["another file", "a longer file", "one file less"])
def test_any_change_begins_the_wait_anew(
    tmp_path: Path, arrivals: Arrivals, clock: Clock, change: str
) -> None:
    put(tmp_path / "study" / "1.dcm")
    put(tmp_path / "study" / "2.dcm")
    arrivals.look()
    if change == "another file":
        put(tmp_path / "study" / "deep" / "3.dcm")
    elif change == "a longer file":
        put(tmp_path / "study" / "2.dcm", 11)
    else:
        (tmp_path / "study" / "2.dcm").unlink()
    clock.now = 119
    assert arrivals.look() == set()
    clock.now = 238
    assert arrivals.look() == set()
    clock.now = 239
    assert arrivals.look() == {tmp_path / "study"}


def test_one_study_that_still_arrives_does_not_hold_up_another(
    tmp_path: Path, arrivals: Arrivals, clock: Clock
) -> None:
    put(tmp_path / "done" / "1.dcm")
    put(tmp_path / "slow" / "1.dcm")
    for step in range(1, 4):
        arrivals.look()
        clock.now = 60 * step
        put(tmp_path / "slow" / f"{step}.dcm")
    assert arrivals.look() == {tmp_path / "done"}
    assert arrivals.waiting({tmp_path / "done"}) == 1


def test_files_of_the_inbox_itself_are_one_entry(
    tmp_path: Path, arrivals: Arrivals, clock: Clock
) -> None:
    put(tmp_path / "1.nii.gz")
    arrivals.look()
    clock.now = 120
    assert arrivals.look() == {tmp_path}


def test_a_folder_that_someone_still_writes_to_is_not_quiet(
    tmp_path: Path, arrivals: Arrivals, clock: Clock
) -> None:
    put(tmp_path / "study" / "1.dcm")
    arrivals.look()
    clock.now = 500
    assert arrivals.look({tmp_path / "study"}) == set()


def test_an_empty_folder_is_no_study(tmp_path: Path, arrivals: Arrivals, clock: Clock) -> None:
    (tmp_path / "study").mkdir()
    arrivals.look()
    clock.now = 500
    assert arrivals.look() == set()


def test_what_was_taken_is_news_again_only_when_it_changed(
    tmp_path: Path, arrivals: Arrivals, clock: Clock
) -> None:
    put(tmp_path / "study" / "1.dcm")
    arrivals.look()
    clock.now = 120
    quiet = arrivals.look()
    assert arrivals.is_news(quiet)
    arrivals.take(quiet)
    clock.now = 240
    assert not arrivals.is_news(arrivals.look())
    put(tmp_path / "study" / "2.dcm")
    arrivals.look()
    clock.now = 360
    assert arrivals.is_news(arrivals.look())


def test_a_study_that_is_taken_away_is_forgotten(
    tmp_path: Path, arrivals: Arrivals, clock: Clock
) -> None:
    put(tmp_path / "study" / "1.dcm")
    arrivals.look()
    clock.now = 120
    arrivals.take(arrivals.look())
    shutil.rmtree(tmp_path / "study")
    assert arrivals.look() == set()
    assert not arrivals.is_news(set())


def test_a_folder_that_may_not_be_read_is_no_study_and_stops_nothing(
    tmp_path: Path, arrivals: Arrivals, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as lost+found, or where a program still writes."""
    put(tmp_path / "study" / "1.dcm")
    put(tmp_path / "closed" / "1.dcm")
    scandir = os.scandir

    def closed(path: str | Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError
        return scandir(path)

    monkeypatch.setattr("medseg_workflows.arrivals.os.scandir", closed)
    arrivals.look()
    clock.now = 120
    assert arrivals.look() == {tmp_path / "study"}

"""`medseg watch`: what the options say reaches the watch; how it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from medseg_workflows.receiver import Listen
from medseg_workflows.watch import WatchOptions


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the watch was called with; it says a line, and is then interrupted."""
    told: dict[str, Any] = {}

    def stand_in(**given: Any) -> None:
        told.update(given)
        given["say"]("1 of 1 studies done")
        raise KeyboardInterrupt

    monkeypatch.setattr("medseg_workflows.watch.watch_inbox", stand_in)
    return told


def test_it_says_what_was_done_and_ends_with_ctrl_c(run, asked, tmp_path: Path) -> None:
    outcome = run("watch", tmp_path, "-o", "out", "--model", "a")
    assert (outcome.code, outcome.out) == (130, "1 of 1 studies done\n")
    assert outcome.err.splitlines() == [
        "stopped: what is done is kept, and the same command goes on"
    ]
    assert asked["inbox"] == tmp_path and asked["models"] == ["a"]
    assert asked["watch"] == WatchOptions(120, 10, None, ())


def test_what_is_said_reaches_the_watch(run, asked, tmp_path: Path) -> None:
    arrival = ("--quiet-for", 3, "--every", 0.5, "--listen", "ME@10.0.0.1:104", "--from", "CT1")
    words = (*arrival, "--format", "seg", "--workers", 2, "--quiet")
    outcome = run("watch", tmp_path, "-o", "out", "--model", "a", "--model", "b", *words)
    assert outcome.out == ""
    assert asked["watch"] == WatchOptions(3, 0.5, Listen("ME", "10.0.0.1", 104), ("CT1",))
    assert asked["settings"].formats == ("seg",) and asked["options"].cluster.workers == 2


def test_a_round_that_failed_is_told_also_to_who_wants_quiet(
    run, monkeypatch, tmp_path: Path
) -> None:
    def stand_in(**given: Any) -> None:
        given["say"]("1 of 1 studies done")
        given["warn"]("no room left; trying again in 20 s")
        raise KeyboardInterrupt

    monkeypatch.setattr("medseg_workflows.watch.watch_inbox", stand_in)
    outcome = run("watch", tmp_path, "-o", "out", "--model", "a", "--quiet")
    assert outcome.out == "" and "no room left; trying again" in outcome.err


@pytest.mark.parametrize(
    "words",
    [
        ("--listen", "104"),
        ("--from", "CT1"),
        ("--workers", 2, "--scheduler", "tcp://x:1"),
        ("--every", 0),
    ],
)
def test_words_that_mean_nothing_are_a_usage_error(run, asked, tmp_path: Path, words) -> None:
    outcome = run("watch", tmp_path, "-o", "out", "--model", "a", *words)
    assert outcome.code == 2 and not asked


def test_without_the_extra_the_line_that_mends_it_is_told(run, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr("medseg.cli.batch_options.find_spec", lambda name: None)
    outcome = run("watch", tmp_path, "-o", "out", "--model", "a")
    assert outcome.code == 1 and "pip install 'medseg[batch]'" in outcome.err

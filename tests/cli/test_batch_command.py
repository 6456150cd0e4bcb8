"""`medseg batch`: from words of the shell to a folder of results, its exit codes, its silence."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import medseg_workflows
import pytest
from medseg_workflows.api import Batch
from medseg_workflows.cluster_file import Local, Running
from medseg_workflows.options import BatchOptions
from medseg_workflows.progress import Tally, shown
from medseg_workflows.records import Plan, Settings

from medseg.errors import OutputError
from medseg.io.pseudonyms import Pseudonyms, site_secret


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command asks `run_batch` for, which does nothing and says three of four are done."""
    said: dict[str, Any] = {}

    def run_batch(**given: Any) -> Batch:
        said.update(given)
        return Batch(Path("out"), Plan((), ()), 4, 3, 1, 2, {"timeout": 1})

    monkeypatch.setitem(vars(medseg_workflows), "run_batch", run_batch)
    return said


def test_options_reach_settings_and_limits(run, asked: Mapping[str, Any], tmp_path: Path) -> None:
    words = "--workers 3 --timeout 60 --memory 1.5 --format seg --as panoptic --as instance"
    words += " --timestamp 2026-01-02 --modality MR --unit arbitrary --resume --retry-quarantined"
    words += " --keep-map --pseudonymous-dicom --insecure --probabilities --quiet"
    run("batch", tmp_path, "-o", "out", "--model", "a", "--model", "b", *words.split())
    assert asked["models"] == ["a", "b"] and asked["root"] == tmp_path
    assert asked["settings"] == Settings(
        formats=("seg",),
        views=("panoptic",),
        probabilities=True,
        pseudonymous_dicom=True,
        modality="MR",
        unit="arbitrary",
        pet="physical",
        timestamp="2026-01-02",
    )
    options: BatchOptions = asked["options"]
    assert options.cluster == Local(workers=3)
    assert (options.timeout_s, options.memory_mb) == (60.0, 1536.0)
    assert options.resume and options.retry_quarantined and options.keep_map and options.insecure


def test_by_default_nothing_is_allowed_that_could_harm(run, asked, tmp_path: Path) -> None:
    run("batch", tmp_path, "-o", "out", "--model", "a")
    options: BatchOptions = asked["options"]
    assert not (options.resume or options.keep_map or options.insecure)
    assert isinstance(options.cluster, Local) and options.timeout_s == 3600
    assert asked["settings"].pet == "SUVbw"


def test_a_scheduler_and_a_cluster_are_passed_on(run, asked, tmp_path: Path) -> None:
    run("batch", tmp_path, "-o", "out", "--model", "a", "--scheduler", "tls://dask:8786")
    assert asked["options"].cluster == Running(address="tls://dask:8786")
    file = tmp_path / "CLUSTER.toml"
    file.write_text('kind = "local"\nworkers = 5')
    run("batch", tmp_path, "-o", "out", "--model", "a", "--cluster", file)
    assert asked["options"].cluster == Local(workers=5)


def test_two_places_to_run_are_a_usage_error(run, asked, tmp_path: Path) -> None:
    words = ("--workers", 2, "--scheduler", "tcp://127.0.0.1:1")
    outcome = run("batch", tmp_path, "-o", "out", "--model", "a", *words)
    assert outcome.code == 2 and "only one of --workers" in outcome.err


def test_counts_are_told_and_some_quarantined_is_4(run, asked, tmp_path: Path) -> None:
    outcome = run("batch", tmp_path, "-o", "out", "--model", "a")
    assert outcome.code == 4
    assert "3 of 4 studies done, 1 quarantined (timeout 1), 2 not selected" in outcome.out
    outcome = run("batch", tmp_path, "-o", "out", "--model", "a", "--json")
    assert json.loads(outcome.out)["failures"] == {"timeout": 1}
    assert run("batch", tmp_path, "-o", "out", "--model", "a", "--quiet").out == ""


@pytest.mark.parametrize(
    ("done", "quarantined", "code"), [(2, 0, 0), (2, 1, 4), (0, 1, 3), (0, 0, 3)]
)
def test_exit_codes_say_how_it_ended(done: int, quarantined: int, code: int) -> None:
    batch = Batch(Path("out"), Plan((), ()), done + quarantined, done, quarantined, 0, {})
    assert batch.exit_code == code


def test_a_folder_of_another_run_is_1(run, monkeypatch, tmp_path: Path) -> None:
    def owned(**_: Any) -> Batch:
        raise OutputError("out-owned", "OUT", "another run works in it: process 7 on x", "wait")

    monkeypatch.setitem(vars(medseg_workflows), "run_batch", owned)
    outcome = run("batch", tmp_path, "-o", "out", "--model", "a")
    assert outcome.code == 1 and "process 7 on x" in outcome.err


def test_ctrl_c_is_one_line_and_130(run, monkeypatch, tmp_path: Path) -> None:
    def interrupted(**_: Any) -> Batch:
        said = "3 of 6 studies are finished; the same command goes on"
        raise KeyboardInterrupt(said)

    monkeypatch.setitem(vars(medseg_workflows), "run_batch", interrupted)
    outcome = run("batch", tmp_path, "-o", "out", "--model", "a")
    assert outcome.code == 130
    assert outcome.error_lines == [
        "interrupted: 3 of 6 studies are finished; the same command goes on"
    ]


def test_without_the_extra_the_line_that_mends_it_is_told(run, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr("medseg.cli.batch_options.find_spec", lambda name: None)
    outcome = run("batch", tmp_path, "-o", "out", "--model", "a")
    assert outcome.code == 1 and "pip install 'medseg[batch]'" in outcome.err


def test_an_unknown_model_is_refused_before_anything_runs(run, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    words = ("--secret", tmp_path / "secret")
    outcome = run("batch", tmp_path / "root", "-o", tmp_path / "out", "--model", "no-such", *words)
    assert outcome.code == 3 and "model-unknown" in outcome.err


def test_a_plan_is_printed_and_nothing_runs(run, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    words = ("-o", tmp_path / "out", "--model", "phantom-lesions", "--secret", tmp_path / "secret")
    outcome = run("batch", tmp_path / "root", *words, "--plan")
    assert outcome.code == 0 and "0 studies" in outcome.out
    said = json.loads(run("batch", tmp_path / "root", *words, "--plan", "--json").out)
    assert said["jobs"] == []
    assert not list((tmp_path / "out" / "done").iterdir())


def test_a_plan_beside_a_batch_says_that_its_file_is_another(run, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    words = ("-o", tmp_path / "out", "--model", "phantom-lesions", "--secret", tmp_path / "secret")
    assert "plan.csv" not in run("batch", tmp_path / "root", *words, "--plan").out
    check = Pseudonyms(site_secret(tmp_path / "secret")).check
    (tmp_path / "out" / "batch.json").write_text(json.dumps({"version": 1, "secret_check": check}))
    outcome = run("batch", tmp_path / "root", *words, "--plan")
    assert "OUT holds a batch: its plan.csv is that of its last run" in outcome.out


def test_help_needs_neither_dask_nor_torch() -> None:
    code = (
        "import sys; from medseg.cli import main; main(['batch', '--help'])\n"
        "heavy = ('dask', 'distributed', 'torch', 'medseg_workflows')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_without_a_terminal_progress_is_lines_without_names(capsys) -> None:
    tally = Tally(total=4, done=1, quarantined=1, lesions=5, workers=2)
    tally.failures["timeout"] = 1
    with shown() as screen:
        screen.show(tally)  # too early for a line
        tally.done = 3
        screen.show(tally)
    line = capsys.readouterr().err
    assert line.startswith("batch: 4 of 4 studies, 5 lesions, 1 quarantined (timeout 1), 2 workers")
    assert line.count("\n") == 1


def test_on_a_terminal_progress_is_drawn_with_reasons(capsys, monkeypatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    tally = Tally(total=4, before=1, done=3, quarantined=1, lesions=5)
    tally.failures["missing-slices"] = 1
    with shown() as screen:
        screen.looked(10, 2)
        screen.show(tally)
    said = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    for words in ("10 files, 2 series looked at", "4 of 4 studies", "5 lesions", "missing-slices"):
        assert words in said


def test_quiet_progress_is_none(capsys) -> None:
    with shown(quiet=True) as screen:
        screen.looked(1, 1)
        screen.show(Tally(total=1, done=1))
    assert capsys.readouterr().err == ""


def test_time_left_is_that_of_this_run() -> None:
    tally = Tally(total=10, before=4, done=6, begun_s=100.0)
    assert tally.left_s(110.0) == pytest.approx(20.0)
    assert Tally(total=10, before=4, done=4).left_s(110.0) is None

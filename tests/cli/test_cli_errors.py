"""What a user sees when something goes wrong: one line, a code, nothing else."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import warnings

import numpy as np
import pytest

import medseg.inference
from medseg.cli.errors import describe
from medseg.errors import InputRefused, OutputError

from_model = pytest.mark.usefixtures("threshold_model")


def raising(error: BaseException):
    def segment(*_: object, **__: object) -> None:
        raise error

    return segment


@pytest.fixture
def segment_raising(run, image, tmp_path, threshold_model, monkeypatch):
    """`segment_raising(error, *options)`: run `medseg segment` with an inference that raises."""

    def call(error: BaseException, *options: str):
        monkeypatch.setitem(vars(medseg.inference), "segment", raising(error))
        out = tmp_path / "out"
        outcome = run("segment", image, "-o", out, "--model", threshold_model, *options)
        assert not out.exists()
        return outcome

    return call


def test_a_refusal_while_segmenting_names_the_file(segment_raising, image) -> None:
    refused = InputRefused("point-outside-image", "the point (1, 2, 3)", "it lies outside", "mend")
    (line,) = segment_raising(refused).error_lines
    assert f"{image.name}: the point (1, 2, 3)" in line


def test_a_refusal_is_one_line_and_exit_code_3(segment_raising, refused) -> None:
    outcome = segment_raising(refused)
    assert outcome.code == 3
    assert outcome.out == ""
    assert outcome.error_lines == [
        "error: study.nii.gz: every voxel is 0 [constant-image]; give another"
    ]


def test_a_failure_is_one_line_and_exit_code_1(segment_raising) -> None:
    outcome = segment_raising(OutputError("disk-full", "out", "no room", "free some space"))
    assert outcome.code == 1
    assert outcome.error_lines == ["error: out: no room [disk-full]; free some space"]


def test_json_names_the_error_on_stdout_and_keeps_the_line_on_stderr(
    segment_raising, refused
) -> None:
    outcome = segment_raising(refused, "--json")
    assert outcome.code == 3
    assert json.loads(outcome.out) == {
        "error": {
            "code": "constant-image",
            "subject": "study.nii.gz",
            "detail": "every voxel\nis 0",
            "remedy": "give another",
        }
    }
    assert len(outcome.error_lines) == 1


def test_an_unexpected_error_is_one_line_that_names_the_way_to_more(segment_raising) -> None:
    outcome = segment_raising(ZeroDivisionError("division\nby zero"))
    assert outcome.code == 1
    assert outcome.error_lines == [
        "unexpected error: ZeroDivisionError: division by zero; run again with --debug"
    ]


@pytest.mark.parametrize("where", ["before", "after"])
def test_debug_shows_the_traceback_before_and_after_the_command(
    run, image, tmp_path, threshold_model, monkeypatch, where
) -> None:
    monkeypatch.setitem(vars(medseg.inference), "segment", raising(ZeroDivisionError("no")))
    words = ["segment", image, "-o", tmp_path / "out", "--model", threshold_model]
    outcome = run("--debug", *words) if where == "before" else run(*words, "--debug")
    assert outcome.code == 1
    assert "Traceback" in outcome.err
    assert outcome.error_lines[-1].startswith("unexpected error: ZeroDivisionError: no")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((9, 9), np.dtype("f8")),
        type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
    ],
    ids=["python", "numpy", "torch-gpu", "torch-cpu"],
)
def test_too_little_memory_is_said_plainly(segment_raising, error) -> None:
    outcome = segment_raising(error)
    assert outcome.code == 1
    (line,) = outcome.error_lines
    assert "not enough memory [out-of-memory]" in line


def test_an_interrupt_is_exit_code_130(segment_raising) -> None:
    outcome = segment_raising(KeyboardInterrupt())
    assert outcome.code == 130
    assert outcome.error_lines == ["interrupted"]


def test_an_interrupt_behind_an_import_error_is_an_interrupt() -> None:
    error = ImportError("initialization failed")
    error.__cause__ = KeyboardInterrupt()
    assert describe(error) == describe(KeyboardInterrupt())


def test_what_libraries_warn_and_log_stays_off_the_terminal(
    run, image, tmp_path, threshold_model, monkeypatch, refused
) -> None:
    def noisy(*_: object, **__: object) -> None:
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        logging.getLogger("elsewhere").warning("look out")
        raise refused

    monkeypatch.setitem(vars(medseg.inference), "segment", noisy)
    outcome = run("segment", image, "-o", tmp_path / "out", "--model", threshold_model)
    assert len(outcome.error_lines) == 1
    assert logging.root.manager.disable == logging.NOTSET


@pytest.mark.parametrize(
    "words",
    [
        ["no-such-command"],
        ["segment"],
        ["segment", "x.nii.gz", "--model", "m"],
        ["segment", "x.nii.gz", "-o", "out", "--model", "m", "--device", "tpu"],
        ["segment", "x.nii.gz", "-o", "out", "--model", "m", "--modality", "US"],
        ["segment", "x.nii.gz", "-o", "out", "--model", "m", "--channel", "t1"],
        ["segment", "x", "-o", "out", "--model", "m", "--channel", "t=a", "--channel", "t=b"],
        ["measure", "x.nii.gz", "-o", "table.xlsx"],
        ["phantom", "out"],
        ["models", "show"],
    ],
)
def test_wrong_words_are_usage_errors(run, words, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run(*words)
    assert outcome.code == 2
    assert "Traceback" not in outcome.err
    assert not list(tmp_path.iterdir())


def test_every_refusal_exits_with_3_and_every_other_error_with_1() -> None:
    assert describe(InputRefused("archive", "a.zip", "is an archive", "unpack it"))[2] == 3
    assert describe(OutputError("not-writable", "out", "no", "another"))[2] == 1
    assert describe(OSError(5, "Input/output error"))[2] == 1


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    script = (
        "import sys; import typer; from medseg.cli import app as a\n"
        "def long() -> None:\n"
        "    for _ in range(100000): typer.echo('line')\n"
        "a.app.command('long')(long)\n"
        "sys.exit(a.main(['long']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_names_that_are_no_text_do_not_break_the_line(run, tmp_path) -> None:
    outcome = run("measure", tmp_path / "scan\udcff\n.nii.gz")
    assert outcome.code == 3
    (line,) = outcome.error_lines
    assert "[path-missing]" in line

"""Help, version and completion: quick, and without the libraries that take seconds to load."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version

import pytest

HEAVY = ("torch", "monai", "pandas", "SimpleITK", "numpy", "pydicom", "matplotlib", "numba")
COMMANDS = (
    "segment",
    "measure",
    "evaluate",
    "inspect",
    "models",
    "train",
    "check-data",
    "phantom",
    "view",
)

SCRIPT = """
import json, sys
from medseg.cli import main
code = main(json.loads(sys.argv[1]))
loaded = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
print(json.dumps([code, loaded]), file=sys.stderr)
"""


def loaded_by(*words: str) -> tuple[int, list[str]]:
    """The exit code of a command in a process of its own, and which heavy modules it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(words), json.dumps(HEAVY)],
        capture_output=True,
        text=True,
        check=True,
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    return code, modules


@pytest.mark.parametrize(
    "words", [("--help",), ("--version",), *((name, "--help") for name in COMMANDS)], ids=" ".join
)
def test_help_loads_no_heavy_library(words: tuple[str, ...]) -> None:
    assert loaded_by(*words) == (0, [])


@pytest.mark.parametrize("words", [("models", "list"), ("models", "show", "no-such-model")])
def test_looking_at_models_loads_no_torch(words: tuple[str, ...]) -> None:
    assert not {"torch", "monai"} & set(loaded_by(*words)[1])


def test_measuring_loads_no_torch(labels) -> None:
    code, modules = loaded_by("measure", str(labels))
    assert code == 0
    assert not {"torch", "monai"} & set(modules)


def test_every_command_says_its_exit_codes(run) -> None:
    for name in COMMANDS:
        assert "3 the input was refused" in run(name, "--help").out, name


def test_the_app_lists_every_command(run) -> None:
    out = run("--help").out
    for name in COMMANDS:
        assert name in out


def test_no_words_show_the_help_as_a_usage_error(run) -> None:
    outcome = run()
    assert outcome.code == 2
    assert "segment" in outcome.out + outcome.err


def test_the_version_is_the_installed_one(run) -> None:
    outcome = run("--version")
    assert (outcome.code, outcome.out) == (0, f"medseg {version('medseg')}\n")


@pytest.fixture
def completed(run, monkeypatch):
    """What bash is offered after these words; the last one is the one being typed."""

    def offers(*words: str) -> list[str]:
        monkeypatch.setenv("_MEDSEG_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", " ".join(["medseg", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        return run().out.split()

    return offers


def test_the_shell_completes_commands(completed) -> None:
    assert completed("me") == ["measure"]


@pytest.mark.parametrize("before", [("segment", "--model"), ("models", "show"), ("train",)])
def test_the_shell_completes_names_of_models(completed, threshold_model, before) -> None:
    assert completed(*before, "thr") == [threshold_model]
    assert completed(*before, "x") == []


def test_the_shell_completes_devices(completed) -> None:
    assert completed("segment", "--device", "c") == ["cpu", "cuda"]


def test_a_broken_list_of_models_does_not_break_the_shell(completed, monkeypatch) -> None:
    def broken() -> None:
        raise OSError

    monkeypatch.setattr("medseg.models.shipped", broken)
    assert completed("segment", "--model", "a") == []


def test_a_shell_gets_its_completion_script(run, monkeypatch) -> None:
    monkeypatch.setenv("_MEDSEG_COMPLETE", "source_bash")
    assert "complete -o default -F _medseg_completion medseg" in run().out

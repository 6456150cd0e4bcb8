"""`run_batch` as a whole on small DICOM studies: same bytes for any workers, nobody's name."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from medseg_workflows import BatchOptions, Local, Settings, load_results, plan_batch, run_batch
from run_cases import CANARY, MODEL, make_study

from medseg.errors import InputRefused, OutputError

WORDS = (b"canary", b"19510203", b"hidden_folder", b"hidden_file")
SETTINGS = Settings(formats=("seg", "sr"), timestamp="2026-01-02T03:04:05")


def options(tmp_path: Path, workers: int = 1) -> BatchOptions:
    return BatchOptions(
        cluster=Local(workers=workers), secret=tmp_path / "secret", memory_mb=3000.0, reserve_mb=0.0
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three studies, and one whose middle slice is missing."""
    folder = tmp_path_factory.mktemp("hidden_folder")
    for seed in range(4):
        make_study(folder / f"hidden_file_{seed}", seed, **CANARY)
    (folder / "hidden_file_3" / "0008.dcm").unlink()
    return folder


def contents(out: Path) -> dict[str, bytes]:
    """All that a second run gives again: no log, no times, no folder of the run itself."""
    others = ("record.json", "audit.jsonl", "sources", ".lock")
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in others and path.parent.name != "attempts"
    }


def words_in(data: bytes) -> list[bytes]:
    return [word for word in WORDS if word in data.lower()]


def test_one_and_two_workers_give_the_same_bytes(root: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        found = run_batch(root, out, [MODEL], settings=SETTINGS, options=options(tmp_path, workers))
        assert (found.total, found.done, found.quarantined, found.not_selected) == (4, 3, 1, 0)
    first, second = contents(tmp_path / "out1"), contents(tmp_path / "out2")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    assert sum(name.endswith(".seg.dcm") for name in first) == 3
    assert len(load_results(tmp_path / "out1").lesions) > 3


def test_no_name_and_no_path_is_legible_anywhere_and_a_second_run_does_nothing(
    root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, settings = tmp_path / "out", replace(SETTINGS, pseudonymous_dicom=True)
    run_batch(root, out, [MODEL], settings=settings, options=options(tmp_path))
    said = capfd.readouterr()
    assert not words_in((said.out + said.err).encode())
    legible = {name: words for name, data in contents(out).items() if (words := words_in(data))}
    assert legible == {}
    for name in ("sources", "audit.jsonl"):
        assert not words_in((out / name).read_bytes())
    names = [str(path.relative_to(out)) for path in out.rglob("*")]
    assert not words_in("\n".join(names).encode())
    before = contents(out)
    again = run_batch(root, out, [MODEL], settings=settings, options=options(tmp_path))
    assert again.done == 3 and contents(out) == before
    with pytest.raises(OutputError, match="another set of options.*--resume"):
        run_batch(root, out, [MODEL], settings=SETTINGS, options=options(tmp_path))
    mapped = replace(options(tmp_path), keep_map=True)
    run_batch(root, out, [MODEL], settings=settings, options=mapped)
    map_file = out / "pseudonyms.csv"
    assert "CANARYID" in map_file.read_text() and stat.S_IMODE(map_file.stat().st_mode) == 0o600


def test_a_batch_needs_no_network_but_loopback(
    root: Path, tmp_path: Path, skip_unless: Callable[[bool, str], None]
) -> None:
    alone = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    skip_unless(shutil.which("unshare") is not None, "unshare is not here")
    tried = subprocess.run([*alone, "true"], capture_output=True, check=False)
    skip_unless(tried.returncode == 0, "a network of its own cannot be made here")
    words = [root, "-o", tmp_path / "out", "--model", MODEL, "--workers", "1", "--memory", "3"]
    words += ["--secret", tmp_path / "secret", "--format", "seg", "--json"]
    ran = subprocess.run(
        [*alone, sys.executable, "-m", "medseg", "batch", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 4, ran.stderr
    said = json.loads(ran.stdout)
    assert (said["done"], said["failures"]) == (3, {"missing-slices": 1})


def test_a_plan_says_what_would_be_done_and_does_nothing(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan = plan_batch(root, out, [MODEL], options=options(tmp_path))
    assert len(plan.jobs) >= 3
    assert {"plan.csv", "plan.json"} <= {path.name for path in out.iterdir()}
    assert not list((out / "done").iterdir()) and not (out / "batch.json").exists()


def test_ctrl_c_in_the_terminal_is_one_line_and_leaves_no_process(
    root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = [str(root), "-o", str(out), "--model", MODEL, "--workers", "1"]
    words += ["--secret", str(tmp_path / "secret"), "--memory", "3", "--quiet"]
    with subprocess.Popen(
        [sys.executable, "-m", "medseg", "batch", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as batch:
        deadline = time.monotonic() + 120
        while not list(out.glob("done/*")) and batch.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        family = psutil.Process(batch.pid).children(recursive=True)
        lines = b"\n".join(" ".join(one.cmdline()).encode() for one in family)
        assert not words_in(lines.replace(str(root).encode(), b""))
        os.killpg(batch.pid, signal.SIGINT)  # as a terminal does, to all of the group
        said, errors = batch.communicate(timeout=60)
    assert batch.returncode == 130 and said == b""
    (line,) = errors.decode().splitlines()
    assert line.startswith("interrupted: ") and line.endswith("the same command goes on")
    _, alive = psutil.wait_procs(family, timeout=5)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
    assert (out / "report.html").is_file() and (out / "lesions.csv").is_file()
    events = [json.loads(line)["event"] for line in (out / "audit.jsonl").read_text().splitlines()]
    assert events[-1] == "interrupted"


@pytest.mark.parametrize("call", [plan_batch, run_batch])
def test_a_root_that_is_not_there_is_named_and_leaves_no_out(tmp_path: Path, call) -> None:
    with pytest.raises(InputRefused, match=r"^ROOT: .*\[path-missing\]"):
        call(tmp_path / "nowhere", tmp_path / "out", ["phantom-lesions"])
    assert not (tmp_path / "out").exists()

"""The benchmark of batches: its sums, its studies, and a small run of each part."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

Load = Callable[[str], ModuleType]


@pytest.fixture(autouse=True)
def _with_batch(skip_unless, monkeypatch, tmp_path: Path) -> None:
    skip_unless(find_spec("distributed") is not None, "the extra batch is not installed")
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "own"))


def test_the_steady_state_leaves_start_and_end_out(load: Load) -> None:
    batch = load("batch")
    cores = batch.psutil.cpu_count()
    ends_s = [0.0, 30.0, *[30.0 + 2 * n for n in range(1, 20)], 500.0]
    samples = [
        batch.Sample(n, at_s, 1.0 * n, 0.1 * n, 0.5 * n, 1.5 * n) for n, at_s in enumerate(ends_s)
    ]
    found = batch.steady(samples, 1)
    assert found.study_s == pytest.approx(2.0)
    assert found.free_s == pytest.approx(max(1.5, 1.1 / cores))  # a child waited 0.5 s for a core
    assert (found.children_s, found.others_s) == pytest.approx((1.0, 0.1))
    assert (found.cores, found.elsewhere_cores) == pytest.approx((0.55, 0.2))


def test_free_cores_give_no_more_than_the_processors_seconds_allow(load: Load) -> None:
    batch = load("batch")
    cores = batch.psutil.cpu_count()
    waits = [batch.Sample(n, 2.0 * n, 1.5 * n, 0.5 * n, 2.0 * n, 2.0 * n) for n in range(21)]
    assert batch.steady(waits, 1).free_s == pytest.approx(2.0 / cores)


def test_an_hour_holds_the_start_and_the_end_of_the_batch(load: Load) -> None:
    assert load("batch").in_an_hour(whole_s=140.0, studies=20, study_s=2.0) == 1750.0


def test_studies_of_image_files_and_of_dicom_are_all_planned(load: Load, tmp_path: Path) -> None:
    scale = load("batch_scale")
    for what in ("image files", "DICOM"):
        folder = tmp_path / what
        {"image files": scale.make_files, "DICOM": scale.make_dicom}[what](folder / "root", 3)
        scale.once("scan and plan", str(folder / "root"), str(folder / "out"))
        planned = json.loads((folder / "out" / "plan.json").read_bytes())
        assert len({job["study"] for job in planned["jobs"]}) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_small_scale_collects_every_study(load: Load, tmp_path: Path) -> None:
    scale = load("batch_scale")
    root, out = tmp_path / "root", tmp_path / "out"
    scale.make_files(root, 4)
    scale.once("scan and plan", str(root), str(out))
    scale.fill(out)
    found = scale.once("collect", str(root), str(out))
    assert found["processor_s"] > 0
    lines = (out / "studies.csv").read_text().splitlines()
    assert sum(",done," in line for line in lines) == 4
    assert len((out / "lesions.csv").read_text().splitlines()) > 8


def test_growth_is_told_of_each_round(load: Load, capsys) -> None:
    batch = load("batch")
    few = [batch.Cost(1.0, 1.0, 10.0), batch.Cost(2.0, 2.0, 10.0), batch.Cost(1.0, 1.0, 10.0)]
    many = [batch.Cost(1.0, 11.0, 50.0), batch.Cost(1.0, 26.0, 50.0), batch.Cost(1.0, 14.0, 50.0)]
    batch.print_growth({10: few, 100: many})
    seconds, memory = capsys.readouterr().out.splitlines()
    assert "1.30 [1.10-1.40] times as much  NOT MET" in seconds  # side by side, not 13 over 1
    assert "0.50 [0.50-0.50] times as much  met" in memory


@pytest.mark.slow
def test_a_small_run_prints_each_bar_of_workers(run, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))  # given back afterwards
    monkeypatch.setenv("BATCH_BUSY_S", "0")
    small = ("--busy-studies", "4", "--busy", "0.05", "--studies", "3", "--rounds", "1")
    printed = run("batch", "--parts", "workers", *small)
    for bar in ("by the clock", "had cores been free", "beside its own steps"):
        assert printed.count(bar) >= 2

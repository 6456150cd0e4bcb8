"""The benchmarks of reading DICOM run at a tiny size and print each row and bar."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from medseg.io.dicom import index, read_dicom

Load = Callable[[str], ModuleType]
Run = Callable[..., str]


@pytest.mark.parametrize("name", ["raw", "RLE", "JPEG-LS", "JPEG 2000", "JPEG lossless"])
def test_a_series_of_the_benchmarks_is_what_it_was_made_of(
    load: Load, tmp_path: Path, name: str
) -> None:
    made = load("dicom_series")
    volume = made.body(4, 24)
    made.write_series(volume, tmp_path, made.SYNTAXES[name])
    assert np.array_equal(read_dicom(tmp_path).array, volume.array)


def test_reading_prints_every_row_and_its_bars(
    load: Load, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    dicom = load("dicom")
    monkeypatch.setattr(index, "SETTLED_S", -60.0)
    monkeypatch.setattr(dicom, "SETTLED_S", -0.5)
    sizes = ["--slices", "3", "--packed", "3", "--size", "16", "--headers", "7", "--rounds", "1"]
    printed = run("dicom", *sizes)
    for row in ("medseg, raw", "SimpleITK, JPEG 2000", "pydicom", "medseg, second"):
        assert row in printed
    for bar in (
        "raw, medseg over SimpleITK",
        "raw HU, medseg over SimpleITK",
        "scan over pydicom loop",
        "second scan over first",
    ):
        assert bar in printed


def test_the_tags_of_the_loop_are_those_that_a_scan_asks_for(load: Load, tmp_path: Path) -> None:
    load("dicom_series").write_headers(tmp_path, 1)
    tags = load("dicom").needed_tags(next(path for path in tmp_path.rglob("*") if path.is_file()))
    assert {0x00080016, 0x00200032, 0x00200037, 0x00280030, 0x00281053, 0x00180081} <= set(tags)
    assert len(tags) > 40


def test_mutants_are_those_of_their_seed_and_differ(load: Load) -> None:
    fuzz = load("dicom_fuzz")
    whole = bytes(range(256)) * 8
    for kind in fuzz.MUTATIONS:
        one, same = (fuzz.mutant(whole, 900, kind, np.random.default_rng(3)) for _ in range(2))
        assert one == same != whole
        header = fuzz.mutant(whole, 900, "header", np.random.default_rng(4))
        assert header[900:] == whole[900:]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_fuzzing_meets_its_bars_and_sees_what_is_raised(load: Load, run: Run) -> None:
    assert "NOT MET" not in run("dicom_fuzz", "--mutants", "100", "--size", "16")
    fuzz = load("dicom_fuzz")
    fine = fuzz.Fate(fuzz.Counter({"read": 2}), fuzz.Times(9.9, 9.9), 0, 1.0, 0, 0)
    assert fuzz.print_fates({"raw": fine})
    for wrong in (
        {"outcomes": fuzz.Counter({"read": 1, "RAISED KeyError": 1})},
        {"slowest": fuzz.Times(10.1, 0.1)},
        {"slowest": fuzz.Times(0.1, 10.1)},
        {"crashes": 1},
        {"hangs": 1},
        {"memory_mb": 1025.0},
    ):
        assert not fuzz.print_fates({"raw": fine._replace(**wrong)})


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_batch_that_dies_is_a_crash(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    fuzz = load("dicom_fuzz")
    monkeypatch.setattr(fuzz, "SCRIPT", "import os; os.abort()")
    assert fuzz.fate("raw", 0, 600, 16).crashes == 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("guard", "body"),
    [("PROCESSOR_GUARD_S", "while True: pass"), ("CLOCK_GUARD_S", "time.sleep(600)")],
)
def test_a_batch_that_hangs_is_ended_and_told_from_one_that_dies(
    load: Load, monkeypatch: pytest.MonkeyPatch, guard: str, body: str
) -> None:
    fuzz = load("dicom_fuzz")
    script = (
        f"import time, dicom_fuzz as f\nf.{guard} = 0.2\nwith f.stopped_where_it_hangs():\n {body}"
    )
    monkeypatch.setattr(fuzz, "SCRIPT", script)
    found = fuzz.fate("raw", 0, 1, 16)
    assert (found.hangs, found.crashes) == (1, 0)


@pytest.mark.parametrize(
    ("clock_s", "readings", "slowest"), [([12, 3], 2, 3), ([12, 13, 11], 3, 11), ([4], 1, 4)]
)
def test_a_mutant_is_over_its_time_where_every_reading_is(
    load: Load,
    monkeypatch: pytest.MonkeyPatch,
    clock_s: list[float],
    readings: int,
    slowest: float,
) -> None:
    fuzz = load("dicom_fuzz")
    left = [("read", fuzz.Times(1.0, one)) for one in clock_s]
    monkeypatch.setattr(fuzz, "_timed", lambda *_: left.pop(0))
    assert fuzz._read_in_time(Path(), Path()) == ("read", fuzz.Times(1.0, slowest))
    assert len(clock_s) == readings
    assert left == []


@pytest.mark.skipif(sys.platform != "linux", reason="times of children")
def test_seconds_of_a_process_that_was_started_count(load: Load) -> None:
    fuzz = load("dicom_fuzz")
    before = fuzz._processor_s()
    subprocess.run([sys.executable, "-c", "sum(range(10**7))"], check=True)
    assert fuzz._processor_s() - before > 0.1

"""The benchmarks of reading DICOM run at a tiny size and print each row and bar."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from medseg.io.dicom import index, read_dicom

Load = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def load(repository: Path) -> Iterator[Load]:
    """Modules of `benchmarks/`, which is no package: scripts import each other by name."""
    folder = repository / "benchmarks"
    sys.path.insert(0, str(folder))
    yield importlib.import_module
    sys.path.remove(str(folder))
    for path in folder.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.mark.parametrize("name", ["raw", "RLE", "JPEG-LS", "JPEG 2000", "JPEG lossless"])
def test_a_series_of_the_benchmarks_is_what_it_was_made_of(
    load: Load, tmp_path: Path, name: str
) -> None:
    made = load("dicom_series")
    volume = made.body(4, 24)
    made.write_series(volume, tmp_path, made.SYNTAXES[name])
    assert np.array_equal(read_dicom(tmp_path).array, volume.array)


def test_reading_prints_every_row_and_its_bars(
    load: Load, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dicom = load("dicom")
    monkeypatch.setattr(index, "SETTLED_S", -60.0)
    monkeypatch.setattr(dicom, "SETTLED_S", -0.5)
    sizes = ["--slices", "3", "--packed", "3", "--size", "16", "--headers", "7", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", ["dicom.py", *sizes])
    dicom.main()
    printed = capsys.readouterr().out
    for row in ("medseg, raw", "SimpleITK, JPEG 2000", "pydicom", "medseg, second"):
        assert row in printed
    for bar in ("raw, medseg over SimpleITK", "scan over pydicom loop", "second scan over first"):
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
def test_fuzzing_meets_its_bars_and_sees_what_is_raised(
    load: Load, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fuzz = load("dicom_fuzz")
    monkeypatch.setattr(sys, "argv", ["dicom_fuzz.py", "--mutants", "100", "--size", "16"])
    fuzz.main()
    assert "NOT MET" not in capsys.readouterr().out
    bad = fuzz.Fate(fuzz.Counter({"read": 1, "RAISED KeyError": 1}), 0.1, 0, 1.0, 0)
    assert not fuzz.print_fates({"raw": bad})


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_batch_that_dies_is_a_crash(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    fuzz = load("dicom_fuzz")
    monkeypatch.setattr(fuzz, "SCRIPT", "import os; os.abort()")
    assert fuzz.fate("raw", 0, 600, 16).crashes == 2

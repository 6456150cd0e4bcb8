"""What other programs find in SEG and SR: the comparisons of the benchmark, in 12 orientations."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def benchmark(repository: Path):
    """`benchmarks/dicom_out.py`, which is no package."""
    folder = repository / "benchmarks"
    sys.path.insert(0, str(folder))
    yield importlib.import_module("dicom_out")
    sys.path.remove(str(folder))
    for path in folder.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture(scope="module")
def tools(skip_unless) -> dict[str, str]:
    found = {
        "segimage2itkimage": shutil.which(
            "segimage2itkimage", path=str(Path(sys.executable).parent)
        ),
        "dciodvfy": shutil.which("dciodvfy"),
    }
    for name, path in found.items():
        skip_unless(path is not None, f"{name} is not installed (dcmqi from PyPI, dicom3tools)")
    return {name: str(path) for name, path in found.items()}


@pytest.mark.parametrize("number", range(0, 24, 2))
def test_seg_and_sr_are_read_back_in_every_orientation(benchmark, tools, number: int) -> None:
    name, grid = list(benchmark.orientations())[number]
    checks = benchmark.case_checks(name, grid, tools)
    assert len(checks) == 9
    assert [one for one in checks if not one.passes] == []


def test_an_oblique_seg_is_read_back_without_any_tool_of_the_system(benchmark) -> None:
    name, grid = list(benchmark.orientations())[7]
    checks = benchmark.case_checks(name, grid, {"segimage2itkimage": None, "dciodvfy": None})
    assert [one for one in checks if not one.passes] == []

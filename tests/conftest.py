"""What all tests share: one thread a process, hypothesis without chance, data, honest skips."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import pytest

# Before anything imports NumPy or torch: several test processes share the cores.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "agg")
if find_spec("PyQt6"):  # of two bindings pytest-qt would take PySide6, which has a test of its own
    os.environ.setdefault("PYTEST_QT_API", "pyqt6")

REPOSITORY = Path(__file__).resolve().parent.parent

hypothesis.settings.register_profile("medseg", derandomize=True, deadline=None)
hypothesis.settings.load_profile("medseg")

SkipUnless = Callable[[bool, str], None]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def skip_unless() -> SkipUnless:
    """`skip_unless(present, reason)`: skip where something is absent; with MEDSEG_CI set, fail.

    For shared data and libraries of the system: on a workstation they may be absent, in continuous
    integration all of them are there, and a skip would hide that a test no longer runs.
    """
    must = bool(os.environ.get("MEDSEG_CI"))

    def decide(present: bool, reason: str) -> None:
        if present:
            return
        if must:
            pytest.fail(f"would be skipped, but MEDSEG_CI is set: {reason}", pytrace=False)
        pytest.skip(reason)

    return decide


@pytest.fixture(scope="session")
def shared_data(skip_unless: SkipUnless) -> Path:
    """The folder of real studies kept beside the checkout, `MEDSEG_SHARED` or `../shared`."""
    shared = Path(os.environ.get("MEDSEG_SHARED", REPOSITORY.parent / "shared"))
    data = shared / "data"
    skip_unless(
        data.is_dir(),
        "real studies are not at ../shared/data; set MEDSEG_SHARED to the folder that holds data/",
    )
    return data

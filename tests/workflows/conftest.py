"""What tests of batches share: children find their work functions, and nothing of the user's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_places(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Child processes find these modules; secret and index go where they are forgotten.

    `MEDSEG_TEST` marks every process that a test starts, directly or not.
    """
    monkeypatch.setenv("MEDSEG_TEST", str(tmp_path_factory.mktemp("test")))
    known = os.environ.get("PYTHONPATH")
    here = str(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", f"{here}{os.pathsep}{known}" if known else here)
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path_factory.mktemp("own")))

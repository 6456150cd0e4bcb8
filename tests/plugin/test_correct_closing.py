"""Whoever closes the window while a step is computed is neither kept waiting nor met by a crash."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("closing_during_work.py")


@pytest.mark.parametrize("way", ["window", "dock", "delete"])
def test_a_panel_that_computes_can_be_closed(needs_window, way: str) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), way],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "closed"
    assert "QThread" not in done.stderr

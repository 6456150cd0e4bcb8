"""The plugin under PySide6, the other Qt binding, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from session_cases import image, output

import medseg

SCRIPT = Path(__file__).with_name("pyside_smoke.py")


@pytest.mark.slow
def test_a_study_opens_and_is_reviewed_under_pyside6(
    needs_window, skip_unless, tmp_path: Path
) -> None:
    there = find_spec("PySide6") is not None
    skip_unless(there, "PySide6 is not installed: pip install 'pyside6-essentials<6.12'")
    study, objects = tmp_path / "study.nii.gz", tmp_path / "objects.seg.nrrd"
    medseg.write(image(), study)
    medseg.write(output(), objects)
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), str(study), str(objects), str(tmp_path / "out")],
        env={
            **os.environ,
            "QT_API": "pyside6",
            "NAPARI_CONFIG": str(tmp_path / "settings.yaml"),  # not what other tests left there
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-3000:]
    assert "done under PySide6" in ran.stdout

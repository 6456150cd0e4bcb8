"""What the tests of training share."""

from __future__ import annotations

from pathlib import Path

import pytest
from check_cases import CASES, image, labels, save


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten sound cases."""
    for seed, name in enumerate(CASES):
        save(tmp_path / "images" / f"{name}.nii.gz", image(seed))
        save(tmp_path / "labels" / f"{name}.nii.gz", labels(seed))
    return tmp_path

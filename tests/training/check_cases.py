"""A sound data set of ten cases, for the tests that break it."""

from __future__ import annotations

from pathlib import Path

import dataset_cases
import numpy as np

from medseg.training.check import check_folder
from medseg.training.recipe import Recipe

CASES = [f"case_{n:02d}" for n in range(10)]
SHAPE = (10, 12, 14)
AFFINE = np.diag([1.0, 1.5, 2.0, 1.0])
ODD = CASES[4]


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    """`array` (z, y, x) as NIfTI, on the grid of the data set if not said."""
    dataset_cases.write_nifti(path, array, affine)


def image(seed: int) -> np.ndarray:
    return dataset_cases.noise(seed, SHAPE)


def labels(seed: int = 0) -> np.ndarray:
    """Two organs of 60 and about 60 voxels."""
    array = np.zeros(SHAPE, dtype=np.uint8)
    array[1:4, 1:6, 1:5] = 1
    array[5:8, 1:6, 1 : 5 + seed % 2] = 2
    return array


def image_of(root: Path, case: str = ODD) -> Path:
    return root / "images" / f"{case}.nii.gz"


def labels_of(root: Path, case: str = ODD) -> Path:
    return root / "labels" / f"{case}.nii.gz"


def found(root: Path, recipe: Recipe | None = None) -> list[tuple[str, str, str]]:
    report = check_folder(root, recipe=recipe)
    return [(one.severity, one.case, one.code) for one in report.faults]


def recipe_of(kinds=("organ", "organ"), *, modality="MR", channels=None, **data) -> Recipe:
    """A recipe for it, with a class of each kind."""
    classes = [
        {"name": f"part_{n}", "kind": kind, "label": n} for n, kind in enumerate(kinds, start=1)
    ]
    return dataset_cases.recipe_of(
        {"images": channels or "images", **data},
        classes=classes,
        channels=channels or ["image"],
        modality=modality,
    )

"""A sound data set of ten cases, for the tests that break it."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from medseg.training.check import check_folder
from medseg.training.recipe import Recipe

CASES = [f"case_{n:02d}" for n in range(10)]
SHAPE = (10, 12, 14)
AFFINE = np.diag([1.0, 1.5, 2.0, 1.0])
ODD = CASES[4]


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    """`array` (z, y, x) as NIfTI, whose own order is (x, y, z)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array.T, affine), path)


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 20, SHAPE).astype(np.float32)


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
    model = {
        "name": "toy",
        "version": "1",
        "summary": "",
        "intended_use": "",
        "limits": "",
        "modality": modality,
        "body_part": "head",
        "licence": {"data": "CC0-1.0", "weights": "CC0-1.0", "attribution": ""},
        "channels": [
            {"name": name, "normalisation": {"kind": "z_score"}} for name in channels or ["image"]
        ],
        "classes": [
            {"name": f"part_{n}", "kind": kind, "label": n} for n, kind in enumerate(kinds, start=1)
        ],
        "spacing_mm": [1, 1, 1],
        "window_shape": [8, 8, 8],
        "backbone": {"name": "any"},
        "head": {"name": "any"},
    }
    training = {
        "seed": 0,
        "steps": 10,
        "batch_size": 1,
        "crop_shape": [8, 8, 8],
        "learning_rate": 0.01,
        "validate_every": 5,
    }
    folders = {"kind": "folders", "name": "toys", "images": channels or "images"}
    everything = {**folders, "labels": "labels", **data}
    return Recipe.model_validate({"model": model, "data": everything, "training": training})

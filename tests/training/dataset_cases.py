"""Small data sets on disk, and recipes for them."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from medseg.training.datasets import list_cases, load_case
from medseg.training.recipe import Recipe

TRAINING = {
    "seed": 0,
    "steps": 10,
    "batch_size": 1,
    "crop_shape": [8, 8, 8],
    "learning_rate": 0.01,
    "validate_every": 5,
}
ORGANS = ({"name": "front", "kind": "organ", "label": 1},)
MIXED = (*ORGANS, {"name": "spot", "kind": "lesion", "label": 2})


def recipe_of(data: dict, *, classes=ORGANS, channels=("t1",), modality="MR") -> Recipe:
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
            {"name": name, "normalisation": {"kind": "z_score"}, "required": name != "t2"}
            for name in channels
        ],
        "classes": list(classes),
        "spacing_mm": [1, 1, 1],
        "window_shape": [8, 8, 8],
        "backbone": {"name": "any"},
        "head": {"name": "any"},
    }
    data = {"kind": "folders", "name": "toys", "images": "images", "labels": "labels", **data}
    if data["kind"] != "folders":
        del data["images"], data["labels"]
    return Recipe.model_validate({"model": model, "data": data, "training": TRAINING})


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    """`array` (z, y, x) as NIfTI, whose own order is (x, y, z), with 1 mm voxels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array.T, np.eye(4) if affine is None else affine), path)
    return path


def noise(seed: int, shape=(6, 7, 8)) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32)


def labels(shape=(6, 7, 8)) -> np.ndarray:
    array = np.zeros(shape, dtype=np.uint8)
    array[1:3, 1:3, 1:3] = 1
    return array


def build(root: Path, names=("a", "b", "c")) -> Path:
    for seed, name in enumerate(names):
        write_nifti(root / "images" / f"{name}.nii.gz", noise(seed))
        write_nifti(root / "labels" / f"{name}.nii.gz", labels())
    return root


def load_only(root: Path, recipe: Recipe):
    (case,) = list_cases(recipe, root)
    return load_case(case, recipe)

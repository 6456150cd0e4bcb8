"""What the tests of the command line share besides fixtures: a model, arrays and files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from pydicom import dcmread
from scipy import ndimage

from medseg.card import Card
from medseg.phantom.dicom import write_dicom_series
from medseg.types import Geometry, InputWarning, Instances, Volume

MODEL = "threshold"


@dataclass(frozen=True)
class Outcome:
    """What a command gave back to the shell."""

    code: int
    out: str
    err: str

    @property
    def error_lines(self) -> list[str]:
        return self.err.splitlines()


def threshold_figures() -> dict[str, Any]:
    """Held-out figures of the model that finds what is bright."""
    row = {"class": "bright spot", "mean Dice": 0.714}
    found = {"class": "bright spot", "F1": 0.655}
    return {"held_out": {"cases": 17, "table": [row], "lesions": [found]}}


def threshold_card() -> Card:
    normal = {"kind": "z_score"}
    return Card.model_validate(
        {
            "name": MODEL,
            "version": "1.0",
            "summary": "Everything bright.",
            "intended_use": "Tests.",
            "limits": "All.",
            "modality": "MR",
            "body_part": "any",
            "licence": {"data": "CC0-1.0", "weights": "CC0-1.0", "attribution": "nobody"},
            "channels": [
                {"name": "flair", "normalisation": normal},
                {"name": "t1", "required": False, "normalisation": normal},
            ],
            "classes": [{"name": "bright spot", "kind": "lesion", "label": 1}],
            "spacing_mm": [1, 1, 1],
            "window_shape": [8, 8, 8],
            "backbone": {"name": "none"},
            "head": {"name": "none"},
            "training": {"name": "none", "cases": 0, "minutes": 0, "device": "cpu"},
        }
    )


def find_bright(
    volumes: Mapping[str, Volume],
    model: Any,
    *,
    at: tuple[float, ...] | None = None,
    box: tuple[float, ...] | None = None,
    device: str = "auto",
    progress: Any = None,
) -> Instances:
    """Connected components of what is above 100, told in four steps."""
    image = next(iter(volumes.values()))
    labels, _ = ndimage.label(image.array > 100)
    for done in range(1, 5):
        progress(done, 4)
    classes = model.card.instance_classes
    found = Instances.from_labelmap(labels, image.geometry, classes)
    provenance = {
        "model": {"name": model.card.name, "version": model.card.version},
        "device": device,
        **({"at": list(at)} if at else {}),
        **({"box": list(box)} if box else {}),
        "channels": list(volumes),
        "modality": image.modality,
    }
    warnings = (InputWarning("out-of-domain", "the image is darker than it should be"),)
    return Instances(found.geometry, found.items, classes, warnings, provenance)


def bright_array() -> np.ndarray:
    """Two bright blocks, of 27 and 8 voxels, in 12 x 14 x 16 dark ones."""
    array = np.zeros((12, 14, 16), dtype=np.int16)
    array[..., 0] = 1
    array[2:5, 3:6, 4:7] = 200
    array[8:10, 8:10, 9:11] = 300
    return array


def save_nifti(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    """Write array (x, y, z), by default with 1 mm voxels and both codes of the affine set."""
    image = nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(image.affine, code=1)
    image.set_qform(np.eye(4), code=1 if affine is None else 0)
    nibabel.save(image, path)
    return path


def two_echoes(folder: Path) -> tuple[Volume, Volume]:
    """A DICOM series of two volumes, of echo times 20 and 90 ms, written into `folder`."""
    grid = Geometry.from_spacing((6, 5, 4), (2.5, 0.8, 0.7))
    rng = np.random.default_rng(0)
    early, late = (
        Volume(rng.integers(0, 999, grid.shape, dtype=np.int16), grid, "MR", "arbitrary")
        for _ in range(2)
    )
    headers = [dcmread(path) for path in write_dicom_series(early, folder)]
    late_paths = write_dicom_series(late, folder.with_name("late"))
    for header, path in zip(headers, late_paths, strict=True):
        header.EchoTime = 20
        header.save_as(folder / path.name)
        other = dcmread(path)
        for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            setattr(other, name, getattr(header, name))
        other.EchoTime = 90
        other.InstanceNumber = len(headers) + int(other.InstanceNumber)
        other.save_as(folder / f"late-{path.name}")
    return early, late

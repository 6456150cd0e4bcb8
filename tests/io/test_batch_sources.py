"""Images of a batch are read from their files; a label map among them is no image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medseg import samples
from medseg.errors import InputRefused
from medseg.inference.results import without_overlaps
from medseg.io import read, write
from medseg.io.batch_sources import ImageInput, read_image
from medseg.phantom import make_phantom, touching_lesions


def image(path: Path) -> ImageInput:
    return ImageInput((str(path),))


@pytest.mark.parametrize("scene", [make_phantom, touching_lesions])
def test_a_label_map_beside_an_image_is_refused(tmp_path: Path, scene) -> None:
    made = scene(1)
    write(without_overlaps(made.truth), tmp_path / "truth.nii.gz")
    with pytest.raises(InputRefused, match="label-map-as-image"):
        read_image(image(tmp_path / "truth.nii.gz"))


def test_a_mask_is_refused() -> None:
    with pytest.raises(InputRefused, match="label-map-as-image"):
        read_image(image(samples.path("lung_nodule_crop") / "label.nii.gz"))


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_a_made_image_of_whole_numbers_is_read(tmp_path: Path, modality: str) -> None:
    made = make_phantom(2, modality=modality)  # type: ignore[arg-type]
    write(made.volume, tmp_path / "image.nii.gz")
    found = read_image(image(tmp_path / "image.nii.gz")).volume
    assert np.array_equal(found.array, made.volume.array)


def test_a_real_image_of_few_grey_values_is_read(tmp_path: Path) -> None:
    volume = read(samples.path("hippocampus_crop_study1"))
    low, high = np.percentile(volume.array, (1, 99))
    eight_bit = np.clip((volume.array - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    write(type(volume)(eight_bit, volume.geometry), tmp_path / "image.nii.gz")
    assert read_image(image(tmp_path / "image.nii.gz")).volume.array.max() == 255


def test_every_real_image_is_read(shared_data: Path) -> None:
    folders = [
        shared_data / name / "images" for name in ("hippocampus_mr", "sarcoma_mr", "ms_lesion_mr")
    ]
    for folder in folders:
        for path in sorted(folder.iterdir())[:3]:
            read_image(image(path))

"""True objects on the model's grid have the volume that was drawn, thin ones and small ones too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from modelling import ORGANS, card

from medseg.card import Card
from medseg.training.datasets import LoadedCase
from medseg.training.grid_cases import on_model_grid
from medseg.transforms.pipeline import preprocess
from medseg.types import Geometry, InstanceClass, Instances, Volume

SHAPE = (24, 48, 48)
SPACING_MM = (2.5, 1.0, 1.0)


def case_of(mask: np.ndarray, spacing_mm: tuple[float, float, float] = SPACING_MM) -> LoadedCase:
    geometry = Geometry.from_spacing(mask.shape, spacing_mm)
    image = np.random.default_rng(0).normal(size=mask.shape).astype(np.float32)
    truth = Instances.from_labelmap(mask.astype(np.uint8), geometry)
    items = [replace(item, class_name="left", kind="organ") for item in truth]
    volume = Volume(image, geometry, "MR", "arbitrary")
    return LoadedCase(
        "a", {"mr": volume}, Instances(geometry, items, (InstanceClass("left", "organ", 1),))
    )


def volume_kept(mask: np.ndarray, model: Card) -> float:
    """The volume on the model's grid over the drawn one."""
    (there,) = on_model_grid(case_of(mask), model).objects
    voxel_mm3 = float(np.prod(model.spacing_mm))
    return float(there.mask.sum()) * voxel_mm3 / (float(mask.sum()) * float(np.prod(SPACING_MM)))


@pytest.mark.parametrize("radius", [3.0, 5.0, 8.0])
def test_a_thin_cylinder_keeps_its_volume_on_a_coarse_grid(radius: float) -> None:
    y, x = np.ogrid[: SHAPE[1], : SHAPE[2]]
    kept = []
    for seed in range(12):
        middle = np.random.default_rng(seed).uniform(20, 28, 2)
        disc = (y - middle[0]) ** 2 + (x - middle[1]) ** 2 <= radius**2
        mask = np.zeros(SHAPE, dtype=bool)
        mask[4:20] = disc
        kept.append(volume_kept(mask, card(ORGANS, spacing_mm=(2.5, 3.0, 3.0))))
    assert np.mean(kept) == pytest.approx(1.0, abs=0.03)


def test_on_the_grid_of_the_image_an_object_is_as_it_was_drawn() -> None:
    mask = np.random.default_rng(1).random(SHAPE) < 0.05
    (there,) = on_model_grid(case_of(mask), card(ORGANS, spacing_mm=SPACING_MM)).objects
    drawn = np.zeros(SHAPE, dtype=bool)
    drawn[there.box] = there.mask
    assert np.array_equal(drawn, mask)


def test_a_voxel_is_never_lost() -> None:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[10, 20, 21] = True
    (there,) = on_model_grid(case_of(mask), card(ORGANS, spacing_mm=(5.0, 4.0, 4.0))).objects
    assert there.mask.sum() == 1


def test_a_grid_that_lies_midway_moves_no_object_to_one_side() -> None:
    """All ends are in doubt then; taken in the order of voxels, all would go to the same side."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[4:20, 13:34, 14:35] = True
    model = card(ORGANS, spacing_mm=(2.5, 2.0, 2.0))
    (there,) = on_model_grid(case_of(mask), model).objects
    box = [part.start for part in there.box]
    middle = np.argwhere(there.mask).mean(axis=0) + box
    drawn = np.argwhere(mask).mean(axis=0)
    grid = preprocess(case_of(mask).volumes, model).geometry
    image = case_of(mask).truth.geometry
    assert grid.index_to_world(middle) == pytest.approx(image.index_to_world(drawn), abs=0.25)
    assert volume_kept(mask, model) == pytest.approx(1.0, abs=0.03)

"""Masks that were deformed with their image keep their volume, however small they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation
from training_cases import recipe

from medseg.training.augmentation import augmentation
from medseg.training.datasets import Case
from medseg.training.grid_cases import WindowDataset
from medseg.training.sections import Augmentation
from medseg.training.soft_masks import hardened, hardened_parts
from medseg.training.windows import GridCase, GridObject, sample_window, window_target

SIDE = 24
SHAPES = {"voxel": (1, 1, 1), "two": (1, 1, 2), "three": (1, 3, 1), "plate": (3, 3, 1)}


def mask_of(lengths: tuple[int, int, int], at: int = 11) -> NDArray[np.float32]:
    mask = np.zeros((SIDE,) * 3, dtype=np.float32)
    mask[tuple(slice(at, at + length) for length in lengths)] = 1
    return mask


def turned(mask: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Turned by up to 15 degrees about each axis and moved, interpolated linearly."""
    matrix = Rotation.from_euler("zyx", rng.uniform(-15, 15, 3), degrees=True).as_matrix()
    middle = np.full(3, SIDE / 2)
    offset = middle - matrix @ middle + rng.uniform(-0.5, 0.5, 3)
    return np.asarray(ndimage.affine_transform(mask, matrix, offset, order=1), dtype=np.float32)


@pytest.mark.parametrize("lengths", SHAPES.values(), ids=SHAPES)
def test_a_small_object_that_is_turned_keeps_its_volume(lengths: tuple[int, int, int]) -> None:
    rng, wanted = np.random.default_rng(0), np.prod(lengths)
    soft = [turned(mask_of(lengths), rng) for _ in range(200)]
    kept = np.array([int(hardened(torch.from_numpy(one)).sum()) for one in soft])
    assert kept.min() >= 1
    assert kept.mean() == pytest.approx(wanted, rel=0.1)
    assert [int(hardened_parts(one).sum()) for one in soft] == kept.tolist()


def test_what_was_not_deformed_stays_as_it_is() -> None:
    rng = np.random.default_rng(1)
    mask = (rng.random((SIDE,) * 3) < 0.1).astype(np.float32)
    assert np.array_equal(hardened_parts(mask), mask > 0)
    assert torch.equal(hardened(torch.from_numpy(mask)), torch.from_numpy(mask) > 0)


def test_each_part_keeps_its_own_volume() -> None:
    """A large object beside a small one takes none of its voxels."""
    large, small = mask_of((8, 8, 8), at=2), mask_of((1, 1, 1), at=18)
    soft = large + 0.3 * small + 0.7 * np.roll(small, 1, axis=2)
    hard = hardened_parts(soft)
    assert hard.sum() == 513
    assert hard[18, 18, 19] and not hard[18, 18, 18]


def test_of_what_hardly_reaches_into_the_region_nothing_is_left() -> None:
    soft = 0.1 * mask_of((1, 1, 2))
    assert not hardened_parts(soft).any()
    assert not hardened(torch.from_numpy(soft)).any()
    assert not hardened_parts(np.zeros_like(soft)).any()


def test_a_lesion_of_one_voxel_is_in_every_window_that_shows_it() -> None:
    box = (slice(30, 31), slice(30, 31), slice(30, 31))
    voxel = GridObject(0, exclusive=False, box=box, mask=np.ones((1, 1, 1), dtype=bool))
    case = GridCase("a", torch.zeros((1, 60, 60, 60)), (voxel,))
    section = recipe(crop_shape=[SIDE] * 3, foreground_fraction=1.0).training
    turn = {"prob": 1.0, "max_degrees": [15, 15, 15]}
    scale = {"prob": 1.0, "low": 0.85, "high": 1.2}
    augment = augmentation(
        Augmentation.model_validate({"rotation": turn, "scale": scale}), (1.0, 1.0, 1.0)
    )
    for seed in range(30):
        augment.set_random_state(seed=seed)
        rng = np.random.default_rng(seed)
        target = sample_window(case, section, augment, margin=0.2, rng=rng).target
        assert [int(one.sum()) for one in target.masks] in ([1], [2])


def test_an_object_that_the_window_cuts_is_known_whole_without_any_turning() -> None:
    box = (slice(20, 40), slice(28, 32), slice(28, 32))
    rod = GridObject(0, exclusive=False, box=box, mask=np.ones((20, 4, 4), dtype=bool))
    plan = recipe(crop_shape=[16] * 3, foreground_fraction=1.0)
    plan = plan.model_copy(update={"augmentation": Augmentation()})
    windows = WindowDataset([Case("a", {}, None)], plan)
    windows.kept[0] = GridCase("a", torch.zeros((1, 60, 60, 60)), (rod,))
    targets = [windows[number].target for number in range(20)]
    assert all(target.cut.tolist() == [True] for target in targets)
    seen = [(target.boxes[0][0] + target.boxes[0][3] - 1) / 2 for target in targets]
    off = np.abs([target.centres[0][0] for target in targets] - np.array(seen))
    assert off.max() >= 1  # the middle is that of the object, not of what is seen of it


def test_organs_that_touch_keep_their_volumes_and_share_no_voxel() -> None:
    """A thin one beside another: largest or background alone would leave it too thin."""
    shape, around = (SIDE,) * 3, (slice(0, SIDE),) * 3
    masks = np.zeros((2, *shape), dtype=np.float32)
    masks[0, 4:20, 10:12, 10:12] = 1
    masks[1, 4:20, 12:18, 10:18] = 1
    organs = [GridObject(n, exclusive=True, box=around, mask=masks[n] > 0) for n in range(2)]
    kept = []
    for seed in range(30):
        soft = np.stack([turned(one, np.random.default_rng(seed)) for one in masks])
        target = window_target(torch.from_numpy(soft), organs, around)
        drawn = np.zeros((2, *shape), dtype=bool)
        for n, box, mask in zip(target.class_ids, target.boxes, target.masks, strict=True):
            drawn[n][tuple(slice(a, b) for a, b in zip(box[:3], box[3:], strict=True))] = mask
        assert not drawn.all(axis=0).any()
        kept.append(drawn.sum(axis=(1, 2, 3)))
    assert np.mean(kept, axis=0) == pytest.approx(masks.sum(axis=(1, 2, 3)), rel=0.03)

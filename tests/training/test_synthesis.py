"""Windows with painted lesions: whose lesions are painted, and that a number is a window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_cases import recipe_of, write_nifti
from painting_cases import LESION, SHAPE, brain, regions

from medseg.errors import InputRefused
from medseg.training.datasets import list_cases, split_cases
from medseg.training.grid_cases import WindowDataset
from medseg.training.recipe import LEFT_TO_TRAINING, Recipe
from medseg.training.synthesis import cut_zeros, painter_of, target_of_parts

SPOT = ({"name": "spot", "kind": "lesion", "label": 1},)


def recipe(classes=SPOT, **changes: object) -> Recipe:
    """Two channels, of which t2 is optional; windows of 16 voxels."""
    content = recipe_of(
        {"images": {"t1": "images", "t2": "others"}, **changes.pop("data", {})},
        classes=classes,
        channels=("t1", "t2"),
    ).model_dump(mode="json", exclude_none=True)
    for key in LEFT_TO_TRAINING:
        content["model"].pop(key, None)
    content["training"] |= {"crop_shape": [16, 16, 16], "foreground_fraction": 1.0}
    content["synthesis"] = {"masks": "masks", **changes}
    return Recipe.model_validate(content)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Brains a and b, and masks of the patients a, p and q."""
    folder = tmp_path_factory.mktemp("brains")
    for seed, name in enumerate(("a", "b")):
        case = brain(name, seed)
        labels = np.zeros(SHAPE, dtype=np.uint8)
        labels[LESION] = 1
        for channel, place in zip(case.image.numpy(), ("images", "others"), strict=True):
            write_nifti(folder / place / f"{name}.nii.gz", channel)
        write_nifti(folder / "labels" / f"{name}.nii.gz", labels)
    for name, first in (("a", 9), ("p", 29), ("q", 32)):
        mask = np.zeros(SHAPE, dtype=np.uint8)
        mask[12:18, 14:20, first : first + 5] = 1
        write_nifti(folder / "masks" / f"{name}.nii.gz", mask)
    return folder


def windows(root: Path, plan: Recipe) -> WindowDataset:
    cases = split_cases(plan.data, list_cases(plan, root)).training
    return WindowDataset(cases, plan, painter=painter_of(plan, root))


def test_a_window_is_the_same_whenever_it_is_asked_for(root: Path) -> None:
    one, other = windows(root, recipe()), windows(root, recipe())
    numbers = (3, 0, 2, 1)
    for first, second in zip(
        [one[n] for n in numbers], reversed([other[n] for n in reversed(numbers)]), strict=True
    ):
        assert torch.equal(first.image, second.image)
        assert np.array_equal(first.target.boxes, second.target.boxes)


def test_windows_show_other_patients_lesions_in_place_of_the_cases_own(root: Path) -> None:
    plan = recipe(painted=1.0, healed=1.0, recoloured=0.0, shift=0.0, bend=0.0, mirror=False)
    drawn = windows(root, plan)
    bright = []
    for n in range(12):
        window = drawn[n]
        lesions = np.zeros(window.image.shape[1:], dtype=bool)
        for box, mask in zip(window.target.boxes, window.target.masks, strict=True):
            z, y, x = (slice(a, b) for a, b in zip(box[:3], box[3:], strict=True))
            lesions[z, y, x] |= mask
        if lesions.any():
            assert lesions.sum() <= 6 * 6 * 5
            bright.append(float(window.image[0].numpy()[lesions].mean()))
            assert bright[-1] > float(window.image[0].numpy()[~lesions].mean())
    assert bright


def test_without_painting_windows_show_the_case_as_it_is(root: Path) -> None:
    window = windows(root, recipe(painted=0.0, recoloured=0.0))[0]
    (box,) = window.target.boxes
    assert (box[3:] - box[:3]).tolist() == [p.stop - p.start for p in LESION]


def test_whoever_is_held_out_gives_no_mask(root: Path) -> None:
    painter = painter_of(recipe(data={"held_out": ["a"]}), root)
    assert painter is not None
    assert [one.id for one in painter.donors] == ["p", "q"]
    painter = painter_of(recipe(data={"validation": ["a"]}), root)
    assert painter is not None
    assert [one.id for one in painter.donors] == ["p", "q"]


def test_a_fold_leaves_out_the_mask_of_its_patient(root: Path) -> None:
    plan = recipe(data={"folds": [["a"], ["b"]]})
    donors = [painter_of(plan.fold(number), root) for number in (1, 2)]
    assert [[one.id for one in painter.donors] for painter in donors if painter] == [
        ["p", "q"],
        ["a", "p", "q"],
    ]


def test_a_mirrored_patient_has_the_lesions_on_the_other_side(root: Path) -> None:
    painter = painter_of(recipe(), root)
    assert painter is not None
    one = painter.donors[1]
    there = painter._mirrored(one)
    # Voxels 29 to 33 of the file's 44 from right to left: as many from the other side.
    assert (one.first[2], there.first[2]) == (44 - 34, 29)
    assert there.objects[0].box[2] == slice(29, 34)
    again = painter._mirrored(there)
    assert again.first == one.first
    assert torch.equal(again.labels, one.labels)


def test_no_synthesis_needs_no_painter(root: Path) -> None:
    plan = recipe().model_copy(update={"synthesis": None})
    assert painter_of(plan, root) is None


def test_masks_without_a_lesion_are_refused(root: Path, tmp_path: Path) -> None:
    write_nifti(tmp_path / "masks" / "p.nii.gz", np.zeros(SHAPE, dtype=np.uint8))
    with pytest.raises(InputRefused, match="no mask of it has a lesion"):
        painter_of(recipe(), tmp_path)


def test_masks_on_several_grids_are_refused(tmp_path: Path) -> None:
    write_nifti(tmp_path / "masks" / "p.nii.gz", np.ones(SHAPE, dtype=np.uint8))
    write_nifti(tmp_path / "masks" / "q.nii.gz", np.ones((9, 9, 9), dtype=np.uint8))
    with pytest.raises(InputRefused, match="grid is not that of the first mask to paint"):
        painter_of(recipe(), tmp_path)


def test_a_case_in_another_place_than_the_masks_is_refused(root: Path, tmp_path: Path) -> None:
    moved = np.eye(4)
    moved[0, 3] = 10.0
    write_nifti(tmp_path / "masks" / "p.nii.gz", np.ones(SHAPE, dtype=np.uint8), moved)
    plan = recipe()
    cases = split_cases(plan.data, list_cases(plan, root)).training
    drawn = WindowDataset(cases, plan, painter=painter_of(plan, tmp_path))
    with pytest.raises(InputRefused, match="grid is not that of the masks to paint"):
        drawn[0]


def test_synthesis_of_organs_is_refused() -> None:
    organ = ({"name": "front", "kind": "organ", "label": 1},)
    with pytest.raises(ValueError, match="synthesis goes with files and one class"):
        recipe(classes=organ)


def test_what_painted_windows_would_not_heed_is_refused() -> None:
    content = recipe().model_dump(mode="json", exclude_none=True)
    for key in LEFT_TO_TRAINING:
        content["model"].pop(key, None)
    content["augmentation"]["transpose"] = 0.5
    with pytest.raises(ValueError, match=r"synthesis does not heed augmentation\.transpose"):
        Recipe.model_validate(content)


def test_a_contrast_factor_in_the_wrong_order_is_refused() -> None:
    with pytest.raises(ValueError, match=r"faintest 2\.0 is above strongest 1\.0"):
        recipe(faintest=2.0, strongest=1.0)


def test_connected_parts_are_objects_and_say_what_the_window_cuts() -> None:
    mask = np.zeros((12, 12, 12), dtype=bool)
    mask[2:4, 2:4, 2:4] = True
    mask[4, 4, 4] = True  # by a corner
    mask[6:12, 8:10, 8:10] = True
    mask[0, 0, 11] = True
    inner = (slice(1, 9), slice(1, 11), slice(1, 11))
    target = target_of_parts(mask, inner)
    assert target.boxes.tolist() == [[1, 1, 1, 4, 4, 4], [5, 7, 7, 8, 9, 9]]
    assert target.cut.tolist() == [False, True]
    assert [one.sum() for one in target.masks] == [9, 12]
    assert target.centres.tolist() == [[2.0, 2.0, 2.0], [7.5, 7.5, 7.5]]


def test_no_lesion_gives_no_object() -> None:
    target = target_of_parts(
        np.zeros((4, 4, 4), dtype=bool), (slice(0, 4), slice(0, 4), slice(0, 4))
    )
    assert target.boxes.shape == (0, 6)
    assert target.centres.shape == (0, 3)


@pytest.mark.parametrize(("low", "high"), [(-3, 4), (2, 9), (-2, 8), (7, 12), (-9, -4), (1, 4)])
def test_beyond_the_border_there_is_nothing(low: int, high: int) -> None:
    values = torch.arange(1.0, 5 * 6 * 7 + 1).view(1, 5, 6, 7)
    padded = torch.nn.functional.pad(values, (20,) * 6)
    wanted = padded[:, *(slice(low + 20, high + 20),) * 3]
    assert torch.equal(cut_zeros(values, [low] * 3, [high] * 3), wanted)


def test_the_brain_of_these_tests_has_white_matter_around_its_lesion() -> None:
    z, y, x = (slice(part.start - 1, part.stop + 1) for part in LESION)
    assert regions()["white"][z, y, x].all()

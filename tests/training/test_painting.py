"""Painting lesions: how they rise, where they may lie, what a case was without its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from painting_cases import BACKGROUND, CONTRAST, LESION, LEVELS, SHAPE, brain, regions
from scipy.ndimage import binary_erosion

from medseg.errors import InputRefused
from medseg.training.painting import Region, _deformed, paint, recolour
from medseg.training.profile import lesion_profile
from medseg.training.sections import Synthesis
from medseg.training.tissue import Paintable, paintable

STILL = Synthesis(masks="masks", shift=0.0, bend=0.0, faintest=1.0, strongest=1.0)


@pytest.fixture(scope="module")
def known() -> Paintable:
    return paintable(brain(), np.random.default_rng(0))


def inner(known: Paintable, mask: np.ndarray) -> np.ndarray:
    """A mask of the whole grid as the cut case has it."""
    z, y, x = (
        slice(first, first + length)
        for first, length in zip(known.first, known.case.image.shape[1:], strict=True)
    )
    return mask[z, y, x]


def healthy_region(known: Paintable) -> Region:
    return Region(known.healed, known.tissue, torch.zeros_like(known.lesions), known.top)


def other_lesion(known: Paintable, box: tuple[slice, slice, slice]) -> torch.Tensor:
    labels = np.zeros(SHAPE, dtype=np.int16)
    labels[box] = 1
    return torch.from_numpy(inner(known, labels).copy())


def painted(known: Paintable, labels: torch.Tensor, region: Region | None = None) -> list[Region]:
    """By ten seeds, of which some keep the lesion."""
    before = region or healthy_region(known)
    return [
        paint(before, labels, known.contrasts, known.host, STILL, np.random.default_rng(seed))
        for seed in range(10)
    ]


def test_a_lesion_rises_from_its_border_inwards_to_its_full_contrast() -> None:
    mask = torch.zeros(12, 9, 9, dtype=torch.bool)
    mask[4:] = True
    assert lesion_profile(mask)[:8, 4, 4].tolist() == pytest.approx([0, 0, 0, 0.15, 0.6, 0.9, 1, 1])


def test_a_lesion_of_one_voxel_is_seen() -> None:
    mask = torch.zeros(5, 5, 5, dtype=torch.bool)
    mask[2, 2, 2] = True
    profile = lesion_profile(mask, outside=0.1, border=0.5)
    assert profile[2, 2, 2] == pytest.approx(0.5)
    assert profile.sum() == pytest.approx(0.5 + 26 * 0.1)


def test_the_host_is_the_tissue_around_the_lesions(known: Paintable) -> None:
    assert known.levels[known.host] == pytest.approx(LEVELS["white"], abs=0.1)
    fluid, others = known.levels[0], known.levels[1:]
    assert fluid == pytest.approx(LEVELS["fluid"], abs=0.1)
    assert (others[:, 0] > fluid[0]).all()


def test_shares_of_tissue_sum_to_one_in_the_brain_and_to_nothing_outside(known: Paintable) -> None:
    total = known.tissue.sum(dim=0).numpy()
    inside = inner(known, regions()["brain"])
    assert total[inside] == pytest.approx(1.0, abs=1e-5)
    assert (total[~inside] == 0).all()


def test_healed_lesions_look_like_the_tissue_around_and_the_rest_is_kept(known: Paintable) -> None:
    lesions = known.lesions.numpy()
    healed, image = known.healed.numpy(), known.case.image.numpy()
    assert healed[:, lesions].mean(axis=1) == pytest.approx(LEVELS["white"], abs=0.1)
    assert 0.03 < healed[0, lesions].std() < 0.25
    changed = np.argwhere((healed != image).any(axis=0))
    first = np.argwhere(lesions).min(axis=0) - 3
    last = np.argwhere(lesions).max(axis=0) + 3
    assert ((changed >= first) & (changed <= last)).all()


def test_a_lesions_contrast_is_what_it_adds_to_its_host(known: Paintable) -> None:
    assert known.contrasts == pytest.approx(np.array([CONTRAST]), abs=0.15)


def test_a_case_without_a_lesion_is_refused() -> None:
    with pytest.raises(InputRefused, match="no lesion to learn contrast from"):
        paintable(brain(lesion=False), np.random.default_rng(0))


def test_a_painted_lesion_has_the_contrast_of_the_cases_own(known: Paintable) -> None:
    box = (slice(15, 22), slice(12, 19), slice(29, 36))
    before = healthy_region(known)
    kept = [one for one in painted(known, other_lesion(known, box)) if one.lesions.any()]
    assert kept
    for one in kept:
        added = (one.image - before.image)[:, other_lesion(known, box) > 0].mean(dim=1).numpy()
        assert 0.5 < added[0] / CONTRAST[0] < 1.3
        assert 0.5 < added[1] / CONTRAST[1] < 1.3


def test_what_is_painted_keeps_to_the_host_and_changes_nothing_elsewhere(known: Paintable) -> None:
    # Half in white matter, half in the fluid.
    labels = other_lesion(known, (slice(15, 21), slice(15, 22), slice(14, 24)))
    before = healthy_region(known)
    # Shares change over a voxel at a border, so that the next voxel may be half white matter.
    fluid = torch.from_numpy(inner(known, binary_erosion(regions()["fluid"])).copy())
    kept = [one for one in painted(known, labels) if one.lesions.any()]
    assert kept
    for one in kept:
        assert not (one.lesions & fluid).any()
        assert not (one.lesions & (labels == 0)).any()
        far = lesion_profile(one.lesions) == 0
        reach = lesion_profile(lesion_profile(one.lesions) > 0) == 0
        assert (far | ~reach).all()
        assert torch.equal(one.image[:, reach], before.image[:, reach])


def test_an_old_lesion_is_not_painted_over(known: Paintable) -> None:
    region = Region(known.case.image, known.tissue, known.lesions, known.top)
    grown = tuple(slice(part.start - 2, part.stop + 2) for part in LESION)
    for one in painted(known, other_lesion(known, grown), region):
        assert torch.equal(one.image[:, known.lesions], region.image[:, known.lesions])
        assert (one.lesions >= known.lesions).all()


def test_a_lesion_mostly_out_of_place_leaves_no_crumbs(known: Paintable) -> None:
    # It fills the fluid and meets white matter by one layer.
    labels = other_lesion(known, (slice(15, 21), slice(15, 25), slice(17, 26)))
    white = torch.from_numpy(inner(known, regions()["white"]).copy())
    assert ((labels > 0) & white).any()
    assert not any(one.lesions.any() for one in painted(known, labels))


def test_painting_is_drawn_from_the_generator_alone(known: Paintable) -> None:
    labels = other_lesion(known, (slice(10, 22), slice(10, 14), slice(29, 36)))
    settings = STILL.model_copy(update={"shift": 4.0, "bend": 1.0})
    one, again, other = (
        paint(
            healthy_region(known),
            labels,
            known.contrasts,
            known.host,
            settings,
            np.random.default_rng(seed),
        ).image
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_in_new_grey_values_a_lesion_is_still_brighter_than_all_tissues(known: Paintable) -> None:
    region = Region(known.case.image, known.tissue, known.lesions, known.top)
    core = torch.zeros_like(known.lesions)
    part = torch.nonzero(known.lesions)
    low, high = part.min(dim=0).values + 2, part.max(dim=0).values - 1
    core[tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))] = True
    settings = STILL.model_copy(update={"tissue_shift": 1.5})
    seen = []
    for seed in range(8):
        new = recolour(
            region,
            known.levels,
            np.median(known.contrasts, axis=0),
            known.host,
            settings,
            np.random.default_rng(seed),
        )
        means = [
            float(
                new.image[
                    0, torch.from_numpy(inner(known, regions()[name])) & ~known.lesions
                ].mean()
            )
            for name in ("white", "grey", "fluid")
        ]
        assert float(new.image[0, core].mean()) > max(means)
        assert bool((new.image[:, known.tissue.sum(dim=0) == 0] >= BACKGROUND).all())
        seen.append(means[0] - means[1])
    # Grey matter is brighter than white in the case; here it may be either.
    assert min(seen) < 0 < max(seen)


def test_background_keeps_its_grey_value(known: Paintable) -> None:
    region = replace(healthy_region(known))
    new = recolour(
        region,
        known.levels,
        np.array(CONTRAST),
        known.host,
        STILL,
        np.random.default_rng(3),
    )
    outside = known.tissue.sum(dim=0) == 0
    assert torch.equal(new.image[:, outside], region.image[:, outside])


def test_no_painted_lesion_is_brighter_than_what_the_case_can_show(known: Paintable) -> None:
    """Normalisation cuts the brightest voxels: above them there would be painted lesions alone."""
    before, box = healthy_region(known), (slice(15, 22), slice(12, 19), slice(29, 36))
    low = (
        known.case.image.amax(dim=(1, 2, 3), keepdim=True)
        - torch.tensor([0.8, 0.0])[:, None, None, None]
    )
    for one in painted(known, other_lesion(known, box), replace(before, top=low)):
        brighter = one.image > torch.maximum(before.image, low) + 1e-6
        assert not brighter.any()


def test_small_lesions_that_are_moved_keep_their_number_and_volume(known: Paintable) -> None:
    rng = np.random.default_rng(0)
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    for place in np.stack(np.meshgrid(*[range(8, n - 8, 6) for n in SHAPE]), -1).reshape(-1, 3):
        mask[tuple(place)] = True
    moving = STILL.model_copy(update={"shift": 2.0, "bend": 0.5})
    moved = [int(_deformed(mask, moving, rng).sum()) for _ in range(10)]
    assert np.mean(moved) == pytest.approx(int(mask.sum()), rel=0.1)

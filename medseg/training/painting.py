"""Lesions of other patients painted into a part of a case, and tissues in new grey values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medseg.training.profile import OUTSIDE, lesion_profile
from medseg.training.sections import Synthesis
from medseg.training.soft_masks import hardened_parts

BEND_VOXELS = 8
"""Distance of the control points of the displacement that deforms lesions."""

CONTRAST_VOXELS = 12
"""Distance of the points at each of which another of the case's contrasts is taken."""

BLOTCH_VOXELS = 4
"""Distance of the points between which the grey value varies inside a lesion."""

BLOTCH = 0.15
"""Standard deviation of the logarithm of that variation."""

SOFTEST = 0.1
"""What a voxel of a lesion may give each of its neighbours along an axis, at most."""

KEEP = (0.4, 1.0)
"""Of a patient's lesions, this share is painted."""

HOSTED = (0.35, 0.6)
"""A painted voxel is of the lesions' host by this share at least."""

CRUMB = 0.6
"""Of a lesion around a voxel this share must be in place, or the voxel is left out."""

TRIES = 20
"""Draws of new grey values until lesions are brighter than all tissues."""

Row = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Region:
    """A part of a case: what `Paintable` knows of it, cut, (…, Z, Y, X) on one device.

    `lesions` are those that the image shows, `top` (C, 1, 1, 1) the case's highest grey values.
    """

    image: Tensor
    tissue: Tensor
    lesions: Tensor
    top: Tensor


def paint(
    region: Region,
    labels: Tensor,
    contrasts: Row,
    host: int,
    settings: Synthesis,
    rng: np.random.Generator,
) -> Region:
    """The region with another patient's lesions in it; they keep to the lesions' host.

    Shapes: labels (Z, Y, X) integers, that patient's lesions by number, 0 elsewhere; contrasts
    (N, C) what lesions of the case add to their host. Some are left out, all are deformed by one
    displacement; what they add varies from place to place among the case's contrasts. None becomes
    brighter than the case's brightest voxel: normalisation may have cut what was above it, and what
    no image can show would give the painted ones away.
    """
    kept = rng.random(int(labels.max()) + 1) < rng.uniform(*KEEP)
    kept[0] = False
    shown = torch.from_numpy(kept).to(labels.device)[labels.long()]
    whole = _deformed(shown, settings, rng)
    mask = _left(whole, (region.tissue[host] > rng.uniform(*HOSTED)) & ~region.lesions)
    profile = lesion_profile(
        mask,
        outside=OUTSIDE * rng.uniform(0.3, 2.0),
        border=rng.uniform(0.5, 0.75),
        second=rng.uniform(0.8, 1.0),
    )
    # The fringe of a new lesion adds nothing to an old one.
    profile = _softened(profile, rng.uniform(0, SOFTEST)).mul_(~region.lesions)
    common = np.exp(rng.uniform(np.log(settings.faintest), np.log(settings.strongest)))
    drawn = _varied(contrasts * common, mask.shape, mask.device, rng)
    brighter = region.image + drawn.mul_(profile)
    image = torch.minimum(brighter, torch.maximum(region.image, region.top))
    return replace(region, image=image, lesions=region.lesions | mask)


def recolour(
    region: Region,
    levels: Row,
    contrast: Row,
    host: int,
    settings: Synthesis,
    rng: np.random.Generator,
) -> Region:
    """The region with tissues and lesions in grey values that no case has.

    `levels` (TISSUES, C) are the tissues' means, `contrast` (C,) what a usual lesion adds to its
    host. Each tissue moves by up to `settings.tissue_shift`; in the first channel a lesion stays
    further above all tissues than a third of its contrast, so that it can be seen. What is finer
    than tissues stays, more or less of it. After SynthSeg (Billot et al. 2023), which draws all
    grey values anew.
    """
    most = settings.tissue_shift
    moved, factor = np.zeros_like(levels), 1.0
    for _ in range(TRIES):
        moved = rng.uniform(-most, most, levels.shape)
        factor = rng.uniform(0.6, 1.6)
        new = levels[:, 0] + moved[:, 0]
        if new[host] + factor * contrast[0] > new.max() + contrast[0] / 3:
            break
    else:
        moved, factor = np.zeros_like(levels), 1.0
    before, shift = (torch.as_tensor(one).to(region.image) for one in (levels, moved))
    means = torch.einsum("kzyx,kc->czyx", region.tissue, before)
    inside = region.tissue.sum(dim=0)
    profile = lesion_profile(region.lesions)
    # In other channels a lesion may be anything, or not be seen.
    factors = np.full(len(contrast), factor - 1)
    factors[1:] = rng.uniform(-1, 1, len(contrast) - 1)
    extra = torch.as_tensor(factors * contrast).to(region.image)[:, None, None, None] * profile
    gain = float(np.exp(rng.normal(0, 0.25)))
    # A lesion is no fine structure of its host: it keeps its contrast.
    fine = (region.image - means) * inside * (gain - 1) * (1 - profile)
    shifted = torch.einsum("kzyx,kc->czyx", region.tissue, shift)
    return replace(region, image=region.image + shifted + fine + extra)


def _deformed(mask: Tensor, settings: Synthesis, rng: np.random.Generator) -> Tensor:
    """A mask (Z, Y, X) moved as a whole, stretched and bent; beyond the border it is empty.

    Its parts keep their volumes.
    """
    shape = mask.shape
    counts = _points(shape, BEND_VOXELS)
    coarse = [max(round(n / 3), 2) for n in counts]
    smooth = functional.interpolate(
        torch.from_numpy(rng.uniform(-1, 1, (1, 3, *coarse)) * settings.shift),
        size=counts,
        mode="trilinear",
        align_corners=True,
    )
    whole = rng.normal(0, settings.shift / 2, (3, 1, 1, 1))
    bent = rng.uniform(-1, 1, (3, *counts)) * settings.bend
    half = torch.tensor([max(length - 1, 1) / 2 for length in shape]).view(1, 3, 1, 1, 1)
    offsets = (smooth + torch.from_numpy(bent + whole)[None]) / half
    grid = functional.interpolate(
        offsets.float().to(mask.device), size=shape, mode="trilinear", align_corners=True
    )[0]
    for axis, length in enumerate(shape):
        still = torch.linspace(-1, 1, length, device=mask.device)
        grid[axis] += still.view([-1 if n == axis else 1 for n in range(3)])
    moved = functional.grid_sample(
        mask.float()[None, None],
        grid.flip(0).permute(1, 2, 3, 0)[None],
        mode="bilinear",
        padding_mode="zeros",
        align_corners=True,
    )
    return torch.from_numpy(hardened_parts(moved[0, 0].numpy(force=True))).to(mask.device)


def _left(whole: Tensor, place: Tensor) -> Tensor:
    """What is in place of lesions (Z, Y, X), without the crumbs of those that mostly are not."""
    mask = whole & place
    left, before = (_softened(one.float(), 1 / 3, times=2) for one in (mask, whole))
    return mask & (left > CRUMB * before)


def _softened(values: Tensor, share: float, *, times: int = 1) -> Tensor:
    """Values (Z, Y, X) that give each neighbour along an axis a share; they fade at the border."""
    for axis in list(range(3)) * times:
        length = values.shape[axis]
        soft = values * (1 - 2 * share)
        soft.narrow(axis, 1, length - 1).add_(values.narrow(axis, 0, length - 1), alpha=share)
        soft.narrow(axis, 0, length - 1).add_(values.narrow(axis, 1, length - 1), alpha=share)
        values = soft
    return values


def _varied(
    contrasts: Row, shape: Sequence[int], device: torch.device, rng: np.random.Generator
) -> Tensor:
    """Contrasts (C, Z, Y, X) that change smoothly from one of (N, C) to another, in blotches."""
    counts = _points(shape, CONTRAST_VOXELS)
    chosen = contrasts[rng.integers(len(contrasts), size=counts)]
    smooth = _spread(np.moveaxis(chosen, -1, 0), shape, device)
    blotches = np.exp(rng.normal(0, BLOTCH, (1, *_points(shape, BLOTCH_VOXELS))))
    return smooth.mul_(_spread(blotches, shape, device))


def _points(shape: Sequence[int], every: int) -> list[int]:
    """How many control points about `every` voxels apart there are along each axis."""
    return [max(round(length / every), 1) + 1 for length in shape]


def _spread(points: Row, shape: Sequence[int], device: torch.device) -> Tensor:
    """Values at control points (C, ...) interpolated to (C, Z, Y, X)."""
    values = torch.as_tensor(points, dtype=torch.float32, device=device)[None]
    return functional.interpolate(values, size=tuple(shape), mode="trilinear", align_corners=True)[
        0
    ]

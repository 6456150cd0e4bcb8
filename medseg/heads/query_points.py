"""Masks of queries brought to full resolution at the points where they are uncertain."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from medseg.heads.set_targets import Objects
from medseg.networks.point_refinement import (
    PointRefinement,
    mask_uncertainty,
    subdivided,
    training_points,
)
from medseg.networks.point_sampling import sample_crops, sample_features, window_generator
from medseg.networks.queries import MASK_STRIDE, UNIT_VOXELS, Masks
from medseg.networks.set_matching import mask_losses

AROUND_VOXELS = 2
"""Points are learned in an object's box and so far around it."""

AROUND_CELLS = 2
"""Cells around a mask that its fringe is kept on."""


class LearnedPoints(NamedTuple):
    """Logits of matched queries' masks at points of one window.

    Shapes: item (M,) positions among the window's lesions; voxels (M, P, 3) indices (z, y, x)
    between voxels; logits (M, P).
    """

    item: Tensor
    voxels: Tensor
    logits: Tensor


class SharpMasks(NamedTuple):
    """Masks of one window's likely queries at full resolution, around where they are.

    Shapes: query (K,), corner (K, 3) each mask's first voxel, logits K of (z, y, x).
    """

    query: Tensor
    corner: Tensor
    logits: tuple[Tensor, ...]


class Seen(NamedTuple):
    """What points of one window look at: the image, its finest features, its mask features.

    Shapes: image (C, Z, Y, X); finest and mask_features (F, Z/2, Y/2, X/2).
    """

    image: Tensor
    finest: Tensor
    mask_features: Tensor


class QueryPoints(nn.Module):
    """PointRend (Kirillov et al. 2020) on the masks of queries, from stride 2 to the window's."""

    def __init__(self, in_channels: int, features: int, width: int = 64) -> None:
        super().__init__()
        self.refine = PointRefinement(in_channels + features, 1, width)

    def learned(self, seen: Seen, masks: Masks, objects: Objects, item: Tensor) -> LearnedPoints:
        """Logits of masks (M queries) at points around the objects (M,) that they stand for."""
        boxes = torch.from_numpy(objects.boxes).float().to(item.device)[item]
        low, lengths = boxes[:, :3] - AROUND_VOXELS, boxes[:, 3:] - boxes[:, :3] + 2 * AROUND_VOXELS

        def voxels(places: Tensor) -> Tensor:
            return low[:, None] + places * lengths[:, None] - 0.5

        def uncertainty(places: Tensor) -> Tensor:
            return mask_uncertainty(_coarse(seen, masks, voxels(places)))

        generator = window_generator(seen.image)
        places = training_points(len(item), uncertainty, generator, item.device)
        chosen = voxels(places)
        return LearnedPoints(item, chosen, self._at(seen, masks, chosen))

    def sharpened(self, seen: Seen, mask: Masks, logits: Tensor) -> tuple[list[int], Tensor] | None:
        """One mask's first voxel and its logits around it; None where it is empty.

        Shapes: mask of one query, weights (1, F); logits (Z, Y, X) of that mask on its cells.
        """
        crop = cells_around(logits)
        if crop is None:
            return None
        part = logits[tuple(slice(a, b) for a, b in zip(*crop, strict=True))]
        low, size = torch.tensor(crop[0], device=logits.device), torch.tensor(part.shape)

        def predict(places: Tensor) -> Tensor:
            voxels = MASK_STRIDE * (low + places * size.to(places.device)) - 0.5
            return self._at(seen, mask, voxels[None])[0, :, None]

        z, y, x = (MASK_STRIDE * length for length in part.shape)
        fine = subdivided(part[None], (z, y, x), predict, lambda one: mask_uncertainty(one[0]))
        return [MASK_STRIDE * first for first in crop[0]], fine[0]

    def _at(self, seen: Seen, masks: Masks, voxels: Tensor) -> Tensor:
        """Better logits (M, P) of masks at places (M, P, 3) between voxels."""
        window = torch.zeros(len(voxels), dtype=torch.int64, device=voxels.device)
        cells = (voxels + 0.5) / MASK_STRIDE
        fine = torch.cat(
            [
                sample_features(seen.image[None], window, voxels),
                sample_features(seen.finest[None], window, cells - 0.5),
            ],
            dim=-1,
        )
        coarse = _coarse(seen, masks, voxels)[..., None]
        better: Tensor = self.refine(fine, coarse, 2 * (cells % 1) - 1)
        return better[..., 0]


def _coarse(seen: Seen, masks: Masks, voxels: Tensor) -> Tensor:
    """Logits (M, P) of masks at places (M, P, 3): interpolated features, the paraboloid itself."""
    window = torch.zeros(len(voxels), dtype=torch.int64, device=voxels.device)
    cells = (voxels + 0.5) / MASK_STRIDE - 0.5
    features = sample_features(seen.mask_features[None], window, cells)
    with torch.autocast(device_type=voxels.device.type, enabled=False):
        product = (features * masks.weights.float()[:, None]).sum(dim=-1)
        curve, middle, height = torch.split(masks.paraboloid.float(), [3, 3, 1], dim=-1)
        apart = voxels / UNIT_VOXELS - middle[:, None]
        return product + height - (curve[:, None] * apart**2).sum(dim=-1)


def point_losses(points: LearnedPoints, objects: Objects) -> tuple[Tensor, Tensor]:
    """Cross entropy and Dice (M,) of masks at points with the objects' own voxels there."""
    device = points.logits.device
    masks = [torch.from_numpy(one).to(device) for one in objects.masks]
    corners = torch.from_numpy(objects.boxes[:, :3].copy()).to(device)
    if not masks:
        return points.logits.sum(dim=1), points.logits.sum(dim=1)
    true = sample_crops(masks, corners, points.item, points.voxels)
    return mask_losses(points.logits, (true > 0.5).float())


def cells_around(logits: Tensor, margin: int = AROUND_CELLS) -> tuple[list[int], list[int]] | None:
    """First and last + 1 cell (z, y, x) of what holds a mask (Z, Y, X) and `margin` cells more.

    None where no logit is above 0.
    """
    inside = torch.nonzero(logits > 0)
    if not len(inside):
        return None
    low = (inside.amin(dim=0) - margin).clamp(min=0).tolist()
    high = (inside.amax(dim=0) + 1 + margin).tolist()
    return low, [min(int(b), length) for b, length in zip(high, logits.shape, strict=True)]


def interpolated_mask(logits: Tensor) -> tuple[list[int], Tensor] | None:
    """A mask's first voxel and its logits around it, trilinear; None where it is empty.

    Shapes: logits (Z, Y, X) on cells of stride 2.
    """
    # Cells further out are only needed to interpolate those that are kept.
    wide, kept = cells_around(logits, AROUND_CELLS + 1), cells_around(logits)
    if wide is None or kept is None:
        return None
    crop = logits[tuple(slice(a, b) for a, b in zip(*wide, strict=True))]
    fine = functional.interpolate(
        crop[None, None], scale_factor=float(MASK_STRIDE), mode="trilinear", align_corners=False
    )[0, 0]
    part = tuple(
        slice(MASK_STRIDE * (a - low), MASK_STRIDE * (b - low))
        for a, b, low in zip(*kept, wide[0], strict=True)
    )
    return [MASK_STRIDE * first for first in kept[0]], fine[part]

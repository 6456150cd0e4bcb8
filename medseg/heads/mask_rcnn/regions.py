"""The second stage: what lies in a region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from medseg.heads.mask_rcnn.branches import BoxBranch, MaskBranch
from medseg.networks.point_refinement import (
    PointRefinement,
    mask_uncertainty,
    subdivided,
    training_points,
)
from medseg.networks.point_sampling import channels_last, sample_features
from medseg.networks.roi_align import box_points, grown, roi_align


class Regions(NamedTuple):
    """Boxes of a batch: window (R,) which of it, boxes (R, 6) z0 y0 x0 z1 y1 x1 in voxels."""

    window: Tensor
    boxes: Tensor

    def row(self, n: int) -> Regions:
        """One of them."""
        return Regions(self.window[n : n + 1], self.boxes[n : n + 1])


class Seen(NamedTuple):
    """What regions are cut from: image (B, C, Z, Y, X), features (B, F, Z/2, Y/2, X/2)."""

    image: Tensor
    features: Tensor

    def ready(self) -> Seen:
        """The same, laid out so that cutting copies nothing."""
        return Seen(channels_last(self.image), channels_last(self.features))


class RegionStage(nn.Module):
    """Class, better box and mask of regions; with `points` masks are refined where uncertain."""

    stride = 2
    most = 16384
    """So many points of a mask at most are predicted in each doubling."""
    limit = 4.0
    """Points are predicted where a logit lies within ± this."""

    def __init__(
        self, image_channels: int, width: int, lesions: int, *, mask_size: int, points: bool
    ) -> None:
        super().__init__()
        self.mask_size = mask_size
        self.box = BoxBranch(width, lesions, width)
        self.mask = MaskBranch(width, lesions, width)
        self.points = PointRefinement(width + image_channels, lesions) if points else None

    def classified(self, seen: Seen, regions: Regions) -> tuple[Tensor, Tensor]:
        """Logits (R, 1 + lesions), nothing first, and better boxes (R, 6)."""
        around = grown(regions.boxes)
        cut = roi_align(seen.features, self.stride, regions.window, around, self.box.size)
        logits, better = self.box(cut, regions.boxes)
        return logits, better

    def covered(self, boxes: Tensor) -> Tensor:
        """Where the masks of found boxes (R, 6) lie: around them.

        With points these are whole voxels, so that a cell of a refined mask is one.
        """
        around = grown(boxes)
        if self.points is None:
            return around
        return torch.cat([around[:, :3].floor(), around[:, 3:].ceil()], dim=1)

    def masks(self, seen: Seen, covered: Regions) -> Tensor:
        """Logits (R, lesions, S, S, S) in the boxes that the masks cover."""
        cut = roi_align(seen.features, self.stride, covered.window, covered.boxes, self.mask_size)
        logits: Tensor = self.mask(cut)
        return logits

    def learned_points(
        self,
        seen: Seen,
        covered: Regions,
        masks: Tensor,
        channel: Tensor,
        generators: Sequence[torch.Generator],
    ) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """Places (R, N, 3) in 0..1 of the boxes and the logits (R, N, lesions) there.

        `channel` (R,) says whose mask's border is uncertain; the generators are one a window.
        None where points refine nothing.
        """
        if self.points is None:
            return None, None
        places = []
        for n, generator in enumerate(generators):
            rows = torch.nonzero(covered.window == n)[:, 0]
            own = masks[rows, channel[rows]][:, None].detach()

            def uncertainty(points: Tensor, own: Tensor = own) -> Tensor:
                return mask_uncertainty(_in_masks(own, points)[..., 0])

            places.append(training_points(len(rows), uncertainty, generator, masks.device))
        place = torch.cat(places)
        return place, self._at(self.points, seen, covered, masks, place)

    def one_mask(self, seen: Seen, covered: Regions, masks: Tensor, channel: int) -> Tensor:
        """A region's mask (Z, Y, X) of one class from its masks (1, lesions, S, S, S).

        Without points it has S cells along each axis; with points as many as the region has
        voxels there, and at least S. So points change nothing in a region of S voxels or less.
        """
        refine = self.points
        if refine is None:
            return masks[0, channel]
        lengths = (covered.boxes[0, 3:] - covered.boxes[0, :3]).ceil().int().tolist()
        depth, height, width = (max(masks.shape[-1], length) for length in lengths)

        def predict(points: Tensor) -> Tensor:
            return self._at(refine, seen, covered, masks, points[None])[0, :, channel, None]

        fine = subdivided(
            masks[0, channel][None],
            (depth, height, width),
            predict,
            lambda logits: mask_uncertainty(logits[0]),
            limit=self.limit,
            most=self.most,
        )
        return fine[0]

    def _at(
        self, refine: PointRefinement, seen: Seen, covered: Regions, masks: Tensor, place: Tensor
    ) -> Tensor:
        """Logits (R, N, lesions) at places (R, N, 3) in 0..1 of the boxes."""
        voxels = box_points(covered.boxes, place)
        fine = torch.cat(
            [
                sample_features(seen.image, covered.window, voxels - 0.5),
                sample_features(seen.features, covered.window, voxels / self.stride - 0.5),
            ],
            dim=-1,
        )
        logits: Tensor = refine(fine, _in_masks(masks, place), 2 * place - 1)
        return logits


def _in_masks(masks: Tensor, place: Tensor) -> Tensor:
    """Logits (R, N, C) of masks (R, C, S, S, S) at places (R, N, 3) in 0..1 of each."""
    rows = torch.arange(len(masks), device=masks.device)
    return sample_features(masks, rows, place * masks.shape[-1] - 0.5)

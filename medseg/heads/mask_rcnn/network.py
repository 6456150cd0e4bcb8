"""The network of the Mask R-CNN and PointRend heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from medseg.card import CardClass
from medseg.heads.center_offset.network import CenterOffsetNetwork, auxiliary
from medseg.heads.contract import WindowTarget, lesion_ids
from medseg.heads.mask_rcnn.branches import ProposalBranch
from medseg.heads.mask_rcnn.pasting import window_mask
from medseg.heads.mask_rcnn.raw import FoundRegions, MaskRCNN, Proposals, SampledRegions
from medseg.heads.mask_rcnn.regions import Regions, RegionStage, Seen
from medseg.heads.mask_rcnn.sampling import (
    POSITIVE_IOU,
    LesionObjects,
    lesion_objects,
    sample_regions,
)
from medseg.heads.mask_rcnn.settings import CONSIDERED, MaskRCNNSettings
from medseg.heads.settings import DOUBTFUL
from medseg.heads.window_objects import refuse_not_finite
from medseg.networks.anchors import changed_boxes, clipped_boxes, grid_anchors, pair_iou
from medseg.networks.nms import kept_boxes
from medseg.networks.point_sampling import window_generator
from medseg.networks.refinement import repeat_up
from medseg.networks.roi_align import grown

AT_ONCE = 32
"""So many regions' masks are computed together."""


class MaskRCNNNetwork(nn.Module):
    """Proposals over the pyramid; for regions around them class, better box and mask.

    Shapes: pyramid levels (B, channels[i], Z / strides[i], ...) -> MaskRCNN. The other arguments
    are those of `MaskRCNNSettings`.

    After Mask R-CNN (He et al. 2017) in 3D, and PointRend (Kirillov et al. 2020).
    """

    score_floor = DOUBTFUL
    """What is less likely is not looked at."""

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        strides: Sequence[int],
        classes: Sequence[CardClass],
        **settings: Any,
    ) -> None:
        super().__init__()
        self.lesion_ids = tuple(lesion_ids(classes))
        lesions = len(self.lesion_ids)
        if not lesions:
            msg = "box heads find lesions, and no class is one; take center_offset"
            raise ValueError(msg)
        self.settings = chosen = MaskRCNNSettings(**settings)
        dense = auxiliary(classes, chosen.dense)
        self.dense = CenterOffsetNetwork(in_channels, channels, strides, classes, **dense)
        levels = [n for n, stride in enumerate(strides) if stride >= chosen.finest_stride]
        levels = levels or [len(strides) - 1]
        self.level_strides = tuple(strides[n] for n in levels)
        anchors = len(chosen.anchor_sizes)
        self.propose = ProposalBranch(
            channels, levels, lesions=lesions, anchors=anchors, width=chosen.width
        )
        self.level = list(strides).index(RegionStage.stride)
        above = channels[self.level + 1 : self.level + 2]
        self.enter = nn.ModuleList(
            nn.Conv3d(one, chosen.region_width, 1) for one in (channels[self.level], *above)
        )
        self.regions = RegionStage(
            in_channels,
            chosen.region_width,
            lesions,
            mask_size=chosen.mask_size,
            points=chosen.points,
        )

    def forward(self, pyramid: Sequence[Tensor]) -> MaskRCNN:
        """The static part: the dense head, the proposals' logits, the features of regions."""
        features = self.enter[0](pyramid[self.level])
        if len(self.enter) > 1:
            features = features + repeat_up(self.enter[1](pyramid[self.level + 1]))
        objectness, class_logits, changes = self.propose(pyramid)
        dense = self.dense(pyramid, votes=self.training)  # centres only help to learn
        return MaskRCNN(dense, objectness, class_logits, changes, features)

    def refine(
        self, image: Tensor, raw: MaskRCNN, targets: Sequence[WindowTarget] | None = None
    ) -> MaskRCNN:
        """The dense head at full resolution, all proposals, and regions around `targets`."""
        raw = raw._replace(
            dense=self.dense.refine(image, raw.dense), proposals=self._proposals(raw)
        )
        if targets is None:
            return raw
        return raw._replace(sampled=self._sampled(image, raw, targets))

    def refine_found(self, image: Tensor, raw: MaskRCNN) -> MaskRCNN:
        """The dense head around what it found, and the regions of the best proposals."""
        dense = self.dense.refine_found(image, raw.dense)
        raw = raw._replace(dense=dense, proposals=self._proposals(raw))
        return raw._replace(found=self._found(image, raw))

    def shift_organs(self, amounts: Sequence[float]) -> None:
        """Add to the organs' logits, in their order."""
        self.dense.shift_organs(amounts)

    def _proposals(self, raw: MaskRCNN) -> Proposals:
        """The maps' cells in a row, level after level, and their boxes."""
        kinds = (raw.objectness, raw.class_logits, raw.changes)
        objectness, class_logits, changes = (
            torch.cat([_rows(one, width) for one in maps], dim=1)
            for maps, width in zip(kinds, (1, len(self.lesion_ids), 6), strict=True)
        )
        anchors = tuple(
            grid_anchors(one.shape[2:], stride, self.settings.anchor_sizes, one.device)
            for one, stride in zip(raw.objectness, self.level_strides, strict=True)
        )
        boxes = changed_boxes(torch.cat(anchors)[None], changes)
        return Proposals(objectness[..., 0], class_logits, boxes, anchors)

    def _best(
        self, raw: MaskRCNN, window: int, shape: Sequence[int], floor: float
    ) -> tuple[Tensor, Tensor]:
        """Boxes (P, 6) of a window's proposals that are not one another, and their objectness."""
        if raw.proposals is None:
            msg = "proposals come first"
            raise ValueError(msg)
        # What is not finite is nothing here: training reports it in its loss.
        score = torch.sigmoid(raw.proposals.objectness[window].detach()).nan_to_num(nan=0.0)
        value, index = score.topk(min(CONSIDERED, len(score)))
        index = index[value > floor]
        boxes = raw.proposals.boxes[window, index].detach().nan_to_num(nan=0.0)
        boxes = clipped_boxes(boxes, shape)
        groups = raw.proposals.class_logits[window, index].argmax(dim=1)
        kept = kept_boxes(boxes, score[index], groups, self.settings.overlap, self.settings.most)
        return boxes[kept], score[index[kept]]

    def _sampled(
        self, image: Tensor, raw: MaskRCNN, targets: Sequence[WindowTarget]
    ) -> SampledRegions:
        """The second stage's answer for regions with and without an object."""
        generators = [window_generator(one) for one in image]
        objects = [lesion_objects(one, self.lesion_ids, image.device) for one in targets]
        regions, target = self._chosen(image, raw, objects, generators)
        seen = Seen(image, raw.features).ready()
        class_logits, boxes = self.regions.classified(seen, regions)
        row = self._mask_rows(regions.window, target)
        channel, truth = _objects_of(objects, regions.window[row], target[row])
        # Masks are learned on what the box branch gives, as they are found later; only found ones
        # are widened to whole voxels.
        better = clipped_boxes(boxes[row].detach(), image.shape[2:])
        close = pair_iou(better, truth) > POSITIVE_IOU
        boxes_seen = grown(torch.where(close[:, None], better, regions.boxes[row]))
        covered = Regions(regions.window[row], boxes_seen)
        masks = self.regions.masks(seen, covered)
        places, place_logits = self.regions.learned_points(
            seen, covered, masks, channel, generators
        )
        return SampledRegions(
            regions.window,
            target,
            class_logits,
            boxes,
            row,
            boxes_seen,
            masks,
            places,
            place_logits,
        )

    def _chosen(
        self,
        image: Tensor,
        raw: MaskRCNN,
        objects: Sequence[LesionObjects],
        generators: Sequence[torch.Generator],
    ) -> tuple[Regions, Tensor]:
        """Regions to learn on, and which of its window's lesions each shows, -1 for none."""
        shape = image.shape[2:]
        chosen = [
            sample_regions(
                self._best(raw, n, shape, floor=0.0)[0],
                one,
                shape,
                generator,
                positives=self.settings.positives,
                negatives=self.settings.negatives,
            )
            for n, (one, generator) in enumerate(zip(objects, generators, strict=True))
        ]
        boxes, target = (torch.cat([one[n] for one in chosen]) for n in range(2))
        window = torch.cat([torch.full_like(one[1], n) for n, one in enumerate(chosen)])
        return Regions(window, boxes), target

    def _mask_rows(self, window: Tensor, target: Tensor) -> Tensor:
        """The first regions of each window with an object, up to `mask_regions`.

        One without where no window has any, so that no weight is without a gradient.
        """
        rows = [
            torch.nonzero((window == n) & (target >= 0))[: self.settings.mask_regions, 0]
            for n in range(int(window.max()) + 1)
        ]
        found = torch.cat(rows)
        return found if len(found) else torch.zeros(1, dtype=torch.int64, device=window.device)

    def _found(self, image: Tensor, raw: MaskRCNN) -> FoundRegions:
        """Class, box and mask of the best proposals of every window.

        Raises ModelError (`model-invalid`) where the network gave NaN.
        """
        shape = image.shape[2:]
        if raw.proposals is not None:
            refuse_not_finite(*raw.proposals[:3])
        best = [self._best(raw, n, shape, floor=self.score_floor) for n in range(len(image))]
        boxes, objectness = (torch.cat([one[n] for one in best]) for n in range(2))
        slots = torch.stack([_padded(one[1], self.settings.most) for one in best])
        counts = torch.tensor([len(one[0]) for one in best], device=image.device)
        window = torch.arange(len(image), device=image.device).repeat_interleave(counts)
        seen = Seen(image, raw.features).ready()
        logits, boxes = self.regions.classified(seen, Regions(window, boxes))
        refuse_not_finite(logits, boxes)
        # A region shows one object: whichever of its classes is likelier.
        likely, channel = torch.softmax(logits, dim=1)[:, 1:].max(dim=1)
        scores = objectness * likely
        row = torch.nonzero(scores > self.score_floor)[:, 0]
        boxes = clipped_boxes(boxes[row], shape)
        kept = self._apart(window[row], boxes, scores[row], channel[row])
        row, covered = row[kept], Regions(window[row[kept]], self.regions.covered(boxes[kept]))
        masks = self._found_masks(seen, covered, channel[row])
        held = [n for n, one in enumerate(masks) if one is not None]
        corners = [one[0] for one in masks if one is not None]
        return FoundRegions(
            covered.window[held],
            channel[row[held]],
            scores[row[held]],
            torch.tensor(corners, dtype=torch.int64).reshape(-1, 3),
            tuple(torch.from_numpy(one[1]) for one in masks if one is not None),
            slots,
        )

    def _apart(self, window: Tensor, boxes: Tensor, score: Tensor, channel: Tensor) -> Tensor:
        """Positions of the boxes that are not one another, window after window."""
        overlap, most = self.settings.overlap, self.settings.most
        kept = []
        for n in sorted(set(window.tolist())):
            mine = torch.nonzero(window == n)[:, 0]
            kept.append(mine[kept_boxes(boxes[mine], score[mine], channel[mine], overlap, most)])
        return torch.cat([window[:0], *kept])

    def _found_masks(
        self, seen: Seen, covered: Regions, channel: Tensor
    ) -> list[tuple[list[int], NDArray[np.float16]] | None]:
        """First voxel and mask of each found region, at the window's resolution.

        One after another is brought there and cut to its object: memory grows with the voxels of
        what is found, not with regions times what they cover.
        """
        masks = []
        for first in range(0, len(channel), AT_ONCE):
            part = Regions(*(one[first : first + AT_ONCE] for one in covered))
            logits = self.regions.masks(seen, part)
            for n, own in enumerate(channel[first : first + AT_ONCE].tolist()):
                mask = self.regions.one_mask(seen, part.row(n), logits[n : n + 1], own)
                masks.append(window_mask(mask, part.boxes[n], seen.image.shape[2:]))
        return masks


def _padded(objectness: Tensor, most: int) -> Tensor:
    """(P,) to (most,), with 0 for what is missing."""
    return functional.pad(objectness, (0, most - len(objectness)))


def _rows(maps: Tensor, width: int) -> Tensor:
    """(B, A * width, Z, Y, X) to (B, Z * Y * X * A, width), in float32."""
    cells = maps.float().view(len(maps), -1, width, *maps.shape[2:])
    return cells.permute(0, 3, 4, 5, 1, 2).reshape(len(maps), -1, width)


def _objects_of(
    objects: Sequence[LesionObjects], window: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """The class (R,) and box (R, 6) of the windows' lesions; 0 and a voxel's where target is -1."""
    channel = torch.zeros_like(target)
    boxes = torch.tensor([0.0, 0, 0, 1, 1, 1], device=target.device).repeat(len(target), 1)
    for n, one in enumerate(objects):
        rows = torch.nonzero((window == n) & (target >= 0))[:, 0]
        channel[rows], boxes[rows] = one.channel[target[rows]], one.boxes[target[rows]]
    return channel, boxes

"""The loss of the prototype head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.data.box_utils import box_pair_giou
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medseg.card import CardClass
from medseg.heads.center_offset.loss import DENSE_WEIGHTS, dense_loss
from medseg.heads.contract import WindowTarget, lesion_ids
from medseg.heads.yolact.masks import MARGIN, coordinate_terms, crop_points, crop_range
from medseg.heads.yolact.network import Yolact
from medseg.networks.detector import Assigned, assign, at_cells, detection_losses

WEIGHTS = {
    **{name: one for name, one in DENSE_WEIGHTS.items() if name != "points"},
    "lesion": 2.0,
    "offset": 1.0,
    "objectness": 1.0,
    "class": 1.0,
    "giou": 2.0,
    "distance": 0.2,
    "mask": 1.0,
    "quality": 0.5,
}
"""How much each part counts by default; without "lesion", the classes of objects stall."""

POINTS = 4096
"""Voxels of one object's crop that its mask learns on, at most."""


@dataclass(frozen=True)
class Objects:
    """The lesions of a batch, window after window.

    Shapes: window (N,); kinds (N,) numbers among the lesion classes; boxes (N, 6); masks N.
    """

    window: NDArray[np.int64]
    kinds: NDArray[np.int64]
    boxes: NDArray[np.int64]
    masks: tuple[NDArray[np.bool_], ...]

    @classmethod
    def of(cls, targets: Sequence[WindowTarget], classes: Sequence[CardClass]) -> Objects:
        """The objects of the lesion classes."""
        kind = {position: n for n, position in enumerate(lesion_ids(classes))}
        chosen = [
            (window, kind[int(position)], target.boxes[n], target.masks[n])
            for window, target in enumerate(targets)
            for n, position in enumerate(target.class_ids)
            if int(position) in kind
        ]
        return cls(
            np.array([one[0] for one in chosen], dtype=np.int64),
            np.array([one[1] for one in chosen], dtype=np.int64),
            np.array([one[2] for one in chosen], dtype=np.int64).reshape(-1, 6),
            tuple(one[3] for one in chosen),
        )

    def boxes_by_window(self, windows: int) -> list[NDArray[np.int64]]:
        """Boxes (n, 6) of every window."""
        return [self.boxes[self.window == number] for number in range(windows)]

    def holds(
        self, points: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which of the voxels (M, 3), `counts` an object, are its own; and its size (N,)."""
        sizes = [mask.size for mask in self.masks]
        flat = np.concatenate([np.zeros(1, dtype=bool), *(mask.ravel() for mask in self.masks)])
        first = 1 + np.cumsum(sizes) - sizes
        owner = np.repeat(np.arange(len(self.masks)), counts)
        low, high = self.boxes[:, :3], self.boxes[:, 3:]
        inside = ((points >= low[owner]) & (points < high[owner])).all(axis=1)
        z, y, x = (points - low[owner]).T
        lengths = (high - low)[owner]
        place = first[owner] + (z * lengths[:, 1] + y) * lengths[:, 2] + x
        voxels = np.array([np.count_nonzero(mask) for mask in self.masks], dtype=np.int64)
        return flat[np.where(inside, place, 0)], voxels


def yolact_loss(
    raw: Yolact,
    targets: Sequence[WindowTarget],
    classes: Sequence[CardClass],
    spacing_mm: Sequence[float],
) -> dict[str, Tensor]:
    """Named parts of the loss of a batch, each a mean, not weighted; `raw` is `refine`'s.

    Those of the dense part keep their names; of the objects' see `detection_losses`. "mask" is
    cross entropy plus soft Dice inside the crop, a mean over objects, so that a small one counts as
    much as a large one; "quality" is cross entropy with the IoU that the mask has. Work grows with
    objects times voxels of a crop, `POINTS` at most.
    """
    parts = dense_loss(raw.dense, targets, classes, spacing_mm)
    objects = Objects.of(targets, classes)
    device = raw.coefficients.device
    cells = raw.found.objectness.shape[1:]
    volumes = _volumes(raw)
    stride = volumes.shape[1] // cells[0]
    assigned = assign(objects.boxes_by_window(len(targets)), cells, stride)
    assigned = Assigned(*(part.to(device) for part in assigned))
    boxes = torch.from_numpy(objects.boxes).to(device, torch.float32)
    kinds = torch.from_numpy(objects.kinds).to(device)
    with torch.autocast(device.type, enabled=False):
        parts |= detection_losses(raw.found, assigned, boxes, kinds)
        parts |= _mask_losses(raw, objects, assigned, volumes)
    return parts


def _volumes(raw: Yolact) -> Tensor:
    if raw.prototypes is None:
        msg = "the loss wants the prototypes that refine gives"
        raise ValueError(msg)
    return raw.prototypes


def _mask_losses(
    raw: Yolact, objects: Objects, assigned: Assigned, volumes: Tensor
) -> dict[str, Tensor]:
    learned, chosen = _one_cell_each(raw, objects, assigned)
    count = len(learned.kinds)
    if not count:
        nothing = 0.0 * (raw.coefficients.sum() + raw.quality.sum() + volumes.sum())
        return {"mask": nothing, "quality": nothing}
    truth = torch.from_numpy(learned.boxes).to(volumes.device, volumes.dtype)
    boxes = learned_boxes(at_cells(raw.found.boxes, chosen).detach(), truth)
    shape = volumes.shape[1:4]
    low, high = (part.cpu().numpy() for part in crop_range(boxes, shape, MARGIN))
    points, counts = crop_points(low, high, POINTS)
    own, voxels = learned.holds(points, counts)
    target = torch.from_numpy(own).to(volumes.device, volumes.dtype)
    owner = torch.from_numpy(np.repeat(np.arange(count), counts)).to(volumes.device)
    # All crops at once: a gradient the size of the window for every crop would cost more than the
    # network does.
    window = np.repeat(learned.window, counts)
    index = np.ravel_multi_index((window, *points.T), volumes.shape[:4])
    rows = volumes.flatten(0, 3).index_select(0, torch.from_numpy(index).to(volumes.device))
    place = torch.from_numpy(points).to(volumes.device, volumes.dtype)
    terms = torch.cat([rows, coordinate_terms(place, boxes[owner])], dim=1)
    coefficients = at_cells(raw.coefficients, chosen)
    crops = terms.tensor_split(np.cumsum(counts)[:-1].tolist())
    logits = torch.cat([crop @ one for crop, one in zip(crops, coefficients, strict=True)])
    volume = torch.from_numpy(np.prod(high - low, axis=1)).to(logits)
    whole = torch.from_numpy(voxels).to(logits)
    counted = torch.from_numpy(counts).to(logits)
    iou = _mask_iou(logits.detach() > 0, target, owner, volume / counted, whole)
    wrong = functional.binary_cross_entropy_with_logits(
        raw.quality.flatten(1)[chosen.window, chosen.cell], iou
    )
    return {"mask": _crop_losses(logits, target, owner, counted).mean(), "quality": wrong}


def _one_cell_each(raw: Yolact, objects: Objects, assigned: Assigned) -> tuple[Objects, Assigned]:
    """The cell of each object that speaks loudest, as at inference; objects without one go."""
    spoken = raw.found.objectness.detach().flatten(1)[assigned.window, assigned.cell].cpu().numpy()
    owners = assigned.owner.cpu().numpy()
    best = np.full(len(objects.kinds), -1, dtype=np.int64)
    order = np.argsort(spoken, kind="stable")
    best[owners[order]] = order
    kept = np.flatnonzero(best >= 0)
    chosen = torch.from_numpy(best[kept]).to(assigned.cell.device)
    learned = Objects(
        objects.window[kept],
        objects.kinds[kept],
        objects.boxes[kept],
        tuple(objects.masks[n] for n in kept),
    )
    return learned, Assigned(*(part[chosen] for part in assigned))


def learned_boxes(given: Tensor, truth: Tensor) -> Tensor:
    """Boxes (N, 6) in which masks learn: those predicted where they are good, else near the truth.

    A predicted box is good from a generalised IoU of 0.5 on, which its IoU is not below. Of a bad
    one each face is moved towards the truth, until a tenth of the true length is between them: then
    the IoU is above 0.5.
    """
    reach = 0.1 * (truth[:, 3:] - truth[:, :3]).repeat(1, 2)
    near = truth + torch.minimum(torch.maximum(given - truth, -reach), reach)
    good = torch.as_tensor(box_pair_giou(given, truth)) > 0.5
    return torch.where(good[:, None], given, near)


def _crop_losses(logits: Tensor, target: Tensor, owner: Tensor, counts: Tensor) -> Tensor:
    """Cross entropy plus soft Dice (N,) of every object over its own voxels (M,)."""
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    probability = torch.sigmoid(logits)
    stacked = torch.stack([entropy, probability * target, probability + target], dim=1)
    sums = torch.zeros(len(counts), 3, device=logits.device).index_add(0, owner, stacked)
    return sums[:, 0] / counts + 1 - (2 * sums[:, 1] + 1) / (sums[:, 2] + 1)


def _mask_iou(found: Tensor, target: Tensor, owner: Tensor, share: Tensor, whole: Tensor) -> Tensor:
    """IoU (N,) of masks with objects of `whole` voxels; a voxel here stands for `share` of them."""
    hits = torch.stack([found.to(target) * target, found.to(target)], dim=1)
    both, given = torch.zeros(len(whole), 2, device=target.device).index_add(0, owner, hits).T
    both, given = torch.minimum(both * share, whole), given * share
    iou: Tensor = both / (given + whole - both).clamp(min=1)
    return iou

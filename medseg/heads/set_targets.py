"""The objects of a window as query heads are compared with them: at points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.heads.contract import WindowTarget
from medseg.networks.set_matching import SoftCrop, candidate_cells, shares_at, soft_crop


class Objects(NamedTuple):
    """Objects of some classes of one window, in an order of their own.

    Shapes: class_ids (N,) positions among those classes; boxes (N, 6) voxels z0 y0 x0 z1 y1 x1;
    masks N tight crops.
    """

    class_ids: NDArray[np.int64]
    boxes: NDArray[np.int64]
    masks: tuple[NDArray[np.bool_], ...]

    def crops(self) -> list[SoftCrop]:
        """The masks on cells of stride 2."""
        return [soft_crop(mask, box[:3]) for mask, box in zip(self.masks, self.boxes, strict=True)]


def in_order(target: WindowTarget, classes: Sequence[int]) -> Objects:
    """The objects of `classes` (positions in the card's), in the same order however they came."""
    position = {one: n for n, one in enumerate(classes)}
    chosen = [n for n, one in enumerate(target.class_ids) if int(one) in position]
    keys = [
        (*target.boxes[n].tolist(), position[int(target.class_ids[n])], target.masks[n].sum(), n)
        for n in chosen
    ]
    rows = [key[-1] for key in sorted(keys)]
    return Objects(
        np.array([position[int(target.class_ids[n])] for n in rows], dtype=np.int64),
        target.boxes[rows].reshape(-1, 6),
        tuple(target.masks[n] for n in rows),
    )


def target_rng(objects: Objects) -> np.random.Generator:
    """Randomness that depends on nothing but the objects: a window's draws can be repeated."""
    return np.random.default_rng(
        [crc32(objects.boxes.tobytes()), crc32(objects.class_ids.tobytes())]
    )


class PointTarget(NamedTuple):
    """One window's objects at candidate points.

    Shapes: class_ids (N,); boxes (N, 6) float; cells (P, 3) of stride 2; shares (N, P), what part
    of each cell each object fills; organs (1 + organs, P), background first, adding up to 1;
    undrawn (1 + organs,) true for organs that nobody drew.
    """

    class_ids: Tensor
    boxes: Tensor
    cells: Tensor
    shares: Tensor
    organs: Tensor
    undrawn: Tensor


def point_target(
    target: WindowTarget,
    lesions: Sequence[int],
    organs: Sequence[int],
    shape: Sequence[int],
    device: torch.device,
) -> PointTarget:
    """Draw the points of a window of `shape` cells, and look its objects up there.

    `lesions` and `organs` are the positions of those classes in the card's.
    """
    found, fixed = in_order(target, lesions), in_order(target, organs)
    crops, organ_crops = found.crops(), fixed.crops()
    cells = candidate_cells(shape, crops or organ_crops, target_rng(found))
    by_class = np.zeros((1 + len(organs), len(cells)), dtype=np.float32)
    np.add.at(by_class, fixed.class_ids + 1, shares_at(cells, organ_crops))
    by_class[0] = np.maximum(1 - by_class[1:].sum(axis=0), 0)
    return PointTarget(
        torch.from_numpy(found.class_ids).to(device),
        torch.from_numpy(found.boxes).float().to(device),
        torch.from_numpy(cells).to(device),
        torch.from_numpy(shares_at(cells, crops)).to(device),
        torch.from_numpy(by_class).to(device),
        torch.tensor([False, *(one in target.undrawn for one in organs)], device=device),
    )

"""A one-stage detector without anchors, and how its cells learn: what box heads stand on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from monai.data.box_utils import box_pair_giou
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from medseg.networks.nms import kept_boxes

STRIDE = 4
"""The detector's cells are this many voxels wide, or as wide as the backbone's last level."""

UNIT_VOXELS = 8.0
"""What an output of 1 adds to half a box's length, in voxels."""


class Detections(NamedTuple):
    """What every cell says of the object whose middle it is nearest to.

    Shapes: objectness (B, z, y, x) logits; kind (B, kinds, z, y, x) logits; boxes
    (B, 6, z, y, x) voxels z0 y0 x0 z1 y1 x1, from the first voxel's outer face to the last one's;
    tower (B, width, z, y, x), the features behind them, for branches of a head.
    """

    objectness: Tensor
    kind: Tensor
    boxes: Tensor
    tower: Tensor


class Assigned(NamedTuple):
    """Which cell learns which object: (P,) windows of the batch, cells of it, and objects.

    Objects are numbered through the batch, window after window.
    """

    window: Tensor
    cell: Tensor
    owner: Tensor


class Detector(nn.Module):
    """Objectness, class and box at every cell of one pyramid level.

    Shapes: pyramid levels (B, channels[i], Z / strides[i], ...) -> Detections at `stride`.

    After FCOS (Tian et al. 2019), on the level at stride 4 with the next finer one averaged into
    it. Whether something is there and what it is are two outputs: independent sigmoids a class
    stall in 3D. A box is half its lengths around a shifted middle, so that an object smaller than
    a cell, which holds no cell's middle, has one too.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        kinds: int,
        *,
        width: int = 64,
        layers: int = 2,
    ) -> None:
        super().__init__()
        self.kinds = kinds
        self.level = max(n for n, stride in enumerate(strides) if n == 0 or stride <= STRIDE)
        self.stride = int(strides[self.level])
        finer = self.level - 1
        self.pool = self.stride // strides[finer] if finer >= 0 else 1
        inputs = channels[self.level] + (channels[finer] if finer >= 0 else 0)
        self.tower = nn.Sequential(
            *(
                part
                for n in range(layers)
                for part in (
                    nn.Conv3d(width if n else inputs, width, 3, padding=1),
                    nn.GroupNorm(8, width),
                    nn.LeakyReLU(0.01, inplace=True),
                )
            )
        )
        # One class needs no choice, and its logit would learn nothing.
        self.predict = nn.Conv3d(width, 7 + (kinds if kinds > 1 else 0), 1)
        # Objects are rare: start near their frequency.
        set_bias(self.predict, {0: -4.0})

    def forward(self, pyramid: Sequence[Tensor]) -> Detections:
        """What every cell says, in 32-bit floats."""
        features = pyramid[self.level]
        if self.level:
            finer = functional.avg_pool3d(pyramid[self.level - 1], self.pool)
            features = torch.cat([features, finer], dim=1)
        tower = self.tower(features)
        out = in_float32(self.predict, tower)
        kind = out[:, 7:] if self.kinds > 1 else torch.zeros_like(out[:, :1])
        return Detections(out[:, 0], kind, self._boxes(out[:, 1:7]), tower)

    def _boxes(self, out: Tensor) -> Tensor:
        axes = [
            (torch.arange(length, device=out.device, dtype=out.dtype) + 0.5) * self.stride
            for length in out.shape[2:]
        ]
        middle = torch.stack(torch.meshgrid(*axes, indexing="ij")) + out[:, :3] * self.stride
        # Half a voxel at least: an object has one.
        half = 0.5 + functional.softplus(out[:, 3:]) * UNIT_VOXELS
        return torch.cat([middle - half, middle + half], dim=1)


def in_float32(layer: nn.Module, features: Tensor) -> Tensor:
    """A layer outside autocast: eight bits are too few for boxes and masks."""
    with torch.autocast(features.device.type, enabled=False):
        out: Tensor = layer(features.float())
    return out


def set_bias(layer: nn.Conv3d, values: dict[int, float]) -> None:
    """Set the bias of some output channels, for good starting values."""
    if layer.bias is None:
        msg = "the layer has no bias"
        raise ValueError(msg)
    with torch.no_grad():
        for channel, value in values.items():
            layer.bias[channel] = value


def at_cells(values: Tensor, assigned: Assigned) -> Tensor:
    """Rows (P, C) of `values` (B, C, z, y, x) at the assigned cells."""
    return values.flatten(2)[assigned.window, :, assigned.cell]


def assign(
    boxes: Sequence[NDArray[np.int64]], cells: Sequence[int], stride: int, count: int = 4
) -> Assigned:
    """Give every object of a batch the `count` cells nearest to its middle.

    Shapes: boxes (N, 6) a window; `cells` (z, y, x) their number along the axes. No object gives
    no cell.
    """
    windows, places, owners, first = [], [], [], 0
    for number, one in enumerate(boxes):
        cell, owner = nearest_cells(one, cells, stride, count)
        windows.append(np.full(len(cell), number, dtype=np.int64))
        places.append(cell)
        owners.append(owner + first)
        first += len(one)
    return Assigned(
        *(
            torch.from_numpy(np.concatenate([np.zeros(0, dtype=np.int64), *part]))
            for part in (windows, places, owners)
        )
    )


def nearest_cells(
    boxes: NDArray[np.int64], cells: Sequence[int], stride: int, count: int = 4
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cells (P,) and the object (P,) that each learns, `count` cells an object where they suffice.

    Near is meant in half lengths of the box, whatever the grid's spacing. A cell learns one object:
    in every round each object, the smallest first, takes the nearest of 4^3 cells around its
    middle that is free, so of nested objects none goes without. The answer does not depend on
    the order of the objects.
    """
    half = np.maximum((boxes[:, 3:] - boxes[:, :3]) / 2, 1.0)
    middle = (boxes[:, :3] + boxes[:, 3:]) / 2 / stride - 0.5
    around = np.array(list(product(range(-1, 3), repeat=3)))
    candidates = np.floor(middle).astype(np.int64)[:, None] + around
    apart = (((candidates - middle[:, None]) * stride / half[:, None]) ** 2).sum(axis=-1)
    usable = ((candidates >= 0) & (candidates < np.asarray(cells))).all(axis=-1)
    apart[~usable] = np.inf
    z, y, x = np.moveaxis(np.where(usable[..., None], candidates, 0), -1, 0)
    flat = (z * cells[1] + y) * cells[2] + x
    nearest = np.argsort(apart, axis=1, kind="stable")
    queues = [
        iter(flat[n, order[: np.count_nonzero(usable[n])]].tolist())
        for n, order in enumerate(nearest)
    ]
    turns: NDArray[np.int64] = np.lexsort((*boxes.T, np.prod(half, axis=1)))
    taken: dict[int, int] = {}
    for _ in range(count):
        for n in turns:
            cell = next((one for one in queues[n] if one not in taken), None)
            if cell is not None:
                taken[cell] = int(n)
    cell = np.fromiter(taken.keys(), dtype=np.int64, count=len(taken))
    return cell, np.fromiter(taken.values(), dtype=np.int64, count=len(taken))


def detection_losses(
    found: Detections, assigned: Assigned, boxes: Tensor, kinds: Tensor
) -> dict[str, Tensor]:
    """Named parts of the detector's loss, each a mean over the assigned cells.

    Shapes: boxes (N, 6) and kinds (N,) of the batch's objects. "objectness" is the varifocal loss
    (Zhang et al. 2021) with target 1; "class" is cross entropy; "giou" is 1 minus the generalised
    IoU (Rezatofighi et al. 2019) and "distance" the L1 distance of the faces in `UNIT_VOXELS`.
    Without an object the last three are 0.
    """
    number = max(len(assigned.cell), 1)
    logits = found.objectness.flatten(1)
    positive = torch.zeros_like(logits)
    positive[assigned.window, assigned.cell] = 1.0
    spurious = 0.75 * torch.sigmoid(logits) ** 2
    weight = torch.where(positive > 0, torch.ones_like(logits), spurious)
    entropy = functional.binary_cross_entropy_with_logits(logits, positive, reduction="none")
    given, wanted = at_cells(found.boxes, assigned), boxes[assigned.owner]
    parts = {"objectness": (weight * entropy).sum() / number}
    if found.kind.shape[1] > 1:
        chosen = at_cells(found.kind, assigned)
        wrong = functional.cross_entropy(chosen, kinds[assigned.owner], reduction="sum")
        parts["class"] = wrong / number
    parts["giou"] = (1 - box_pair_giou(given, wanted)).sum() / number
    parts["distance"] = (given - wanted).abs().mean(dim=1).sum() / number / UNIT_VOXELS
    return parts


def best_boxes(
    boxes: Tensor, kinds: Tensor, scores: Tensor, *, floor: float, overlap: float, most: int
) -> Tensor:
    """Positions, by falling score, of boxes above `floor` that repeat no better one of their class.

    Shapes: boxes (N, 6), kinds (N,), scores (N,). One repeats another where their IoU is above
    `overlap`; at most `most` are kept.
    """
    above = torch.nonzero(scores > floor)[:, 0]
    return above[kept_boxes(boxes[above], scores[above], kinds[above], overlap, most)]

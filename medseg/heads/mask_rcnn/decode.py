"""From the regions that Mask R-CNN found to the objects of each window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.card import CardClass
from medseg.heads.center_offset.decode import CenterOffsetDecoder
from medseg.heads.contract import WindowInstance, lesion_ids
from medseg.heads.mask_rcnn.raw import FoundRegions, MaskRCNN
from medseg.heads.settings import check_numbers
from medseg.heads.window_objects import window_instance, without_doubles


@dataclass(frozen=True)
class MaskRCNNDecoder:
    """One object a region whose mask is not another's: objectness times class probability.

    Of objects of a class whose masks meet at an IoU above `double_iou` the better stays. Those
    below `score_threshold` or `smallest_mm3` are dropped by the caller, after stitching.
    """

    classes: tuple[CardClass, ...]
    score_threshold: float = 0.3
    smallest_mm3: float = 30.0
    double_iou: float = 0.5

    def __post_init__(self) -> None:
        limits = {
            "score_threshold": (0.0, 1.0),
            "smallest_mm3": (-1.0, np.inf),
            "double_iou": (0.0, 1.0),
        }
        check_numbers(self.settings, limits)

    @property
    def organs(self) -> CenterOffsetDecoder | None:
        """Decodes the organs of the dense part; None without an organ class."""
        organs = tuple(one for one in self.classes if one.kind == "organ")
        return CenterOffsetDecoder(organs) if organs else None

    @property
    def settings(self) -> dict[str, float]:
        """Everything that decides the decoding, for the provenance."""
        return {name: value for name, value in asdict(self).items() if name != "classes"}

    def decode(self, raw: MaskRCNN) -> list[list[WindowInstance]]:
        """The lesions of each window of a batch, doubtful ones too, better ones first."""
        if raw.found is None:
            msg = "decoding wants what `refine_found` gives"
            raise ValueError(msg)
        shape = _window_shape(raw)
        windows = len(raw.features)
        found: list[list[WindowInstance]] = [[] for _ in range(windows)]
        for n, window in enumerate(raw.found.window.tolist()):
            item = self._object(raw.found, n, shape)
            if item is not None:
                found[window].append(item)
        return [without_doubles(items, self.double_iou) for items in found]

    def _object(self, found: FoundRegions, n: int, shape: Sequence[int]) -> WindowInstance | None:
        """A region's mask at the window's resolution; None without a voxel."""
        corner, logits = pasted(found.masks[n], found.boxes[n], shape)
        position = lesion_ids(self.classes)[int(found.channel[n])]
        probability = torch.sigmoid(logits).cpu().numpy()
        return window_instance(position, float(found.scores[n]), corner, probability)


def pasted(mask: Tensor, box: Tensor, shape: Sequence[int]) -> tuple[list[int], Tensor]:
    """A region's logits at the voxels whose middles it covers, trilinear, and their first index.

    Shapes: mask (S, S, S); box (6,) z0 y0 x0 z1 y1 x1 in voxels; `shape` that of the window, beyond
    which nothing is given -> (dz, dy, dx), which may be empty. The outermost logits hold up to the
    region's faces.
    """
    ends = box.tolist()
    corner, values = [], mask.float()
    for axis, length in enumerate(shape):
        low, high = ends[axis], ends[axis + 3]
        first = max(int(np.ceil(low - 0.5)), 0)
        stop = min(int(np.ceil(high - 0.5)), length)
        corner.append(first)
        values = _interpolated(values, axis, _cells(low, high, first, stop, mask.shape[axis]))
    return corner, values


def _cells(low: float, high: float, first: int, stop: int, size: int) -> NDArray[np.float32]:
    """Where the middles of voxels first..stop lie among `size` cells from `low` to `high`."""
    middle = np.arange(first, max(stop, first)) + 0.5
    cells = (middle - low) / (high - low) * size - 0.5
    return np.asarray(np.clip(cells, 0, size - 1), dtype=np.float32)


def _interpolated(values: Tensor, axis: int, cells: NDArray[np.float32]) -> Tensor:
    """`values` at places between its cells along one axis."""
    at = torch.from_numpy(cells).to(values.device)
    below = at.long().clamp(max=max(values.shape[axis] - 2, 0))
    above = (below + 1).clamp(max=values.shape[axis] - 1)
    part = at - below
    part = part.view([-1 if n == axis else 1 for n in range(values.ndim)])
    return torch.lerp(
        values.index_select(axis, below),
        values.index_select(axis, above),
        part.expand([len(at) if n == axis else size for n, size in enumerate(values.shape)]),
    )


def _window_shape(raw: MaskRCNN) -> list[int]:
    """Lengths of the window, from the dense part at full resolution."""
    full = raw.dense.organ if raw.dense.organ is not None else raw.dense.lesion
    if full is None:
        msg = "the dense part has no class"
        raise ValueError(msg)
    return list(full.shape[2:])

"""What decoders of box and query heads share: crops of one window's objects, doubles among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.errors import ModelError
from medseg.heads.contract import WindowInstance
from medseg.measurement.pairs import common_part, meeting_boxes
from medseg.types import Box, tight_box

FRINGE = 0.02
"""Probabilities below this are not kept around an object."""

ONE_OBJECT = 0.8
"""Masks of two classes that meet at an IoU above this are one object, however its class is doubted.

Lesions in each other stay far below: at 0.8 the rim would be a fifth of the whole.
"""

Pairs = NDArray[np.int64]


def refuse_not_finite(*values: Tensor) -> None:
    """Refuse what a network gave where a value is NaN or infinite: it would count as nothing found.

    Raises ModelError (`model-invalid`).
    """
    if not all(bool(torch.isfinite(one).all()) for one in values):
        raise _not_finite()


def _not_finite() -> ModelError:
    detail, remedy = "the network gave NaN", "fetch the model package again"
    return ModelError("model-invalid", "model", detail, remedy)


def window_instance(
    class_id: int, score: float, corner: Sequence[int], probability: NDArray[np.floating]
) -> WindowInstance | None:
    """An object from the probability of its mask around it; None where none is above 0.5.

    `probability` (z, y, x) begins at voxel `corner` of the window; what is kept is cut to where
    it is at least `FRINGE`. Raises ModelError (`model-invalid`) where one is NaN.
    """
    crop = fringe_crop(corner, probability)
    return None if crop is None else WindowInstance(class_id, score, *crop)


def fringe_crop(
    corner: Sequence[int], probability: NDArray[np.floating]
) -> tuple[Box, NDArray[np.float16]] | None:
    """The box and probabilities that `window_instance` keeps, without what they were cut from."""
    if np.isnan(probability.max(initial=0.0)):
        raise _not_finite()
    kept = probability.astype(np.float16, copy=False)  # first: what rounds to 0.5 is in no mask
    box = tight_box(kept >= FRINGE)
    if box is None or not (kept[box] > 0.5).any():
        return None
    z, y, x = (
        slice(part.start + int(first), part.stop + int(first))
        for part, first in zip(box, corner, strict=True)
    )
    return (z, y, x), kept[box].copy()  # a view would keep all of it in memory


def without_doubles(found: Sequence[WindowInstance], iou: float) -> list[WindowInstance]:
    """The objects by falling score, without those whose mask is that of a better one again.

    One is dropped where its mask meets that of a better one at an IoU above `iou`, or above
    `ONE_OBJECT` where that is of another class. Only pairs whose boxes meet are compared.
    """
    ordered = sorted(found, key=lambda one: -one.score)
    classes, masks = _classes(ordered), [solid(one) for one in ordered]
    dropped = np.zeros(len(ordered), dtype=bool)
    for better, worse in _meeting_pairs(ordered):
        if not dropped[better] and not dropped[worse]:
            most = iou if classes[better] == classes[worse] else max(iou, ONE_OBJECT)
            dropped[worse] = mask_iou(masks[better], masks[worse]) > most
    return [item for item, gone in zip(ordered, dropped, strict=True) if not gone]


def pairs_of_a_class(found: Sequence[WindowInstance]) -> Pairs:
    """Positions (K, 2) of each two objects of a class whose boxes meet, in rising order."""
    pairs, classes = _meeting_pairs(found), _classes(found)
    return np.asarray(pairs[classes[pairs[:, 0]] == classes[pairs[:, 1]]])


def _meeting_pairs(found: Sequence[WindowInstance]) -> Pairs:
    """Positions (K, 2) of each two objects whose boxes meet, in rising order."""
    ends = [[end for part in one.box for end in (part.start, part.stop)] for one in found]
    boxes = np.array(ends, dtype=np.int64).reshape(-1, 6)
    pairs = meeting_boxes(boxes, boxes)
    return np.asarray(pairs[pairs[:, 0] < pairs[:, 1]])


def _classes(found: Sequence[WindowInstance]) -> NDArray[np.int64]:
    return np.array([one.class_id for one in found], dtype=np.int64)


class Solid(NamedTuple):
    """An object's mask: its box, where in it the object is, and how many voxels that are."""

    box: Box
    mask: NDArray[np.bool_]
    voxels: int


def solid(one: WindowInstance) -> Solid:
    """The mask of an object, to be compared with many others."""
    mask = one.probability > 0.5
    return Solid(one.box, mask, int(np.count_nonzero(mask)))


def mask_iou(one: Solid, other: Solid) -> float:
    """Intersection over union of two objects' masks; 0 where their boxes do not meet."""
    both = shared_voxels(one, other)
    if not both:
        return 0.0
    return both / (one.voxels + other.voxels - both)


def shared_voxels(one: Solid, other: Solid) -> int:
    """Voxels that lie in both masks."""
    inner, other_inner = common_part(one.box, other.box)
    return int(np.count_nonzero(one.mask[inner] & other.mask[other_inner]))

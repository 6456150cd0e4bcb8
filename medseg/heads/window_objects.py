"""What decoders of box and query heads share: crops of one window's objects, doubles among them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.errors import ModelError
from medseg.heads.contract import WindowInstance
from medseg.heads.doubles_kernel import Masks, drop_worse
from medseg.measurement.pairs import meeting_boxes
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
    # In halves first: what rounds to 0.5 is in no mask. Torch makes them several times faster.
    kept = torch.from_numpy(np.ascontiguousarray(probability)).half().numpy()
    # Halves above 0 have the order of their bits, which are compared faster.
    box = tight_box(kept.view(np.int16) >= np.float16(FRINGE).view(np.int16))
    if box is None or not kept[box].max() > 0.5:
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
    classes, pairs = _classes(ordered), _meeting_pairs(ordered)
    same = classes[pairs[:, 0]] == classes[pairs[:, 1]]
    most_iou = np.where(same, iou, max(iou, ONE_OBJECT))
    dropped = repeated(ordered, pairs, most_iou)
    return [item for item, gone in zip(ordered, dropped, strict=True) if not gone]


def repeated(
    ordered: Sequence[WindowInstance],
    pairs: Pairs,
    most_iou: NDArray[np.float64],
    most_shared: NDArray[np.float64] | None = None,
) -> NDArray[np.bool_]:
    """Which objects (N,) are better ones again, by pairs (K, 2) of a better and a worse, in turn.

    The worse is where neither is yet and their masks meet at an IoU above `most_iou` (K,), or share
    more voxels than `most_shared` (K,).
    """
    crops = [one.probability > 0.5 for one in ordered]
    masks = Masks(
        box_ends([one.box for one in ordered]),
        voxel_counts(crops),
        np.concatenate([np.zeros(0, dtype=bool), *(one.ravel() for one in crops)]).view(np.uint8),
        np.cumsum([0, *(one.size for one in crops)])[:-1],
    )
    dropped = np.zeros(len(ordered), dtype=bool)
    if most_shared is None:
        most_shared = np.full(len(pairs), np.inf)
    drop_worse(pairs, most_iou, most_shared, masks, dropped)
    return dropped


def pairs_of_a_class(found: Sequence[WindowInstance]) -> Pairs:
    """Positions (K, 2) of each two objects of a class whose boxes meet, in rising order."""
    pairs, classes = _meeting_pairs(found), _classes(found)
    return np.asarray(pairs[classes[pairs[:, 0]] == classes[pairs[:, 1]]])


def _meeting_pairs(found: Sequence[WindowInstance]) -> Pairs:
    """Positions (K, 2) of each two objects whose boxes meet, in rising order."""
    boxes = box_ends([one.box for one in found])
    pairs = meeting_boxes(boxes, boxes)
    return np.asarray(pairs[pairs[:, 0] < pairs[:, 1]])


def box_ends(boxes: Sequence[Box]) -> NDArray[np.int64]:
    """(N, 6): z start, z stop, y start, y stop, x start, x stop."""
    ends = [[end for part in box for end in (part.start, part.stop)] for box in boxes]
    return np.array(ends, dtype=np.int64).reshape(-1, 6)


def voxel_counts(masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.int64]:
    """How many voxels (N,) each mask holds."""
    return np.array([np.count_nonzero(one) for one in masks], dtype=np.int64)


def _classes(found: Sequence[WindowInstance]) -> NDArray[np.int64]:
    return np.array([one.class_id for one in found], dtype=np.int64)

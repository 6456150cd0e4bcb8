"""What decoders of box and query heads share: crops of one window's objects, doubles among them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medseg.heads.contract import WindowInstance
from medseg.measurement.pairs import common_part, meeting_boxes
from medseg.types import tight_box

FRINGE = 0.02
"""Probabilities below this are not kept around an object."""

Pairs = NDArray[np.int64]


def window_instance(
    class_id: int, score: float, corner: Sequence[int], probability: NDArray[np.floating]
) -> WindowInstance | None:
    """An object from the probability of its mask around it; None where none is above 0.5.

    `probability` (z, y, x) begins at voxel `corner` of the window; what is kept is cut to where
    it is at least `FRINGE`.
    """
    kept = probability.astype(np.float16)  # first: what rounds to 0.5 is in no mask
    box = tight_box(kept >= FRINGE)
    if box is None or not (kept[box] > 0.5).any():
        return None
    z, y, x = (
        slice(part.start + int(first), part.stop + int(first))
        for part, first in zip(box, corner, strict=True)
    )
    return WindowInstance(class_id, score, (z, y, x), kept[box])


def without_doubles(found: Sequence[WindowInstance], iou: float) -> list[WindowInstance]:
    """The objects by falling score, without those whose mask is one of the same class again.

    One is dropped where its mask meets that of a better one of its class at an IoU above `iou`.
    Only pairs whose boxes meet are compared.
    """
    ordered = sorted(found, key=lambda one: -one.score)
    dropped = np.zeros(len(ordered), dtype=bool)
    for better, worse in pairs_of_a_class(ordered):
        if not dropped[better] and not dropped[worse]:
            dropped[worse] = mask_iou(ordered[better], ordered[worse]) > iou
    return [item for item, gone in zip(ordered, dropped, strict=True) if not gone]


def pairs_of_a_class(found: Sequence[WindowInstance]) -> Pairs:
    """Positions (K, 2) of each two objects of a class whose boxes meet, in rising order."""
    ends = [[end for part in one.box for end in (part.start, part.stop)] for one in found]
    boxes = np.array(ends, dtype=np.int64).reshape(-1, 6)
    pairs = meeting_boxes(boxes, boxes)
    classes = np.array([one.class_id for one in found], dtype=np.int64)
    wanted = (pairs[:, 0] < pairs[:, 1]) & (classes[pairs[:, 0]] == classes[pairs[:, 1]])
    return np.asarray(pairs[wanted])


def mask_iou(one: WindowInstance, other: WindowInstance) -> float:
    """Intersection over union of two objects' masks; 0 where their boxes do not meet."""
    both = shared_voxels(one, other)
    if not both:
        return 0.0
    return both / (voxel_count(one) + voxel_count(other) - both)


def shared_voxels(one: WindowInstance, other: WindowInstance) -> int:
    """Voxels that lie in both masks."""
    inner, other_inner = common_part(one.box, other.box)
    shared = (one.probability[inner] > 0.5) & (other.probability[other_inner] > 0.5)
    return int(np.count_nonzero(shared))


def voxel_count(one: WindowInstance) -> int:
    """Voxels of an object's mask."""
    return int(np.count_nonzero(one.probability > 0.5))

"""Volumes from probabilities: what voxels that are partly inside add up to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medseg.types import Instance, Instances, Shape

LOW_FROM, HIGH_FROM = 0.75, 0.25
"""Least probability of a voxel that counts for the low and for the high volume."""

MOST_MISSING = 0.05
"""Part of a volume that may lie beyond the crop; with more the volumes count as cut."""

Reason = Literal[
    "",
    "no probability was kept",
    "probability is not between 0 and 1",
    "probability outside the mask was not kept",
    "probability outside the mask is another object's",
]
"""Why an instance has no partial volume; "" where it has one."""


@dataclass(frozen=True, eq=False)
class PartialVolumes:
    """Volumes from probabilities in millilitres, all (N,) in the order of `items`.

    The three are NaN together, and `reasons` says why. Where `cut`, more than `MOST_MISSING` of
    them may lie beyond the probability's crop.
    """

    estimate_ml: NDArray[np.float64]
    low_ml: NDArray[np.float64]
    high_ml: NDArray[np.float64]
    reasons: tuple[Reason, ...]
    cut: NDArray[np.bool_]


def partial_volumes(instances: Instances) -> PartialVolumes:
    """Volume of each instance as its probability says: sum, and number of likely voxels.

    The estimate is the sum of the probability crop times the volume of a voxel; low counts the
    voxels of at least `LOW_FROM`, high those of at least `HIGH_FROM`. A probability that equals
    the mask gives the volume three times. Where the probability is known around the mask
    (`probability_box`), that fringe counts as well.

    Nothing is given where the crop cannot tell: without probability, where none outside the mask
    was kept although it is below 1 inside, and where a lesion's is higher somewhere outside the
    mask than inside (another lesion of its class). What is given counts as cut where a
    probability that halves with each voxel from the crop's faces outwards would add more than
    `MOST_MISSING` to the estimate or to the high volume; a face on the image's border is one, but
    for images of one slice. No instance gives arrays of shape (0,).
    """
    rows = np.full((len(instances), 3), np.nan)
    reasons: list[Reason] = []
    cut = np.zeros(len(instances), dtype=np.bool_)
    for row, item in enumerate(instances.items):
        reason = _why_not(item)
        reasons.append(reason)
        if not reason and item.probability is not None:
            rows[row] = _counted(item.probability)
            cut[row] = _is_cut(item, item.probability, instances.geometry.shape)
    rows *= instances.geometry.voxel_ml
    return PartialVolumes(rows[:, 0], rows[:, 1], rows[:, 2], tuple(reasons), cut)


def _counted(probability: NDArray[np.float16]) -> tuple[float, int, int]:
    low, high = (int(np.count_nonzero(probability >= least)) for least in (LOW_FROM, HIGH_FROM))
    return float(probability.sum(dtype=np.float64)), low, high


def _why_not(item: Instance) -> Reason:
    if item.probability is None:
        return "no probability was kept"
    if not (item.probability.min() >= 0 and item.probability.max() <= 1):  # NaN is neither
        return "probability is not between 0 and 1"
    least, most, known = _inside_and_out(item, item.probability)
    if least == 1 and most == 0:
        return ""
    if most == 0 and not known:
        return "probability outside the mask was not kept"
    if item.kind == "lesion" and most > least:
        return "probability outside the mask is another object's"
    return ""


def _inside_and_out(item: Instance, probability: NDArray[np.float16]) -> tuple[float, float, bool]:
    """Least probability in the mask, the largest around it, and whether 0 there says anything."""
    outside = np.ones(probability.shape, dtype=np.bool_)
    outside[item.core] = ~item.mask
    least = probability[item.core][item.mask].min()
    known = item.probability_box is not None or not outside.any()
    return float(least), float(probability[outside].max(initial=0)), known


def _is_cut(item: Instance, probability: NDArray[np.float16], shape: Shape) -> bool:
    least, most, _ = _inside_and_out(item, probability)
    if least == 1 and most == 0:
        return False  # the mask itself: nothing fades
    total, _, high = _counted(probability)
    more, more_high = 0.0, 0
    for axis, length in enumerate(shape):
        if length == 1:
            continue  # an image of one slice has nothing beside it
        planes = probability.swapaxes(0, axis)
        for face in (planes[0], planes[-1]):
            more += float(face.sum(dtype=np.float64))  # a half, a quarter, ...: as much again
            more_high += int(np.count_nonzero(face >= 2 * HIGH_FROM))
            more_high += int(np.count_nonzero(face >= 4 * HIGH_FROM))
    return more > MOST_MISSING * total or more_high > MOST_MISSING * high

"""Which predicted object stands for which reference object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.evaluation.overlap import pair_overlaps
from medseg.types import Instances


@dataclass(frozen=True, eq=False)
class Matching:
    """Pairs of predicted and reference objects, each in at most one pair.

    Shapes: pred, ref (K,) positions in `items` and their iou (K,), in the order of pred; those
    without a partner in unmatched_pred and unmatched_ref, ascending.
    """

    pred: NDArray[np.int64]
    ref: NDArray[np.int64]
    iou: NDArray[np.float64]
    unmatched_pred: NDArray[np.int64]
    unmatched_ref: NDArray[np.int64]


def match_greedy(pred: Instances, ref: Instances, iou_threshold: float) -> Matching:
    """COCO's matching by mask IoU, within class, one to one, without a cap on their number.

    By falling score (equal scores in the order of `items`) each predicted object takes, of the
    reference objects of its class that are still free, the one with the largest IoU of at least
    `iou_threshold`; of equal ones the last. Source: Lin et al., ECCV 2014, and its evaluation code.

    Raises ValueError for a threshold outside (0, 1], InputRefused (`grid-mismatch`) where the
    two lie on different grids.
    """
    if not 0 < iou_threshold <= 1:
        msg = f"an IoU threshold lies above 0 and up to 1; got {iou_threshold}"
        raise ValueError(msg)
    candidates = _candidates(pred, ref, iou_threshold)
    taken: dict[int, tuple[int, float]] = {}
    for n in sorted(candidates, key=lambda n: (-pred.items[n].score, n)):
        free = [(iou, m) for m, iou in candidates[n] if m not in taken]
        if free:
            iou, m = max(free)
            taken[m] = n, iou
    pairs = sorted((n, m, iou) for m, (n, iou) in taken.items())
    partners = np.asarray([(n, m) for n, m, _ in pairs], dtype=np.int64).reshape(-1, 2)
    return Matching(
        partners[:, 0],
        partners[:, 1],
        np.asarray([iou for _, _, iou in pairs], dtype=np.float64),
        np.setdiff1d(np.arange(len(pred)), partners[:, 0]),
        np.setdiff1d(np.arange(len(ref)), partners[:, 1]),
    )


def _candidates(
    pred: Instances, ref: Instances, iou_threshold: float
) -> dict[int, list[tuple[int, float]]]:
    pairs = pair_overlaps(pred, ref)
    found: dict[int, list[tuple[int, float]]] = {}
    for n, m, iou in zip(pairs.pred.tolist(), pairs.ref.tolist(), pairs.iou.tolist(), strict=True):
        if iou >= iou_threshold and pred.items[n].class_name == ref.items[m].class_name:
            found.setdefault(n, []).append((m, iou))
    return found

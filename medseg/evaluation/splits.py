"""References in several parts, and predictions that hold several references."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.evaluation.matching import of_one_class
from medseg.evaluation.overlap import PairOverlaps, pair_overlaps
from medseg.types import Instances


@dataclass(frozen=True)
class SplitsMerges:
    """Split references and merged ones, by id, in the order of `items`.

    `splits` holds the id of each split reference and of the predictions that share it, `merges`
    that of each prediction that merges and of the references in it.
    """

    splits: dict[int, tuple[int, ...]]
    merges: dict[int, tuple[int, ...]]

    @property
    def split_count(self) -> int:
        """References that are split."""
        return len(self.splits)

    @property
    def merge_count(self) -> int:
        """Predictions that merge references."""
        return len(self.merges)


def splits_and_merges(
    pred: Instances,
    ref: Instances,
    share: float = 0.5,
    *,
    within_class: bool = True,
    overlaps: PairOverlaps | None = None,
) -> SplitsMerges:
    """References split among predictions, and predictions that merge references, of one case.

    A reference is split where at least two predictions each have at least `share` of their own
    voxels in it; a prediction merges where at least two references each have at least `share` of
    their own voxels in it. Scores play no part, and overlapping objects are taken as they are:
    two predictions of the same object are a split of it. No object on a side: none of either.
    `overlaps` are those of the two, where they are known already.

    Raises ValueError for a share outside (0, 1], InputRefused (`grid-mismatch`).
    """
    if not 0 < share <= 1:
        msg = f"a share of the voxels lies above 0 and up to 1; got {share}"
        raise ValueError(msg)
    pairs = pair_overlaps(pred, ref) if overlaps is None else overlaps
    inside_ref = pairs.shared / pairs.pred_voxels[pairs.pred] >= share
    inside_pred = pairs.shared / pairs.ref_voxels[pairs.ref] >= share
    if within_class:
        same = of_one_class(pred, ref, pairs.pred, pairs.ref)
        inside_ref, inside_pred = inside_ref & same, inside_pred & same
    pred_ids = np.asarray([item.id for item in pred.items], dtype=np.int64)
    ref_ids = np.asarray([item.id for item in ref.items], dtype=np.int64)
    parts = pairs.ref[inside_ref], pairs.pred[inside_ref]
    held = pairs.pred[inside_pred], pairs.ref[inside_pred]
    return SplitsMerges(_several(*parts, ref_ids, pred_ids), _several(*held, pred_ids, ref_ids))


def _several(
    whole: NDArray[np.int64],
    part: NDArray[np.int64],
    whole_ids: NDArray[np.int64],
    part_ids: NDArray[np.int64],
) -> dict[int, tuple[int, ...]]:
    """The ids of objects with at least two parts, and of these."""
    parts: dict[int, list[int]] = {}
    for one, other in sorted(zip(whole.tolist(), part.tolist(), strict=True)):
        parts.setdefault(one, []).append(int(part_ids[other]))
    return {int(whole_ids[one]): tuple(ids) for one, ids in parts.items() if len(ids) > 1}

"""Which predicted object stands for which reference object."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medseg.evaluation.overlap import PairOverlaps, pair_overlaps
from medseg.measurement.size import centroids_lps_mm
from medseg.types import Instances

_OVERLAPS = {"iou": "IoU", "dice": "Dice"}
_ASSIGNMENTS = {
    "greedy": "by falling score, each the best that is free",
    "optimal": "the most pairs, of those the best sum",
}
_MM_DECIMALS = 6
_ROUNDING_MM = 10.0**-_MM_DECIMALS


@dataclass(frozen=True)
class MatchingRule:
    """When a predicted object stands for a reference object, and which where several could.

    `threshold` is a share in (0, 1] that `iou` or `dice` must reach, or for `centre_mm` the
    millimetres that the centroids may lie apart; distances are compared to 1e-6 mm.
    `assignment`: see `match`. With `many_to_one` a prediction that could stand for a reference
    that another one has taken is no false alarm; the reference still counts as found once.
    Without `within_class` the classes of the two may differ.

    Raises ValueError for words and thresholds that are none of these.
    """

    criterion: Literal["iou", "dice", "centre_mm"] = "iou"
    threshold: float = 0.5
    assignment: Literal["greedy", "optimal"] = "greedy"
    many_to_one: bool = False
    within_class: bool = True

    def __post_init__(self) -> None:
        if self.criterion not in (*_OVERLAPS, "centre_mm"):
            msg = f"criterion is 'iou', 'dice' or 'centre_mm'; got {self.criterion!r}"
            raise ValueError(msg)
        if self.assignment not in _ASSIGNMENTS:
            msg = f"assignment is 'greedy' or 'optimal'; got {self.assignment!r}"
            raise ValueError(msg)
        if self.criterion == "centre_mm" and not 0 < self.threshold < math.inf:
            msg = f"a distance threshold is a number of mm above 0; got {self.threshold}"
            raise ValueError(msg)
        if self.criterion != "centre_mm" and not 0 < self.threshold <= 1:
            name = _OVERLAPS[self.criterion]
            msg = f"a threshold of {name} lies above 0 and up to 1; got {self.threshold}"
            raise ValueError(msg)

    def in_words(self) -> str:
        """The whole rule as one line for reports."""
        parts = (
            self._threshold_in_words(),
            _ASSIGNMENTS[self.assignment],
            "several predictions may stand for one reference" if self.many_to_one else "one to one",
            "within class" if self.within_class else "whatever the class",
        )
        return "; ".join(parts)

    def _threshold_in_words(self) -> str:
        if self.criterion == "centre_mm":
            return f"centroids at most {self.threshold:g} mm apart"
        shown = float(f"{self.threshold:g}")
        above = self.threshold == math.nextafter(shown, math.inf)
        return f"{_OVERLAPS[self.criterion]} {'above' if above else 'of at least'} {shown:g}"


@dataclass(frozen=True, eq=False)
class Matching:
    """Pairs of predicted and reference objects, each in at most one pair.

    Shapes: pred, ref (K,) positions in `items`, in the order of pred, with value (K,) of the
    rule's criterion and iou (K,), 0 where they share no voxel; those without a partner in
    unmatched_pred (false alarms) and unmatched_ref (missed), ascending. With `many_to_one`
    further_pred (F,) are no false alarms, but stand for further_ref (F,), which others have taken.
    """

    pred: NDArray[np.int64]
    ref: NDArray[np.int64]
    value: NDArray[np.float64]
    iou: NDArray[np.float64]
    unmatched_pred: NDArray[np.int64]
    unmatched_ref: NDArray[np.int64]
    further_pred: NDArray[np.int64]
    further_ref: NDArray[np.int64]


class _Candidates(NamedTuple):
    """Pairs that may match, by pred, then ref; `fit` is larger the better the two fit."""

    pred: NDArray[np.int64]
    ref: NDArray[np.int64]
    value: NDArray[np.float64]
    fit: NDArray[np.float64]


def match(
    pred: Instances,
    ref: Instances,
    rule: MatchingRule,
    *,
    overlaps: PairOverlaps | None = None,
) -> Matching:
    """Pairs by a rule; objects are taken as they are, overlapping or not, without a cap.

    `greedy` is COCO's: by falling score (equal scores in the order of `items`) each prediction
    takes the reference that fits it best among those still free; of equal ones the last.
    `optimal` does not look at scores first: it has as many pairs as can be and of those sets the
    largest sum of IoU or Dice, or the smallest of distances. Of equally good sets it is always
    the same for the same order of `items`, and in it no prediction gives way to one of a lower
    score, or of the same and later in `items`, that fits the reference equally well.

    `overlaps` are those of the two, where they are known already. No object on a side: no pair.
    Sources: Lin et al., ECCV 2014, and its evaluation code; Crouse, IEEE TAES 2016 (assignment).

    Raises ValueError for a score that is NaN, InputRefused (`grid-mismatch`) for two grids.
    """
    known = pair_overlaps(pred, ref) if overlaps is None else overlaps
    rank = _ranks(pred)
    candidates = _candidates(pred, ref, rule, known)
    choose = _greedy if rule.assignment == "greedy" else _optimal
    chosen = np.asarray(sorted(choose(candidates, rank)), dtype=np.int64)
    found, taken = candidates.pred[chosen], candidates.ref[chosen]
    sharing = zip(known.pred.tolist(), known.ref.tolist(), strict=True)
    iou = dict(zip(sharing, known.iou.tolist(), strict=True))
    further = _further(candidates, found) if rule.many_to_one else np.zeros(0, dtype=np.int64)
    pairs = zip(found.tolist(), taken.tolist(), strict=True)
    return Matching(
        found,
        taken,
        candidates.value[chosen],
        np.asarray([iou.get(pair, 0.0) for pair in pairs], dtype=np.float64),
        np.setdiff1d(np.arange(len(pred)), np.append(found, candidates.pred[further])),
        np.setdiff1d(np.arange(len(ref)), taken),
        candidates.pred[further],
        candidates.ref[further],
    )


def match_greedy(pred: Instances, ref: Instances, iou_threshold: float) -> Matching:
    """`match` by COCO's rule: an IoU of at least `iou_threshold`, greedy, one to one, within class.

    Raises ValueError for a threshold outside (0, 1], InputRefused (`grid-mismatch`) where the
    two lie on different grids.
    """
    return match(pred, ref, MatchingRule(threshold=iou_threshold))


def scores_of(instances: Instances) -> NDArray[np.float64]:
    """Score of each instance, (N,), in the order of `items`; ValueError where one is NaN."""
    scores = np.asarray([item.score for item in instances.items], dtype=np.float64)
    lost = np.flatnonzero(np.isnan(scores))
    if lost.size:
        msg = f"instance {instances.items[lost[0]].id} has the score NaN; none can be ranked by it"
        raise ValueError(msg)
    return scores


def of_one_class(
    pred: Instances, ref: Instances, one: NDArray[np.int64], other: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether the pairs (K,) of positions in the `items` of pred and ref have the same class."""
    found = [pred.items[n].class_name for n in one.tolist()]
    wanted = [ref.items[m].class_name for m in other.tolist()]
    return np.asarray([a == b for a, b in zip(found, wanted, strict=True)], dtype=np.bool_)


def _ranks(pred: Instances) -> NDArray[np.int64]:
    """Place of each prediction by falling score, (N,); equal scores in the order of `items`."""
    rank = np.empty(len(pred), dtype=np.int64)
    rank[np.argsort(-scores_of(pred), kind="stable")] = np.arange(len(pred))
    return rank


def _candidates(
    pred: Instances, ref: Instances, rule: MatchingRule, overlaps: PairOverlaps
) -> _Candidates:
    if rule.criterion == "centre_mm":
        one, other, value = _near(pred, ref, rule.threshold)
        fit, close = -np.round(value, _MM_DECIMALS), np.ones(value.size, dtype=np.bool_)
    else:
        one, other = overlaps.pred, overlaps.ref
        value = overlaps.iou if rule.criterion == "iou" else overlaps.dice
        fit, close = value, value >= rule.threshold
    if rule.within_class:
        close = close & of_one_class(pred, ref, one, other)
    return _Candidates(one[close], other[close], value[close], fit[close])


def _near(
    pred: Instances, ref: Instances, threshold_mm: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Positions of objects whose centroids lie at most so far apart, and their distances in mm."""
    from scipy.spatial import KDTree  # overlaps need none

    one, other = (KDTree(centroids_lps_mm(side)) for side in (pred, ref))
    near = one.sparse_distance_matrix(other, threshold_mm + _ROUNDING_MM, output_type="ndarray")
    near = near[np.lexsort((near["j"], near["i"]))]
    return near["i"].astype(np.int64), near["j"].astype(np.int64), near["v"].astype(np.float64)


def _greedy(candidates: _Candidates, rank: NDArray[np.int64]) -> list[int]:
    """Positions among the candidates that become pairs, one prediction after the other."""
    of_pred: dict[int, list[tuple[float, int, int]]] = {}
    choices = zip(candidates.fit.tolist(), candidates.ref.tolist(), strict=True)
    for k, (n, (fit, m)) in enumerate(zip(candidates.pred.tolist(), choices, strict=True)):
        of_pred.setdefault(n, []).append((fit, m, k))
    taken: dict[int, int] = {}
    for n in sorted(of_pred, key=lambda n: int(rank[n])):
        free = [one for one in of_pred[n] if one[1] not in taken]
        if free:
            _, m, k = max(free)
            taken[m] = k
    return list(taken.values())


def _optimal(candidates: _Candidates, rank: NDArray[np.int64]) -> list[int]:
    """Positions among the candidates that become pairs, one connected group after the other."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if candidates.pred.size == 0:
        return []
    refs = len(rank) + candidates.ref
    nodes = int(refs.max()) + 1
    links = coo_array((np.ones(refs.size), (candidates.pred, refs)), shape=(nodes, nodes))
    _, group = connected_components(links, directed=False)
    order = np.argsort(group[candidates.pred], kind="stable")
    starts = np.flatnonzero(np.diff(group[candidates.pred][order])) + 1
    return [k for members in np.split(order, starts) for k in _best(candidates, rank, members)]


def _best(
    candidates: _Candidates, rank: NDArray[np.int64], members: NDArray[np.intp]
) -> Sequence[int]:
    """The pairs of one connected group."""
    from scipy.optimize import linear_sum_assignment

    if members.size == 1:
        return [int(members[0])]
    rows, row = np.unique(rank[candidates.pred[members]], return_inverse=True)
    columns, column = np.unique(candidates.ref[members], return_inverse=True)
    fit = candidates.fit[members]
    # One pair more outweighs all that the fits, each scaled to at most 1, can differ by.
    pair = min(rows.size, columns.size) + 1.0
    weight = np.zeros((rows.size, columns.size))
    weight[row, column] = pair + fit / max(1.0, float(np.abs(fit).max()))
    at = np.full(weight.shape, -1, dtype=np.int64)
    at[row, column] = members
    chosen = at[linear_sum_assignment(weight, maximize=True)]
    return _by_score(candidates, rank, members, chosen[chosen >= 0])


def _by_score(
    candidates: _Candidates,
    rank: NDArray[np.int64],
    members: NDArray[np.intp],
    chosen: NDArray[np.int64],
) -> list[int]:
    """The same pairs, but of predictions that fit a reference equally well the first by score."""
    holder = {int(candidates.ref[k]): int(k) for k in chosen}
    free = {int(n) for n in candidates.pred[members]} - {int(n) for n in candidates.pred[chosen]}
    changed = bool(free)
    while changed:
        changed = False
        for k in members.tolist():
            n, m = int(candidates.pred[k]), int(candidates.ref[k])
            held = holder.get(m)
            if n not in free or held is None or candidates.fit[k] != candidates.fit[held]:
                continue
            other = int(candidates.pred[held])
            if rank[n] < rank[other]:
                holder[m], changed = k, True
                free.symmetric_difference_update((n, other))
    return list(holder.values())


def _further(candidates: _Candidates, found: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each prediction without a pair its best candidate, of equal ones the last."""
    best: dict[int, int] = {}
    order = np.lexsort((candidates.ref, candidates.fit))
    for k in order[~np.isin(candidates.pred[order], found)].tolist():
        best[int(candidates.pred[k])] = k
    return np.asarray([best[n] for n in sorted(best)], dtype=np.int64)

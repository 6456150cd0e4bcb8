"""How a head copes with objects that share voxels: figures over pairs of (found, truth)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medseg.evaluation import MatchingRule, match, pair_overlaps
from medseg.types import Instance, Instances, Shape

RULE = MatchingRule(threshold=0.5)
PAIR_IOU = 0.03
"""True objects that meet at an IoU above this are a pair."""
MUCH_COVERED = 0.3
"""An object of which others cover more than this share is much covered."""

Pair = tuple[Instances, Instances]


class OverlapFigures(NamedTuple):
    """Shares in 0..1, pooled over windows; NaN where there is nothing to share out.

    `both_found`: pairs of which both objects are found, of `pairs`. `double_coverage`: voxels
    common to two objects of a pair, both found, that lie in both of what was found for them.
    `covered_recall`: much covered objects that are found, of `covered`. `twice`: voxels of two
    true objects or more that lie in two found ones or more, of those that match.
    """

    pairs: int
    both_found: float
    double_coverage: float
    covered: int
    covered_recall: float
    twice: float


def overlap_figures(cases: Iterable[Pair]) -> OverlapFigures:
    """The figures of all windows; found is what matches greedily, in its class, at IoU 0.5."""
    totals = np.zeros(8, dtype=np.int64)
    for found, truth in cases:
        totals += _counts(found, truth)
    pairs, both, common, doubly, covered, recalled, shared, twice = (int(n) for n in totals)
    return OverlapFigures(
        pairs,
        _share(both, pairs),
        _share(doubly, common),
        covered,
        _share(recalled, covered),
        _share(twice, shared),
    )


def true_pairs(truth: Instances) -> list[tuple[int, int]]:
    """Positions of the objects, of whatever class, that meet at an IoU above `PAIR_IOU`."""
    known = pair_overlaps(truth, truth)
    chosen = (known.pred < known.ref) & (known.iou > PAIR_IOU)
    return list(zip(known.pred[chosen].tolist(), known.ref[chosen].tolist(), strict=True))


def whole(item: Instance, shape: Shape) -> NDArray[np.bool_]:
    """An object's mask in the whole window (Z, Y, X)."""
    mask = np.zeros(shape, dtype=np.bool_)
    mask[item.box] = item.mask
    return mask


def _counts(found: Instances, truth: Instances) -> NDArray[np.int64]:
    """The eight numbers that `overlap_figures` adds up, of one window."""
    shape = truth.geometry.shape
    matching = match(found, truth, RULE)
    partner = dict(zip(matching.ref.tolist(), matching.pred.tolist(), strict=True))
    pairs = true_pairs(truth)
    both = [(i, j) for i, j in pairs if i in partner and j in partner]
    common = doubly = 0
    for i, j in both:
        shared = whole(truth.items[i], shape) & whole(truth.items[j], shape)
        theirs = whole(found.items[partner[i]], shape) & whole(found.items[partner[j]], shape)
        common += np.count_nonzero(shared)
        doubly += np.count_nonzero(shared & theirs)
    cover = _cover(truth.items, shape)
    much = [n for n, item in enumerate(truth.items) if _covered(item, cover) > MUCH_COVERED]
    matched = _cover([found.items[n] for n in partner.values()], shape)
    return np.array(
        [
            len(pairs),
            len(both),
            common,
            doubly,
            len(much),
            sum(n in partner for n in much),
            np.count_nonzero(cover > 1),
            np.count_nonzero((cover > 1) & (matched > 1)),
        ]
    )


def _cover(items: Sequence[Instance], shape: Shape) -> NDArray[np.int64]:
    """How many of the objects hold each voxel."""
    cover = np.zeros(shape, dtype=np.int64)
    for item in items:
        cover[item.box] += item.mask
    return cover


def _covered(item: Instance, cover: NDArray[np.int64]) -> float:
    """The share of an object's voxels that others hold too."""
    return float(np.mean(cover[item.box][item.mask] > 1))


def _share(part: int, total: int) -> float:
    return part / total if total else math.nan

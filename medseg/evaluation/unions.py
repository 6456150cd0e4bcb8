"""All objects of a class as one mask, without an array of the image's size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medseg.evaluation.overlap import PairOverlaps, class_names, pair_overlaps
from medseg.measurement.size import union, voxel_counts
from medseg.types import Instance, Instances


class ClassVoxels(NamedTuple):
    """Voxels of the union of a class's objects on each side, and of what the two share."""

    pred: int
    ref: int
    shared: int


def class_voxels(
    pred: Instances, ref: Instances, *, overlaps: PairOverlaps | None = None
) -> dict[str, ClassVoxels]:
    """Voxels of each class that either side knows; one that two objects share counts once.

    A class without an object has 0 on that side. `overlaps` are those of the two, where they are
    known already.

    Raises InputRefused (`grid-mismatch`) where the two lie on different grids.
    """
    names = class_names(pred, ref)
    found, wanted = without_overlap(pred), without_overlap(ref)
    if overlaps is None or found is not pred or wanted is not ref:
        overlaps = pair_overlaps(found, wanted)
    code = {name: n for n, name in enumerate(names)}
    pred_class, ref_class = _codes(found, code), _codes(wanted, code)
    same = pred_class[overlaps.pred] == ref_class[overlaps.ref]
    totals = (
        np.bincount(pred_class, voxel_counts(found), len(names)),
        np.bincount(ref_class, voxel_counts(wanted), len(names)),
        np.bincount(pred_class[overlaps.pred[same]], overlaps.shared[same], len(names)),
    )
    return {name: ClassVoxels(*(int(total[n]) for total in totals)) for name, n in code.items()}


def _codes(instances: Instances, code: dict[str, int]) -> NDArray[np.int64]:
    return np.asarray([code[item.class_name] for item in instances], dtype=np.int64)


def without_overlap(instances: Instances) -> Instances:
    """The instances with those of one class that share a voxel, directly or in a chain, as one."""
    pairs = pair_overlaps(instances, instances)
    names = np.asarray([item.class_name for item in instances], dtype=object)
    joined = (pairs.pred < pairs.ref) & (names[pairs.pred] == names[pairs.ref])
    if not joined.any():
        return instances
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = (np.ones(np.count_nonzero(joined)), (pairs.pred[joined], pairs.ref[joined]))
    count, group = connected_components(
        coo_array(edges, shape=(len(instances), len(instances))), directed=False
    )
    members: list[list[Instance]] = [[] for _ in range(count)]
    for item, n in zip(instances, group, strict=True):
        members[n].append(item)
    return replace(instances, items=list(_merged(members)))


def _merged(groups: list[list[Instance]]) -> Iterator[Instance]:
    for group in groups:
        whole = union(group)
        if len(group) == 1 or whole is None:
            yield group[0]
        else:
            box, mask = whole
            yield replace(group[0], box=box, mask=mask, probability=None)

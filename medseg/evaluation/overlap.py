"""How much predicted and reference objects share: pairs of objects, and classes as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.io import require_same_grid
from medseg.measurement.size import boxes, union, union_voxels, voxel_counts
from medseg.types import Box, Instance, Instances

_BOXES_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class PairOverlaps:
    """The pairs of a predicted and a reference object that share a voxel, whatever their classes.

    Shapes: pred, ref (K,) positions in `items`, ordered by pred, then ref; shared (K,) voxels of
    the intersection, at least 1; pred_voxels (N,) and ref_voxels (M,) of every object.
    """

    pred: NDArray[np.int64]
    ref: NDArray[np.int64]
    shared: NDArray[np.int64]
    pred_voxels: NDArray[np.int64]
    ref_voxels: NDArray[np.int64]

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each pair, (K,)."""
        both = self.pred_voxels[self.pred] + self.ref_voxels[self.ref]
        return self.shared / (both - self.shared)

    @property
    def dice(self) -> NDArray[np.float64]:
        """Dice coefficient of each pair, (K,)."""
        return 2.0 * self.shared / (self.pred_voxels[self.pred] + self.ref_voxels[self.ref])


def pair_overlaps(pred: Instances, ref: Instances) -> PairOverlaps:
    """Overlap of every predicted with every reference object, each as it is, never flattened.

    Masks are compared only where their boxes meet. No object on a side gives no pair.

    Raises InputRefused (`grid-mismatch`) where the two lie on different grids.
    """
    require_same_grid(pred.geometry, ref.geometry, "prediction", other="reference")
    rows = []
    for n, m in _meeting_boxes(boxes(pred), boxes(ref)):
        shared = _shared_voxels(pred.items[n], ref.items[m])
        if shared:
            rows.append((n, m, shared))
    table = np.asarray(sorted(rows), dtype=np.int64).reshape(-1, 3)
    return PairOverlaps(
        table[:, 0], table[:, 1], table[:, 2], voxel_counts(pred), voxel_counts(ref)
    )


def _meeting_boxes(pred: NDArray[np.int64], ref: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Positions of boxes (N, 6) and (M, 6) that share a voxel, neighbours in z at a time."""
    order = np.argsort(pred[:, 0], kind="stable")
    for start in range(0, len(pred), _BOXES_AT_ONCE):
        some = order[start : start + _BOXES_AT_ONCE]
        rows = pred[some, None]
        near = np.flatnonzero((ref[:, 0] < rows[..., 1].max()) & (rows[..., 0].min() < ref[:, 1]))
        below = rows[..., 0::2] < ref[None, near, 1::2]
        above = ref[None, near, 0::2] < rows[..., 1::2]
        for n, m in np.argwhere((below & above).all(axis=-1)):
            yield int(some[n]), int(near[m])


def _shared_voxels(one: Instance, other: Instance) -> int:
    return _shared(one.box, one.mask, other.box, other.mask)


def _shared(
    box: Box, mask: NDArray[np.bool_], other_box: Box, other_mask: NDArray[np.bool_]
) -> int:
    inner, other_inner = [], []
    for part, other in zip(box, other_box, strict=True):
        start, stop = max(part.start, other.start), min(part.stop, other.stop)
        if start >= stop:
            return 0
        inner.append(slice(start - part.start, stop - part.start))
        other_inner.append(slice(start - other.start, stop - other.start))
    return int(np.count_nonzero(mask[tuple(inner)] & other_mask[tuple(other_inner)]))


def class_dice(pred: Instances, ref: Instances) -> dict[str, float]:
    """Dice of each class that either side knows, over the union of the class's objects.

    NaN where a class has no object on either side, 0 where it has objects on one side only.

    Raises InputRefused (`grid-mismatch`) where the two lie on different grids.
    """
    require_same_grid(pred.geometry, ref.geometry, "prediction", other="reference")
    return {name: _dice(_of(pred, name), _of(ref, name)) for name in class_names(pred, ref)}


def _dice(pred: list[Instance], ref: list[Instance]) -> float:
    found, wanted = union(pred), union(ref)
    if found is None or wanted is None:
        return float("nan") if found is wanted else 0.0
    both = int(np.count_nonzero(found[1])) + int(np.count_nonzero(wanted[1]))
    return 2.0 * _shared(*found, *wanted) / both


def volume_error(pred: Instances, ref: Instances) -> dict[str, float]:
    """Signed relative volume error of each class that either side knows: pred / ref - 1.

    Volumes are of the union of the class's objects. NaN where neither side has an object of the
    class, infinite where only the prediction has one, -1 where only the reference has one.

    Raises InputRefused (`grid-mismatch`) where the two lie on different grids.
    """
    require_same_grid(pred.geometry, ref.geometry, "prediction", other="reference")
    errors = {}
    for name in class_names(pred, ref):
        found, wanted = union_voxels(_of(pred, name)), union_voxels(_of(ref, name))
        errors[name] = ratio(found, wanted) - 1.0
    return errors


def ratio(found: float, wanted: float) -> float:
    """The quotient of the two; for nothing wanted NaN where nothing was found, else infinite."""
    if wanted == 0:
        return float("nan") if found == 0 else float("inf")
    return found / wanted


def class_names(pred: Instances, ref: Instances) -> tuple[str, ...]:
    """The classes that either side knows: the reference's in their order, then the others."""
    return tuple(dict.fromkeys(one.name for one in (*ref.classes, *pred.classes)))


def _of(instances: Instances, name: str) -> list[Instance]:
    return [item for item in instances.items if item.class_name == name]

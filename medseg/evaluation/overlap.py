"""How much predicted and reference objects share: pairs of objects, and classes as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.compiled import compiled
from medseg.io import require_same_grid
from medseg.measurement.pairs import meeting_boxes
from medseg.measurement.size import boxes, union, union_voxels, voxel_counts
from medseg.types import Box, Instance, Instances


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
    pred_boxes, ref_boxes = boxes(pred), boxes(ref)
    found, wanted = _bytes(pred), _bytes(ref)
    meeting = meeting_boxes(pred_boxes, ref_boxes)
    shared = np.asarray(
        [
            _count_shared(found[n], pred_boxes[n], wanted[m], ref_boxes[m])
            for n, m in meeting.tolist()
        ],
        dtype=np.int64,
    )
    pairs = meeting[shared > 0]
    return PairOverlaps(
        pairs[:, 0], pairs[:, 1], shared[shared > 0], voxel_counts(pred), voxel_counts(ref)
    )


def _bytes(instances: Instances) -> list[NDArray[np.uint8]]:
    return [_as_bytes(item.mask) for item in instances.items]


def _as_bytes(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(mask).view(np.uint8)


@compiled
def _count_shared(
    one: NDArray[np.uint8],
    box: NDArray[np.int64],
    other: NDArray[np.uint8],
    other_box: NDArray[np.int64],
) -> int:  # pragma: no cover - compiled
    """Voxels that two masks share, each (z, y, x) in its own box (6,), as in `boxes`."""
    left, right = max(box[4], other_box[4]), min(box[5], other_box[5])
    if right <= left:  # a negative end would count from the row's end
        return 0
    shared = 0
    for z in range(max(box[0], other_box[0]), min(box[1], other_box[1])):
        for y in range(max(box[2], other_box[2]), min(box[3], other_box[3])):
            row = one[z - box[0], y - box[2], left - box[4] : right - box[4]]
            other_row = other[
                z - other_box[0], y - other_box[2], left - other_box[4] : right - other_box[4]
            ]
            for x in range(row.size):
                shared += row[x] & other_row[x]
    return shared


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


def _shared(
    box: Box, mask: NDArray[np.bool_], other_box: Box, other_mask: NDArray[np.bool_]
) -> int:
    one, other = (
        np.asarray([end for part in whole for end in (part.start, part.stop)], dtype=np.int64)
        for whole in (box, other_box)
    )
    return _count_shared(_as_bytes(mask), one, _as_bytes(other_mask), other)


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

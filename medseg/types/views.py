"""Label maps of instances in which every voxel has one value: by class, or by segment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.types.instances import Instances

LabelMap = NDArray[np.unsignedinteger[Any]]


def semantic_map(instances: Instances) -> LabelMap:
    """The label of the class of each voxel (z, y, x), 0 where there is none.

    Where objects overlap, a lesion hides an organ, and of two of a kind the higher score wins. The
    type is the smallest unsigned one that holds the labels.
    """
    labels = {one.name: one.label for one in instances.classes}
    return _drawn(instances, {item.id: labels[item.class_name] for item in instances.items})


def panoptic_map(instances: Instances) -> tuple[LabelMap, list[dict[str, Any]]]:
    """The segment of each voxel (z, y, x), 0 where there is none, and what the segments are.

    Every voxel has one segment: overlaps are settled as `semantic_map` does. A segment has its
    instance's id; organs are stuff, lesions things (Kirillov et al. 2019). Segments are listed by
    id with class, whether they are things, score and the voxels that are left to them; one that is
    wholly hidden is not listed.
    """
    drawn = _drawn(instances, {item.id: item.id for item in instances.items})
    voxels = np.bincount(drawn.ravel(), minlength=1)
    segments = [
        {
            "id": item.id,
            "class_name": item.class_name,
            "is_thing": item.kind == "lesion",
            "score": item.score,
            "voxel_count": int(voxels[item.id]),
        }
        for item in sorted(instances.items, key=lambda one: one.id)
        if item.id < len(voxels) and voxels[item.id]
    ]
    return drawn, segments


def _drawn(instances: Instances, values: dict[int, int]) -> LabelMap:
    largest = max(values.values(), default=0)
    labels = np.zeros(instances.geometry.shape, dtype=np.min_scalar_type(largest))
    rising = sorted(instances.items, key=lambda one: (one.kind == "lesion", one.score, -one.id))
    for item in rising:
        labels[item.box][item.mask] = values[item.id]
    return labels

"""How lesions hang together, and how far apart they lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.measurement.gaps import borders, nearest_among
from medseg.measurement.pairs import meeting_boxes, share_a_voxel
from medseg.measurement.parts import Connectivity, check_connectivity, labelled_parts
from medseg.measurement.size import boxes
from medseg.types import Instance, Instances, boxes_apart


@dataclass(frozen=True, eq=False)
class NearestLesions:
    """The nearest other lesion of each instance, (N,) in the order of `items`.

    `id` is 0 and `distance_mm` NaN for organs, and where there is no other lesion.
    """

    id: NDArray[np.int64]
    distance_mm: NDArray[np.float64]


def component_counts(instances: Instances, *, connectivity: Connectivity = 26) -> NDArray[np.int64]:
    """Connected parts of each instance's mask, at least 1, (N,) in the order of `items`.

    Raises ValueError for another connectivity than 6, 18 or 26 (faces, edges, corners).
    """
    check_connectivity(connectivity)
    return np.asarray([_parts(item, connectivity) for item in instances.items], dtype=np.int64)


def _parts(item: Instance, connectivity: Connectivity) -> int:
    if item.mask.all():  # a full box, often of one voxel
        return 1
    return sum(labelled_parts(item.mask[box], connectivity)[1] for box in boxes_apart(item.mask))


def nearest_lesions(instances: Instances) -> NearestLesions:
    """The nearest other lesion of each lesion, whatever their classes, and how far it is.

    The distance is that between the nearest two voxel centres in the world, so neighbours are a
    voxel apart; it is 0 where the two share a voxel. Of equally near lesions the lowest id counts
    (equal but for rounding, 1e-9 of the squared distance). Organs neither have nor are one.
    """
    rows = [row for row, item in enumerate(instances.items) if item.kind == "lesion"]
    rows.sort(key=lambda row: instances.items[row].id)
    lesions = [instances.items[row] for row in rows]
    ids = np.zeros(len(instances), dtype=np.int64)
    distance_mm = np.full(len(instances), np.nan)
    if len(lesions) > 1:
        nearest, squared_mm2 = _overlapping(lesions, boxes(instances)[rows])
        nearest_among(borders(lesions, instances.geometry), squared_mm2, nearest)
        ids[rows] = [lesions[place].id for place in nearest.tolist()]
        distance_mm[rows] = np.sqrt(squared_mm2)
    return NearestLesions(ids, distance_mm)


def _overlapping(
    lesions: list[Instance], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The first lesion that shares a voxel with each, at the distance 0; else -1 and infinite."""
    nearest = np.full(len(lesions), -1, dtype=np.int64)
    squared_mm2 = np.full(len(lesions), np.inf)
    for n, m in meeting_boxes(ends, ends).tolist():
        if n != m and nearest[n] < 0 and share_a_voxel(lesions[n], lesions[m]):
            nearest[n], squared_mm2[n] = m, 0.0
    return nearest, squared_mm2

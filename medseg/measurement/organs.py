"""Which organ a lesion lies in, and which is nearest to one that lies in none."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medseg.io import require_same_grid
from medseg.measurement.gaps import borders, nearest_of
from medseg.measurement.pairs import common_part, meeting_boxes
from medseg.measurement.size import boxes
from medseg.types import Instance, Instances


@dataclass(frozen=True, eq=False)
class OrganRelations:
    """Where each instance lies, all (N,) in the order of `items`.

    `organ` holds more of the lesion's voxels than any other, be it few of them, and
    `fraction_inside` is their share; outside every organ they are "" and 0, and `nearest_organ` and
    `distance_mm` say which is nearest (else "" and NaN). An instance of kind organ, and every one
    where no organ was given, has "" and NaN.
    """

    organ: tuple[str, ...]
    fraction_inside: NDArray[np.float64]
    nearest_organ: tuple[str, ...]
    distance_mm: NDArray[np.float64]


def organs_of(instances: Instances) -> Instances:
    """The instances of kind organ among `instances`, as `organ_relations` takes them."""
    return instances.filter(lambda item: item.kind == "organ")


def as_organs(instances: Instances) -> Instances:
    """The same objects, all of kind organ: what was given as organs is organs, whatever it says."""
    return replace(
        instances,
        items=[replace(item, kind="organ") for item in instances.items],
        classes=tuple(replace(one, kind="organ", node=False) for one in instances.classes),
    )


def organ_relations(instances: Instances, organs: Instances) -> OrganRelations:
    """For each lesion the organ that holds more of its voxels than any other, or the nearest one.

    An organ is a class of `organs`; its objects may overlap and count as one. Of organs that hold
    as many voxels, or are as near, the one whose object has the lowest id counts. Distances are
    between voxel centres in the world. No instance gives arrays of shape (0,).

    Raises InputRefused (`grid-mismatch`) where the organs lie on another grid, ValueError where
    one of them is not of kind organ.
    """
    require_same_grid(organs.geometry, instances.geometry, "organs", other="objects")
    wrong = [item.id for item in organs.items if item.kind != "organ"]
    if wrong:
        msg = f"organs are of kind organ; instance {wrong[0]} is not (organs_of picks them)"
        raise ValueError(msg)
    rows = [row for row, item in enumerate(instances.items) if item.kind == "lesion"]
    ordered = organs.sorted(lambda item: item.id)
    classes = tuple(dict.fromkeys(item.class_name for item in ordered.items))
    name, nearest = ([""] * len(instances) for _ in range(2))
    fraction, distance_mm = np.full((2, len(instances)), np.nan)
    if rows and ordered.items:
        for row, meeting in zip(rows, _meeting(instances, rows, ordered), strict=True):
            name[row], fraction[row] = _holding(instances.items[row], meeting, classes)
        outside = [row for row in rows if not name[row]]
        found = _nearest([instances.items[row] for row in outside], ordered)
        for row, (organ, squared_mm2) in zip(outside, found, strict=True):
            nearest[row], distance_mm[row] = organ.class_name, math.sqrt(squared_mm2)
    return OrganRelations(tuple(name), fraction, tuple(nearest), distance_mm)


def _meeting(instances: Instances, rows: list[int], organs: Instances) -> list[list[Instance]]:
    """For the instance of each row the organs, in their order, whose boxes meet its own."""
    meeting: list[list[Instance]] = [[] for _ in rows]
    for n, m in meeting_boxes(boxes(instances)[rows], boxes(organs)).tolist():
        meeting[n].append(organs.items[m])
    return meeting


def _holding(
    lesion: Instance, organs: list[Instance], classes: tuple[str, ...]
) -> tuple[str, float]:
    """The class of `organs` with the largest part of the lesion, and that; "" and 0 where none."""
    inside: dict[str, NDArray[np.bool_]] = {}
    for organ in organs:
        own, theirs = common_part(lesion.box, organ.box)
        held = inside.setdefault(organ.class_name, np.zeros(lesion.mask.shape, dtype=np.bool_))
        held[own] |= lesion.mask[own] & organ.mask[theirs]
    voxels = {name: int(np.count_nonzero(held)) for name, held in inside.items()}
    most = max(classes, key=lambda name: voxels.get(name, 0))  # of equal ones the first
    if not voxels.get(most):
        return "", 0.0
    return most, voxels[most] / lesion.voxel_count


def _nearest(lesions: list[Instance], organs: Instances) -> list[tuple[Instance, float]]:
    """The nearest organ of each lesion and its squared distance."""
    if not lesions:
        return []
    found = borders(lesions, organs.geometry)
    squared_mm2, nearest = nearest_of(found, organs.items, organs.geometry)
    return [
        (organs.items[m], gap)
        for m, gap in zip(nearest.tolist(), squared_mm2.tolist(), strict=True)
    ]

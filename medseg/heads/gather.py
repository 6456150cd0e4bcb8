"""From points with a group number to instances, shared by dense heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.card import CardClass
from medseg.measurement.parts import labelled_parts
from medseg.types import Box, Instance


@dataclass(frozen=True)
class Found:
    """One object before it has an id: its group, mean probability, box, mask and crop.

    The crop of the probability is that of `probability_box`, of `box` where it is None.
    """

    group: int
    score: float
    box: Box
    mask: NDArray[np.bool_]
    probability: NDArray[np.float16]
    probability_box: Box | None = None

    @property
    def voxel_count(self) -> int:
        """Voxels in the mask."""
        return int(np.count_nonzero(self.mask))


def instances_from_points(
    points: NDArray[np.int64], probability: NDArray[np.float32], group: NDArray[np.int64]
) -> list[Found]:
    """One object a group, in the order of the groups; work grows with the points alone.

    Shapes: points (N, 3) indices (z, y, x); probability (N,); group (N,).
    """
    if not len(points):
        return []
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=group[order][0] - 1))
    found = []
    for part in np.split(order, starts[1:]):
        inside = points[part]
        low, high = inside.min(axis=0), inside.max(axis=0) + 1
        at = tuple((inside - low).T)
        mask = np.zeros(high - low, dtype=bool)
        mask[at] = True
        crop = np.zeros(high - low, dtype=np.float16)
        crop[at] = probability[part]
        z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        score = float(probability[part].mean(dtype=np.float64))
        found.append(Found(int(group[part[0]]), score, (z, y, x), mask, crop))
    return found


def components(points: NDArray[np.int64]) -> NDArray[np.int64]:
    """The connected component (26) of each of (N, 3) voxels, from 0."""
    if not len(points):
        return np.zeros(0, dtype=np.int64)
    low = points.min(axis=0)
    at = tuple((points - low).T)
    mask = np.zeros(points.max(axis=0) - low + 1, dtype=bool)
    mask[at] = True
    labels, _ = labelled_parts(mask)
    return np.asarray(labels[at], dtype=np.int64) - 1


def numbered(
    found: Sequence[tuple[int, Sequence[Found]]], classes: Sequence[CardClass]
) -> list[Instance]:
    """Instances numbered from 1 by class, then by the corner of their box."""
    items: list[Instance] = []
    for position, objects in sorted(found, key=lambda pair: pair[0]):
        one = classes[position]
        for item in sorted(objects, key=lambda f: tuple(part.start for part in f.box)):
            items.append(
                Instance(
                    len(items) + 1,
                    one.name,
                    one.kind,
                    min(max(item.score, 0.0), 1.0),
                    item.box,
                    item.mask,
                    item.probability,
                    item.probability_box,
                )
            )
    return items

"""What slabs show of the classes of a dense head, and the objects that are made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from medseg.card import CardClass
from medseg.heads.contract import MapSpec, Slab, lesion_ids, organ_ids
from medseg.heads.fringe import Fringe, with_fringes
from medseg.heads.gather import Found, components, instances_from_points, numbered
from medseg.heads.slabs import map_coordinates, slab_axes, slab_corner
from medseg.transforms.grids import above_on_grid, argmax_on_grid, interpolate_at
from medseg.types import Instance

Points = NDArray[np.int64]


@dataclass
class Evidence:
    """The voxels of one class in the slabs so far, and what fades around them."""

    fringe: Fringe
    points: list[Points] = field(default_factory=list)
    probability: list[NDArray[np.float32]] = field(default_factory=list)

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel of the image, once a slab was seen."""
        return float(np.prod(self.fringe.image_mm))

    def all_points(self) -> Points:
        """Indices (N, 3) on the image's grid."""
        return np.concatenate([np.empty((0, 3), dtype=np.int64), *self.points])

    def all_probability(self) -> NDArray[np.float32]:
        """Class probability (N,) of the points."""
        return np.concatenate([np.empty(0, dtype=np.float32), *self.probability])

    def objects(self, group: NDArray[np.int64]) -> list[Found]:
        """One object a group of the points, (N,), each with its fringe."""
        found = instances_from_points(self.all_points(), self.all_probability(), group)
        return with_fringes(found, self.fringe)


EvidenceT = TypeVar("EvidenceT", bound=Evidence)


def class_maps(classes: Sequence[CardClass]) -> tuple[MapSpec, ...]:
    """Organ and lesion probabilities at stride 1: what every dense head wants blended."""
    organs, lesions = len(organ_ids(classes)), len(lesion_ids(classes))
    organ = MapSpec("organ", 1 + organs, 1, "softmax")
    lesion = MapSpec("lesion", lesions, 1, "sigmoid")
    return ((organ,) if organs else ()) + ((lesion,) if lesions else ())


def grouped(
    slabs: Iterable[Slab],
    spacing_mm: Sequence[float],
    classes: Sequence[CardClass],
    *,
    empty: Callable[[Fringe], EvidenceT],
    collect: Callable[[Slab, int, EvidenceT], None],
    lesions_of: Callable[[EvidenceT], list[Found]],
    organ_parts: int = 0,
) -> list[Instance]:
    """Instances on the image's grid (turned to S, P, L), numbered by class, then position.

    `spacing_mm` (z, y, x) is that of the model's grid. Organs go by the largest class; lesions as
    the head says: `collect` takes a slab and the channel of a class, whose evidence begins as
    `empty` and becomes objects by `lesions_of`. Of an organ, the `organ_parts` largest connected
    parts (26) are one object, and islands beside them are dropped; 0 keeps all.
    """
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    organs = [Evidence(Fringe(spacing)) for _ in organ_ids(classes)]
    lesions = [empty(Fringe(spacing)) for _ in lesion_ids(classes)]
    for slab in slabs:
        if organs:
            _collect_organs(slab, organs)
        for channel, lesion in enumerate(lesions):
            collect(slab, channel, lesion)
    found = [
        (position, organ.objects(_rank_of_part(organ.all_points(), organ_parts))[:1])
        for position, organ in zip(organ_ids(classes), organs, strict=True)
    ]
    for position, lesion in zip(lesion_ids(classes), lesions, strict=True):
        found.append((position, lesions_of(lesion)))
    return numbered(found, classes)


def _rank_of_part(points: Points, kept: int) -> NDArray[np.int64]:
    """0 for points (N, 3) in the `kept` largest parts, or in any where that is 0; then by size."""
    if not kept:
        return np.zeros(len(points), dtype=np.int64)
    part = components(points)
    largest_first = np.argsort(-np.bincount(part), kind="stable")
    rank = np.empty_like(largest_first)
    rank[largest_first] = np.maximum(np.arange(len(largest_first)) - (kept - 1), 0)
    return rank[part]


def collect_lesions(slab: Slab, channel: int, lesion: Evidence, threshold: float) -> None:
    """Take the voxels of a slab where the class of a channel of "lesion" is above `threshold`."""
    probability = slab.maps["lesion"][channel]
    even = at_even_odds(probability, threshold)
    above = above_on_grid(even, *slab_axes(slab, "lesion"), threshold=0.5)
    points = np.argwhere(above).astype(np.int64) + slab_corner(slab)
    lesion.points.append(points)
    at = map_coordinates(slab, "lesion", points)
    lesion.probability.append(interpolate_at(probability[None], *at)[0])
    lesion.fringe.collect(slab, ("lesion", channel), (above, 1), points)


def at_even_odds(probability: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """Probabilities whose logits are shifted so that `threshold`, in (0, 1), becomes one half.

    Between a voxel of 0 and one of 1 an interpolated map passes one half in the middle, where the
    border is, but a lower threshold nearer to the 0: a mask that is sure would come out too large.
    """
    if threshold == 0.5:
        return probability
    kept = probability * np.float32(1 - threshold)
    return np.asarray(kept / (kept + np.float32(threshold) * (1 - probability)), dtype=np.float32)


def large_enough(found: Sequence[Found], lesion: Evidence, smallest_mm3: float) -> list[Found]:
    """The objects of `smallest_mm3` or more."""
    return [one for one in found if one.voxel_count >= smallest_mm3 / lesion.voxel_mm3]


def _collect_organs(slab: Slab, organs: Sequence[Evidence]) -> None:
    label = argmax_on_grid(slab.maps["organ"], *slab_axes(slab, "organ"))
    where = np.argwhere(label)
    position = label[tuple(where.T)]
    points = where.astype(np.int64) + slab_corner(slab)
    for n, organ in enumerate(organs):
        chosen = points[position == n + 1]
        probability = slab.maps["organ"][n + 1][None]
        organ.points.append(chosen)
        at = map_coordinates(slab, "organ", chosen)
        organ.probability.append(interpolate_at(probability, *at)[0])
        organ.fringe.collect(slab, ("organ", n + 1), (label, n + 1), chosen)

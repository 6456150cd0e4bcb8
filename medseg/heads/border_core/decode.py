"""From the blended maps of the border-core head to instances."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from medseg.heads.border_core.nearest import OUTSIDE, UNSEEN, spread
from medseg.heads.contract import MapSpec, Slab, lesion_ids
from medseg.heads.evidence import (
    Evidence,
    Points,
    class_maps,
    collect_lesions,
    grouped,
    large_enough,
)
from medseg.heads.gather import Found, components
from medseg.heads.settings import DecoderSettings
from medseg.heads.slabs import map_coordinates
from medseg.transforms.grids import interpolate_at
from medseg.types import Instance

Groups = NDArray[np.int64]


@dataclass
class _Cores(Evidence):
    """The voxels of a class of lesions, and how likely each is one of a core."""

    core: list[NDArray[np.float32]] = field(default_factory=list)

    def all_core(self) -> NDArray[np.float32]:
        """Core probability (N,) of the points."""
        return np.concatenate([np.empty(0, dtype=np.float32), *self.core])


@dataclass(frozen=True)
class BorderCoreDecoder(DecoderSettings):
    """Organs by the largest class, lesions by their cores.

    A lesion's voxels are those above `threshold`; of them those with a core probability above
    `core_threshold` are cores, and each connected one (26) of `smallest_core_mm3` or more is the
    seed of an object. The other voxels go to the seed that they reach on the shortest way, in mm,
    inside the mask (26 neighbours); of seeds equally near it is the one with the first voxel in the
    order z, y, x. Connected components (26) without a core are objects of their own. Objects below
    `smallest_mm3` are dropped. A lesion's score is its mean class probability times the mean core
    probability of its seed, or `core_threshold` where it has none; an organ's is its mean
    probability.
    """

    threshold: float = 0.5
    core_threshold: float = 0.5
    smallest_core_mm3: float = 0.0
    smallest_mm3: float = 30.0

    limits: ClassVar = {"smallest_core_mm3": (-1.0, np.inf)}

    @property
    def maps(self) -> tuple[MapSpec, ...]:
        """Organ, lesion and core probabilities, all at stride 1."""
        lesions = len(lesion_ids(self.classes))
        core = MapSpec("core", lesions, 1, "sigmoid")
        return class_maps(self.classes) + ((core,) if lesions else ())

    def group(self, slabs: Iterable[Slab], spacing_mm: Sequence[float]) -> list[Instance]:
        """Instances on the image's grid (turned to S, P, L), numbered by class, then position.

        `spacing_mm` (z, y, x) is that of the model's grid.
        """
        return grouped(
            slabs,
            spacing_mm,
            self.classes,
            empty=_Cores,
            collect=self._collect,
            lesions_of=self._lesions,
        )

    def _collect(self, slab: Slab, channel: int, lesion: _Cores) -> None:
        collect_lesions(slab, channel, lesion, self.threshold)
        core = slab.maps["core"][channel][None]
        at = map_coordinates(slab, "core", lesion.points[-1])
        lesion.core.append(interpolate_at(core, *at)[0])

    def _lesions(self, lesion: _Cores) -> list[Found]:
        points, core = lesion.all_points(), lesion.all_core()
        seed = self._seeds(points, core, lesion.voxel_mm3)
        seeds = int(seed.max(initial=0))
        group = split_by_seeds(points, seed, lesion.fringe.image_mm)
        certain = np.full(int(group.max(initial=0)) + 1, self.core_threshold)
        certain[1 : seeds + 1] = _means(core, seed, seeds)
        found = large_enough(lesion.objects(group), lesion, self.smallest_mm3)
        return [replace(one, score=float(one.score * certain[one.group])) for one in found]

    def _seeds(self, points: Points, core: NDArray[np.float32], voxel_mm3: float) -> Groups:
        """The seed of each point (N,), from 1 in the order of their first points; 0 for none."""
        inside = np.flatnonzero(core > self.core_threshold)
        piece = components(points[inside])
        size = np.bincount(piece)
        kept = size[piece] >= self.smallest_core_mm3 / voxel_mm3
        seed = np.zeros(len(points), dtype=np.int64)
        seed[inside[kept]] = 1 + _in_order(piece[kept])
        return seed


def split_by_seeds(
    points: Points, seed: Groups, spacing_mm: Sequence[float] | NDArray[np.float64]
) -> Groups:
    """The object of each point (N,): its seed's number, or a higher one where none is reached.

    Shapes: points (N, 3) indices (z, y, x) in rising order; seed (N,) from 1, 0 for none. As
    `BorderCoreDecoder` says; ways inside a component are looked for only where it has two seeds.
    """
    part = _in_order(components(points))
    # The lowest and highest seed of each part: the same in most.
    parts = int(part.max(initial=-1)) + 1
    highest, lowest = np.zeros(parts, dtype=np.int64), np.full(parts, np.iinfo(np.int64).max)
    seeded = seed > 0
    np.maximum.at(highest, part[seeded], seed[seeded])
    np.minimum.at(lowest, part[seeded], seed[seeded])
    bare = highest == 0
    highest[bare] = lowest[bare] = seed.max(initial=0) + 1 + np.arange(np.count_nonzero(bare))
    group = highest[part]
    several = np.flatnonzero((highest != lowest)[part])
    order = several[np.argsort(part[several], kind="stable")]
    for own in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
        group[own] = _shared_out(points[own], seed[own], spacing_mm)
    return group


def _shared_out(
    points: Points, seed: Groups, spacing_mm: Sequence[float] | NDArray[np.float64]
) -> Groups:
    """The nearest seed of each point of one component."""
    if not len(points):
        return seed
    low = points.min(axis=0)
    at = tuple((points - low).T)
    owner = np.full(points.max(axis=0) - low + 1, OUTSIDE, dtype=np.int32)
    owner[at] = np.where(seed > 0, seed, UNSEEN)
    return np.asarray(spread(owner, spacing_mm)[at], dtype=np.int64)


def _in_order(piece: Groups) -> Groups:
    """Numbers of pieces (N,), from 0 in the order in which they first appear."""
    _, first, same = np.unique(piece, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[same]


def _means(core: NDArray[np.float32], seed: Groups, seeds: int) -> NDArray[np.float64]:
    """Mean core probability of each seed, (seeds,)."""
    inside = seed > 0
    total = np.bincount(seed[inside], weights=core[inside], minlength=seeds + 1)
    count = np.bincount(seed[inside], minlength=seeds + 1)
    return np.asarray(total[1:] / count[1:])

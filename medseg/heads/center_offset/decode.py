"""From the blended maps of the centre-offset head to instances."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

from medseg.card import CardClass
from medseg.heads.contract import MapSpec, Slab, lesion_ids, organ_ids
from medseg.heads.gather import Found, components, instances_from_points, numbered
from medseg.transforms.grids import above_on_grid, argmax_on_grid, interpolate_at
from medseg.types import Instance

Points = NDArray[np.int64]


@dataclass
class _Lesions:
    """What the slabs so far showed of one class."""

    points: list[Points] = field(default_factory=list)
    probability: list[NDArray[np.float32]] = field(default_factory=list)
    votes_mm: list[NDArray[np.float64]] = field(default_factory=list)
    peaks_mm: list[NDArray[np.float64]] = field(default_factory=list)
    heights: list[NDArray[np.float32]] = field(default_factory=list)


@dataclass(frozen=True)
class CenterOffsetDecoder:
    """Organs by the largest class, lesions by votes for the peaks of a heat map.

    A lesion's voxels are those above `threshold`. Each votes for the place that its offset points
    to, and joins the nearest peak of the heat map within `reach_mm`; what reaches none is split
    into connected components. Objects below `smallest_mm3` are dropped. A lesion's score is its
    peak times its mean class probability; an organ's is its mean probability.
    """

    classes: tuple[CardClass, ...]
    threshold: float = 0.5
    peak_threshold: float = 0.15
    reach_mm: float = 12.0
    smallest_mm3: float = 30.0

    @property
    def maps(self) -> tuple[MapSpec, ...]:
        """Organ and lesion probabilities at stride 1, heat map and offsets at stride 2."""
        organs, lesions = len(organ_ids(self.classes)), len(lesion_ids(self.classes))
        specs = []
        if organs:
            specs.append(MapSpec("organ", 1 + organs, 1, "softmax"))
        if lesions:
            specs.append(MapSpec("lesion", lesions, 1, "sigmoid"))
            specs.append(MapSpec("centre", lesions, 2, "sigmoid"))
            specs.append(MapSpec("offset_mm", 3 * lesions, 2, "none"))
        return tuple(specs)

    def group(self, slabs: Iterable[Slab], spacing_mm: Sequence[float]) -> list[Instance]:
        """Instances on the image's grid (turned to S, P, L), numbered by class, then position.

        `spacing_mm` (z, y, x) is that of the model's grid.
        """
        spacing = np.asarray(spacing_mm, dtype=np.float64)
        organs = [_Lesions() for _ in organ_ids(self.classes)]
        lesions = [_Lesions() for _ in lesion_ids(self.classes)]
        voxel_mm3 = float(np.prod(spacing))
        for slab in slabs:
            voxel_mm3 = float(np.prod(spacing * np.abs(slab.grids[self.maps[0].name].scale)))
            if organs:
                self._collect_organs(slab, organs)
            for channel, lesion in enumerate(lesions):
                self._collect_lesions(slab, channel, lesion, spacing)
        found = []
        for position, organ in zip(organ_ids(self.classes), organs, strict=True):
            found.append((position, _organ(organ)))
        for position, lesion in zip(lesion_ids(self.classes), lesions, strict=True):
            found.append((position, self._lesions(lesion, voxel_mm3)))
        return numbered(found, self.classes)

    def _collect_organs(self, slab: Slab, organs: Sequence[_Lesions]) -> None:
        label = argmax_on_grid(slab.maps["organ"], *_axes(slab, "organ"))
        where = np.argwhere(label)
        position = label[tuple(where.T)]
        points = where + [slab.start, 0, 0]
        values = interpolate_at(slab.maps["organ"], *_at(slab, "organ", points))
        for n, organ in enumerate(organs):
            chosen = position == n + 1
            organ.points.append(points[chosen])
            organ.probability.append(values[n + 1, chosen])

    def _collect_lesions(
        self, slab: Slab, channel: int, lesion: _Lesions, spacing_mm: NDArray[np.float64]
    ) -> None:
        probability = slab.maps["lesion"][channel]
        axes = _axes(slab, "lesion")
        above = np.argwhere(above_on_grid(probability, *axes, threshold=self.threshold))
        points = above + [slab.start, 0, 0]
        lesion.points.append(points)
        lesion.probability.append(
            interpolate_at(probability[None], *_at(slab, "lesion", points))[0]
        )
        offset_mm = slab.maps["offset_mm"][3 * channel : 3 * channel + 3]
        lesion.votes_mm.append(_votes_mm(slab, offset_mm, points, spacing_mm))
        cells, heights = _peaks(slab, channel, self.peak_threshold)
        first = np.array([slab.starts["centre"], 0, 0])
        lesion.peaks_mm.append((cells + first) * 2 * spacing_mm)
        lesion.heights.append(heights)

    def _lesions(self, lesion: _Lesions, voxel_mm3: float) -> list[Found]:
        points, probability = _joined(lesion.points, 3), np.concatenate(lesion.probability)
        if not len(points):
            return []
        peaks_mm, heights = _joined(lesion.peaks_mm, 3), np.concatenate(lesion.heights)
        group = _nearest_peak(_joined(lesion.votes_mm, 3), peaks_mm, self.reach_mm)
        alone = group < 0
        group[alone] = len(heights) + components(points[alone])
        # A component that no peak speaks for is as certain as the weakest peak that counts.
        extra = int(group.max()) + 1 - len(heights)
        heights = np.concatenate([heights, np.full(max(extra, 0), self.peak_threshold)])
        found = instances_from_points(points, probability, group)
        smallest = self.smallest_mm3 / voxel_mm3
        return [
            replace(one, score=float(one.score * heights[one.group]))
            for one in found
            if one.voxel_count >= smallest
        ]


@dataclass(frozen=True)
class ComponentDecoder(CenterOffsetDecoder):
    """The plainest mode: organs by the largest class, lesions by connected components (26)."""

    def _lesions(self, lesion: _Lesions, voxel_mm3: float) -> list[Found]:
        points, probability = _joined(lesion.points, 3), np.concatenate(lesion.probability)
        found = instances_from_points(points, probability, components(points))
        return [one for one in found if one.voxel_count >= self.smallest_mm3 / voxel_mm3]


def _organ(organ: _Lesions) -> list[Found]:
    points = _joined(organ.points, 3)
    group = np.zeros(len(points), dtype=np.int64)
    return instances_from_points(points, np.concatenate(organ.probability), group)


def _axes(slab: Slab, name: str) -> tuple[NDArray[np.float64], ...]:
    """Coordinates of the slab's image slices, rows and columns in the map's array."""
    ends = ((slab.start, slab.stop), (0, slab.shape[1]), (0, slab.shape[2]))
    return tuple(
        slab.grids[name].coordinates(axis, start, stop) for axis, (start, stop) in enumerate(ends)
    )


def _at(slab: Slab, name: str, points: Points) -> NDArray[np.float64]:
    """Coordinates (3, N) in the map's array of points (N, 3) on the image's grid."""
    grid = slab.grids[name]
    return np.asarray((points * np.asarray(grid.scale) + grid.offset).T)


def _votes_mm(
    slab: Slab, offset_mm: NDArray[np.float32], points: Points, spacing_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Where each voxel's cell points to, (N, 3) in mm of the model's grid.

    The cell's own offset, not interpolated: between two objects the offsets jump, and their mean
    points to neither.
    """
    exact = _at(slab, "offset_mm", points).T
    cell = np.clip(np.rint(exact).astype(np.int64), 0, np.array(offset_mm.shape[1:]) - 1)
    first = np.array([slab.starts["offset_mm"], 0, 0])
    votes = (cell + first) * 2 * spacing_mm + offset_mm[:, *cell.T].T
    return np.asarray(votes, dtype=np.float64)


def _peaks(
    slab: Slab, channel: int, threshold: float
) -> tuple[Points, NDArray[np.float32]]:
    """Cells (N, 3) of the map's array that no neighbour of 26 exceeds, and their heights."""
    heat = slab.maps["centre"][channel]
    before, after = slab.margins["centre"]
    top = (heat == maximum_filter(heat, size=3, mode="nearest")) & (heat > threshold)
    cells = np.argwhere(top)
    own = (cells[:, 0] >= before) & (cells[:, 0] < heat.shape[0] - after)
    cells = cells[own]
    return cells, heat[tuple(cells.T)]


def _nearest_peak(
    votes_mm: NDArray[np.float64], peaks_mm: NDArray[np.float64], reach_mm: float
) -> NDArray[np.int64]:
    """The position of the nearest peak of each vote, -1 beyond `reach_mm`."""
    if not len(peaks_mm):
        return np.full(len(votes_mm), -1, dtype=np.int64)
    distance, nearest = cKDTree(peaks_mm).query(votes_mm)
    return np.where(distance <= reach_mm, nearest, -1).astype(np.int64)


def _joined(parts: Sequence[NDArray[np.generic]], columns: int) -> NDArray[np.generic]:
    return np.concatenate([np.empty((0, columns), dtype=parts[0].dtype), *parts])

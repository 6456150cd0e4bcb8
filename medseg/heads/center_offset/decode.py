"""From the blended maps of the centre-offset head to instances."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

from medseg.card import CardClass
from medseg.heads.center_offset.network import CenterOffsetNetwork
from medseg.heads.contract import MapSpec, Slab, lesion_ids, organ_ids
from medseg.heads.gather import Found, components, instances_from_points, numbered
from medseg.measurement.parts import labelled_parts
from medseg.transforms.grids import above_on_grid, argmax_on_grid, interpolate_at
from medseg.types import Instance

Points = NDArray[np.int64]

CENTRE_STRIDE = CenterOffsetNetwork.centre_stride


@dataclass
class _Evidence:
    """What the slabs so far showed of one class: voxels, and for lesions votes and peaks."""

    points: list[Points] = field(default_factory=list)
    probability: list[NDArray[np.float32]] = field(default_factory=list)
    votes_mm: list[NDArray[np.float64]] = field(default_factory=list)
    peaks_mm: list[NDArray[np.float64]] = field(default_factory=list)
    heights: list[NDArray[np.float32]] = field(default_factory=list)

    def all_points(self) -> Points:
        """Indices (N, 3) on the image's grid."""
        return np.concatenate([np.empty((0, 3), dtype=np.int64), *self.points])

    def all_probability(self) -> NDArray[np.float32]:
        """Class probability (N,) of the points."""
        return np.concatenate([np.empty(0, dtype=np.float32), *self.probability])

    def nearest_peaks(self, reach_mm: float) -> NDArray[np.int64]:
        """The position of the peak nearest to each point's vote (N,); -1 beyond `reach_mm`."""
        votes_mm = np.concatenate([np.empty((0, 3)), *self.votes_mm])
        peaks_mm = np.concatenate([np.empty((0, 3)), *self.peaks_mm])
        if not len(peaks_mm):
            return np.full(len(votes_mm), -1, dtype=np.int64)
        distance, nearest = cKDTree(peaks_mm).query(votes_mm)
        return np.where(distance <= reach_mm, nearest, -1).astype(np.int64)

    def all_heights(self) -> NDArray[np.float32]:
        """Height of the heat map at each peak."""
        return np.concatenate([np.empty(0, dtype=np.float32), *self.heights])


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

    def __post_init__(self) -> None:
        for name, low, high in (
            ("threshold", 0.0, 1.0),
            ("peak_threshold", 0.0, 1.0),
            ("reach_mm", 0.0, np.inf),
            ("smallest_mm3", -1.0, np.inf),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                msg = f"head.decoder.{name} is a number; got {value!r}"
                raise ValueError(msg)
            if not low < value < high:
                msg = f"head.decoder.{name} = {value:g} is not above {low:g} and below {high:g}"
                raise ValueError(msg)

    @property
    def settings(self) -> dict[str, float]:
        """Everything that decides the decoding, for the provenance."""
        return {
            "threshold": self.threshold,
            "peak_threshold": self.peak_threshold,
            "reach_mm": self.reach_mm,
            "smallest_mm3": self.smallest_mm3,
        }

    @property
    def maps(self) -> tuple[MapSpec, ...]:
        """Organ and lesion probabilities at stride 1, heat map and offsets at stride 2."""
        organs, lesions = len(organ_ids(self.classes)), len(lesion_ids(self.classes))
        specs = []
        if organs:
            specs.append(MapSpec("organ", 1 + organs, 1, "softmax"))
        if lesions:
            specs.append(MapSpec("lesion", lesions, 1, "sigmoid"))
            specs.append(MapSpec("centre", lesions, CENTRE_STRIDE, "sigmoid"))
            offsets = 3 * lesions
            specs.append(MapSpec("offset_mm", offsets, CENTRE_STRIDE, "none", vectors=True))
        return tuple(specs)

    def group(self, slabs: Iterable[Slab], spacing_mm: Sequence[float]) -> list[Instance]:
        """Instances on the image's grid (turned to S, P, L), numbered by class, then position.

        `spacing_mm` (z, y, x) is that of the model's grid.
        """
        spacing = np.asarray(spacing_mm, dtype=np.float64)
        organs = [_Evidence() for _ in organ_ids(self.classes)]
        lesions = [_Evidence() for _ in lesion_ids(self.classes)]
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

    def _collect_organs(self, slab: Slab, organs: Sequence[_Evidence]) -> None:
        label = argmax_on_grid(slab.maps["organ"], *_axes(slab, "organ"))
        where = np.argwhere(label)
        position = label[tuple(where.T)]
        points = where.astype(np.int64) + _corner(slab)
        for n, organ in enumerate(organs):
            chosen = points[position == n + 1]
            probability = slab.maps["organ"][n + 1][None]
            organ.points.append(chosen)
            organ.probability.append(interpolate_at(probability, *_at(slab, "organ", chosen))[0])

    def _collect_lesions(
        self, slab: Slab, channel: int, lesion: _Evidence, spacing_mm: NDArray[np.float64]
    ) -> None:
        probability = slab.maps["lesion"][channel]
        axes = _axes(slab, "lesion")
        above = np.argwhere(above_on_grid(probability, *axes, threshold=self.threshold))
        points = above.astype(np.int64) + _corner(slab)
        lesion.points.append(points)
        lesion.probability.append(
            interpolate_at(probability[None], *_at(slab, "lesion", points))[0]
        )
        self._collect_centres(slab, channel, lesion, spacing_mm)

    def _collect_centres(
        self, slab: Slab, channel: int, lesion: _Evidence, spacing_mm: NDArray[np.float64]
    ) -> None:
        """Where the slab's voxels point to, and the peaks that they may point to."""
        offset_mm = slab.maps["offset_mm"][3 * channel : 3 * channel + 3]
        lesion.votes_mm.append(_votes_mm(slab, offset_mm, lesion.points[-1], spacing_mm))
        cells, heights = _peaks(slab, channel, self.peak_threshold)
        first = np.array([slab.starts["centre"], 0, 0])
        lesion.peaks_mm.append((cells + first) * CENTRE_STRIDE * spacing_mm)
        lesion.heights.append(heights)

    def _lesions(self, lesion: _Evidence, voxel_mm3: float) -> list[Found]:
        points, heights = lesion.all_points(), lesion.all_heights()
        if not len(points):
            return []
        group = lesion.nearest_peaks(self.reach_mm)
        alone = group < 0
        group[alone] = len(heights) + components(points[alone])
        # A component that no peak speaks for is as certain as the weakest peak that counts.
        extra = max(int(group.max()) + 1 - len(heights), 0)
        heights = np.concatenate([heights, np.full(extra, self.peak_threshold, np.float32)])
        return [
            replace(one, score=float(one.score * heights[one.group]))
            for one in instances_from_points(points, lesion.all_probability(), group)
            if one.voxel_count >= self.smallest_mm3 / voxel_mm3
        ]


@dataclass(frozen=True)
class ComponentDecoder(CenterOffsetDecoder):
    """The plainest mode: organs by the largest class, lesions by connected components (26)."""

    @property
    def maps(self) -> tuple[MapSpec, ...]:
        """Organ and lesion probabilities alone: nothing votes."""
        return tuple(spec for spec in super().maps if spec.name in ("organ", "lesion"))

    def _collect_centres(
        self, slab: Slab, channel: int, lesion: _Evidence, spacing_mm: NDArray[np.float64]
    ) -> None:
        """There is nothing to collect."""

    def _lesions(self, lesion: _Evidence, voxel_mm3: float) -> list[Found]:
        points = lesion.all_points()
        found = instances_from_points(points, lesion.all_probability(), components(points))
        return [one for one in found if one.voxel_count >= self.smallest_mm3 / voxel_mm3]


def _organ(organ: _Evidence) -> list[Found]:
    points = organ.all_points()
    group = np.zeros(len(points), dtype=np.int64)
    return instances_from_points(points, organ.all_probability(), group)


def _corner(slab: Slab) -> Points:
    """Where the slab begins on the image's grid."""
    return np.array([slab.start, 0, 0], dtype=np.int64)


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
    votes = (cell + first) * CENTRE_STRIDE * spacing_mm + offset_mm[:, *cell.T].T
    return np.asarray(votes, dtype=np.float64)


def _peaks(slab: Slab, channel: int, threshold: float) -> tuple[Points, NDArray[np.float32]]:
    """Cells (N, 3) of the map's array that no neighbour of 26 exceeds, and their heights."""
    heat = slab.maps["centre"][channel]
    before, after = slab.margins["centre"]
    top = (heat == maximum_filter(heat, size=3, mode="nearest")) & (heat > threshold)
    cells = _one_of_each_plateau(top)
    own = (cells[:, 0] >= before) & (cells[:, 0] < heat.shape[0] - after)
    cells = cells[own]
    return cells, heat[tuple(cells.T)]


def _one_of_each_plateau(top: NDArray[np.bool_]) -> Points:
    """The first cell (N, 3) of every connected group (26): equal neighbours are one peak."""
    labels, _ = labelled_parts(top)
    cells = np.argwhere(top)
    _, first = np.unique(labels[tuple(cells.T)], return_index=True)
    return np.asarray(cells[np.sort(first)])

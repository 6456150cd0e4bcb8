"""From the blended maps of the centre-offset head to instances."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

from medseg.card import CardClass
from medseg.heads.center_offset.network import CenterOffsetNetwork
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
from medseg.measurement.parts import labelled_parts
from medseg.types import Instance

CENTRE_STRIDE = CenterOffsetNetwork.centre_stride


@dataclass
class _Votes(Evidence):
    """The voxels of a class of lesions, where they point to, and the peaks of its heat map."""

    votes_mm: list[NDArray[np.float64]] = field(default_factory=list)
    peaks_mm: list[NDArray[np.float64]] = field(default_factory=list)
    heights: list[NDArray[np.float32]] = field(default_factory=list)

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
class CenterOffsetDecoder(DecoderSettings):
    """Organs by the largest class, lesions by votes for the peaks of a heat map.

    A lesion's voxels are those above `threshold`. Each votes for the place that its offset points
    to, and joins the nearest peak of the heat map within `reach_mm`; what reaches none is split
    into connected components. Lesions below `smallest_mm3`, or of a score below `score_threshold`,
    are dropped. A lesion's score is its peak times its mean class probability; an organ's is its
    mean probability. Of an organ's connected parts (26) the `organ_parts` largest are kept, where
    that is above 0.
    """

    threshold: float = 0.5
    peak_threshold: float = 0.15
    reach_mm: float = 12.0
    smallest_mm3: float = 30.0
    organ_parts: int = 0
    score_threshold: float = 0.0

    limits: ClassVar = {
        "reach_mm": (0.0, np.inf),
        "organ_parts": (-1, np.inf),
        "score_threshold": (-1.0, 1.0),
    }

    @property
    def maps(self) -> tuple[MapSpec, ...]:
        """Organ and lesion probabilities at stride 1, heat map and offsets at stride 2."""
        lesions = len(lesion_ids(self.classes))
        if not lesions:
            return class_maps(self.classes)
        return (
            *class_maps(self.classes),
            MapSpec("centre", lesions, CENTRE_STRIDE, "sigmoid"),
            MapSpec("offset_mm", 3 * lesions, CENTRE_STRIDE, "none", vectors=True),
        )

    def group(self, slabs: Iterable[Slab], spacing_mm: Sequence[float]) -> list[Instance]:
        """Instances on the image's grid (turned to S, P, L), numbered by class, then position.

        `spacing_mm` (z, y, x) is that of the model's grid.
        """
        return grouped(
            slabs,
            spacing_mm,
            self.classes,
            empty=_Votes,
            collect=self._collect_lesions,
            lesions_of=self._lesions,
            organ_parts=self.organ_parts,
        )

    def _collect_lesions(self, slab: Slab, channel: int, lesion: _Votes) -> None:
        collect_lesions(slab, channel, lesion, self.threshold)
        self._collect_centres(slab, channel, lesion)

    def _collect_centres(self, slab: Slab, channel: int, lesion: _Votes) -> None:
        """Where the slab's voxels point to, and the peaks that they may point to."""
        spacing_mm = lesion.fringe.model_mm
        offset_mm = slab.maps["offset_mm"][3 * channel : 3 * channel + 3]
        lesion.votes_mm.append(_votes_mm(slab, offset_mm, lesion.points[-1], spacing_mm))
        cells, heights = _peaks(slab, channel, self.peak_threshold)
        first = np.array([slab.starts["centre"], 0, 0])
        lesion.peaks_mm.append((cells + first) * CENTRE_STRIDE * spacing_mm)
        lesion.heights.append(heights)

    def _lesions(self, lesion: _Votes) -> list[Found]:
        points, heights = lesion.all_points(), lesion.all_heights()
        if not len(points):
            return []
        group = lesion.nearest_peaks(self.reach_mm)
        alone = group < 0
        group[alone] = len(heights) + components(points[alone])
        # A component that no peak speaks for is as certain as the weakest peak that counts.
        extra = max(int(group.max()) + 1 - len(heights), 0)
        heights = np.concatenate([heights, np.full(extra, self.peak_threshold, np.float32)])
        found = large_enough(lesion.objects(group), lesion, self.smallest_mm3)
        scored = [replace(one, score=float(one.score * heights[one.group])) for one in found]
        return [one for one in scored if one.score >= self.score_threshold]


@dataclass(frozen=True)
class ComponentDecoder(CenterOffsetDecoder):
    """The plainest mode: organs by the largest class, lesions by connected components (26).

    A lesion's score is its mean class probability.
    """

    @property
    def maps(self) -> tuple[MapSpec, ...]:
        """Organ and lesion probabilities alone: nothing votes."""
        return class_maps(self.classes)

    def _collect_centres(self, slab: Slab, channel: int, lesion: _Votes) -> None:
        """There is nothing to collect."""

    def _lesions(self, lesion: _Votes) -> list[Found]:
        found = lesion.objects(components(lesion.all_points()))
        found = [one for one in found if one.score >= self.score_threshold]
        return large_enough(found, lesion, self.smallest_mm3)


def organ_decoder(classes: Sequence[CardClass]) -> CenterOffsetDecoder | None:
    """Decodes the organs among the classes; None where there is none."""
    organs = tuple(one for one in classes if one.kind == "organ")
    return CenterOffsetDecoder(organs) if organs else None


def _votes_mm(
    slab: Slab, offset_mm: NDArray[np.float32], points: Points, spacing_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Where each voxel's cell points to, (N, 3) in mm of the model's grid.

    The cell's own offset, not interpolated: between two objects the offsets jump, and their mean
    points to neither.
    """
    exact = map_coordinates(slab, "offset_mm", points).T
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

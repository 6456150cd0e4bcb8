"""Contours of a region of interest on the slices of a grid, by position alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.errors import InputRefused
from medseg.io.dicom.refusals import counted
from medseg.io.rtstruct.nesting import nesting, repeated, without_area
from medseg.io.rtstruct.rasterise import UNITS, Rings, to_units
from medseg.io.rtstruct.structure import Roi
from medseg.types import Box, Geometry, InputWarning

OFF_PLANE = 0.25
"""Steps that a point may lie off the slice that its contour is taken to."""

APART = 0.05
"""Steps that contours of one region on one slice may lie apart: further ones are of two planes."""

TOLD_OFF_PLANE = 0.01
"""Steps off the slice from which on it is told."""

_MOSTLY = 0.9
_OTHER_SERIES = "pass the series that the contours were drawn on"

_Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Placed:
    """A region on a grid: its rings, on slices that the grid has, and what to tell of them.

    `area_ml` is the area inside the contours times the distance of the slices.
    """

    rings: Rings
    area_ml: float
    notes: tuple[InputWarning, ...]

    def box(self, geometry: Geometry) -> Box | None:
        """The part of the grid in which voxels may lie; None where there is none."""
        points, planes = self.rings.points, self.rings.planes
        if not len(planes):
            return None
        low = np.maximum(-(-points.min(axis=0) // UNITS), 0)
        high = np.minimum(-(-points.max(axis=0) // UNITS), geometry.shape[1:])
        if not (low < high).all():
            return None
        z = slice(int(planes.min()), int(planes.max()) + 1)
        return z, slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))


@dataclass(frozen=True, eq=False, repr=False)
class _Heights:
    """Contours of a region along z, in steps of the grid: lowest, highest, nearest slice."""

    low: _Floats
    high: _Floats
    planes: _Floats

    @property
    def off(self) -> _Floats:
        """How far the farthest point of each contour lies off the slice."""
        return np.maximum(np.abs(self.high - self.planes), np.abs(self.low - self.planes))

    def chosen(self, keep: NDArray[np.bool_]) -> _Heights:
        return _Heights(self.low[keep], self.high[keep], self.planes[keep])


def place(roi: Roi, geometry: Geometry, images: frozenset[str], subject: str) -> Placed:
    """Take each contour of a region to the slice at its position.

    `images` are the SOPInstanceUIDs of the slices: they settle only whether slices without a
    contour between others are meant so. A region without contours gives no ring.

    Raises InputRefused: `grid-mismatch` for contours between slices, across them, or on every
    n-th slice of a series that they do not name; `geometry-invalid` for points too far away.
    """
    told = _left_out(roi)
    if not roi.contours:
        return Placed(_rings([], np.empty(0)), 0.0, tuple(told))
    lengths = np.array([len(one.points_lps_mm) for one in roi.contours])
    index = geometry.world_to_index(np.concatenate([one.points_lps_mm for one in roi.contours]))
    starts = np.cumsum(lengths) - lengths
    low = np.minimum.reduceat(index[:, 0], starts)
    high = np.maximum.reduceat(index[:, 0], starts)
    heights = _Heights(low, high, np.rint((low + high) / 2))
    inside = (heights.planes >= 0) & (heights.planes < geometry.shape[0])
    kept = heights.chosen(inside)
    step_mm = geometry.spacing_mm[0]
    _refuse_off_plane(roi, kept, step_mm, subject)
    if not any(uid in images for one in roi.contours for uid in one.images):
        _refuse_sparse(roi, kept, step_mm, subject)
    parts = np.split(_in_units(roi, index[:, 1:], subject), starts[1:])
    rings = _rings([part for part, keep in zip(parts, inside, strict=True) if keep], kept.planes)
    rings, notes = _sound(roi, rings)
    found = nesting(rings)
    told += [
        *notes,
        *_off_plane_note(roi, kept, step_mm),
        *_outside_note(roi, inside, rings, geometry),
        *_gap_note(roi, kept),
        *_crossing_note(roi, found.crossing_voxels),
        *_centres_note(roi, rings),
    ]
    return Placed(rings, found.area_voxels * geometry.voxel_ml, tuple(told))


def _in_units(roi: Roi, points: _Floats, subject: str) -> NDArray[np.int64]:
    try:
        return to_units(points)
    except ValueError as error:
        raise InputRefused(
            code="geometry-invalid",
            subject=subject,
            detail=f"ROI {roi.number}: {error}",
            remedy="export the structure set again",
        ) from error


def _rings(parts: Sequence[NDArray[np.int64]], planes: _Floats) -> Rings:
    points = np.concatenate(parts) if parts else np.empty((0, 2), dtype=np.int64)
    ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
    return Rings(points, ends, planes.astype(np.int64))


def _sound(roi: Roi, rings: Rings) -> tuple[Rings, list[InputWarning]]:
    """The rings without those that enclose nothing, and each copy once."""
    notes = []
    flat, copies = without_area(rings), repeated(rings)
    if len(flat):
        detail = f"ROI {roi.number}: {counted(len(flat), 'contour')} without area left out"
        notes.append(InputWarning("contours-left-out", detail))
    if len(copies):
        detail = f"ROI {roi.number}: {counted(len(copies), 'contour')} given twice, taken once"
        notes.append(InputWarning("contours-repeated", detail))
    if not notes:
        return rings, notes
    keep = np.setdiff1d(np.arange(len(rings.ends)), np.concatenate([flat, copies]))
    return rings.chosen(keep), notes


def _refuse_off_plane(roi: Roi, heights: _Heights, step_mm: float, subject: str) -> None:
    far = np.count_nonzero(heights.off > OFF_PLANE)
    if far:
        worst = float(heights.off.max()) * step_mm
        detail = (
            f"{far} of {counted(len(heights.off), 'contour')} of ROI {roi.number} lie between "
            f"slices or across them, up to {worst:.2f} mm off the nearest; the slices are "
            f"{step_mm:.2f} mm apart"
        )
        raise InputRefused("grid-mismatch", subject, detail, _OTHER_SERIES)
    order = np.argsort(heights.planes, kind="stable")
    planes, middle = heights.planes[order], ((heights.low + heights.high) / 2)[order]
    if not len(planes):
        return
    starts = np.flatnonzero(np.diff(planes, prepend=planes[0] - 1))
    spread = np.maximum.reduceat(middle, starts) - np.minimum.reduceat(middle, starts)
    two = int(np.count_nonzero(spread > APART))
    if two:
        detail = (
            f"contours of ROI {roi.number} lie on two planes beside one slice, on "
            f"{counted(two, 'slice')}; the slices are {step_mm:.2f} mm apart"
        )
        raise InputRefused("grid-mismatch", subject, detail, _OTHER_SERIES)


def _refuse_sparse(roi: Roi, heights: _Heights, step_mm: float, subject: str) -> None:
    """Contours on every n-th slice of images that they do not name are of a coarser series."""
    steps = np.diff(np.unique(heights.planes))
    if len(steps) >= 2 and steps.min() == steps.max() > 1:
        detail = (
            f"the contours of ROI {roi.number} are {steps[0] * step_mm:.2f} mm apart, the slices "
            f"{step_mm:.2f} mm"
        )
        raise InputRefused("grid-mismatch", subject, detail, _OTHER_SERIES)


def _left_out(roi: Roi) -> list[InputWarning]:
    return [
        InputWarning(
            "contours-left-out", f"ROI {roi.number}: {counted(number, 'contour')} {why} left out"
        )
        for why, number in roi.left_out.items()
    ]


def _off_plane_note(roi: Roi, heights: _Heights, step_mm: float) -> list[InputWarning]:
    off = float(heights.off.max(initial=0))
    if off <= TOLD_OFF_PLANE:
        return []
    detail = f"ROI {roi.number}: contours lie up to {off * step_mm:.3f} mm off their slices"
    return [InputWarning("contours-off-plane", detail)]


def _outside_note(
    roi: Roi, inside: NDArray[np.bool_], rings: Rings, geometry: Geometry
) -> list[InputWarning]:
    """Contours on planes that the image lacks, or that leave it by more than half a voxel."""
    parts = []
    beyond = np.count_nonzero(~inside)
    if beyond:
        parts.append(
            f"{beyond} of {counted(len(inside), 'contour')} beyond the first or last slice"
        )
    edges = (np.array(geometry.shape[1:]) - 1) * UNITS
    over = np.maximum(-rings.points, rings.points - edges).max(initial=0) / UNITS - 0.5
    if over > 0.5:
        parts.append(f"up to {over:.1f} voxels beyond the edge of the slices")
    if not parts:
        return []
    detail = f"ROI {roi.number} is cut by the image: {', '.join(parts)}"
    return [InputWarning("contours-outside", detail)]


def _gap_note(roi: Roi, heights: _Heights) -> list[InputWarning]:
    planes = np.unique(heights.planes)
    gaps = int(np.sum(np.diff(planes) - 1))
    if not gaps:
        return []
    detail = f"ROI {roi.number}: {counted(gaps, 'slice')} without a contour between others"
    return [InputWarning("contours-gap", detail)]


def _crossing_note(roi: Roi, voxels: int) -> list[InputWarning]:
    if not voxels:
        return []
    detail = (
        f"ROI {roi.number}: contours cross on a slice; {counted(voxels, 'voxel')} in two of them "
        f"count as outside"
    )
    return [InputWarning("contours-cross", detail)]


def _centres_note(roi: Roi, rings: Rings) -> list[InputWarning]:
    """Contours traced from voxel to voxel enclose half a voxel less all round."""
    if not len(rings.points):
        return []
    if np.mean((rings.points % UNITS == 0).all(axis=1)) < _MOSTLY:
        return []
    detail = (
        f"ROI {roi.number}: contours run through voxel centres, so half a voxel may be missing "
        f"all round"
    )
    return [InputWarning("contours-through-centres", detail)]

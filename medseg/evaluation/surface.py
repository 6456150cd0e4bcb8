"""How far apart two surfaces lie, each piece of surface weighted by its area.

A piece of surface lies between eight neighbouring voxels that are not all inside or all outside;
its area is that of the marching-cubes mesh there, and where that can be closed in two ways the
smaller one, so that a mask and its complement have the same surface. A voxel on the array's border
has a surface outwards. Distances, areas and figures are those of the surface-distance project.
Source: Nikolov et al., J Med Internet Res 2021;23(7):e26151 (surface Dice).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.evaluation.distances import nearest_mm
from medseg.measurement.mesh import cell_areas_mm2
from medseg.types import Box, Geometry, Instance, tight_box

Spacing = tuple[float, float, float]

ROUNDING = 1e-5
"""A distance above a tolerance by less than this share of it is within: files round spacings."""


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """From each piece of one surface to the nearest of the other, by rising distance.

    Shapes: pred_mm and pred_area_mm2 (P,), ref_mm and ref_area_mm2 (R,). Where the other mask is
    empty the distances are infinite; an empty mask has no piece.
    """

    pred_mm: NDArray[np.float64]
    pred_area_mm2: NDArray[np.float64]
    ref_mm: NDArray[np.float64]
    ref_area_mm2: NDArray[np.float64]


def surface_distances(
    pred: NDArray[np.bool_], ref: NDArray[np.bool_], spacing_mm: Spacing
) -> SurfaceDistances:
    """Distances between the surfaces of two masks (z, y, x) of one shape, both ways.

    Only the box around both is looked at. The grid's axes are square to each other; for any
    other grid take `instance_surface_distances`.

    Raises ValueError where the shapes differ.
    """
    if pred.shape != ref.shape:
        msg = f"two masks of one shape are wanted; got {pred.shape} and {ref.shape}"
        raise ValueError(msg)
    box = tight_box(pred | ref)
    if box is None:
        none = np.zeros(0)
        return SurfaceDistances(none, none, none, none)
    return _both_ways(pred[box], ref[box], np.diag(np.asarray(spacing_mm, dtype=np.float64)))


def instance_surface_distances(
    pred: Instance, ref: Instance, geometry: Geometry
) -> SurfaceDistances:
    """Distances between the surfaces of two instances of one grid, both ways; sheared grids too.

    Only the box around both is looked at, so the image's size does not matter.
    """
    corner = tuple(
        min(one.start, other.start) for one, other in zip(pred.box, ref.box, strict=True)
    )
    lengths = tuple(
        max(one.stop, other.stop) - start
        for one, other, start in zip(pred.box, ref.box, corner, strict=True)
    )
    found, wanted = np.zeros((2, *lengths), dtype=np.bool_)
    found[_moved(pred.box, corner)] = pred.mask
    wanted[_moved(ref.box, corner)] = ref.mask
    return _both_ways(found, wanted, geometry.affine[:3, :3])


def surface_dice(distances: SurfaceDistances, tolerance_mm: float) -> float:
    """Share of both surfaces within `tolerance_mm` of the other; 0 if one is empty, NaN if both."""
    whole = float(distances.pred_area_mm2.sum() + distances.ref_area_mm2.sum())
    if whole == 0:
        return float("nan")
    reach = tolerance_mm * (1 + ROUNDING)
    near = distances.pred_area_mm2[distances.pred_mm <= reach].sum()
    near += distances.ref_area_mm2[distances.ref_mm <= reach].sum()
    return float(near) / whole


def hausdorff_mm(distances: SurfaceDistances, percent: float = 95.0) -> float:
    """The larger of both ways' distances that `percent` of the surface keep within.

    Infinite if one mask is empty, NaN if both are.
    """
    one = _percentile(distances.pred_mm, distances.pred_area_mm2, percent)
    other = _percentile(distances.ref_mm, distances.ref_area_mm2, percent)
    ways = [value for value in (one, other) if not np.isnan(value)]
    return max(ways, default=float("nan"))


def average_distances_mm(distances: SurfaceDistances) -> tuple[float, float]:
    """Mean distance from pred to ref and back; NaN from an empty mask, infinite to one."""
    return (
        _mean(distances.pred_mm, distances.pred_area_mm2),
        _mean(distances.ref_mm, distances.ref_area_mm2),
    )


def average_symmetric_mm(distances: SurfaceDistances) -> float:
    """Mean distance over both surfaces (ASSD), each piece by its area.

    Infinite if one mask is empty, NaN if both are. Source: Heimann et al., IEEE Trans Med Imaging
    2009;28:1251-1265 (there a mean over surface voxels).
    """
    return _mean(
        np.concatenate([distances.pred_mm, distances.ref_mm]),
        np.concatenate([distances.pred_area_mm2, distances.ref_area_mm2]),
    )


def _mean(distances: NDArray[np.float64], areas: NDArray[np.float64]) -> float:
    return float((distances * areas).sum() / areas.sum()) if areas.size else float("nan")


def _percentile(
    distances: NDArray[np.float64], areas: NDArray[np.float64], percent: float
) -> float:
    if not areas.size:
        return float("nan")
    share = np.cumsum(areas) / areas.sum()
    place = int(np.searchsorted(share, percent / 100))
    return float(distances[min(place, areas.size - 1)])


def _moved(box: Box, corner: tuple[int, ...]) -> Box:
    z, y, x = (
        slice(part.start - start, part.stop - start)
        for part, start in zip(box, corner, strict=True)
    )
    return z, y, x


def _both_ways(
    pred: NDArray[np.bool_], ref: NDArray[np.bool_], axes: NDArray[np.float64]
) -> SurfaceDistances:
    """`axes` (3, 3): column i is one step along axis i in millimetres."""
    areas_mm2 = cell_areas_mm2(axes)
    areas_mm2 = np.minimum(areas_mm2, areas_mm2[::-1])  # code 255 - n is the complement of n
    codes = [_codes(mask) for mask in (pred, ref)]
    surfaces = [(one > 0) & (one < 255) for one in codes]
    found: list[NDArray[np.float64]] = []
    for here, there in ((0, 1), (1, 0)):
        distances = nearest_mm(surfaces[here], surfaces[there], axes)
        order = np.argsort(distances, kind="stable")
        found += [distances[order], areas_mm2[codes[here][surfaces[here]]][order]]
    return SurfaceDistances(*found)


def _codes(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Which of the eight voxels around each corner are inside, a bit each; one longer an axis."""
    codes = np.pad(mask, 1).view(np.uint8)
    codes = codes[..., :-1] | codes[..., 1:] << np.uint8(1)
    codes = codes[:, :-1] | codes[:, 1:] << np.uint8(2)
    return codes[:-1] | codes[1:] << np.uint8(4)

"""How far apart two surfaces lie, each piece of surface weighted by its area.

A piece of surface lies between eight neighbouring voxels that are not all inside or all outside;
its area is that of the marching-cubes mesh there. A voxel on the array's border has a surface
outwards. Source: Nikolov et al., J Med Internet Res 2021;23(7):e26151 (surface Dice).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from skimage.measure import marching_cubes, mesh_surface_area

from medseg.types import tight_box

Spacing = tuple[float, float, float]

_mesh, _mesh_area = cast("Any", marching_cubes), cast("Any", mesh_surface_area)  # untyped


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

    Only the box around both is looked at. The grid's axes must be square to each other.

    Raises ValueError where the shapes differ.
    """
    if pred.shape != ref.shape:
        msg = f"two masks of one shape are wanted; got {pred.shape} and {ref.shape}"
        raise ValueError(msg)
    box = tight_box(pred | ref)
    if box is None:
        none = np.zeros(0)
        return SurfaceDistances(none, none, none, none)
    found, wanted = (_codes(mask[box]) for mask in (pred, ref))
    areas = _areas_mm2(spacing_mm)
    return SurfaceDistances(
        *_one_way(found, wanted, areas, spacing_mm), *_one_way(wanted, found, areas, spacing_mm)
    )


def surface_dice(distances: SurfaceDistances, tolerance_mm: float) -> float:
    """Share of both surfaces within `tolerance_mm` of the other; 0 if one is empty, NaN if both."""
    whole = float(distances.pred_area_mm2.sum() + distances.ref_area_mm2.sum())
    if whole == 0:
        return float("nan")
    near = distances.pred_area_mm2[distances.pred_mm <= tolerance_mm].sum()
    near += distances.ref_area_mm2[distances.ref_mm <= tolerance_mm].sum()
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


def _one_way(
    surface: NDArray[np.uint8],
    other: NDArray[np.uint8],
    areas_mm2: NDArray[np.float64],
    spacing_mm: Spacing,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    here, there = (areas_mm2[codes] > 0 for codes in (surface, other))
    areas = areas_mm2[surface[here]]
    if not there.any():
        return np.full(areas.size, np.inf), areas
    distances = distance_transform_edt(~there, sampling=spacing_mm)[here]
    order = np.argsort(distances, kind="stable")
    return distances[order], areas[order]


def _codes(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Which of the eight voxels around each corner are inside, a bit each; one longer an axis."""
    padded = np.pad(mask, 1).astype(np.uint8)
    depth, height, width = (length + 1 for length in mask.shape)
    codes = np.zeros((depth, height, width), dtype=np.uint8)
    for bit, (z, y, x) in enumerate(product((0, 1), repeat=3)):
        codes |= padded[z : z + depth, y : y + height, x : x + width] << np.uint8(bit)
    return codes


@lru_cache(maxsize=16)
def _areas_mm2(spacing_mm: Spacing) -> NDArray[np.float64]:
    """Area of the surface between eight voxels for each of the 256 ways to be inside."""
    areas = np.zeros(256)
    for code in range(1, 255):
        corners = np.array([code >> bit & 1 for bit in range(8)], dtype=np.float64).reshape(2, 2, 2)
        vertices, faces, _, _ = _mesh(corners, 0.5, spacing=spacing_mm)
        areas[code] = _mesh_area(vertices, faces)
    areas.setflags(write=False)
    return areas

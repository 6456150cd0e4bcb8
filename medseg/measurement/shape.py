"""Shape of instances: surface, volume and diameter of their mesh, and principal axes.

Definitions are those of IBSI 1 (Zwanenburg et al., Radiology 2020); the mesh is that of `mesh`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medseg.measurement.mesh import cell_areas_mm2, cell_excess
from medseg.measurement.shape_kernels import (
    AREA,
    COUNT,
    COVARIANCE,
    DIAMETER,
    ROW_LENGTH,
    VOLUME,
    measure_mask,
)
from medseg.types import Instances, tight_box

Covariance = Literal["sample", "population"]

_FLAT = 1e-14
"""A variance below this part of the largest is rounding: the voxels lie in a plane or a line."""


@dataclass(frozen=True, eq=False)
class Shapes:
    """Shape of N instances, all (N,) in the order of `items`; NaN where it cannot be measured.

    One voxel has no axes; voxels in a plane have a least axis of 0.
    """

    volume_mesh_ml: NDArray[np.float64]
    surface_area_mm2: NDArray[np.float64]
    sphericity: NDArray[np.float64]
    diameter_3d_mm: NDArray[np.float64]
    axis_major_mm: NDArray[np.float64]
    axis_minor_mm: NDArray[np.float64]
    axis_least_mm: NDArray[np.float64]
    elongation: NDArray[np.float64]
    flatness: NDArray[np.float64]


class MaskShape(NamedTuple):
    """Shape of one mask; the fields are those of `Shapes`."""

    volume_mesh_ml: float
    surface_area_mm2: float
    sphericity: float
    diameter_3d_mm: float
    axis_major_mm: float
    axis_minor_mm: float
    axis_least_mm: float
    elongation: float
    flatness: float


def shapes(instances: Instances) -> Shapes:
    """Shape of each instance on the image's own grid, sheared and mirrored ones too.

    - `volume_mesh_ml`, `surface_area_mm2`: of the closed mesh by marching cubes at 0.5 through the
      voxel centres; what lies outside the grid counts as outside the object.
    - `sphericity`: surface of a ball of the mesh's volume by that of the mesh.
    - `diameter_3d_mm`: largest distance between two vertices of the mesh, exact.
    - `axis_*_mm`: 4 times the root of the eigenvalues of the covariance of the voxel centres,
      divided by N - 1 voxels. `elongation` is minor by major axis, `flatness` least by major.

    No instance gives arrays of shape (0,).
    """
    masks = (item.mask for item in instances.items)
    return _shapes(masks, len(instances), instances.geometry.affine[:3, :3], "sample")


def mask_shape(
    mask: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    *,
    covariance: Covariance = "sample",
) -> MaskShape:
    """Shape of one mask (z, y, x) on a straight grid of that spacing (z, y, x), as in `shapes`.

    `covariance` divides by N - 1 voxels ("sample", as IBSI) or by N ("population", as PyRadiomics).
    A mask without a voxel has no volume and no surface; the rest is NaN.

    Raises ValueError for a mask that is not boolean and 3D, and for spacings not above 0.
    """
    if mask.dtype != np.bool_ or mask.ndim != 3:
        msg = f"a boolean mask (z, y, x) is wanted; got {mask.dtype} {mask.shape}"
        raise ValueError(msg)
    steps = np.asarray(spacing_mm, dtype=np.float64)
    if steps.shape != (3,) or not (np.isfinite(steps) & (steps > 0)).all():
        msg = f"spacing_mm is three lengths above 0, (z, y, x); got {spacing_mm}"
        raise ValueError(msg)
    if covariance not in ("sample", "population"):
        msg = f"covariance is 'sample' or 'population'; got {covariance!r}"
        raise ValueError(msg)
    box = tight_box(mask)
    if box is None:
        return MaskShape(0.0, 0.0, *[float("nan")] * 7)
    found = _shapes([mask[box]], 1, np.diag(steps), covariance)
    return MaskShape(*(float(getattr(found, name)[0]) for name in MaskShape._fields))


def _shapes(
    masks: Iterable[NDArray[np.bool_]],
    count: int,
    linear: NDArray[np.float64],
    covariance: Covariance,
) -> Shapes:
    rows = np.zeros((count, ROW_LENGTH), dtype=np.float64)
    steps = np.ascontiguousarray(linear)
    areas, excess = cell_areas_mm2(steps), cell_excess()
    for mask, row in zip(masks, rows, strict=True):
        measure_mask(_voxels(mask), steps, areas, excess, row)
    area, volume = rows[:, AREA], rows[:, VOLUME] * abs(np.linalg.det(steps))
    axes = _axes_mm(rows, steps, covariance)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Shapes(
            volume_mesh_ml=volume / 1000,
            surface_area_mm2=area,
            sphericity=np.cbrt(36 * np.pi * volume**2) / area,
            diameter_3d_mm=rows[:, DIAMETER],
            axis_major_mm=axes[:, 0],
            axis_minor_mm=axes[:, 1],
            axis_least_mm=axes[:, 2],
            elongation=axes[:, 1] / axes[:, 0],
            flatness=axes[:, 2] / axes[:, 0],
        )


def _voxels(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    voxels = np.ascontiguousarray(mask).view(np.uint8)
    voxels.flags.writeable = False  # always, so that one compiled version does
    return voxels


def _axes_mm(
    rows: NDArray[np.float64], linear: NDArray[np.float64], covariance: Covariance
) -> NDArray[np.float64]:
    """Major, minor and least axis (N, 3); NaN where the covariance has no divisor."""
    upper = rows[:, COVARIANCE]
    of_index = upper[:, [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(-1, 3, 3)
    variances = np.linalg.eigvalsh(linear @ of_index @ linear.T)[:, ::-1]
    variances = np.where(variances > _FLAT * variances[:, :1], variances, 0.0)
    voxels = rows[:, COUNT]
    few = voxels < 2
    divisor = voxels - 1 if covariance == "sample" else voxels
    factor = np.full(len(rows), np.nan)
    factor[~few] = voxels[~few] / divisor[~few]
    return np.asarray(4 * np.sqrt(variances * factor[:, None]), dtype=np.float64)

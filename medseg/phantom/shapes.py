"""Solids with a closed form, in LPS millimetres, and their voxels on any grid."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from medseg.types import Box, Geometry, Instance, InstanceClass, Instances, Volume

Point = tuple[float, float, float]
Matrix = tuple[Point, Point, Point]
UNTURNED: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class Superellipsoid:
    """All points with |u|^n + |v|^n + |w|^n at most 1 in its own axes: exponent 2 is an ellipsoid.

    `centre_mm` and `semi_axes_mm` are LPS; the columns of `rotation` are the directions of the
    three axes. `hollow` is the linear size of the hole in the middle, 0 for a solid.
    Volume: 8 abc G(1 + 1/n)^3 / G(1 + 3/n) (https://mathworld.wolfram.com/Superellipsoid.html).
    """

    class_name: str
    centre_mm: Point
    semi_axes_mm: Point
    rotation: Matrix = UNTURNED
    exponent: float = 2.0
    hollow: float = 0.0

    def __post_init__(self) -> None:
        if min(self.semi_axes_mm) <= 0 or not 0 <= self.hollow < 1 or self.exponent <= 1:
            msg = f"semi-axes above 0, hollow in [0, 1), an exponent above 1 are wanted; got {self}"
            raise ValueError(msg)

    @property
    def volume_ml(self) -> float:
        """Volume of the whole solid without its hole."""
        n = self.exponent
        unit = 8 * math.gamma(1 + 1 / n) ** 3 / math.gamma(1 + 3 / n)
        return unit * math.prod(self.semi_axes_mm) * (1 - self.hollow**3) / 1000

    @property
    def to_local(self) -> NDArray[np.float64]:
        """(3, 3): takes an offset from the centre in mm to the axes in which the solid is round."""
        axes = np.asarray(self.semi_axes_mm)[:, None]
        return np.asarray(np.asarray(self.rotation).T / axes, dtype=np.float64)

    def level(self, points_lps_mm: ArrayLike) -> NDArray[np.float64]:
        """(...,) for points (..., 3): 1 on the outer surface, `hollow` on the inner, 0 amid."""
        local = (np.asarray(points_lps_mm) - np.asarray(self.centre_mm)) @ self.to_local.T
        total = (np.abs(local) ** self.exponent).sum(axis=-1)
        return np.asarray(total ** (1 / self.exponent), dtype=np.float64)

    def reach_mm(self, direction: ArrayLike) -> NDArray[np.float64]:
        """(...,) for directions (..., 3): distance along it from the centre to the surface."""
        return np.asarray(1 / self.level(np.asarray(self.centre_mm) + direction))

    def extent(self, rows: ArrayLike) -> NDArray[np.float64]:
        """(N,) for rows (N, 3): the largest value of each row's product with a point inside.

        Measured from the centre (the support function, a norm dual to the solid's own).
        """
        along = np.abs(np.asarray(rows) @ np.asarray(self.rotation)) * self.semi_axes_mm
        dual = self.exponent / (self.exponent - 1)
        return np.asarray((along**dual).sum(axis=-1) ** (1 / dual), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Phantom:
    """A volume, its true instances, and the solids they are, in the same order.

    An instance holds the voxels whose centre lies in its solid, as far as the grid reaches.
    """

    volume: Volume
    truth: Instances
    shapes: tuple[Superellipsoid, ...]


def random_rotation(rng: np.random.Generator) -> Matrix:
    """A rotation drawn evenly from all rotations."""
    return as_matrix(Rotation.from_quat(rng.normal(size=4)).as_matrix())


def small_rotation(rng: np.random.Generator, degrees: float) -> Matrix:
    """A rotation about a random axis by an angle of standard deviation `degrees` an axis."""
    return as_matrix(Rotation.from_rotvec(rng.normal(0, math.radians(degrees), 3)).as_matrix())


def as_matrix(values: NDArray[np.float64]) -> Matrix:
    """A (3, 3) array as the rows that a frozen solid can hold."""
    return cast("Matrix", tuple(tuple(row) for row in values.tolist()))


def rasterise(
    solid: Superellipsoid, geometry: Geometry
) -> tuple[Box, NDArray[np.bool_], NDArray[np.bool_]] | None:
    """A box, the mask in it, and the mask with the hole filled; None where the grid misses it.

    Shapes: both masks are those of the box, which holds the solid but is not always tight.
    """
    inverse = np.linalg.inv(geometry.affine[:3, :3])
    centre = geometry.world_to_index(solid.centre_mm)
    half = solid.extent(inverse)
    low = np.maximum(np.ceil(centre - half), 0).astype(int)
    high = np.minimum(np.floor(centre + half), np.asarray(geometry.shape) - 1).astype(int) + 1
    if (high <= low).any():
        return None
    step = solid.to_local @ geometry.affine[:3, :3]
    z, y, x = (np.arange(a, b) - c for a, b, c in zip(low, high, centre, strict=True))
    total = np.zeros((z.size, y.size, x.size))
    for dz, dy, dx in step:
        local = (dz * z)[:, None, None] + (dy * y)[:, None] + dx * x
        total += local * local if solid.exponent == 2 else np.abs(local) ** solid.exponent
    filled = total <= 1
    mask = filled & (total >= solid.hollow**solid.exponent) if solid.hollow else filled
    box = cast("Box", tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True)))
    return box, mask, filled


def truth_of(
    solids: Iterable[Superellipsoid], geometry: Geometry, classes: tuple[InstanceClass, ...]
) -> Instances:
    """The solids as instances 1, 2, ... on a grid.

    Raises ValueError where a solid holds no voxel centre of the grid.
    """
    kinds = {one.name: one.kind for one in classes}
    items = []
    for number, solid in enumerate(solids, start=1):
        drawn = rasterise(solid, geometry)
        item = None
        if drawn is not None:
            z, y, x = (part.start for part in drawn[0])
            item = Instance.from_mask(
                drawn[1],
                id=number,
                class_name=solid.class_name,
                kind=kinds[solid.class_name],
                offset=(z, y, x),
            )
        if item is None:
            msg = f"the grid {geometry} is too coarse or too small for {solid}"
            raise ValueError(msg)
        items.append(item)
    return Instances(geometry, items, classes)

"""A voxel grid in the world, and boxes and turns of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Shape = tuple[int, int, int]
Box = tuple[slice, slice, slice]
Axes = tuple[int, int, int]
Flips = tuple[bool, bool, bool]


class Geometry:
    """A voxel grid: its shape (z, y, x) and where its voxels lie in LPS millimetres.

    `affine` is float64 4x4 and takes index (z, y, x, 1) to world (x, y, z, 1). Immutable and
    hashable.

    Raises ValueError where shape or affine do not span three dimensions.
    """

    __slots__ = ("_affine", "_shape")

    def __init__(self, shape: Sequence[int], affine: ArrayLike) -> None:
        matrix = np.array(affine, dtype=np.float64)
        if len(shape) != 3 or any(n < 1 or int(n) != n for n in shape):
            msg = f"a geometry needs three whole lengths of at least 1; got {tuple(shape)}"
            raise ValueError(msg)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            msg = f"an affine is a finite 4x4 matrix; got shape {matrix.shape}"
            raise ValueError(msg)
        if not np.array_equal(matrix[3], [0.0, 0.0, 0.0, 1.0]):
            msg = f"the last row of an affine is 0 0 0 1; got {matrix[3].tolist()}"
            raise ValueError(msg)
        lengths = np.linalg.norm(matrix[:3, :3], axis=0)
        if lengths.min() == 0 or abs(np.linalg.det(matrix[:3, :3] / lengths)) < 1e-6:
            msg = "the affine is singular: its axes do not span three dimensions"
            raise ValueError(msg)
        matrix.setflags(write=False)
        self._shape: Shape = (int(shape[0]), int(shape[1]), int(shape[2]))
        self._affine = matrix

    @classmethod
    def identity(cls, shape: Sequence[int]) -> Self:
        """A grid of 1 mm voxels whose axes z, y, x run along S, P, L from the origin."""
        return cls.from_spacing(shape, spacing_mm=(1.0, 1.0, 1.0))

    @classmethod
    def from_spacing(
        cls,
        shape: Sequence[int],
        spacing_mm: Sequence[float],
        origin_mm: Sequence[float] = (0.0, 0.0, 0.0),
    ) -> Self:
        """A straight axial grid; `spacing_mm` is (z, y, x), `origin_mm` is LPS (x, y, z)."""
        affine = np.zeros((4, 4))
        affine[[2, 1, 0], [0, 1, 2]] = spacing_mm
        affine[:3, 3] = origin_mm
        affine[3, 3] = 1.0
        return cls(shape, affine)

    @property
    def shape(self) -> Shape:
        """Number of voxels along (z, y, x)."""
        return self._shape

    @property
    def affine(self) -> NDArray[np.float64]:
        """Read-only 4x4 matrix from index (z, y, x, 1) to LPS millimetres (x, y, z, 1)."""
        return self._affine

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along (z, y, x)."""
        z, y, x = np.linalg.norm(self._affine[:3, :3], axis=0)
        return float(z), float(y), float(x)

    @property
    def direction(self) -> NDArray[np.float64]:
        """(3, 3): columns are the unit vectors of axes z, y, x in LPS (x, y, z)."""
        return np.asarray(self._affine[:3, :3] / self.spacing_mm, dtype=np.float64)

    @property
    def origin_mm(self) -> tuple[float, float, float]:
        """Centre of voxel (0, 0, 0) in LPS (x, y, z)."""
        x, y, z = self._affine[:3, 3]
        return float(x), float(y), float(z)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel; right for sheared grids too."""
        return float(abs(np.linalg.det(self._affine[:3, :3]))) / 1000.0

    @property
    def is_orthogonal(self) -> bool:
        """Whether the three axes are square to each other within 1e-4 of a cosine."""
        cosines = self.direction.T @ self.direction - np.eye(3)
        return bool(np.abs(cosines).max() < 1e-4)

    def index_to_world(self, index_zyx: ArrayLike) -> NDArray[np.float64]:
        """Indices (..., 3) in (z, y, x) to LPS millimetres (..., 3) in (x, y, z)."""
        index = np.asarray(index_zyx, dtype=np.float64)
        world = index @ self._affine[:3, :3].T + self._affine[:3, 3]
        return np.asarray(world, dtype=np.float64)

    def world_to_index(self, point_lps_mm: ArrayLike) -> NDArray[np.float64]:
        """LPS millimetres (..., 3) in (x, y, z) to indices (..., 3) in (z, y, x), not rounded."""
        inverse = np.linalg.inv(self._affine)
        point = np.asarray(point_lps_mm, dtype=np.float64)
        return np.asarray(point @ inverse[:3, :3].T + inverse[:3, 3], dtype=np.float64)

    def same_grid(self, other: Geometry, atol_mm: float = 1e-3) -> bool:
        """Whether both have the same shape and no outer corner lies more than `atol_mm` apart."""
        if self.shape != other.shape:
            return False
        ends = np.array([[-0.5, n - 0.5] for n in self.shape])
        corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
        apart = self.index_to_world(corners) - other.index_to_world(corners)
        return bool(np.abs(apart).max() <= atol_mm)

    def crop(self, box: Box) -> Geometry:
        """The grid of `array[box]`; slices without step, inside the grid and not empty."""
        checked = check_box(box, self.shape)
        affine = self._affine.copy()
        affine[:3, 3] = self.index_to_world([part.start for part in checked])
        return Geometry([part.stop - part.start for part in checked], affine)

    def reoriented(self, axes: Axes, flips: Flips) -> Geometry:
        """The grid of `flip(transpose(array, axes), flips)`: new axis i is old axis `axes[i]`."""
        if sorted(axes) != [0, 1, 2]:
            msg = f"axes is an order of 0, 1, 2; got {tuple(axes)}"
            raise ValueError(msg)
        step = np.zeros((4, 4))
        step[3, 3] = 1.0
        for new, (old, flip) in enumerate(zip(axes, flips, strict=True)):
            step[old, new] = -1.0 if flip else 1.0
            step[old, 3] = self.shape[old] - 1 if flip else 0.0
        return Geometry([self.shape[axis] for axis in axes], self._affine @ step)

    def closest_axes(self) -> tuple[Axes, Flips]:
        """What `reoriented` needs so that z, y, x lead as nearly as can be to S, P, L."""
        towards = self.direction[[2, 1, 0]]  # rows: S, P, L; columns: this grid's axes
        nearness = np.abs(towards).round(9)  # of equally near orders the first
        best = max(permutations((0, 1, 2), 3), key=lambda axes: nearness[[0, 1, 2], axes].sum())
        z, y, x = (bool(towards[new, old] < 0) for new, old in enumerate(best))
        return best, (z, y, x)

    def __reduce__(self) -> tuple[type[Self], tuple[Shape, NDArray[np.float64]]]:
        return type(self), (self._shape, self._affine)  # a copied array would be writable

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Geometry):
            return NotImplemented
        return self._shape == other._shape and np.array_equal(self._affine, other._affine)

    def __hash__(self) -> int:
        return hash((self._shape, (self._affine + 0.0).tobytes()))

    def __repr__(self) -> str:
        spacing = ", ".join(f"{mm:.4g}" for mm in self.spacing_mm)
        origin = ", ".join(f"{mm:.4g}" for mm in self.origin_mm)
        return f"Geometry(shape={self._shape}, spacing_mm=({spacing}), origin_mm=({origin}))"


def check_box(box: Box, shape: Shape) -> Box:
    """The box with plain int ends; ValueError where it is empty, stepped or outside `shape`."""
    for part, length in zip(box, shape, strict=True):
        inside = part.step in (None, 1) and part.start is not None and part.stop is not None
        if not inside or not 0 <= part.start < part.stop <= length:
            msg = f"box {box} is empty, has a step or leaves the grid {shape}"
            raise ValueError(msg)
    z, y, x = (slice(int(part.start), int(part.stop)) for part in box)
    return z, y, x


def reoriented_array(array: NDArray[Any], axes: Axes, flips: Flips) -> NDArray[Any]:
    """`array` (z, y, x) in another axis order and direction, C-ordered."""
    turned = np.transpose(array, axes)
    backwards = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    return np.ascontiguousarray(turned[backwards])

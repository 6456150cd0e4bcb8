"""Large solids with fine outlines, whose lobes a coarse grid loses: what refining is for."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.polynomial.legendre import legval
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_dilation, gaussian_filter, generate_binary_structure

from medseg.phantom.shapes import (
    UNTURNED,
    Matrix,
    Phantom,
    Point,
    Superellipsoid,
    random_rotation,
    rasterise,
)
from medseg.phantom.signal import bias_field, contrast_map, z_scored
from medseg.types import Geometry, Instance, InstanceClass, Instances, Shape, Volume

CLASSES = (InstanceClass("lobed", "lesion", 1, (230, 159, 0)),)
COUNTS = (1, 3)
SEMI_AXES_MM = (12.0, 28.0)
LOBE_MM = (8.0, 12.0)
"""From one lobe's top to the next, around a ball of the solid's mean radius."""
DEPTH_MM = (1.5, 2.5)
"""How far the surface lies from the ellipsoid's, root mean square."""
POLES = 16
STEEPEST = 0.8  # of 1, where the surface would reach the middle
APART_VOXELS = 2
FROM_EDGE = 1 / 6
"""No middle is nearer to the window's edge, in lengths of the window."""
MIN_VOXELS = 2000
CONTRAST = (2.5, 3.5)  # in standard deviations of the noise
BLUR_VOXELS = 0.6
BIAS_SD, BIAS_SCALE_VOXELS = 0.25, 32.0
TRIES = 100

_AT_ONCE = 2048
"""Directions that are worked on at once: their arrays stay in the processor's cache."""
_LOOKED_AT = 10_000
_REACH = 0.03
"""No direction is farther, in radians, from the nearest of so many on a Fibonacci lattice."""


@dataclass(frozen=True)
class LobedSolid:
    """An ellipsoid with a smooth relief: all points at most 1 + relief(direction) from its middle.

    Distance and direction are those in its own axes, in which the ellipsoid is the unit ball. The
    relief is the sum of `weights[i]` times the Legendre polynomial of odd `degree` of the cosine
    between the direction and `poles[i]`: a spherical harmonic, which goes up and down `degree`
    times around the solid. `rotation` is that of `Superellipsoid`.
    """

    class_name: str
    centre_mm: Point
    semi_axes_mm: Point
    degree: int
    poles: tuple[Point, ...]
    weights: tuple[float, ...]
    rotation: Matrix = UNTURNED

    def __post_init__(self) -> None:
        if self.degree < 1 or self.degree % 2 == 0 or len(self.poles) != len(self.weights):
            msg = f"an odd degree and a weight for each pole are wanted; got {self}"
            raise ValueError(msg)

    @property
    def ellipsoid(self) -> Superellipsoid:
        """The solid without its relief."""
        return Superellipsoid(self.class_name, self.centre_mm, self.semi_axes_mm, self.rotation)

    @property
    def mean_square(self) -> float:
        """Mean of the relief's square over all directions, by the addition theorem.

        Source: Atkinson and Han, Spherical Harmonics, Lecture Notes in Mathematics 2044 (2012).
        """
        cosines = np.clip(np.asarray(self.poles) @ np.asarray(self.poles).T, -1, 1)
        products = np.outer(self.weights, self.weights) * _legendre(cosines, self.degree)
        return float(products.sum() / (2 * self.degree + 1))

    @property
    def volume_ml(self) -> float:
        """Volume, exactly: of odd degree, the relief and its cube have mean 0."""
        return self.ellipsoid.volume_ml * (1 + 3 * self.mean_square)

    @cached_property
    def highest(self) -> float:
        """No relief is higher, or deeper, than this.

        Around its highest place a spherical harmonic falls no faster than the cosine of `degree`
        times the angle (M. Riesz 1914), so a lattice of directions misses little of it.
        """
        seen = np.abs(self.relief(_lattice())).max()
        return float(seen / max(math.cos(self.degree * _REACH), 0.1))

    def relief(self, directions: ArrayLike) -> NDArray[np.float64]:
        """(N,) for unit vectors (N, 3) in the solid's own axes."""
        ways, poles = np.asarray(directions, dtype=np.float64), np.asarray(self.poles).T
        parts = np.array_split(ways, len(ways) // _AT_ONCE + 1)
        values = [
            _legendre(np.clip(part @ poles, -1, 1), self.degree) @ np.asarray(self.weights)
            for part in parts
        ]
        return np.asarray(np.concatenate(values), dtype=np.float64)

    def contains(self, points_lps_mm: ArrayLike) -> NDArray[np.bool_]:
        """(N,) for points (N, 3): whether they lie in the solid."""
        from_middle = np.asarray(points_lps_mm) - np.asarray(self.centre_mm)
        local = from_middle @ self.ellipsoid.to_local.T
        distance = np.linalg.norm(local, axis=-1)
        highest = self.highest
        inside = np.asarray(distance <= 1 - highest)
        near = ~inside & (distance <= 1 + highest) & (distance > 0)
        far = distance[near]
        inside[near] = far <= 1 + self.relief(local[near] / far[:, None])
        return inside


def lobed_lesions(seed: int, *, shape: Shape = (96, 96, 96)) -> Phantom:
    """A window of one to three large lobed solids that do not touch; the window may cut them.

    Grid of 1 mm, z-scored float32; semi-axes of 12 to 28 voxels, lobes of 8 to 12 voxels from top
    to top and of 1.5 to 2.5 in depth (root mean square). The window leaves at least 2,000 voxels of
    each, or a sixteenth of a window that is smaller than 32³. `lobed_solids` gives the solids
    themselves; they are no superellipsoids, so `shapes` of the phantom is empty.
    """
    rng = np.random.default_rng(seed)
    geometry = Geometry.identity(shape)
    items = [item for _, item in _drawn(rng, geometry)]
    contrasts = rng.uniform(*CONTRAST, size=len(items)).tolist()
    signal = gaussian_filter(contrast_map(shape, items, contrasts), BLUR_VOXELS)
    scale = (BIAS_SCALE_VOXELS, BIAS_SCALE_VOXELS, BIAS_SCALE_VOXELS)
    signal = (signal + 1) * bias_field(rng, shape, sd=BIAS_SD, scale_voxels=scale)
    image = z_scored(signal + rng.standard_normal(shape, dtype=np.float32))
    return Phantom(
        Volume(image, geometry, "MR", "arbitrary"), Instances(geometry, items, CLASSES), ()
    )


def lobed_solids(seed: int, *, shape: Shape = (96, 96, 96)) -> tuple[LobedSolid, ...]:
    """The solids of `lobed_lesions`, in the order of its instances."""
    rng = np.random.default_rng(seed)
    return tuple(solid for solid, _ in _drawn(rng, Geometry.identity(shape)))


def _drawn(rng: np.random.Generator, geometry: Geometry) -> list[tuple[LobedSolid, Instance]]:
    """Solids that lie apart, each with its instance."""
    taken = np.zeros(geometry.shape, dtype=np.bool_)
    least = min(MIN_VOXELS, math.prod(geometry.shape) // 16)
    drawn: list[tuple[LobedSolid, Instance]] = []
    for _ in range(rng.integers(*COUNTS, endpoint=True)):
        for _ in range(TRIES):
            ellipsoid = _ellipsoid(rng, geometry)
            plain = rasterise(ellipsoid, geometry)
            if plain is None or plain[1].sum() < least or (taken[plain[0]] & plain[1]).any():
                continue
            solid = _with_lobes(rng, ellipsoid)
            found = _rasterised(solid, geometry, len(drawn) + 1)
            if found.voxel_count >= least and not (taken[found.box] & found.mask).any():
                taken |= _widened(found, geometry.shape)
                drawn.append((solid, found))
                break
    if not drawn:
        msg = f"no lobed solid finds a place in a window of {geometry.shape} voxels"
        raise ValueError(msg)
    return drawn


def _ellipsoid(rng: np.random.Generator, geometry: Geometry) -> Superellipsoid:
    inside = rng.uniform(FROM_EDGE, 1 - FROM_EDGE, size=3) * (np.asarray(geometry.shape) - 1)
    x, y, z = geometry.index_to_world(inside).tolist()
    a, b, c = rng.uniform(*SEMI_AXES_MM, size=3).tolist()
    return Superellipsoid(CLASSES[0].name, (x, y, z), (a, b, c), random_rotation(rng))


def _with_lobes(rng: np.random.Generator, plain: Superellipsoid) -> LobedSolid:
    radius = math.prod(plain.semi_axes_mm) ** (1 / 3)
    around = 2 * math.pi * radius / rng.uniform(*LOBE_MM)
    depth = rng.uniform(*DEPTH_MM) / radius
    while True:
        poles = rng.normal(size=(POLES, 3))
        poles /= np.linalg.norm(poles, axis=1, keepdims=True)
        raw = LobedSolid(
            plain.class_name,
            plain.centre_mm,
            plain.semi_axes_mm,
            2 * round((around - 1) / 2) + 1,
            tuple((x, y, z) for x, y, z in poles.tolist()),
            tuple(rng.normal(size=POLES).tolist()),
            plain.rotation,
        )
        scale = depth / math.sqrt(raw.mean_square)
        solid = replace(raw, weights=tuple(weight * scale for weight in raw.weights))
        if solid.highest < STEEPEST:
            return solid


def _rasterised(solid: LobedSolid, geometry: Geometry, number: int) -> Instance:
    """The voxels whose centre lies in the solid, of which the grid holds some."""
    inverse = np.linalg.inv(geometry.affine[:3, :3])
    centre = geometry.world_to_index(solid.centre_mm)
    half = solid.ellipsoid.extent(inverse) * (1 + solid.highest)
    low = np.maximum(np.ceil(centre - half), 0).astype(int)
    high = np.minimum(np.floor(centre + half) + 1, geometry.shape).astype(int)
    cells = np.indices(tuple(high - low)).reshape(3, -1).T + low
    mask = solid.contains(geometry.index_to_world(cells)).reshape(high - low)
    z, y, x = (int(start) for start in low)
    item = Instance.from_mask(
        mask, id=number, class_name=solid.class_name, kind=CLASSES[0].kind, offset=(z, y, x)
    )
    if item is None:
        msg = f"the grid {geometry} is too coarse or too small for {solid}"
        raise ValueError(msg)
    return item


def _widened(item: Instance, shape: Shape) -> NDArray[np.bool_]:
    """The voxels (Z, Y, X) of an instance and those less than `APART_VOXELS` from it."""
    whole = np.zeros(shape, dtype=np.bool_)
    whole[item.box] = item.mask
    ball = generate_binary_structure(3, 1)
    return np.asarray(binary_dilation(whole, ball, iterations=APART_VOXELS))


def _legendre(cosines: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    return np.asarray(legval(cosines, [0.0] * degree + [1.0]))


def _lattice() -> NDArray[np.float64]:
    """Directions (N, 3) evenly over the sphere: a Fibonacci lattice."""
    steps = np.arange(_LOOKED_AT) + 0.5
    up, around = 1 - 2 * steps / _LOOKED_AT, steps * np.pi * (1 + 5**0.5)
    flat = np.sqrt(1 - up**2)
    return np.stack([flat * np.cos(around), flat * np.sin(around), up], axis=-1)

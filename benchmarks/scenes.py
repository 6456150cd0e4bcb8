"""Label volumes that the benchmarks share: ellipsoids that neither overlap nor touch.

Everything is drawn from the seed alone, so two interpreters that build a scene get the same
voxels. Arrays are (z, y, x); lengths are in voxels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.unsignedinteger[Any]]

RADII = (2.0, 24.0)
STRETCH = 1.3  # a semi-axis is up to this many times shorter or longer before volume is restored
GAP = 2.0  # least distance between two balls around ellipsoids


@dataclass(frozen=True)
class Ellipsoids:
    """N solid ellipsoids: centres and semi-axes (N, 3) in voxels, rotations (N, 3, 3)."""

    centres: Array
    semi_axes: Array
    rotations: Array

    @property
    def reach(self) -> Array:
        """Largest semi-axis of each, (N,)."""
        reach: Array = self.semi_axes.max(axis=1)
        return reach


def rotations(count: int, rng: np.random.Generator) -> Array:
    """Rotation matrices (count, 3, 3), uniform over all orientations."""
    drawn = rng.normal(size=(4, count))
    w, x, y, z = drawn / np.linalg.norm(drawn, axis=0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return np.moveaxis(np.asarray(rows), -1, 0)


def log_uniform(count: int, low: float, high: float, rng: np.random.Generator) -> Array:
    """Numbers whose logarithm is uniform between those of `low` and `high`, (count,)."""
    drawn: Array = low * (high / low) ** rng.uniform(size=count)
    return drawn


def largest_radius(parts: Array, cubes: float, low: float) -> float:
    """The upper end of log-uniform radii at which the cubes of all radii sum to `cubes`.

    `parts` in 0..1 are the positions on the logarithmic scale from `low` up.
    """
    ends = [low, 1e3 * low]
    for _ in range(60):
        middle = sum(ends) / 2
        ends[int(((low * (middle / low) ** parts) ** 3).sum() > cubes)] = middle
    return ends[0]


def placed(reach: Array, size: int, rng: np.random.Generator) -> Array:
    """Centres (N, 3) in a cube of `size` voxels, of balls of radius `reach` that stay apart.

    The largest are placed first. Raises ValueError where no room is found.
    """
    centres = np.full((len(reach), 3), -1e6)
    done: list[int] = []
    for index in np.argsort(-reach, kind="stable"):
        margin = reach[index] + 1
        for _ in range(10_000):
            centre = rng.uniform(margin, size - 1 - margin, size=3)
            distance = np.linalg.norm(centres[done] - centre, axis=1)
            if np.all(distance > reach[done] + reach[index] + GAP):
                break
        else:
            msg = f"{len(reach)} ellipsoids do not fit into {size}³ voxels"
            raise ValueError(msg)
        centres[index] = centre
        done.append(int(index))
    return centres


def ellipsoids(
    count: int, size: int, *, seed: int = 0, radii: tuple[float, float] | None = None
) -> Ellipsoids:
    """`count` ellipsoids in size³ voxels, with the volumes of balls of log-uniform radii.

    By default radii are 2 to 24, in a cube below 512 proportionally smaller at the upper end.
    """
    low, high = radii or (RADII[0], max(RADII[1] * size / 512, RADII[0] + 0.5))
    rng = np.random.default_rng(seed)
    radius = log_uniform(count, low, high, rng)
    return _drawn(radius, size, rng)


def as_many_voxels(like: Ellipsoids, count: int, size: int, *, seed: int = 0) -> Ellipsoids:
    """`count` ellipsoids that together fill as many voxels as `like` does, to about 1 %."""
    rng = np.random.default_rng(seed)
    parts = rng.uniform(size=count)
    high = largest_radius(parts, float(like.semi_axes.prod(axis=1).sum()), RADII[0])
    return _drawn(RADII[0] * (high / RADII[0]) ** parts, size, rng)


def _drawn(radius: Array, size: int, rng: np.random.Generator) -> Ellipsoids:
    semi_axes, turned = radius[:, None] * stretched(len(radius), rng), rotations(len(radius), rng)
    return Ellipsoids(placed(semi_axes.max(axis=1), size, rng), semi_axes, turned)


def stretched(count: int, rng: np.random.Generator) -> Array:
    """Semi-axes (count, 3) of ellipsoids with the volume of a ball of radius 1."""
    logs = rng.uniform(-np.log(STRETCH), np.log(STRETCH), size=(count, 3))
    semi_axes: Array = np.exp(logs - logs.mean(axis=1, keepdims=True))
    return semi_axes


def painted(shapes: Ellipsoids, shape: tuple[int, int, int]) -> Labels:
    """Label map (z, y, x), of the smallest type for the count; the first has the label 1.

    A voxel is in where its centre is; where two claim one voxel the first keeps it.
    """
    labels = np.zeros(shape, dtype=np.min_scalar_type(max(len(shapes.centres), 256)))
    for number, centre in enumerate(shapes.centres):
        semi_axes, turned = shapes.semi_axes[number], shapes.rotations[number]
        half = np.sqrt(((turned * semi_axes) ** 2).sum(axis=1))  # of the box around it
        low = np.maximum(np.ceil(centre - half).astype(int), 0)
        high = np.minimum(np.floor(centre + half).astype(int) + 1, shape)
        if np.any(high <= low):
            continue
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        inside = _inside(box, centre, turned / semi_axes)
        crop = labels[box]
        crop[inside & (crop == 0)] = number + 1
    return labels


def _inside(box: tuple[slice, ...], centre: Array, scaled: Array) -> NDArray[np.bool_]:
    axes = [
        np.arange(part.start, part.stop) - middle for part, middle in zip(box, centre, strict=True)
    ]
    z, y, x = axes[0][:, None, None], axes[1][:, None], axes[2]
    squared = sum((z * c[0] + y * c[1] + x * c[2]) ** 2 for c in scaled.T)
    inside: NDArray[np.bool_] = np.asarray(squared) <= 1
    return inside


def pair(count: int, size: int, *, seed: int = 0, missed: float = 0.1) -> tuple[Labels, Labels]:
    """Prediction and reference of `count` objects each, as label maps of size³ voxels.

    A part `missed` of the reference has no prediction and as many predictions lie elsewhere; the
    others are shifted by up to a fifth of their radius and 10 % smaller or larger. Labels are
    shuffled: equal numbers mean nothing.
    """
    everything = ellipsoids(count + (alone := round(missed * count)), size, seed=seed)
    rng = np.random.default_rng((seed, 1))
    shown = np.arange(count)
    guessed = np.concatenate([np.arange(alone, count), np.arange(count, count + alone)])
    reference, predicted = subset(everything, shown), subset(everything, rng.permutation(guessed))
    shift = rng.uniform(-0.2, 0.2, size=(count, 3)) * predicted.reach[:, None] / np.sqrt(3)
    scale = rng.uniform(0.9, 1.1, size=(count, 1))
    moved = replace(
        predicted, centres=predicted.centres + shift, semi_axes=predicted.semi_axes * scale
    )
    cube = (size, size, size)
    return painted(moved, cube), painted(reference, cube)


def subset(shapes: Ellipsoids, index: NDArray[np.integer[Any]]) -> Ellipsoids:
    """Those of the given positions, in their order."""
    return Ellipsoids(shapes.centres[index], shapes.semi_axes[index], shapes.rotations[index])


def many(count: int, shape: tuple[int, int, int], *, seed: int = 0) -> Labels:
    """Label map of `count` ellipsoids of radius 1 to 4, one in each cell of a lattice.

    Raises ValueError where `shape` has fewer cells than `count`.
    """
    cell = 13  # the longest semi-axis is 4 × 1.3^(4/3) = 5.7
    cells = np.stack(np.meshgrid(*[np.arange(n // cell) for n in shape], indexing="ij"), axis=-1)
    cells = cells.reshape(-1, 3)[:count]
    if len(cells) < count:
        msg = f"{count} objects do not fit into {shape} voxels"
        raise ValueError(msg)
    rng = np.random.default_rng(seed)
    semi_axes = log_uniform(count, 1.0, 4.0, rng)[:, None] * stretched(count, rng)
    room = cell / 2 - semi_axes.max(axis=1, keepdims=True) - 0.5
    centres = (cells + 0.5) * cell - 0.5 + rng.uniform(-1, 1, size=(count, 3)) * room
    return painted(Ellipsoids(centres, semi_axes, rotations(count, rng)), shape)

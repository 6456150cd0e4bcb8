"""Small random studies on random grids, and slow obvious measures of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medseg.types import Geometry, Instance, InstanceClass, Instances, Shape

CLASSES = (
    InstanceClass("liver", "organ", 1),
    InstanceClass("lung", "organ", 2),
    InstanceClass("node", "lesion", 3),
    InstanceClass("tumour", "lesion", 4),
)
KINDS = {one.name: one.kind for one in CLASSES}


def random_affine(rng: np.random.Generator, shear: float = 0.0) -> NDArray[np.float64]:
    """Oblique, of spacings from 0.5 to 5 mm; `shear` up to 2 slants the axes strongly."""
    turned, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    slant = np.eye(3)
    slant[0, 1:], slant[1, 2] = rng.uniform(-shear, shear, 2), rng.uniform(-shear, shear)
    affine = np.eye(4)
    affine[:3, :3] = turned @ slant * rng.uniform(0.5, 5.0, size=3)
    affine[:3, 3] = rng.uniform(-300, 300, size=3)
    return affine


def random_mask(rng: np.random.Generator, shape: Shape) -> NDArray[np.bool_]:
    """A solid box, a hollow one or scattered voxels somewhere in `shape`; never empty."""
    size = [int(rng.integers(1, length + 1)) for length in shape]
    corner = [int(rng.integers(0, length - n + 1)) for length, n in zip(shape, size, strict=True)]
    mask = np.zeros(shape, dtype=bool)
    part = mask[tuple(slice(start, start + n) for start, n in zip(corner, size, strict=True))]
    form = rng.integers(3)
    part[:] = True if form < 2 else rng.random(part.shape) < 0.3
    if form == 1:
        part[1:-1, 1:-1, 1:-1] = False
    part[0, 0, 0] = True
    return mask


def instance(mask: NDArray[np.bool_], number: int, class_name: str = "tumour") -> Instance:
    made = Instance.from_mask(mask, id=number, class_name=class_name, kind=KINDS[class_name])
    assert made is not None
    return made


def study(geometry: Geometry, *items: Instance) -> Instances:
    return Instances(geometry, list(items), CLASSES)


def random_study(
    rng: np.random.Generator, geometry: Geometry, count: int, names: tuple[str, ...]
) -> Instances:
    """`count` instances of random classes and ids; any two may overlap."""
    ids = rng.permutation(1000)[:count] + 1
    return study(
        geometry,
        *(
            instance(random_mask(rng, geometry.shape), int(number), str(rng.choice(names)))
            for number in ids
        ),
    )


def overlapping_masks(
    rng: np.random.Generator, count: int, shape: Shape, filled: float | None = None
) -> NDArray[np.bool_]:
    """`count` masks (count, z, y, x) of scattered voxels that share at least one."""
    part = rng.choice([0.1, 0.5, 0.9]) if filled is None else filled
    masks = rng.random((count, *shape)) < part
    masks[:, *rng.integers(shape)] = True
    return np.asarray(masks)


def as_study(masks: NDArray[np.bool_], linear: NDArray[np.float64]) -> Instances:
    """Masks (n, z, y, x) as tumours 70,001, 70,002, ... on a grid of these steps."""
    affine = np.eye(4)
    affine[:3, :3] = linear
    items = (instance(mask, 70_001 + n) for n, mask in enumerate(masks))
    return study(Geometry(masks.shape[1:], affine), *items)


def voxels(item: Instance) -> NDArray[np.int64]:
    """Indices (n, 3) of an instance's voxels."""
    return np.argwhere(item.mask) + [part.start for part in item.box]


def slow_distance_mm(one: Instance, other: Instance, geometry: Geometry) -> float:
    """Between the nearest two voxel centres, by looking at all of them."""
    here, there = (geometry.index_to_world(voxels(item)) for item in (one, other))
    return float(np.linalg.norm(here[:, None] - there, axis=-1).min())

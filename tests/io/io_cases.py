"""Grids and volumes that the tests of files share."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import strategies as st

from medseg.types import Geometry, Instance, InstanceClass, Instances, Volume

SHAPE = (4, 5, 6)
TURNS = [
    (axes, flips)
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((False, True), repeat=3)
]


def rotation(rng: np.random.Generator) -> np.ndarray:
    """A random rotation or, half of the time, a mirrored one."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.diag(r))


def random_geometry(seed: int, *, sheared: bool = False, shape=SHAPE) -> Geometry:
    """An oblique grid of unequal spacing at a random place."""
    rng = np.random.default_rng(seed)
    steps = rotation(rng)
    if sheared:
        steps = steps @ np.array([[1.0, 0.35, -0.2], [0.0, 1.0, 0.15], [0.0, 0.0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = steps * rng.uniform(0.4, 5.0, size=3)
    affine[:3, 3] = rng.uniform(-300, 300, size=3)
    return Geometry(shape, affine)


def random_volume(seed: int, *, sheared: bool = False, dtype="int16") -> Volume:
    """Different values in every voxel, in random order, on `random_geometry`."""
    rng = np.random.default_rng(seed)
    array = rng.permutation(int(np.prod(SHAPE))).reshape(SHAPE).astype(dtype)
    return Volume(array, random_geometry(seed, sheared=sheared))


def values_by_world(array: np.ndarray, points: np.ndarray) -> np.ndarray:
    """World points sorted by the voxel's value: equal for equal placed images."""
    return points.reshape(-1, 3)[np.argsort(array.ravel())]


def world_points(geometry: Geometry) -> np.ndarray:
    """LPS mm of every voxel, (z, y, x, 3)."""
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    return geometry.index_to_world(index)


seeds = st.integers(0, 2**32 - 1)


def box_instance(number, class_name, kind, box, score=1.0) -> Instance:
    """A full cuboid."""
    lengths = tuple(part.stop - part.start for part in box)
    return Instance(number, class_name, kind, score, box, np.ones(lengths, dtype=bool))


def overlapping_instances(seed: int = 0, count: int = 6) -> Instances:
    """Random blobs of two classes, most of which overlap; ids with gaps."""
    rng = np.random.default_rng(seed)
    shape = (9, 10, 11)
    ids = np.cumsum(rng.integers(1, 9, size=count))
    items = []
    for number in ids:
        mask = rng.random(shape) < 0.15
        mask[tuple(rng.integers(0, shape))] = True
        name, kind = (("node", "lesion"), ("liver lobe", "organ"))[int(rng.integers(0, 2))]
        items.append(
            Instance.from_mask(
                mask, id=int(number), class_name=name, kind=kind, score=float(rng.random())
            )
        )
    classes = (
        InstanceClass("liver lobe", "organ", 4, (10, 200, 30)),
        InstanceClass("node", "lesion", 9),
        InstanceClass("never seen", "lesion", 11, (1, 2, 3)),
    )
    return Instances(random_geometry(seed, shape=shape), items, classes)


def same_instances(one: Instances, other: Instances) -> bool:
    """Same ids, classes, kinds, scores, boxes and masks, in the same order."""
    if len(one) != len(other):
        return False
    return all(
        (a.id, a.class_name, a.kind, a.score, a.box) == (b.id, b.class_name, b.kind, b.score, b.box)
        and np.array_equal(a.mask, b.mask)
        for a, b in zip(one.items, other.items, strict=True)
    )

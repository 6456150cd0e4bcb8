"""Small studies for the tests of evaluation, and a slow reference of overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medseg.types import Geometry, Instance, InstanceClass, Instances

CLASSES = (InstanceClass("node", "lesion", 1), InstanceClass("tumour", "lesion", 2))


def study(
    masks: Sequence[NDArray[np.bool_]],
    scores: Sequence[float] | None = None,
    names: Sequence[str] | None = None,
    shape: tuple[int, int, int] = (1, 50, 50),
) -> Instances:
    """Instances 1..n of these masks; empty masks are left out."""
    items = [
        Instance.from_mask(
            mask,
            id=n + 1,
            class_name="tumour" if names is None else names[n],
            kind="lesion",
            score=1.0 if scores is None else scores[n],
        )
        for n, mask in enumerate(masks)
    ]
    geometry = Geometry.identity(shape if not len(masks) else masks[0].shape)
    return Instances(geometry, [item for item in items if item is not None], CLASSES)


def rectangle(rows: slice, columns: slice) -> NDArray[np.bool_]:
    """A mask of one slice of 50 x 50 voxels."""
    mask = np.zeros((1, 50, 50), dtype=bool)
    mask[0, rows, columns] = True
    return mask


def whole(instances: Instances, item: Instance) -> NDArray[np.bool_]:
    """The mask of one instance at the size of the image."""
    mask = np.zeros(instances.geometry.shape, dtype=bool)
    mask[item.box] = item.mask
    return mask


def random_pair(rng: np.random.Generator) -> tuple[Instances, Instances]:
    """A prediction and a reference of blocks that may overlap, of two classes.

    Most predicted blocks are reference blocks moved by at most a voxel; scores are often equal.
    """
    shape = (5, 7, 6)
    ref = [_block(rng, shape) for _ in range(int(rng.integers(0, 6)))]
    steps = [(int(rng.choice([0, 0, 0, -1, 1])), int(rng.integers(0, 3))) for _ in ref]
    moved = [np.roll(mask, *step) for mask, step in zip(ref, steps, strict=True)]
    pred = [mask for mask in moved if rng.random() < 0.8]
    pred += [_block(rng, shape) for _ in range(int(rng.integers(0, 3)))]
    names = [rng.choice(["node", "tumour"], size=len(side), p=[0.2, 0.8]) for side in (pred, ref)]
    scores = [float(value) for value in rng.integers(1, 5, size=len(pred)) / 4]
    return (
        study(pred, scores=scores, names=[str(name) for name in names[0]], shape=shape),
        study(ref, names=[str(name) for name in names[1]], shape=shape),
    )


def _block(rng: np.random.Generator, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, dtype=bool)
    z, y, x = (int(rng.integers(0, length - 1)) for length in shape)
    depth, height, width = (int(length) for length in rng.integers(1, 4, size=3))
    mask[z : z + depth, y : y + height, x : x + width] = True
    return mask


def slow_iou(pred: Instances, one: Instance, ref: Instances, other: Instance) -> float:
    """Intersection over union of two instances on full arrays."""
    found, wanted = whole(pred, one), whole(ref, other)
    return float(np.sum(found & wanted) / np.sum(found | wanted))

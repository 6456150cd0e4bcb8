"""Cuboids as instances on one small grid."""

from __future__ import annotations

import numpy as np

from medseg.types import Geometry, Instance, InstanceClass, Instances

GRID = Geometry.identity((6, 7, 8))
LESION = (InstanceClass("lesion", "lesion", 1),)


def cuboid(number: int, box: str, *, score: float = 1.0, kind: str = "lesion") -> Instance:
    """A full cuboid whose box is written as in NumPy, `0:2,1:3,2:4`."""
    z, y, x = (slice(*(int(end) for end in part.split(":"))) for part in box.split(","))
    mask = np.ones([part.stop - part.start for part in (z, y, x)], dtype=bool)
    return Instance(number, "lesion", kind, score, (z, y, x), mask)


def instances(*items: Instance) -> Instances:
    return Instances(GRID, list(items), LESION)

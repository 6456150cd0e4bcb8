"""Cubes, whole or with a tube through them, in noise: nnDetection's toy problem, and smaller."""

from __future__ import annotations

import numpy as np

from medseg.phantom.shapes import Phantom
from medseg.types import Geometry, Instance, InstanceClass, Instances, Shape, Volume

CLASSES = (
    InstanceClass("square", "lesion", 1, (230, 159, 0)),
    InstanceClass("square_hole", "lesion", 2, (0, 114, 178)),
)
CONTRAST = 0.4


def toy_cubes(
    seed: int,
    *,
    shape: Shape = (64, 64, 64),
    sides: tuple[int, int] = (8, 15),
    wall: int = 2,
) -> Phantom:
    """One cube in uniform noise, of class "square", or "square_hole" with a tube cut through it.

    The tube runs along z and leaves `wall` voxels on each side; `sides` are the least and the
    largest side in voxels. Noise is in 0..1, a cube adds 0.4, and 1 is the most. By default our
    variant at half the size; shape (256, 256, 256), sides (16, 31) and wall 4 give the case that
    nnDetection's scripts/generate_example.py makes of the same seed (Baumgartner et al. 2021).
    The cubes are no superellipsoids, so `shapes` of the phantom is empty.

    Raises ValueError where a cube does not fit the window or its walls the cube.
    """
    if sides[1] >= min(shape) or not 2 * wall < sides[0] <= sides[1]:
        msg = f"walls of {wall} in cubes of {sides} in a window of {shape} voxels do not fit"
        raise ValueError(msg)
    rng = np.random.RandomState(seed)  # the old generator, for nnDetection's own numbers
    side = int(rng.randint(sides[0], sides[1] + 1))
    holed = bool(rng.randint(0, 2))
    image = rng.rand(*shape)
    corner = [int(rng.randint(0, length - side)) for length in shape]
    mask = np.ones((side, side, side), dtype=bool)
    if holed:
        mask[:, wall:-wall, wall:-wall] = False
    box = (
        slice(corner[0], corner[0] + side),
        slice(corner[1], corner[1] + side),
        slice(corner[2], corner[2] + side),
    )
    image[box] += CONTRAST * mask
    geometry = Geometry.identity(shape)
    values = np.minimum(image, 1.0).astype(np.float32)
    item = Instance(1, CLASSES[int(holed)].name, "lesion", 1.0, box, mask)
    truth = Instances(geometry, [item], CLASSES)
    return Phantom(Volume(values, geometry, "MR", "arbitrary"), truth, ())

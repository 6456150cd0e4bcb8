"""A head of balls whose sides are known: for the search and for what is found in its crops."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
from modelling import bright_is_organ

import medseg
from medseg.inference.localise import Template
from medseg.inference.sides import segment_sides
from medseg.models import Model
from medseg.types import Geometry, Instances, Volume

LEFT_MM, RIGHT_MM = np.array([16.0, 4.0, -6.0]), np.array([-16.0, 4.0, -6.0])
LEFT_RADIUS_MM, RIGHT_RADIUS_MM = 6.5, 5.5
BRIGHT = 150.0
"""What the model takes for an organ: half of the largest value of a crop."""
LOCALISER: dict[str, Any] = {
    "template": "head-t1",
    "left_mm": LEFT_MM.tolist(),
    "volume_ml": [0.4, 3.0],
    "reach_mm": 10.0,
}


def ball_ml(radius_mm: float) -> float:
    return float(4 / 3 * np.pi * radius_mm**3 / 1000)


def grid(spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.0), extent_mm: float = 110.0) -> Any:
    shape = [round(extent_mm / mm) for mm in spacing_mm]
    middle = [(n - 1) * mm / 2 for n, mm in zip(shape, spacing_mm, strict=True)]
    return Geometry.from_spacing(shape, spacing_mm, [-mm for mm in reversed(middle)])


def head(
    geometry: Geometry, *, matrix: np.ndarray | None = None, organs: bool = True, seed: int = 0
) -> Volume:
    """A mottled egg with ventricles, a stem and two bright balls; `matrix` moves its world."""
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    world = geometry.index_to_world(index)
    if matrix is not None:
        inverse = np.linalg.inv(matrix)
        world = world @ inverse[:3, :3].T + inverse[:3, 3]

    def inside(centre: Any, radii: Any, soft_mm: float = 1.0) -> np.ndarray:
        away = np.linalg.norm((world - np.asarray(centre)) / np.asarray(radii), axis=-1)
        reach = np.clip((1 - away) * np.min(radii) / soft_mm, -30, 30)
        return 1.0 / (1.0 + np.exp(-reach))

    x, y, z = np.moveaxis(world, -1, 0)
    texture = np.cos(x / 8) * np.sin(y / 9 + 2) * np.sin(z / 7 + 0.5)
    values = (90.0 + 20.0 * texture) * inside((0, 0, 0), (32, 42, 30))
    values += 20.0 * inside((0, 28, -20), (14, 12, 10))
    values -= 60.0 * inside((0, -14, 8), (12, 10, 6))
    values -= 40.0 * inside((0, 18, 16), (8, 14, 5))
    if organs:
        for centre, radius in ((LEFT_MM, LEFT_RADIUS_MM), (RIGHT_MM, RIGHT_RADIUS_MM)):
            values += 200.0 * inside(centre, (radius,) * 3, 0.4)
    values += np.random.default_rng(seed).normal(scale=2.0, size=values.shape)
    return Volume(values.astype(np.float32), geometry, "MR", "arbitrary")


@cache
def template() -> Template:
    """The head without its organs and its noise, on a background of 0."""
    made = head(grid(extent_mm=100.0), organs=False)
    values = np.where(made.array > 20, made.array, 0).astype(np.float32)
    return Template.of(Volume(values, made.geometry, "MR"))


def model(**localiser: Any) -> Model:
    return bright_is_organ(
        spacing_mm=(2.0, 2.0, 2.0),
        window_shape=(16, 16, 16),
        localiser={**LOCALISER, **localiser},
    )


def both_sides(volume: Volume, made: Model | None = None, **more: Any) -> Instances:
    """What is found in a head under the balls' own template."""
    chosen = model() if made is None else made
    run = partial(medseg.segment, model=chosen, device="cpu")
    return segment_sides(volume, chosen.card, run, template=template(), **more)

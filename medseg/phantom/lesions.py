"""The lesions of a body: alone, touching, overlapping, nested; inside organs and outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from medseg.phantom.shapes import Point, Superellipsoid, random_rotation
from medseg.types import InstanceClass

LESION_CLASSES = (
    InstanceClass("tumor", "lesion", 11, (230, 25, 75)),
    InstanceClass("cyst", "lesion", 12, (70, 190, 240)),
)
_APART_MM = 6.0  # between lesions that are not meant to meet, and from an organ's surface
_TRIES = 1000
_RETROPERITONEUM = Superellipsoid("retroperitoneum", (0, 0, -62), (36, 34, 34))

Group = list[Superellipsoid]


def draw_lesions(rng: np.random.Generator, organs: Sequence[Superellipsoid]) -> Group:
    """Lesions for five organs (liver first), on the scale of an adult, in mm.

    Always: in the liver a single one, a touching, an overlapping and a nested pair; in the spleen
    and in the left kidney one each; outside every organ one. Up to three more in the liver.
    """
    liver, spleen, kidney = organs[:3]
    plan: list[tuple[Superellipsoid, Callable[[np.random.Generator], Group]]] = [
        (liver, _nested),
        (liver, _overlapping),
        (liver, _touching),
        (liver, _single),
        (spleen, _single),
        (kidney, _single),
        (_RETROPERITONEUM, _single),
        *[(liver, _single)] * int(rng.integers(0, 4)),
    ]
    found: Group = []
    for host, draw in plan:
        found += _put(rng, draw, host, found)
    return found


def _put(
    rng: np.random.Generator,
    draw: Callable[[np.random.Generator], Group],
    host: Superellipsoid,
    others: Group,
) -> Group:
    """A group moved to where it lies in the host and meets none of the others."""
    for _ in range(_TRIES):
        group = draw(rng)
        way = rng.normal(size=3)
        local = way / np.linalg.norm(way) * rng.uniform(0, 1) ** (1 / 3)
        shift = np.asarray(host.centre_mm) + np.linalg.inv(host.to_local) @ local
        moved = [_moved(one, one.centre_mm + shift) for one in group]
        if all(_inside(one, host) and _free(one, others) for one in moved):
            return moved
    msg = f"no room for {len(group)} more lesions in the {host.class_name}"
    raise RuntimeError(msg)


def _inside(lesion: Superellipsoid, host: Superellipsoid) -> bool:
    return bool(host.level(_surface(lesion, margin_mm=_APART_MM)).max() <= 1)


def _free(lesion: Superellipsoid, others: Iterable[Superellipsoid]) -> bool:
    return all(
        np.linalg.norm(np.subtract(lesion.centre_mm, other.centre_mm))
        >= max(lesion.semi_axes_mm) + max(other.semi_axes_mm) + _APART_MM
        for other in others
    )


def _surface(solid: Superellipsoid, margin_mm: float) -> NDArray[np.float64]:
    """(N, 3) points evenly around a solid, `margin_mm` outside its surface along the radius."""
    steps = np.arange(400) + 0.5
    up, around = 1 - 2 * steps / 400, steps * np.pi * (1 + 5**0.5)  # a Fibonacci lattice
    flat = np.sqrt(1 - up**2)
    ways = np.stack([flat * np.cos(around), flat * np.sin(around), up], axis=-1)
    return np.asarray(ways * (solid.reach_mm(ways) + margin_mm)[:, None] + solid.centre_mm)


def _moved(solid: Superellipsoid, centre_mm: NDArray[np.float64]) -> Superellipsoid:
    return replace(solid, centre_mm=cast("Point", tuple(centre_mm.tolist())))


def _draw(
    rng: np.random.Generator, low_mm: float, high_mm: float, name: str = "tumor"
) -> Superellipsoid:
    a, b, c = rng.uniform(low_mm, high_mm, 3).tolist()
    return Superellipsoid(name, (0.0, 0.0, 0.0), (a, b, c), random_rotation(rng))


def _single(rng: np.random.Generator) -> Group:
    return [_draw(rng, 8, 13, "tumor" if rng.random() < 0.6 else "cyst")]


def _touching(rng: np.random.Generator) -> Group:
    return _pair(rng, together=1.0)


def _overlapping(rng: np.random.Generator) -> Group:
    return _pair(rng, together=rng.uniform(0.65, 0.8))


def _pair(rng: np.random.Generator, together: float) -> Group:
    """Two of the same form; in the axes in which both are balls their distance is known."""
    first = _draw(rng, 9, 13)
    size = rng.uniform(0.8, 1.0)
    axes = cast("Point", tuple(length * size for length in first.semi_axes_mm))
    way = rng.normal(size=3)
    local = way / np.linalg.norm(way) * (1 + size) * together
    centre = np.linalg.inv(first.to_local) @ local
    half = centre / 2
    return [
        _moved(first, -half),
        _moved(replace(first, semi_axes_mm=axes), half),
    ]


def _nested(rng: np.random.Generator) -> Group:
    inner = _draw(rng, 7, 9, "cyst")
    return [_draw(rng, 17, 21), _moved(inner, rng.uniform(-4, 4, 3))]

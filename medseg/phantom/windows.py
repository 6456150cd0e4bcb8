"""Windows full of lesions that touch, overlap or lie in each other: what separating needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from medseg.phantom.shapes import (
    Matrix,
    Phantom,
    Point,
    Superellipsoid,
    as_matrix,
    random_rotation,
    rasterise,
    truth_of,
)
from medseg.phantom.signal import bias_field, contrast_map, z_scored
from medseg.types import Box, Geometry, InstanceClass, Shape, Volume

CLASSES = (
    InstanceClass("ellipsoid", "lesion", 1, (230, 159, 0)),
    InstanceClass("shell", "lesion", 2, (0, 114, 178)),
)
HOLLOW = {"ellipsoid": 0.0, "shell": 0.55}
COUNTS = (3, 12)
LARGE = 4  # the first objects of a window may be large
LARGE_MM, SMALL_MM = (4.0, 12.0), (4.0, 8.0)
NEIGHBOUR_PROBABILITY = 0.7
INTO, AGAINST = (0.55, 0.8), (0.85, 1.05)  # centre distance over the sum of the mean radii
INTO_SHARE = 0.45
BEYOND_VOXELS = 2.0  # how far outside the window a centre may lie
MAX_IOU = 0.30
MIN_VOXELS = 60
CONTRAST = (2.5, 3.5)  # in standard deviations of the noise
BLUR_VOXELS = 0.6
BIAS_SD, BIAS_SCALE_VOXELS = 0.25, 16.0
CROSSED_LONG_MM, CROSSED_THIN_MM, CROSSED_SHIFT_MM = (11.0, 13.0), (4.0, 4.6), 1.5
HOST_MM = (9.0, 13.0)
TRIES = 200

_DrawPair = Callable[[np.random.Generator], tuple[Superellipsoid, Superellipsoid]]


@dataclass(frozen=True, eq=False)
class _Placed:
    """A solid that has its place, with its filled mask in a box."""

    solid: Superellipsoid
    box: Box
    filled: NDArray[np.bool_]


def touching_lesions(seed: int, *, shape: Shape = (48, 64, 64)) -> Phantom:
    """A window of 3 to 12 solids and shells, of which most touch or overlap another.

    Grid of 1 mm, z-scored float32. Pairs overlap by an IoU of at most 0.30 of their filled
    shapes; the window may cut objects, but leaves at least 60 voxels of each.
    """
    rng = np.random.default_rng(seed)
    geometry = Geometry.identity(shape)
    placed: list[_Placed] = []
    for _ in range(rng.integers(*COUNTS, endpoint=True)):
        _add(rng, placed, geometry)
    return _pictured(rng, [one.solid for one in placed], geometry)


def nested_lesions(seed: int, *, shape: Shape = (48, 64, 64)) -> Phantom:
    """A harder window: lesions inside others, and crossed pairs of a class that share a box.

    Drawn like `touching_lesions`, but with up to two crossed pairs (one class, IoU of the boxes
    above 0.5, of the filled shapes at most 0.30), two nested pairs (one wholly inside the other,
    in the hole of a shell) and up to three others. No pair is cut by the window.

    Raises ValueError where the window is too small for a pair.
    """
    rng = np.random.default_rng(seed)
    geometry = Geometry.identity(shape)
    placed: list[_Placed] = []
    for draw in (_crossed, _nested, _crossed, _nested):
        _add_pair(rng, placed, geometry, draw)
    for _ in range(rng.integers(0, 4)):
        _add(rng, placed, geometry)
    return _pictured(rng, [one.solid for one in placed], geometry)


def _add(rng: np.random.Generator, placed: list[_Placed], geometry: Geometry) -> None:
    for _ in range(TRIES):
        new = _place(_candidate(rng, placed, geometry), geometry)
        if new is not None and all(_iou(new, other) <= MAX_IOU for other in placed):
            placed.append(new)
            return


def _add_pair(
    rng: np.random.Generator, placed: list[_Placed], geometry: Geometry, draw: _DrawPair
) -> None:
    for _ in range(TRIES):
        pair = draw(rng)
        room = [np.abs(one.centre_mm) + one.extent(np.eye(3)) for one in pair]
        margin = np.max(room, axis=0)[::-1]
        high = np.asarray(geometry.shape) - 1 - margin
        if (high < margin).any():
            msg = f"a window of {geometry.shape} voxels is too small for a pair of lesions"
            raise ValueError(msg)
        shift = geometry.index_to_world(rng.uniform(margin, high))
        new = [_place(_moved(one, one.centre_mm + shift), geometry) for one in pair]
        fits = all(one is not None and _iou(one, old) <= MAX_IOU for one in new for old in placed)
        if fits:
            placed.extend(one for one in new if one is not None)
            return


def _crossed(rng: np.random.Generator) -> tuple[Superellipsoid, Superellipsoid]:
    plane = rng.permutation(3)
    turn = np.eye(3)[:, plane]  # columns: two directions of the plane, and its normal
    diagonal = np.array([[1, -1, 0], [1, 1, 0], [0, 0, np.sqrt(2)]]) / np.sqrt(2)
    class_name, shift = _any_class(rng), turn @ (0, 0, rng.uniform(0, CROSSED_SHIFT_MM))
    pair = []
    for centre, order in ((shift / 2, (0, 1, 2)), (-shift / 2, (1, 0, 2))):
        axes = np.array([rng.uniform(*CROSSED_LONG_MM), *rng.uniform(*CROSSED_THIN_MM, size=2)])
        rotation = (turn @ diagonal)[:, list(order)]
        pair.append(_solid(class_name, centre.tolist(), axes, as_matrix(rotation)))
    return pair[0], pair[1]


def _nested(rng: np.random.Generator) -> tuple[Superellipsoid, Superellipsoid]:
    axes = rng.uniform(*HOST_MM, size=3)
    host = _solid(_any_class(rng), (0.0, 0.0, 0.0), axes, random_rotation(rng))
    room = host.hollow or 1.0
    size = rng.uniform(0.35, 0.45)
    offset = _direction(rng) * rng.uniform(0, 0.95 * room - size)
    centre = np.linalg.inv(host.to_local) @ offset
    return host, _solid(_any_class(rng), centre.tolist(), axes * size, host.rotation)


def _candidate(
    rng: np.random.Generator, placed: Sequence[_Placed], geometry: Geometry
) -> Superellipsoid:
    axes = rng.uniform(*(LARGE_MM if len(placed) < LARGE else SMALL_MM), size=3)
    new = _solid(_any_class(rng), (0.0, 0.0, 0.0), axes, random_rotation(rng))
    inside = np.asarray(geometry.shape) - 1
    if not placed or rng.random() >= NEIGHBOUR_PROBABILITY:
        return _moved(new, geometry.index_to_world(rng.uniform(0, inside)))
    old = placed[int(rng.integers(len(placed)))].solid
    reach = np.mean(old.semi_axes_mm) + np.mean(new.semi_axes_mm)
    centre = np.asarray(old.centre_mm)
    for _ in range(TRIES):
        ratio = rng.uniform(*(INTO if rng.random() < INTO_SHARE else AGAINST))
        centre = np.asarray(old.centre_mm) + _direction(rng) * ratio * reach
        beyond = np.abs(geometry.world_to_index(centre) - inside / 2) - inside / 2
        if beyond.max() <= BEYOND_VOXELS:
            break
    return _moved(new, centre)


def _any_class(rng: np.random.Generator) -> str:
    return CLASSES[int(rng.integers(len(CLASSES)))].name


def _direction(rng: np.random.Generator) -> NDArray[np.float64]:
    way = rng.normal(size=3)
    return np.asarray(way / np.linalg.norm(way), dtype=np.float64)


def _solid(
    class_name: str, centre_mm: Sequence[float], axes: NDArray[np.float64], rotation: Matrix
) -> Superellipsoid:
    x, y, z = centre_mm
    a, b, c = axes.tolist()
    return Superellipsoid(class_name, (x, y, z), (a, b, c), rotation, hollow=HOLLOW[class_name])


def _moved(solid: Superellipsoid, centre_mm: NDArray[np.float64]) -> Superellipsoid:
    return replace(solid, centre_mm=cast("Point", tuple(centre_mm.tolist())))


def _place(solid: Superellipsoid, geometry: Geometry) -> _Placed | None:
    drawn = rasterise(solid, geometry)
    if drawn is None or np.count_nonzero(drawn[1]) < MIN_VOXELS:
        return None
    return _Placed(solid, drawn[0], drawn[2])


def _iou(one: _Placed, other: _Placed) -> float:
    low = [max(a.start, b.start) for a, b in zip(one.box, other.box, strict=True)]
    high = [min(a.stop, b.stop) for a, b in zip(one.box, other.box, strict=True)]
    if any(b <= a for a, b in zip(low, high, strict=True)):
        return 0.0
    parts = []
    for item in (one, other):
        inside = (
            slice(a - part.start, b - part.start)
            for a, b, part in zip(low, high, item.box, strict=True)
        )
        parts.append(item.filled[tuple(inside)])
    shared = np.count_nonzero(parts[0] & parts[1])
    whole = np.count_nonzero(one.filled) + np.count_nonzero(other.filled) - shared
    return shared / whole


def _pictured(
    rng: np.random.Generator, solids: Sequence[Superellipsoid], geometry: Geometry
) -> Phantom:
    truth = truth_of(solids, geometry, CLASSES)
    contrasts = rng.uniform(*CONTRAST, size=len(solids))
    signal = gaussian_filter(contrast_map(geometry.shape, truth, contrasts), BLUR_VOXELS)
    scale = (BIAS_SCALE_VOXELS,) * 3
    signal *= bias_field(rng, geometry.shape, sd=BIAS_SD, scale_voxels=scale)
    signal += rng.standard_normal(geometry.shape, dtype=np.float32)
    volume = Volume(z_scored(signal), geometry, "MR", "arbitrary")
    return Phantom(volume, truth, tuple(solids))

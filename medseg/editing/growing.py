"""A new object from one click: what hangs together with it and looks alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medseg.editing.regions import (
    SAME,
    Mask,
    check_length,
    corner,
    padded,
    placed,
    points_of,
    reach,
    voxels_at,
    with_mask,
)
from medseg.measurement.parts import Connectivity, check_connectivity, labelled_parts
from medseg.types import Box, Geometry, Instance, InstanceClass, Shape, Volume


@dataclass(frozen=True)
class RegionSettings:
    """How far a region grows from a click.

    It takes in voxels at most `reach_mm` away whose intensity differs from the median at most
    `sample_mm` around the click by at most `tolerance`, in the image's unit. Where that is None it
    is `spread` times the standard deviation there, estimated from the median deviation, so that a
    click near a border does not widen it. Voxels hang together by faces (6), also by edges (18),
    also by corners (26).

    Raises ValueError where a length or the spread is not above 0, or the tolerance below 0.
    """

    reach_mm: float = 20.0
    sample_mm: float = 2.0
    spread: float = 2.5
    tolerance: float | None = None
    connectivity: Connectivity = 6

    def __post_init__(self) -> None:
        for name in ("reach_mm", "sample_mm", "spread"):
            check_length(name, getattr(self, name))
        if self.tolerance is not None and not 0 <= self.tolerance < float("inf"):
            msg = f"tolerance is a number from 0 up, in the image's unit; got {self.tolerance}"
            raise ValueError(msg)
        check_connectivity(self.connectivity)


def grow_region(
    volume: Volume,
    point_lps_mm: ArrayLike,
    *,
    id: int,  # noqa: A002 - the field's name
    of: InstanceClass,
    settings: RegionSettings | None = None,
    keep_out: Sequence[Instance] = (),
) -> Instance:
    """A new object of the class `of` around a click (3,) in LPS mm, as `settings` say; score 1.

    It stays out of `keep_out`. It always holds the clicked voxel, and nothing else where no
    neighbour looks alike.

    Raises ValueError where the click lies outside the image or in an object of `keep_out`, or the
    image has no number there.
    """
    rules = settings or RegionSettings()
    points = points_of(point_lps_mm, "a click")
    if len(points) > 1:
        msg = f"a region grows from one click; got {len(points)}: grow and merge them one by one"
        raise ValueError(msg)
    seed = _clicked(volume.geometry, points)
    around = reach(volume.geometry, rules.reach_mm)
    z, y, x = (slice(at, at + 1) for at in seed)
    box = padded((z, y, x), around, volume.geometry.shape)
    place = tuple(np.array(seed) - corner(box))
    taken = placed(keep_out, box)
    if taken[place]:
        msg = "the click lies in an object that the region must stay out of: click beside it"
        raise ValueError(msg)
    values = volume.array[box].astype(np.float64)
    if not np.isfinite(values[place]):
        msg = "the image has no number at the click: click elsewhere"
        raise ValueError(msg)
    away = _away_mm(volume.geometry, box, seed)
    near = (away <= rules.sample_mm * (1 + SAME)) & ~taken & np.isfinite(values)
    alike = _alike(values, values[near], rules)
    alike &= (away <= rules.reach_mm * (1 + SAME)) & ~taken
    alike[place] = True
    parts, _ = labelled_parts(alike, rules.connectivity)
    clicked = Instance(id, of.name, of.kind, 1.0, (z, y, x), np.ones((1, 1, 1), dtype=np.bool_))
    return with_mask(clicked, parts == parts[place], box) or clicked


def _clicked(geometry: Geometry, points: NDArray[np.float64]) -> Shape:
    z, y, x = voxels_at(geometry, points)[0].tolist()
    if not all(0 <= at < length for at, length in zip((z, y, x), geometry.shape, strict=True)):
        msg = "the click lies outside the image: click inside it"
        raise ValueError(msg)
    return z, y, x


def _away_mm(geometry: Geometry, box: Box, seed: Shape) -> NDArray[np.float64]:
    """Distance of each voxel of `box` to the clicked one."""
    index = np.stack(
        np.meshgrid(*[np.arange(part.start, part.stop) for part in box], indexing="ij"), axis=-1
    )
    apart = (index - np.array(seed)) @ geometry.affine[:3, :3].T
    return np.asarray(np.linalg.norm(apart, axis=-1), dtype=np.float64)


def _alike(values: NDArray[np.float64], sample: NDArray[np.float64], rules: RegionSettings) -> Mask:
    middle = float(np.median(sample))
    tolerance = rules.tolerance
    if tolerance is None:
        tolerance = rules.spread * 1.4826 * float(np.median(np.abs(sample - middle)))
    return np.asarray(np.abs(values - middle) <= tolerance, dtype=np.bool_)

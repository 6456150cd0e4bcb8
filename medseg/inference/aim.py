"""What a point, a box or the middle of a crop means of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medseg.card import Card
from medseg.errors import InputRefused
from medseg.types import Geometry, Shape, Volume

Means = Literal["point", "box", "middle"]


@dataclass(frozen=True, eq=False)
class Aim:
    """What is meant: the object at a point, in a box, or in the middle of the image.

    `point_lps_mm` (x, y, z) is the middle of the region; `box_lps_mm` the lower and the upper
    corner of the box, (2, 3).
    """

    means: Means
    point_lps_mm: NDArray[np.float64]
    box_lps_mm: NDArray[np.float64] | None = None

    @property
    def in_words(self) -> str:
        """As messages call it."""
        x, y, z = self.point_lps_mm
        if self.means == "box":
            return f"the box around ({x:.1f}, {y:.1f}, {z:.1f})"
        place = f"({x:.1f}, {y:.1f}, {z:.1f})"
        return f"the point {place}" if self.means == "point" else f"the image's middle {place}"

    @property
    def provenance(self) -> dict[str, list[float]]:
        """As `summary.json` has it: `at` or `box`, LPS millimetres."""
        if self.box_lps_mm is not None:
            return {"box": [round(float(mm), 3) for mm in self.box_lps_mm.ravel()]}
        return {"at": [round(float(mm), 3) for mm in self.point_lps_mm]}


def aimed(
    volumes: Volume | Mapping[str, Volume],
    card: Card,
    *,
    at: Sequence[float] | None,
    box: Sequence[float] | None,
) -> Aim | None:
    """What `at` (x, y, z) or `box` (x0, y0, z0, x1, y1, z1) means, LPS mm; None for all objects.

    Where neither is said, a model that segments what is pointed at takes the middle of a crop.

    Raises:
        InputRefused: `point-outside-image`; `point-missing` for an image that is no crop.
        ValueError: both are said, or they are no 3 and 6 finite numbers.
    """
    if at is not None and box is not None:
        msg = "say at or box, not both"
        raise ValueError(msg)
    first = volumes if isinstance(volumes, Volume) else volumes.get(card.channels[0].name)
    if first is None or (at is None and box is None and card.pointed is None):
        return None
    if at is not None:
        aim = Aim("point", _numbers("at", at, 3))
    elif box is not None:
        corners = np.sort(_numbers("box", box, 6).reshape(2, 3), axis=0)
        aim = Aim("box", corners.mean(axis=0), corners)
    else:
        _require_crop(first.geometry, card)
        middle = (np.array(first.geometry.shape) - 1) / 2
        return Aim("middle", first.geometry.index_to_world(middle))
    _require_inside(aim, first.geometry)
    return aim


def corners_of(shape: Shape) -> NDArray[np.float64]:
    """The outer corners (8, 3) of a grid of that shape, as indices (z, y, x)."""
    ends = np.array([[-0.5, length - 0.5] for length in shape])
    return np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)


def _numbers(name: str, values: Sequence[float], count: int) -> NDArray[np.float64]:
    given = np.asarray(values, dtype=np.float64)
    if given.shape != (count,) or not np.isfinite(given).all():
        msg = f"{name} is {count} finite numbers, LPS millimetres; got {values!r}"
        raise ValueError(msg)
    return given


def _require_crop(geometry: Geometry, card: Card) -> None:
    longest = max(n * mm for n, mm in zip(geometry.shape, geometry.spacing_mm, strict=True))
    if card.pointed is not None and longest > card.pointed.largest_crop_mm:
        raise InputRefused(
            code="point-missing",
            subject=f"model {card.name!r}",
            detail=f"it segments the one object that is pointed at, and the image is no crop: "
            f"{longest:.0f} mm long, a crop at most {card.pointed.largest_crop_mm:g}",
            remedy="give a point in the object (--at X,Y,Z) or a box (--box), LPS millimetres",
        )


def _require_inside(aim: Aim, geometry: Geometry) -> None:
    index = geometry.world_to_index(aim.point_lps_mm)
    if ((index >= -0.5) & (index <= np.array(geometry.shape) - 0.5)).all():
        return
    ends = geometry.index_to_world(corners_of(geometry.shape))
    reach = ", ".join(
        f"{name} {low:.1f} to {high:.1f}"
        for name, low, high in zip("xyz", ends.min(axis=0), ends.max(axis=0), strict=True)
    )
    raise InputRefused(
        code="point-outside-image",
        subject=aim.in_words,
        detail=f"it lies outside the image, which reaches over {reach}",
        remedy="give LPS millimetres (x to the left, y to the back, z up) inside it",
    )

"""Refusing to compare what lies on different grids."""

from __future__ import annotations

from medseg.errors import InputRefused
from medseg.types import Geometry


def require_same_grid(subject: str, found: Geometry, other: str, wanted: Geometry) -> None:
    """Raise InputRefused (`grid-mismatch`) where the grid of `subject` is not that of `other`."""
    if found.same_grid(wanted):
        return
    raise InputRefused(
        code="grid-mismatch",
        subject=subject,
        detail=_difference(found, other, wanted),
        remedy=f"give the {subject} and the {other} that belong together, or resample one",
    )


def _difference(found: Geometry, other: str, wanted: Geometry) -> str:
    if found.shape != wanted.shape:
        return f"its shape (z, y, x) is {found.shape}, that of the {other} is {wanted.shape}"
    for name, digits in (("spacing", 4), ("direction", 3), ("origin", 2)):
        one, two = (_text(geometry, name, digits) for geometry in (found, wanted))
        if one != two:
            return f"its {name} is {one}, that of the {other} is {two}"
    return f"its corners lie more than 0.001 mm from those of the {other}"


def _text(geometry: Geometry, name: str, digits: int) -> str:
    numbers = {
        "spacing": geometry.spacing_mm,
        "direction": tuple(float(value) for value in geometry.direction.T.ravel()),
        "origin": geometry.origin_mm,
    }[name]
    return "(" + ", ".join(f"{value + 0.0:.{digits}f}" for value in numbers) + ")"

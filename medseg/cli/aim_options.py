"""Options that say which one object is meant."""

from __future__ import annotations

from math import isfinite
from typing import Annotated

import typer

PANEL_AIM = "One object"


def _millimetres(text: str | None, count: int, example: str) -> str | None:
    try:
        numbers = [float(word) for word in (text or "").split(",")]
    except ValueError:
        numbers = []
    if text is not None and not (len(numbers) == count and all(map(isfinite, numbers))):
        msg = f"{count} numbers with commas between are wanted, such as {example}; got {text!r}"
        raise typer.BadParameter(msg)
    return text


def point_mm(text: str | None) -> str | None:
    """The text of `--at`, if it is a point."""
    return _millimetres(text, 3, "-61.5,20,-140")


def corners_mm(text: str | None) -> str | None:
    """The text of `--box`, if it is two corners."""
    return _millimetres(text, 6, "-70,10,-150,-50,30,-130")


Numbers = tuple[float, ...]


def aim_of(at: str | None, box: str | None) -> tuple[Numbers | None, Numbers | None]:
    """What `segment` is told of the texts that `point_mm` and `corners_mm` let pass."""
    if at is not None and box is not None:
        msg = "give --at or --box, not both"
        raise typer.BadParameter(msg)
    return _numbers(at), _numbers(box)


def _numbers(text: str | None) -> Numbers | None:
    return None if text is None else tuple(float(word) for word in text.split(","))


AtPoint = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="X,Y,Z",
        callback=point_mm,
        help="Segment only the object at this point, LPS millimetres, such as -61.5,20,-140.",
        rich_help_panel=PANEL_AIM,
    ),
]
InBox = Annotated[
    str | None,
    typer.Option(
        "--box",
        metavar="X0,Y0,Z0,X1,Y1,Z1",
        callback=corners_mm,
        help="Segment only the object in this box: two opposite corners, LPS millimetres.",
        rich_help_panel=PANEL_AIM,
    ),
]

"""The page of a picture: slices with letters and scale, text at places given in points."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.textpath import TextToPath

from medseg.io.atomic import atomic_path
from medseg.io.preview_views import View
from medseg.types import Unit

Color = tuple[float, float, float]

# Lengths on the page in points (1/72 inch): a panel's square, the room around it, a line of text.
SIDE, GAP, HEAD, FOOT, EDGE, LINE = 190.0, 16.0, 40.0, 30.0, 12.0, 13.0
FAINT = "#a8a8a8"
_DPI = 120
_FONT = "DejaVu Sans"  # comes with matplotlib, so every machine draws the same
_BACK, _TEXT = "#101010", "#f2f2f2"
_SCALES_MM = (50, 20, 10, 5, 2, 1)


def write_figure(figure: Figure, path: Path) -> None:
    """Write a page as a PNG; the same page gives the same bytes.

    Raises OutputError where it cannot be written.
    """
    with atomic_path(path) as temporary:
        figure.savefig(
            temporary, format="png", dpi=_DPI, facecolor=_BACK, metadata={"Software": None}
        )


class Page:
    """A figure whose places are given in points from the top left."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = (
            3 * ceil(length / 3) for length in (width, height)
        )  # whole pixels
        self.figure = Figure(figsize=(self.width / 72, self.height / 72), dpi=_DPI, facecolor=_BACK)
        FigureCanvasAgg(self.figure)

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        """Text whose middle line lies at `y`; left-aligned at `x` unless `ha` says otherwise."""
        style = {"size": 8, "color": _TEXT, "ha": "left", "va": "center", **style}
        place = x / self.width, 1 - y / self.height
        self.figure.text(*place, _drawable(text), family=_FONT, parse_math=False, **style)

    def square(self, x: float, y: float) -> Axes:
        """Empty axes of one panel, black, without ticks or frame."""
        place = (x / self.width, 1 - (y + SIDE) / self.height)
        axes = self.figure.add_axes((*place, SIDE / self.width, SIDE / self.height))
        axes.set_facecolor("black")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        return axes

    def bar(self, x: float, y: float, length: float) -> None:
        """A horizontal line from `x`."""
        across = (x / self.width, (x + length) / self.width)
        down = (1 - y / self.height,) * 2
        line = Line2D(across, down, color=_TEXT, linewidth=2, solid_capstyle="butt")
        line.set_transform(self.figure.transFigure)
        self.figure.add_artist(line)


class Shown(NamedTuple):
    """A view with the values that are black and white, their unit, and the object it is about."""

    view: View
    limits: tuple[float, float]
    unit: Unit
    subject: int | None = None


def draw_view(page: Page, what: Shown, colors: Mapping[str, Color], x: float, y: float) -> None:
    """Draw a slice under its plane, place and window; the line above, at y + 8, stays free."""
    shown, low, high = what.view, *what.limits
    unit = "" if what.unit in ("arbitrary", "unknown") else f" {what.unit}"
    page.text(x, y + 20, f"{shown.plane}, {shown.position}", color=FAINT, size=7.5)
    page.text(x + SIDE, y + 20, f"{low:.4g} to {high:.4g}{unit}", color=FAINT, size=7.5, ha="right")
    top = y + HEAD
    left, right, up, down = shown.letters
    middle = x + SIDE / 2
    page.text(x - GAP / 2, top + SIDE / 2, left, ha="center")
    page.text(x + SIDE + GAP / 2, top + SIDE / 2, right, ha="center")
    page.text(middle, top - 6, up, ha="center")
    page.text(middle, top + SIDE + 7, down, ha="center")
    scale = next((mm for mm in _SCALES_MM if mm <= 0.4 * shown.side_mm), _SCALES_MM[-1])
    page.bar(x, top + SIDE + 9, scale * SIDE / shown.side_mm)
    page.text(x, top + SIDE + 18, f"{scale} mm", size=7.5)
    _draw_slice(page.square(x, top), what, colors)


def _draw_slice(axes: Axes, what: Shown, colors: Mapping[str, Color]) -> None:
    shown = what.view
    down, right = (n * mm for n, mm in zip(shown.image.shape, shown.spacing_mm, strict=True))
    low, high = what.limits
    axes.imshow(
        np.nan_to_num(shown.image.astype(np.float64), nan=low, posinf=high, neginf=low),
        cmap="gray",
        vmin=low,
        vmax=high,
        origin="upper",
        extent=(0, right, down, 0),
        interpolation="bilinear",
        aspect="auto",
    )
    x, y = shown.corner_mm
    axes.set(xlim=(x, x + shown.side_mm), ylim=(y + shown.side_mm, y))
    subject = what.subject
    for outline in sorted(shown.outlines, key=lambda one: one.item.id == subject):
        width = 1.1 if outline.item.id == subject else 0.7
        for color, more in (((0.0, 0.0, 0.0), 1.0), (colors[outline.item.class_name], 0.0)):
            axes.add_collection(
                LineCollection(
                    list(outline.segments_mm),
                    colors=[color],
                    linewidths=width + more,
                    capstyle="projecting",
                    snap=False,
                ),
                autolim=False,
            )


def shortened(text: str, width: float, size: float) -> str:
    """The text, cut with an ellipsis where it is wider than `width` points."""
    if text_width(text, size) <= width:
        return text
    lengths = range(1, len(text))
    kept = bisect_right(lengths, width, key=lambda n: text_width(text[:n] + "…", size))
    return text[:kept] + "…"


def text_width(text: str, size: float) -> float:
    """The width in points; that of bold text, so that there is room to spare."""
    font = FontProperties(
        family=_FONT, size=size, weight="bold"
    )  # bold is the wider: room to spare
    width, _, _ = TextToPath().get_text_width_height_descent(_drawable(text), font, ismath=False)
    return float(width)


def _drawable(text: str) -> str:
    """The text with a question mark for each letter that the font does not have."""
    known = _letters_of_font()
    return "".join(letter if ord(letter) in known else "?" for letter in text)


@cache
def _letters_of_font() -> frozenset[int]:
    return frozenset(get_font(findfont(_FONT)).get_charmap())

"""A picture of a result: slices through each object with its outline, label and scale."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.textpath import TextToPath

from medseg.io.atomic import atomic_path
from medseg.io.checks import same_place
from medseg.io.colors import class_colors
from medseg.io.preview_views import Scene, View, central_slice, largest_slice, scene, view, window
from medseg.types import Instance, Instances, Volume

_DPI = 120
_FONT = "DejaVu Sans"  # comes with matplotlib, so every machine draws the same
_BACK, _TEXT, _FAINT = "#101010", "#f2f2f2", "#a8a8a8"
_ALL_PLANES_UP_TO = 4
_SCALES_MM = (50, 20, 10, 5, 2, 1)
# Lengths on the page in points (1/72 inch): a panel's square, the room around it, a line of text.
_SIDE, _GAP, _HEAD, _FOOT, _EDGE, _LINE = 190.0, 16.0, 40.0, 30.0, 12.0, 13.0

_Color = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class _Panel:
    view: View
    item: Instance | None
    limits: tuple[float, float]
    volume_ml: float
    unit: str


def write_preview(
    volume: Volume,
    instances: Instances,
    path: Path,
    *,
    max_objects: int = 12,
    title: str | None = None,
) -> None:
    """Write the picture of `preview_figure` as a PNG; the same input gives the same bytes.

    Raises ValueError as `preview_figure` does, and OutputError where it cannot be written.
    """
    figure = preview_figure(volume, instances, max_objects=max_objects, title=title)
    with atomic_path(path) as temporary:
        figure.savefig(
            temporary, format="png", dpi=_DPI, facecolor=_BACK, metadata={"Software": None}
        )


def preview_figure(
    volume: Volume, instances: Instances, *, max_objects: int = 12, title: str | None = None
) -> Figure:
    """Slices through the largest objects, in viewing order, with outlines, labels and scale bars.

    Each object is shown in the slice of the acquisition plane (axial where unknown) with its
    largest area; up to four objects also in the other two planes through the centroid. How many
    are not shown is written below. Without an object the middle slices are shown.

    Raises ValueError where the grids differ or `max_objects` is below 1.
    """
    if not same_place(instances.geometry, volume.geometry):
        msg = "the image and its objects lie on different grids"
        raise ValueError(msg)
    if max_objects < 1:
        msg = f"max_objects is at least 1; got {max_objects}"
        raise ValueError(msg)
    of = scene(volume, instances)
    largest = sorted(of.items, key=lambda item: (-item.voxel_count, item.id))[:max_objects]
    shown = sorted(largest, key=lambda item: item.id)  # as the table has them, in every case alike
    panels = [panel for item in shown for panel in _panels(of, item, len(shown))]
    colors = _colors(instances)
    return _draw(
        panels or [_middle_panel(of, axis) for axis in range(3)],
        colors,
        title or _count(instances),
        _remarks(instances, len(shown)),
    )


def _panels(of: Scene, item: Instance, shown: int) -> list[_Panel]:
    first = of.acquisition_axis
    views = [view(of, first, largest_slice(item, first), item)]
    if shown <= _ALL_PLANES_UP_TO:
        others = (axis for axis in range(3) if axis != first)
        views += [view(of, axis, central_slice(item, axis), item) for axis in others]
    limits, volume_ml = window(of, item), item.voxel_count * of.geometry.voxel_ml
    return [_Panel(one, item, limits, volume_ml, of.unit) for one in views]


def _middle_panel(of: Scene, axis: int) -> _Panel:
    middle = view(of, axis, of.array.shape[axis] // 2, None)
    return _Panel(middle, None, window(of, None), 0.0, of.unit)


def _colors(instances: Instances) -> dict[str, _Color]:
    """The colours of the classes, those too dark for a dark page mixed with white."""
    colors = {}
    for name, color in class_colors(instances.classes).items():
        red, green, blue = (part / 255 for part in color)
        luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        white = max(0.0, (0.5 - luminance) / (1 - luminance)) if luminance < 1 else 0.0
        red, green, blue = (part + (1 - part) * white for part in (red, green, blue))
        colors[name] = (red, green, blue)
    return colors


def _count(instances: Instances) -> str:
    kinds = [item.kind for item in instances.items]
    counts = [(kinds.count("organ"), "organ"), (kinds.count("lesion"), "lesion")]
    parts = [f"{n} {name}{'' if n == 1 else 's'}" for n, name in counts if n]
    return ", ".join(parts) or "0 objects"


def _remarks(instances: Instances, shown: int) -> list[str]:
    left = len(instances) - shown
    remarks = [f"The {shown} largest of {len(instances)} objects; {left} are not shown."]
    if not len(instances):
        remarks = ["no object found"]
    elif not left:
        remarks = []
    return [*remarks, "Letters name the patient's side. Outlines run along voxel edges."]


def volume_text(volume_ml: float) -> str:
    """A volume with three digits that count, in millilitres."""
    if volume_ml < 0.001:
        return "< 0.001 mL"
    digits = 3 if volume_ml < 1 else 2 if volume_ml < 10 else 1 if volume_ml < 100 else 0
    return f"{volume_ml:.{digits}f} mL"


class _Page:
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
        place = (x / self.width, 1 - (y + _SIDE) / self.height)
        axes = self.figure.add_axes((*place, _SIDE / self.width, _SIDE / self.height))
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


def _draw(
    panels: Sequence[_Panel], colors: Mapping[str, _Color], title: str, remarks: Sequence[str]
) -> Figure:
    columns = _columns(panels)
    rows = -(-len(panels) // columns)
    width = 2 * _EDGE + columns * (_SIDE + 2 * _GAP)
    legend = _legend_lines(panels, width - 2 * _EDGE)
    top, cell = _EDGE + 18, _HEAD + _SIDE + _FOOT
    below = top + rows * cell + _LINE
    page = _Page(width, below + _LINE * (len(legend) + len(remarks)) + _EDGE / 2)
    page.text(_EDGE, _EDGE + 4, _shortened(title, width - 2 * _EDGE, 11), size=11, weight="bold")
    for n, panel in enumerate(panels):
        x, y = _EDGE + (n % columns) * (_SIDE + 2 * _GAP), top + (n // columns) * cell
        _draw_panel(page, panel, colors, x + _GAP, y)
    for n, names in enumerate(legend):
        for x, name in names:
            page.text(_EDGE + x, below + n * _LINE, name, color=colors[name])
    for n, remark in enumerate(remarks):
        page.text(_EDGE, below + (len(legend) + n) * _LINE, remark, color=_FAINT, size=7.5)
    return page.figure


def _columns(panels: Sequence[_Panel]) -> int:
    several_planes = len({panel.view.plane for panel in panels}) > 1
    return 3 if several_planes or len(panels) in (5, 6, 9) else min(4, len(panels))


def _draw_panel(
    page: _Page, panel: _Panel, colors: Mapping[str, _Color], x: float, y: float
) -> None:
    shown, low, high = panel.view, *panel.limits
    if panel.item is not None:
        number, volume = f"#{panel.item.id} ", f"  {volume_text(panel.volume_ml)}"
        room = _SIDE + _GAP - _text_width(number + volume, 9)
        name = _shortened(panel.item.class_name, room, 9)
        page.text(x, y + 8, number + name + volume, size=9, color=colors[panel.item.class_name])
    unit = "" if panel.unit in ("arbitrary", "unknown") else f" {panel.unit}"
    page.text(x, y + 20, f"{shown.plane}, {shown.position}", color=_FAINT, size=7.5)
    page.text(
        x + _SIDE, y + 20, f"{low:.4g} to {high:.4g}{unit}", color=_FAINT, size=7.5, ha="right"
    )
    top = y + _HEAD
    left, right, up, down = shown.letters
    middle = x + _SIDE / 2
    page.text(x - _GAP / 2, top + _SIDE / 2, left, ha="center")
    page.text(x + _SIDE + _GAP / 2, top + _SIDE / 2, right, ha="center")
    page.text(middle, top - 6, up, ha="center")
    page.text(middle, top + _SIDE + 7, down, ha="center")
    scale = next((mm for mm in _SCALES_MM if mm <= 0.4 * shown.side_mm), _SCALES_MM[-1])
    page.bar(x, top + _SIDE + 9, scale * _SIDE / shown.side_mm)
    page.text(x, top + _SIDE + 18, f"{scale} mm", size=7.5)
    _draw_slice(page.square(x, top), panel, colors)


def _draw_slice(axes: Axes, panel: _Panel, colors: Mapping[str, _Color]) -> None:
    shown = panel.view
    down, right = (n * mm for n, mm in zip(shown.image.shape, shown.spacing_mm, strict=True))
    low, high = panel.limits
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
    subject = None if panel.item is None else panel.item.id
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


def _legend_lines(panels: Sequence[_Panel], width: float) -> list[list[tuple[float, str]]]:
    """The classes whose outlines are shown, where several are: lines of (x, name) in the width."""
    names = {outline.item.class_name for panel in panels for outline in panel.view.outlines}
    lines: list[list[tuple[float, str]]] = []
    x = width
    for name in sorted(names) if len(names) > 1 else ():
        needed = _text_width(name, 8) + _LINE
        if x + needed > width:
            lines.append([])
            x = 0.0
        lines[-1].append((x, name))
        x += needed
    return lines


def _shortened(text: str, width: float, size: float) -> str:
    """The text, cut with an ellipsis where it is wider than `width` points."""
    if _text_width(text, size) <= width:
        return text
    lengths = range(1, len(text))
    kept = bisect_right(lengths, width, key=lambda n: _text_width(text[:n] + "…", size))
    return text[:kept] + "…"


def _text_width(text: str, size: float) -> float:
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

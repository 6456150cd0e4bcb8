"""A picture of a result: slices through each object with its outline, label and scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from medseg.io.checks import same_place
from medseg.io.colors import class_colors
from medseg.io.preview_page import (
    EDGE,
    FAINT,
    FOOT,
    GAP,
    HEAD,
    LINE,
    SIDE,
    Color,
    Page,
    Shown,
    draw_view,
    shortened,
    text_width,
    write_figure,
)
from medseg.io.preview_views import Scene, View, central_slice, largest_slice, scene, view, window
from medseg.types import Instance, Instances, Unit, Volume

_ALL_PLANES_UP_TO = 4


@dataclass(frozen=True, eq=False)
class _Panel:
    view: View
    item: Instance | None
    limits: tuple[float, float]
    volume_ml: float
    unit: Unit


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
    write_figure(preview_figure(volume, instances, max_objects=max_objects, title=title), path)


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


def _colors(instances: Instances) -> dict[str, Color]:
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


def _draw(
    panels: Sequence[_Panel], colors: Mapping[str, Color], title: str, remarks: Sequence[str]
) -> Figure:
    columns = _columns(panels)
    rows = -(-len(panels) // columns)
    width = 2 * EDGE + columns * (SIDE + 2 * GAP)
    legend = _legend_lines(panels, width - 2 * EDGE)
    top, cell = EDGE + 18, HEAD + SIDE + FOOT
    below = top + rows * cell + LINE
    page = Page(width, below + LINE * (len(legend) + len(remarks)) + EDGE / 2)
    page.text(EDGE, EDGE + 4, shortened(title, width - 2 * EDGE, 11), size=11, weight="bold")
    for n, panel in enumerate(panels):
        x, y = EDGE + (n % columns) * (SIDE + 2 * GAP), top + (n // columns) * cell
        _draw_panel(page, panel, colors, x + GAP, y)
    for n, names in enumerate(legend):
        for x, name in names:
            page.text(EDGE + x, below + n * LINE, name, color=colors[name])
    for n, remark in enumerate(remarks):
        page.text(EDGE, below + (len(legend) + n) * LINE, remark, color=FAINT, size=7.5)
    return page.figure


def _columns(panels: Sequence[_Panel]) -> int:
    several_planes = len({panel.view.plane for panel in panels}) > 1
    return 3 if several_planes or len(panels) in (5, 6, 9) else min(4, len(panels))


def _draw_panel(page: Page, panel: _Panel, colors: Mapping[str, Color], x: float, y: float) -> None:
    subject = None
    if panel.item is not None:
        subject = panel.item.id
        number, volume = f"#{panel.item.id} ", f"  {volume_text(panel.volume_ml)}"
        room = SIDE + GAP - text_width(number + volume, 9)
        name = shortened(panel.item.class_name, room, 9)
        page.text(x, y + 8, number + name + volume, size=9, color=colors[panel.item.class_name])
    shown = Shown(panel.view, panel.limits, panel.unit, subject)
    draw_view(page, shown, colors, x, y)


def _legend_lines(panels: Sequence[_Panel], width: float) -> list[list[tuple[float, str]]]:
    """The classes whose outlines are shown, where several are: lines of (x, name) in the width."""
    names = {outline.item.class_name for panel in panels for outline in panel.view.outlines}
    lines: list[list[tuple[float, str]]] = []
    x = width
    for name in sorted(names) if len(names) > 1 else ():
        needed = text_width(name, 8) + LINE
        if x + needed > width:
            lines.append([])
            x = 0.0
        lines[-1].append((x, name))
        x += needed
    return lines

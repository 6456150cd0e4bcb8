"""Pictures of single objects, drawn as medseg's preview draws them, with their neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from medseg.io.colors import class_colors
from medseg.io.preview_page import EDGE, FOOT, GAP, HEAD, SIDE, Color, Page, Shown, draw_view
from medseg.io.preview_views import (
    Scene,
    View,
    central_slice,
    largest_slice,
    scene,
    view,
    window,
)
from medseg.types import Instance, Instances, Volume
from medseg_napari.session import Line, Lines

MOST_PICTURED = 60
"""Pictures on a page, those of the largest lesions: each is 50 to 250 kB."""

LONG_COLOR, SHORT_COLOR = "#ffd140", "#54c8ff"
_PLANES = 3
_DPI = 96
_BACK = "#101010"
_IN_SLICE = 0.5 + 1e-6
"""How far from a slice's middle, in slices, a line may run to be drawn in it."""


def pictures(
    volume: Volume,
    instances: Instances,
    ids: Sequence[int],
    lines: Mapping[int, Lines] | None = None,
) -> Iterator[bytes]:
    """A PNG for each id: a slice in the acquisition plane, and the other two planes.

    The slice is that of the long diameter where `lines` have it in this plane, else the one with
    the largest area. A diameter is drawn in every slice in which it lies. All objects that a slice
    cuts are outlined. Raises ValueError where the grids differ, or an id is none of the instances'.
    """
    if not instances.geometry.same_grid(volume.geometry):
        msg = "the image and its objects lie on different grids"
        raise ValueError(msg)
    of = scene(volume, instances)
    colors = _colors(instances)
    for number in ids:
        yield _png(_drawn(of, number, colors, (lines or {}).get(number)))


def object_picture(
    volume: Volume, instances: Instances, number: int, lines: Lines | None = None
) -> bytes:
    """The PNG of one object; see `pictures`."""
    known = {} if lines is None else {number: lines}
    return next(pictures(volume, instances, [number], known))


def _drawn(of: Scene, number: int, colors: dict[str, Color], lines: Lines | None) -> Figure:
    item = next((one for one in of.items if one.id == number), None)
    if item is None:
        msg = f"there is no instance {number}"
        raise ValueError(msg)
    first = of.acquisition_axis
    others = [axis for axis in range(_PLANES) if axis != first]
    places = [(first, _first_slice(of, item, lines))]
    places += [(axis, central_slice(item, axis)) for axis in others]
    limits = window(of, item)
    page = Page(2 * EDGE + _PLANES * (SIDE + 2 * GAP), HEAD + SIDE + FOOT)
    for n, (axis, index) in enumerate(places):
        what = Shown(view(of, axis, index, item), limits, of.unit, item.id)
        draw_view(page, what, colors, EDGE + n * (SIDE + 2 * GAP) + GAP, 0.0)
        if lines is not None:
            _draw_lines(page.figure, of, what.view, (axis, index), lines)
    return page.figure


def _first_slice(of: Scene, item: Instance, lines: Lines | None) -> int:
    """The slice in the acquisition plane that says most of an object."""
    axis = of.acquisition_axis
    largest = largest_slice(item, axis)
    if lines is None:
        return largest
    index = round(float(_indices(of, lines.long)[:, axis].mean()))
    inside = 0 <= index < of.array.shape[axis]
    return index if inside and _lies_in(of, lines.long, axis, index) else largest


def _draw_lines(
    figure: Figure, of: Scene, shown: View, place: tuple[int, int], lines: Lines
) -> None:
    """Put the diameters that lie in a slice over its picture, which was drawn last."""
    axes = figure.axes[-1]
    for line, color in ((lines.long, LONG_COLOR), (lines.short, SHORT_COLOR)):
        if not _lies_in(of, line, *place):
            continue
        points = _on_screen(of, shown, line, place[0])
        for paint, width in (("black", 2.6), (color, 1.4)):
            axes.add_collection(
                LineCollection([points], colors=[paint], linewidths=width), autolim=False
            )


def _lies_in(of: Scene, line: Line, axis: int, index: int) -> bool:
    return bool((np.abs(_indices(of, line)[:, axis] - index) < _IN_SLICE).all())


def _on_screen(of: Scene, shown: View, line: Line, axis: int) -> NDArray[np.float64]:
    """The ends (2, 2) of a line as (right, down) in mm from the outer corner of a view's image."""
    rows, columns = (other for other in range(_PLANES) if other != axis)
    ends = _indices(of, line) + 0.5  # from the middle of a voxel to its corners
    down = ends[:, rows] if axis == 0 else shown.image.shape[0] - ends[:, rows]  # head up
    return np.stack([ends[:, columns] * shown.spacing_mm[1], down * shown.spacing_mm[0]], axis=-1)


def _indices(of: Scene, line: Line) -> NDArray[np.float64]:
    """The ends (2, 3) of a line in voxels (z, y, x) of the scene."""
    return of.geometry.world_to_index([line.start_lps_mm, line.stop_lps_mm])


def _colors(instances: Instances) -> dict[str, Color]:
    return {
        name: (red / 255, green / 255, blue / 255)
        for name, (red, green, blue) in class_colors(instances.classes).items()
    }


def _png(figure: Figure) -> bytes:
    """The same figure gives the same bytes."""
    out = BytesIO()
    figure.savefig(out, format="png", dpi=_DPI, facecolor=_BACK, metadata={"Software": None})
    return out.getvalue()

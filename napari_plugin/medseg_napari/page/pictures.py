"""Pictures of single objects, drawn as medseg's preview draws them, with their neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO

from matplotlib.figure import Figure

from medseg.io.colors import class_colors
from medseg.io.preview_page import EDGE, FOOT, GAP, HEAD, SIDE, Color, Page, Shown, draw_view
from medseg.io.preview_views import Scene, central_slice, largest_slice, scene, view, window
from medseg.types import Instances, Volume

MOST_PICTURED = 60
"""Pictures on a page, those of the largest lesions: each is 50 to 250 kB."""

_PLANES = 3
_DPI = 96
_BACK = "#101010"


def pictures(volume: Volume, instances: Instances, ids: Sequence[int]) -> Iterator[bytes]:
    """A PNG for each id: its largest slice in the acquisition plane, and the other two planes.

    All objects that a slice cuts are outlined. Raises ValueError where the grids differ, or an id
    is none of the instances'.
    """
    if not instances.geometry.same_grid(volume.geometry):
        msg = "the image and its objects lie on different grids"
        raise ValueError(msg)
    of = scene(volume, instances)
    colors = _colors(instances)
    for number in ids:
        yield _png(_drawn(of, number, colors))


def object_picture(volume: Volume, instances: Instances, number: int) -> bytes:
    """The PNG of one object; see `pictures`."""
    return next(pictures(volume, instances, [number]))


def _drawn(of: Scene, number: int, colors: dict[str, Color]) -> Figure:
    item = next((one for one in of.items if one.id == number), None)
    if item is None:
        msg = f"there is no instance {number}"
        raise ValueError(msg)
    first = of.acquisition_axis
    others = [axis for axis in range(_PLANES) if axis != first]
    places = [(first, largest_slice(item, first))]
    places += [(axis, central_slice(item, axis)) for axis in others]
    limits = window(of, item)
    page = Page(2 * EDGE + _PLANES * (SIDE + 2 * GAP), HEAD + SIDE + FOOT)
    for n, (axis, index) in enumerate(places):
        what = Shown(view(of, axis, index, item), limits, of.unit, item.id)
        draw_view(page, what, colors, EDGE + n * (SIDE + 2 * GAP) + GAP, 0.0)
    return page.figure


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

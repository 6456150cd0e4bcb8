"""A strip of thumbnails: the middle slice of every volume, to see at a glance what lies there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from medseg.io.preview_page import (
    EDGE,
    FAINT,
    FOOT,
    GAP,
    HEAD,
    LINE,
    SIDE,
    Page,
    Shown,
    draw_view,
    shortened,
    write_figure,
)
from medseg.io.preview_views import scene, view, window
from medseg.types import Instances, Volume

MOST_THUMBNAILS = 48
_COLUMNS = 4


class Thumbnail(NamedTuple):
    """One slice under its label."""

    label: str
    shown: Shown


def thumbnail(volume: Volume, label: str) -> Thumbnail:
    """The middle slice of a volume in the plane of acquisition (axial where unknown).

    It holds a copy of the slice, so the volume can go.
    """
    of = scene(volume, Instances(volume.geometry, [], ()))
    axis = of.acquisition_axis
    middle = view(of, axis, of.array.shape[axis] // 2, None)
    return Thumbnail(
        label, Shown(replace(middle, image=middle.image.copy()), window(of, None), of.unit)
    )


def write_strip(thumbnails: Sequence[Thumbnail], path: Path, *, title: str, left_out: int) -> None:
    """Write the picture of `strip_figure` as a PNG; the same input gives the same bytes.

    Raises OutputError where it cannot be written.
    """
    write_figure(strip_figure(thumbnails, title=title, left_out=left_out), path)


def strip_figure(thumbnails: Sequence[Thumbnail], *, title: str, left_out: int) -> Figure:
    """Four thumbnails a row under a title; `left_out` is how many volumes are not shown."""
    columns = max(1, min(_COLUMNS, len(thumbnails)))
    rows = -(-len(thumbnails) // columns)
    width = 2 * EDGE + columns * (SIDE + 2 * GAP)
    top, cell = EDGE + 18, HEAD + SIDE + FOOT
    below = top + rows * cell + LINE
    remarks = ["Letters name the patient's side. The middle slice of each volume."]
    if left_out:
        remarks.insert(0, f"{left_out} more volumes are not shown.")
    if not thumbnails:
        remarks = ["no volume can be shown"]
    page = Page(width, below + LINE * len(remarks) + EDGE / 2)
    page.text(EDGE, EDGE + 4, shortened(title, width - 2 * EDGE, 11), size=11, weight="bold")
    for n, one in enumerate(thumbnails):
        x = EDGE + (n % columns) * (SIDE + 2 * GAP) + GAP
        y = top + (n // columns) * cell
        page.text(x, y + 8, shortened(one.label, SIDE + GAP, 8), size=8)
        draw_view(page, one.shown, {}, x, y)
    for n, remark in enumerate(remarks):
        page.text(EDGE, below + n * LINE, remark, color=FAINT, size=7.5)
    return page.figure

"""A window on one study, as `medseg view` opens it: the panels docked, the work at hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from medseg.types import Volume
from medseg_napari.view.facts import StudySource
from medseg_napari.view.opening import open_study, stem
from medseg_napari.widgets.segment_sessions import WORK_KEY

if TYPE_CHECKING:
    from napari import Viewer

PANELS = ("Segment", "Lesions", "Correct")
"""In the order of their tabs."""

_WIDTH = 440
"""Of the panels, in pixels: half a screen of 1280 is left for the image."""


def launch(
    volume: Volume,
    study: Path,
    labels: Path | None = None,
    *,
    output: Path | None = None,
    reader: str = "",
    number: int | None = None,
) -> Viewer:
    """A window with a study upright and the panels beside it; `run` shows it.

    On the objects of `labels` a session of `reader` begins (by default the one in Preferences),
    unless nobody is named or there is work on the study already: that is offered. Sessions are kept
    in `output`, a folder for each reader, by default where the panels keep those of the study.
    `number` is that of the volume where it was chosen among several in one folder.

    Raises InputRefused where the objects do not lie on the image's grid.
    """
    from napari import Viewer

    series = volume.meta.get("series")
    source = StudySource(str(study.absolute()), None if series is None else str(series), number)
    viewer = Viewer(title=f"medseg: {stem(study)}", show=False)
    try:
        layers = open_study(viewer, volume, name=stem(study), source=source, labels=labels)
        if output is not None:
            layers[0].metadata[WORK_KEY] = output.absolute()
        front = dock_panels(viewer, reader, begin=labels is not None)
    except BaseException:
        viewer.close()
        raise
    viewer.show()
    make_room(viewer, front)
    return viewer


def dock_panels(viewer: Viewer, reader: str = "", *, begin: bool = False) -> Any:
    """Put the panels on the right, one behind the other; with `begin`, begin on what is open.

    In front is the list of lesions, or where there is neither an object nor earlier work the
    panel that finds some; its dock is given back.
    """
    docked = [viewer.window.add_plugin_dock_widget("medseg", name, tabify=True) for name in PANELS]
    (first, segment), (second, lesions), _ = docked
    if reader:
        segment.keep.reader.setText(reader)
        lesions.start.reader.setText(reader)
    if begin:
        lesions.start.begin_or_ask()
    front = second if begin or lesions.start.has_offer else first
    front.raise_()
    return front


def make_room(viewer: Viewer, dock: Any) -> None:
    """Give a dock of a window that is on the screen the width of a panel."""
    from qtpy.QtCore import Qt

    from medseg_napari.view.adapter import window_widget

    window_widget(viewer).resizeDocks([dock], [_WIDTH], Qt.Orientation.Horizontal)


def run() -> None:
    """Show the windows until the last of them is closed."""
    import napari

    napari.run()

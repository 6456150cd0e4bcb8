"""The canvas as a picture, with the numbers of what is on display."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from medseg.errors import MedsegError
from medseg_napari.controller import controller_of
from medseg_napari.view.adapter import unwrapped
from medseg_napari.view.facts import instance_layers
from medseg_napari.view.picture import screenshot

if TYPE_CHECKING:
    import napari

PICTURE_FILTER = "Picture (*.png)"


def write_picture(viewer: napari.Viewer, path: Path) -> Path:
    """Write the canvas with scale bar and numbers, but those of rows that a filter hides, as PNG.

    The numbers are of the objects of the review, else of the uppermost layer of objects; of a
    hidden layer none. Raises OutputError.
    """
    own = unwrapped(viewer)
    place = path if path.suffix.lower() == ".png" else path.with_name(f"{path.name}.png")
    work = controller_of(own)
    layers = instance_layers(own.layers) if work is None else [work.objects]
    shown = next((layer for layer in reversed(layers) if layer.visible), None)
    ids = None
    if work is not None:
        ids = {item.id for item in work.session.instances}.difference(work.hidden)
    screenshot(own, place, numbers_of=shown, ids=ids)
    return place


def save_picture(viewer: napari.Viewer) -> None:
    """Ask where, and write the picture; what is refused is shown."""
    from napari.utils.notifications import show_error, show_info
    from qtpy.QtWidgets import QFileDialog

    from medseg_napari.view.adapter import window_widget

    window = window_widget(viewer)
    found, _ = QFileDialog.getSaveFileName(window, "Save picture", "picture.png", PICTURE_FILTER)
    if not found:
        return
    try:
        show_info(f"The picture is {write_picture(viewer, Path(found))}.")
    except MedsegError as error:
        show_error(str(error))

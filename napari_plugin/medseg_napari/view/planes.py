"""Axial, coronal and sagittal planes in which the patient stands upright, and which way is which.

The plane buttons set the state of the viewer; letters are read from that state, so that they stay
true whatever else turns the view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from medseg.io.preview_views import direction_letters
from medseg_napari.view.facts import facts_of
from medseg_napari.view.placement import OBLIQUE_DEGREES, Placement

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

Plane = Literal["axial", "coronal", "sagittal"]
PLANES: tuple[Plane, ...] = get_args(Plane)


class _Look(NamedTuple):
    """How napari shows a plane of a layer (z, y, x) that leads to S, P, L.

    `orientation` says where on the screen the last three axes of `order` lead. The first of it
    matters in 3D alone: with it the patient is never mirrored, and is seen from the feet, from the
    front, or from the left.
    """

    order: tuple[int, int, int]
    orientation: tuple[Literal["away", "towards"], Literal["up", "down"], Literal["left", "right"]]


_LOOKS: dict[Plane, _Look] = {
    "axial": _Look((0, 1, 2), ("away", "down", "right")),
    "coronal": _Look((1, 0, 2), ("away", "up", "right")),
    "sagittal": _Look((2, 0, 1), ("towards", "up", "right")),
}
_FEET_AND_HEAD = str.maketrans("IS", "FH")
_AXES = 3


class Letters(NamedTuple):
    """The patient's sides at the edges of the canvas, each R, L, A, P, H or F, or two of them."""

    left: str
    right: str
    top: str
    bottom: str


def show_plane(viewer: ViewerModel, plane: Plane, *, ndisplay: Literal[2, 3] = 2) -> None:
    """Show a plane, or the volume seen so, with the patient upright; fits the view."""
    look = _LOOKS[plane]
    viewer.dims.ndisplay = ndisplay
    viewer.dims.order = (*range(viewer.dims.ndim - _AXES), *_last(look.order, viewer.dims.ndim))
    viewer.scene.camera.orientation = look.orientation
    viewer.scene.camera.angles = (0.0, 0.0, 0.0)
    viewer.fit_to_view()


def plane_of(viewer: ViewerModel) -> Plane | None:
    """The plane in which the patient stands upright now, None where it is none of the three."""
    order = tuple(axis - viewer.dims.ndim + _AXES for axis in viewer.dims.order[-_AXES:])
    upright = tuple(str(one) for one in viewer.scene.camera.orientation2d)
    for plane, look in _LOOKS.items():
        if (order, upright) == (look.order, look.orientation[1:]):
            return plane
    return None


def slice_axis(viewer: ViewerModel) -> int:
    """The axis of a layer (z, y, x) across which slices are shown; in 3D that of the depth."""
    axis: int = viewer.dims.order[-_AXES] - viewer.dims.ndim + _AXES
    return axis


def screen_directions(viewer: ViewerModel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where right and down on the canvas lead in napari's world: unit vectors (z, y, x).

    In 3D those of the camera, without its perspective.
    """
    right, down = np.zeros(_AXES), np.zeros(_AXES)
    camera = viewer.scene.camera
    shown = [axis - viewer.dims.ndim + _AXES for axis in viewer.dims.displayed]
    if viewer.dims.ndisplay == 2:
        vertical, horizontal = (str(one) for one in camera.orientation2d)
        down[shown[0]] = 1.0 if vertical == "down" else -1.0
        right[shown[1]] = 1.0 if horizontal == "right" else -1.0
        return right, down
    view, up = np.asarray(camera.view_direction), np.asarray(camera.up_direction)
    mirrored = str(camera.handedness) != "right"
    right[shown] = np.cross(view, up) * (-1.0 if mirrored else 1.0)
    down[shown] = -up
    return right, down


def letters(viewer: ViewerModel, placement: Placement) -> Letters:
    """What stands at the edges of the canvas, from the true directions of an image's axes."""
    right, down = (placement.world_to_lps(one) for one in screen_directions(viewer))
    edges = (-right, right, -down, down)
    return Letters(*(direction_letters(one).translate(_FEET_AND_HEAD) for one in edges))


def reference_layer(viewer: ViewerModel) -> Layer | None:
    """The layer whose patient the letters name: the selected one, else the first visible one."""
    layers = [layer for layer in viewer.layers if facts_of(layer) is not None]
    active = viewer.layers.selection.active
    if active is not None and any(layer is active for layer in layers):
        return active
    return next((layer for layer in layers if layer.visible), layers[0] if layers else None)


def banner(viewer: ViewerModel) -> str:
    """What people must know of how the picture lies in the patient; "" for nothing."""
    layer = reference_layer(viewer)
    facts = None if layer is None else facts_of(layer)
    if layer is None or facts is None:
        return ""
    placement, lines = facts.placement, []
    if placement.oblique_degrees > OBLIQUE_DEGREES:
        angle = f"{placement.oblique_degrees:.1f}"
        lines.append(f"oblique by {angle} degrees: the planes\nfollow the image, not the patient")
    if not placement.geometry.is_orthogonal:
        lines.append("sheared grid: angles and lengths of\nthe picture are not the patient's")
    for other in viewer.layers:
        theirs = facts_of(other)
        if theirs is None or other is layer or not other.visible:
            continue
        angle_apart = placement.turned_degrees(theirs.placement)
        if angle_apart > OBLIQUE_DEGREES:
            lines.append(
                f"{other.name} is turned by {angle_apart:.1f} degrees against {layer.name}:\n"
                "they do not lie over each other as in the patient"
            )
    return "\n".join(lines)


def _last(order: tuple[int, int, int], ndim: int) -> tuple[int, ...]:
    return tuple(axis + ndim - _AXES for axis in order)

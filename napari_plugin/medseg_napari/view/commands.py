"""What napari's menus call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medseg_napari.view.study_view import attach

if TYPE_CHECKING:
    import napari


def axial(viewer: napari.Viewer) -> None:
    """Show axial slices, the patient upright."""
    attach(viewer).show("axial")


def coronal(viewer: napari.Viewer) -> None:
    """Show coronal slices, the patient upright."""
    attach(viewer).show("coronal")


def sagittal(viewer: napari.Viewer) -> None:
    """Show sagittal slices, the patient upright."""
    attach(viewer).show("sagittal")

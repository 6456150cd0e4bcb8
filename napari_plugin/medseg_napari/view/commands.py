"""What napari's menus call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medseg_napari.view.presets import show_window
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


def soft_tissue(viewer: napari.Viewer) -> None:
    """Draw CT in the window of soft tissue."""
    _window(viewer, "Soft tissue")


def liver(viewer: napari.Viewer) -> None:
    """Draw CT in the window of the liver."""
    _window(viewer, "Liver")


def lung(viewer: napari.Viewer) -> None:
    """Draw CT in the window of the lung."""
    _window(viewer, "Lung")


def bone(viewer: napari.Viewer) -> None:
    """Draw CT in the window of bone."""
    _window(viewer, "Bone")


def brain(viewer: napari.Viewer) -> None:
    """Draw CT in the window of the brain."""
    _window(viewer, "Brain")


def suv_5(viewer: napari.Viewer) -> None:
    """Draw PET from SUV 0 to 5."""
    _window(viewer, "SUV 0 to 5")


def suv_10(viewer: napari.Viewer) -> None:
    """Draw PET from SUV 0 to 10."""
    _window(viewer, "SUV 0 to 10")


def suv_20(viewer: napari.Viewer) -> None:
    """Draw PET from SUV 0 to 20."""
    _window(viewer, "SUV 0 to 20")


def as_opened(viewer: napari.Viewer) -> None:
    """Draw an image in the window that it opened with."""
    _window(viewer, None)


def _window(viewer: napari.Viewer, name: str | None) -> None:
    from napari.utils.notifications import show_info

    if not show_window(viewer, name):
        has = "CT in HU or PET in SUV, as this window is for" if name else "of medseg"
        show_info(f"No image on display is {has}.")

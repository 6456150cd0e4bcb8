"""What File > Open Sample > medseg holds: the real samples of the package, and a phantom.

Their layers name no path: work on them is kept where people choose, not inside the package.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from medseg import samples
from medseg.io import read, read_instances
from medseg.phantom import make_phantom, touching_lesions
from medseg.types import Instances, Volume
from medseg_napari.view.adapter import open_viewer
from medseg_napari.view.layer_data import image_data, labels_data
from medseg_napari.view.study_view import attach

if TYPE_CHECKING:
    from medseg_napari.view.layer_data import LayerData

_PHANTOM_SEED, _LESIONS_SEED = 1, 3


def hippocampus() -> list[LayerData]:
    """The MR study of a hippocampus, as a DICOM series."""
    folder = samples.path("hippocampus_crop_study1")
    volume = read(folder)
    return _shown([image_data(volume, name="hippocampus MR")])


def lung_nodule() -> list[LayerData]:
    """The CT crop with the nodule that radiologists outlined."""
    folder = samples.path("lung_nodule_crop")
    image, labels = folder / "image.nii.gz", folder / "label.nii.gz"
    volume = read(image, modality="CT", unit="HU")
    nodule = read_instances(labels)
    return _shown(
        [
            image_data(volume, name="lung nodule CT"),
            labels_data(nodule, name="nodule"),
        ]
    )


def phantom() -> list[LayerData]:
    """A made CT of organs and lesions that touch, overlap and nest, with its truth."""
    made = make_phantom(_PHANTOM_SEED)
    return _made(made.volume, made.truth, "phantom CT")


def lesions_phantom() -> list[LayerData]:
    """A made MR image of lesions that touch, for `phantom-lesions`; without its truth."""
    return _made(touching_lesions(_LESIONS_SEED).volume, None, "phantom MR")


def _made(volume: Volume, truth: Instances | None, name: str) -> list[LayerData]:
    """The layers of a phantom, which says of itself that it is one, as a scanner does."""
    said = replace(volume, meta={**volume.meta, "body_part": "PHANTOM"})
    objects = [] if truth is None else [labels_data(truth, name="truth")]
    return _shown([image_data(said, name=name), *objects])


def _shown(data: list[LayerData]) -> list[LayerData]:
    """The layers, with letters and scale bar in the window that they are opened in."""
    viewer = open_viewer()
    if viewer is not None:
        attach(viewer)
    return data

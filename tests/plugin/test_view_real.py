"""Real series of each orientation: every voxel stands where its DICOM header says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from medseg_napari.view.facts import facts_of
from medseg_napari.view.objects import read_objects
from medseg_napari.view.opening import add_layers, read_layers, warnings_of
from medseg_napari.view.planes import PLANES, letters
from medseg_napari.view.study_view import attach

SERIES = {
    "siemens_mr_anatomical": "sagittal",
    "philips_mr_anatomical": "coronal",
    "hippocampus_crop_study1": "axial",
}
EDGES = {"axial": "RLAP", "coronal": "RLHF", "sagittal": "APHF"}


def slices(folder: Path) -> list[pydicom.Dataset]:
    found = (pydicom.dcmread(path) for path in sorted(folder.rglob("*")) if path.is_file())
    return [one for one in found if "PixelData" in one]


@pytest.mark.parametrize("name", SERIES)
def test_pixels_stand_where_their_header_says(viewer, shared_data, name) -> None:
    """The place of the pixel in column i and row j, by PS3.3 C.7.6.2.1.1."""
    folder = shared_data / "dicom" / name
    (layer,) = add_layers(viewer, read_layers(folder))
    placement = facts_of(layer).placement
    rng = np.random.default_rng(0)
    for ds in slices(folder)[::2]:
        along, down = np.reshape([float(n) for n in ds.ImageOrientationPatient], (2, 3))
        row_mm, column_mm = (float(n) for n in ds.PixelSpacing)
        for j, i in zip(rng.integers(0, ds.Rows, 20), rng.integers(0, ds.Columns, 20), strict=True):
            point = np.asarray([float(n) for n in ds.ImagePositionPatient])
            point = point + along * column_mm * i + down * row_mm * j
            index = np.rint(layer.world_to_data(placement.lps_to_world(point))).astype(int)
            stored = float(ds.pixel_array[j, i])
            value = stored * float(ds.get("RescaleSlope", 1)) + float(ds.get("RescaleIntercept", 0))
            assert float(layer.data[tuple(index)]) == pytest.approx(value)


@pytest.mark.parametrize("name", SERIES)
def test_real_patients_stand_upright_in_every_plane(viewer, shared_data, name) -> None:
    """The first letter at each edge; these series are a few degrees oblique at most."""
    (layer,) = add_layers(viewer, read_layers(shared_data / "dicom" / name))
    for plane in PLANES:
        attach(viewer).show(plane)
        found = letters(viewer, facts_of(layer).placement)
        assert "".join(edge[0] for edge in found) == EDGES[plane]


def test_a_real_pet_opens_in_suv_with_its_contours(viewer, shared_data) -> None:
    folder = shared_data / "dicom" / "sarcoma_pet_rtstruct"
    data = read_layers(folder)
    (layer,) = add_layers(viewer, data)
    volume = facts_of(layer).volume
    assert (volume.modality, volume.unit) == ("PT", "SUVbw") or warnings_of(data)
    assert layer.colormap.name == "inferno"
    (contours,) = (
        path
        for path in folder.rglob("*")
        if path.is_file() and pydicom.dcmread(path, stop_before_pixels=True).Modality == "RTSTRUCT"
    )
    objects = read_objects(contours, [facts_of(layer)])
    assert objects.geometry.same_grid(volume.geometry)
    assert len(objects) > 0

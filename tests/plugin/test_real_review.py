"""Real series of each orientation through the panels: the table says what the CLI says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from medseg_napari.controller import controller_of
from medseg_napari.view.facts import facts_of
from scipy import ndimage

import medseg
from medseg.cli import main
from medseg.types import InstanceClass, Instances, Volume

SERIES = {
    "axial": "hippocampus_crop_study1",
    "coronal": "philips_mr_anatomical",
    "sagittal": "siemens_mr_anatomical",
    "oblique": "hitachi_mr",
}
BRIGHT = 97.0
MOST = 6
COMPARED = ["instance_id", "volume_ml", "centroid_x_mm", "centroid_y_mm", "centroid_z_mm"]


def bright_parts(volume: Volume) -> Instances:
    """The largest connected parts of what is brightest, by their sizes."""
    parts, _ = ndimage.label(volume.array > np.percentile(volume.array, BRIGHT))
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    labels = np.zeros(parts.shape, dtype=np.uint8)
    for number, part in enumerate(np.argsort(sizes)[::-1][:MOST], start=1):
        labels[parts == part] = 3 * number
    kind = [InstanceClass("bright", "lesion", 1)]
    return Instances.from_labelmap(labels, volume.geometry, kind, "instance")


@pytest.fixture
def files(shared_data: Path, tmp_path: Path):
    """The folder of a series, and a file of objects on it."""

    def make(name: str) -> tuple[Path, Path]:
        folder, objects = shared_data / "dicom" / name, tmp_path / "objects.seg.nrrd"
        medseg.write(bright_parts(medseg.read(folder)), objects)
        return folder, objects

    return make


def measured(folder: Path, objects: Path, table: Path) -> pd.DataFrame:
    """What `medseg measure` writes."""
    words = ["measure", objects, "--image", folder, "-o", table]
    assert main([str(word) for word in words]) == 0
    return pd.read_csv(table)


@pytest.mark.parametrize("name", SERIES)
def test_the_table_equals_the_command_line_and_rows_lead_to_their_lesions(
    window, qtbot, files, tmp_path: Path, name: str
) -> None:
    from qtpy.QtCore import Qt

    folder, objects = files(SERIES[name])
    (image,) = window.open(folder, plugin="medseg")
    (layer,) = window.open(objects, plugin="medseg")
    _, panel = window.window.add_plugin_dock_widget("medseg", "Lesions")
    panel.start.reader.setText("AB")
    panel.start.folder.setText(str(tmp_path / "work"))
    qtbot.mouseClick(panel.start.begin, Qt.MouseButton.LeftButton)
    work = controller_of(window)
    assert work is not None, panel.start.message.text()
    assert work.session.volume is facts_of(image).volume
    panel.show_columns([*COMPARED, "intensity_mean"])
    panel.save_csv(str(tmp_path / "panel.csv"))
    ours = pd.read_csv(tmp_path / "panel.csv")
    theirs = measured(folder, objects, tmp_path / "cli.csv")
    assert ours["instance_id"].tolist() == [3 * n for n in range(1, len(ours) + 1)]
    for column in [*COMPARED, "intensity_mean"]:
        assert ours[column].tolist() == pytest.approx(theirs[column].tolist(), abs=1e-6), column

    for row in ours.itertuples():  # each row leads to its own lesion, at its place in the patient
        place = panel.table.rows.row_of(row.instance_id)
        index = panel.table.rows.index(place, 0)
        panel.table.scrollTo(index)
        qtbot.mouseClick(
            panel.table.viewport(),
            Qt.MouseButton.LeftButton,
            pos=panel.table.visualRect(index).center(),
        )
        shown = np.argwhere(layer.data == row.instance_id)
        placement = facts_of(layer).placement
        centre = placement.world_to_lps(layer.data_to_world(shown.mean(axis=0)))
        assert centre == pytest.approx(
            [row.centroid_x_mm, row.centroid_y_mm, row.centroid_z_mm], abs=1e-3
        )
        seen = round(float(layer.world_to_data(window.dims.point)[0]))
        assert (layer.data[seen] == row.instance_id).any()

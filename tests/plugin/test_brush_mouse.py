"""The brush under the real mouse: what is painted lies where the mouse was in the patient."""

from __future__ import annotations

import numpy as np
from medseg_napari.controller import bind
from medseg_napari.session import Session
from medseg_napari.view.adapter import canvas_widget
from medseg_napari.view.layer_data import image_data, labels_data
from medseg_napari.view.opening import add_layers
from medseg_napari.view.study_view import attach
from view_cases import IDS, LARGE, SAGITTAL, marked, oblique

START_ZYX = (6, 5, 4)
"""Of the straight grid: low, in front, on the patient's right, away from the arms."""
DRAG_MM = 24.0


def test_a_stroke_to_the_right_of_a_coronal_picture_goes_to_the_patient_s_left(
    window, qtbot
) -> None:
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    grid = oblique(LARGE, 5.0)
    volume, objects = marked(grid.reoriented(*SAGITTAL))
    _, labels = add_layers(window, [image_data(volume), labels_data(objects)])
    work = bind(window, Session.begin(volume, objects, "AB"), labels)
    _, panel = window.window.add_plugin_dock_widget("medseg", "Correct")
    attach(window).show("coronal")
    work.select([IDS["L"]])
    window.layers.selection.active = labels
    start_lps = grid.index_to_world(START_ZYX)
    start = work.placement.lps_to_world(start_lps)
    window.dims.point = start
    window.scene.camera.center = (0.0, *(start[axis] for axis in window.dims.displayed))
    window.scene.camera.zoom = 4.0
    qtbot.mouseClick(panel.draw.buttons["paint"], Qt.MouseButton.LeftButton)
    before = work.session.instance(IDS["L"]).voxel_count
    qtbot.wait(200)  # until the panel has its place and the canvas what is left
    canvas = canvas_widget(window)
    middle = canvas.rect().center()
    steps = [QPoint(round(DRAG_MM * window.scene.camera.zoom * n / 8), 0) for n in range(9)]
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=middle)
    for step in steps[1:]:
        QTest.mouseMove(canvas, middle + step)
        qtbot.wait(10)  # Qt makes one of several moves that nobody has seen yet
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=middle + steps[-1])
    qtbot.waitUntil(lambda: work.session.undo_name == "Paint in lesion 3")

    item = work.session.instance(IDS["L"])
    own = volume.geometry
    drawn = np.argwhere(_whole(item, own.shape) & ~_whole(_old(objects), own.shape))
    points = own.index_to_world(drawn)
    assert item.voxel_count == before + len(drawn)
    step_mm = max(own.spacing_mm)
    ahead = points - start_lps
    assert ahead[:, 0].min() > -3.0 - step_mm
    assert ahead[:, 0].max() > DRAG_MM - step_mm, "right in the picture is the patient's left"
    assert ahead[:, 0].max() < DRAG_MM + 3.0 + step_mm
    assert np.abs(ahead[:, 2]).max() < 3.0 + step_mm + DRAG_MM * np.sin(np.radians(5.0))
    assert np.abs(ahead[:, 1]).max() < step_mm


def _old(objects):
    return next(item for item in objects if item.id == IDS["L"])


def _whole(item, shape) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[item.box] = item.mask
    return mask

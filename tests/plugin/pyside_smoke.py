"""Run by `test_pyside.py` under PySide6: a study, its panels, a review, painting, undo, the end.

Usage: python pyside_smoke.py STUDY OBJECTS FOLDER
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from medseg_napari.controller import controller_of, release
from medseg_napari.view.launch import launch
from medseg_napari.view.opening import read_volume
from medseg_napari.view.study_view import attach

STEPS = 100
LOST_A_STEP = 0.5
"""References to None that a slice step may lose; the binding that crashes loses 87."""


def main(study: Path, objects: Path, folder: Path) -> None:
    """Do it; an exception says what went wrong."""
    import qtpy
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    volume = read_volume(study, modality="CT", unit="HU")
    viewer = launch(volume, study, objects, output=folder, reader="AB")
    QApplication.processEvents()
    assert qtpy.API_NAME == "PySide6", qtpy.API_NAME
    docked = viewer.window.dock_widgets
    lesions, correct = docked["Lesions (medseg)"], docked["Correct (medseg)"]
    work = controller_of(viewer)
    assert work is not None, lesions.start.message.text()
    work.select([3])
    QTest.keyClick(lesions.table, Qt.Key.Key_G)
    decision = work.session.review(3).decision
    assert decision == "accept", f"{decision!r}, {work.message!r}, {lesions.table.isVisible()}"
    work.select([12])
    QTest.mouseClick(correct.shape.buttons["grow"], Qt.MouseButton.LeftButton)
    assert work.session.undo_name == "Grow lesion 12 by 2 mm", work.message
    work.undo()
    for plane in ("coronal", "sagittal", "axial"):
        attach(viewer).show(plane)
        assert viewer.screenshot(canvas_only=False, flash=False).size
    gc.collect()  # else what is collected in between takes its references along
    before = sys.getrefcount(None)
    for step in range(STEPS):
        viewer.dims.set_current_step(0, step % volume.geometry.shape[0])
        QApplication.processEvents()
    lost = before - sys.getrefcount(None)
    assert lost < LOST_A_STEP * STEPS, f"{lost} references to None lost in {STEPS} steps"
    release(viewer)
    viewer.close()
    QApplication.processEvents()
    gc.collect()
    sys.stdout.write(f"done under {qtpy.API_NAME} {qtpy.QT_VERSION}\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

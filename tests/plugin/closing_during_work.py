"""Run by `test_correct_closing.py`: the window goes while the panel Correct computes a step."""

from __future__ import annotations

import sys
import threading
import time

import napari
from lesions_cases import bound
from medseg_napari import controller_steps as steps

PATIENCE_S = 20.0


def main() -> None:
    """Close it in the way that is named; an exception or a crash says what went wrong."""
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

    steps.HEAVY_VOXELS = 1
    viewer = napari.Viewer(show=True)
    dock, panel = viewer.window.add_plugin_dock_widget("medseg", "Correct")
    work = bound(viewer)
    work.select([12])
    begun, may_end = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        may_end.wait()

    panel.run(slow, True)
    if not begun.wait(60) or not panel.runner.busy:
        sys.exit("no step is computed")

    def end() -> None:
        if sys.argv[1] == "dock":
            dock.destroyOnClose()
        elif sys.argv[1] == "delete":
            panel.deleteLater()
        else:
            viewer.close()

    QTimer.singleShot(0, end)
    QTimer.singleShot(500, viewer.close if sys.argv[1] != "window" else may_end.set)
    late = threading.Timer(PATIENCE_S, may_end.set)
    late.daemon = True
    late.start()
    start = time.monotonic()
    napari.run()
    QApplication.processEvents()
    sys.stdout.write("closed" if time.monotonic() - start < PATIENCE_S else "waited")
    may_end.set()


if __name__ == "__main__":
    main()

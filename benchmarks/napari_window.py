"""A napari window that a benchmark drives: events until all is drawn, and the process's memory."""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from medseg_napari.view.adapter import canvas_widget
from timing import BY_THE_CLOCK, Clock

_LONGEST_S = 120.0
_PASSES = 20


class Window:
    """A viewer on the screen; `timed` takes the seconds from an act until its picture is drawn."""

    def __init__(self, clock: Clock = BY_THE_CLOCK) -> None:
        import napari
        from qtpy.QtCore import QEvent, QObject
        from qtpy.QtWidgets import QApplication

        self.viewer: Any = napari.Viewer(show=True)
        self.canvas: Any = canvas_widget(self.viewer)
        self.now = clock.now
        self._events = QApplication.processEvents
        self.paints = 0
        window = self

        class Watcher(QObject):
            def eventFilter(self, _of: Any, event: Any) -> bool:  # noqa: N802 - Qt's
                window.paints += event.type() == QEvent.Type.Paint
                return False

        self._watcher = Watcher()
        self.canvas.installEventFilter(self._watcher)

    def settle(self, ready: Callable[[], bool] = lambda: True) -> None:
        """Handle events until `ready`, and until a whole pass draws nothing any more."""
        latest = time.perf_counter() + _LONGEST_S
        for _ in range(_PASSES):
            before = self.paints
            self._events()
            while not ready():
                if time.perf_counter() > latest:
                    msg = f"nothing was drawn for {_LONGEST_S:g} s"
                    raise RuntimeError(msg)
                self._events()
            if self.paints == before:
                break
        finish()

    def timed(
        self,
        act: Callable[[], object],
        ready: Callable[[], bool] = lambda: True,
        *,
        draws: bool = True,
    ) -> float:
        """Seconds from before `act` until it is `ready`, and drawn where it draws anything."""
        before, began = self.paints, self.now()
        act()
        self.settle(lambda: (self.paints > before or not draws) and ready())
        return self.now() - began

    def drag(self, way: Sequence[float]) -> Callable[[], None]:
        """Press the left button and move the mouse; what is returned lets go.

        `way` says how far to the right of the middle, in parts of the canvas's shorter side.
        """
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        button, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        middle, side = self.canvas.rect().center(), min(self.viewer.canvas.size)
        places = [middle + QPoint(round(part * side), 0) for part in way]
        QTest.mousePress(self.canvas, button, keys, places[0])
        for place in places[1:]:
            QTest.mouseMove(self.canvas, place)
            self._events()
        self.settle()
        return lambda: QTest.mouseRelease(self.canvas, button, keys, places[-1])

    def close(self) -> None:
        """Close the viewer as its user does, and let Qt take its widgets away."""
        from qtpy.QtCore import QEvent
        from qtpy.QtWidgets import QApplication

        self.canvas.removeEventFilter(self._watcher)
        viewer, self.viewer, self.canvas = self.viewer, None, None
        viewer.close()
        del viewer
        for _ in range(3):
            self._events()
            QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
            gc.collect()


def finish() -> None:
    """Wait until OpenGL has drawn."""
    from vispy.gloo import gl

    gl.glFinish()


def renderer() -> str:
    """Which OpenGL draws, of the window that drew last."""
    from vispy.gloo import gl

    return str(gl.glGetParameter(gl.GL_RENDERER))


def own_memory_mb() -> float:
    """Megabytes that would be free if this process ended (Linux), once garbage is collected.

    What the allocator keeps of freed memory is given back first, so that it counts for nobody.
    """
    for _ in range(2):
        gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    sizes = dict(line.split(":", 1) for line in lines[1:])
    kilobytes = sum(int(sizes[key].split()[0]) for key in ("Private_Clean", "Private_Dirty"))
    return kilobytes * 1024 / 1e6

"""A panel whose dock is closed is gone: no key, no process, no listener of it is left."""

from __future__ import annotations

from importlib import import_module

import pytest
from lesions_cases import bound
from medseg_napari.controller import controller_of
from medseg_napari.view.adapter import canvas_widget
from session_cases import image

import medseg

PATIENCE_MS = 120_000
PANELS = {
    "Segment": ("segment", "SegmentPanel"),
    "Lesions": ("lesions", "LesionsPanel"),
    "Correct": ("correct", "CorrectPanel"),
    "Cases": ("cases", "CasesPanel"),
}


def docked(window, name: str):
    module, panel = PANELS[name]
    made = getattr(import_module(f"medseg_napari.widgets.{module}"), panel)(window)
    return made, window.window.add_dock_widget(made, name=name, area="right")


def listeners(window) -> int:
    """How many listen to the viewer, its session and its layers."""
    from medseg_napari import controller

    work, events = controller_of(window), window.layers.events
    desk = len(controller._DESKS[window].watchers)
    told = 0 if work is None else len(work._listeners)
    return desk + told + len(events.inserted.callbacks) + len(events.removed.callbacks)


@pytest.mark.parametrize("name", list(PANELS))
def test_a_closed_dock_takes_its_panel_and_all_its_listeners_along(window, qtbot, name) -> None:
    bound(window)
    docked(window, name)[1].destroyOnClose()  # whatever a first panel makes of the viewer
    before = listeners(window)
    panel, dock = docked(window, name)
    assert listeners(window) > before
    with qtbot.waitSignal(panel.destroyed, timeout=PATIENCE_MS):
        dock.destroyOnClose()
    assert listeners(window) == before


def test_no_panel_of_a_closed_dock_follows_the_layers(window, qtbot) -> None:
    for name in PANELS:
        panel, dock = docked(window, name)
        with qtbot.waitSignal(panel.destroyed, timeout=PATIENCE_MS):
            dock.destroyOnClose()
    work = bound(window)
    work.select([12])
    assert work.session.selection.current == 12


def test_a_panel_that_floats_or_is_hidden_goes_on(window) -> None:
    panel, dock = docked(window, "Lesions")
    dock.setFloating(True)
    dock.setFloating(False)
    dock.close()
    dock.show()
    work = bound(window)
    assert panel.controller is work


def test_the_key_of_a_closed_cases_panel_saves_nothing(window, qtbot, tmp_path) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    medseg.write(image(), tmp_path / "a.nii.gz")
    panel, dock = docked(window, "Cases")
    panel.studies.studies.setText(str(tmp_path))
    panel.studies.reader.setText("AB")
    panel.open_list()
    panel.open_case("a")
    qtbot.waitUntil(lambda: panel.work.current is not None, timeout=PATIENCE_MS)
    panel.begin_by_hand()
    cases, kept = panel.work.cases, controller_of(window)
    assert kept is not None
    with qtbot.waitSignal(panel.destroyed, timeout=PATIENCE_MS):
        dock.destroyOnClose()
    QTest.keyClick(canvas_widget(window), Qt.Key.Key_K)
    assert cases.status("a") == "to do"
    assert controller_of(window) is kept


def test_a_closed_segment_panel_ends_the_process_of_its_model(window, qtbot) -> None:
    from medseg_napari.view.opening import open_study

    panel, dock = docked(window, "Segment")
    open_study(window, medseg.phantom.touching_lesions(3).volume, name="one")
    names = [one.name for one in panel.model.choices]
    panel.model.list.setCurrentIndex(names.index("phantom-lesions"))
    panel.keep.reader.setText("AB")
    panel.run()
    worker = panel.worker
    qtbot.waitUntil(lambda: worker.process_number is not None, timeout=PATIENCE_MS)
    with qtbot.waitSignal(panel.destroyed, timeout=PATIENCE_MS):
        dock.destroyOnClose()
    assert worker.process_number is None
    assert not worker.is_busy

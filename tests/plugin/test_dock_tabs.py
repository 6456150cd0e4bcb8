"""Panels that are opened from napari's menu stand in tabs, and leave the window as it is."""

from __future__ import annotations

import pytest
from lesions_cases import bound

SCREEN = (1280, 800)
PANELS = ("Segment", "Lesions", "Correct", "Cases")


@pytest.fixture
def from_menu(window, qtbot):
    """Opens a panel as its entry in the menu does, and gives it."""
    from napari._app_model import get_app_model

    def call(name: str):
        get_app_model().commands.execute_command(f"medseg.{name.lower()}").result()
        panel = window.window.dock_widgets[f"{name} (medseg)"]
        qtbot.waitUntil(lambda: in_front(panel))
        return panel

    return call


def in_front(panel) -> bool:
    return not panel.visibleRegion().isEmpty()


def dock_of(window, name: str):
    return window.window._wrapped_dock_widgets[f"{name} (medseg)"]


def tabs_of(window, name: str) -> set[str]:
    from medseg_napari.view.adapter import window_widget

    beside = window_widget(window).tabifiedDockWidgets(dock_of(window, name))
    return {dock.name.removesuffix(" (medseg)") for dock in beside}


def test_panels_of_the_menu_are_tabs_in_front_and_fit_a_small_screen(
    window, qtbot, from_menu
) -> None:
    bound(window)
    window.window.resize(*SCREEN)
    opened = [from_menu(name) for name in PANELS]
    assert tabs_of(window, "Cases") == {*PANELS} - {"Cases"}
    assert [in_front(panel) for panel in opened] == [False, False, False, True]
    assert window.window.geometry()[2:] == SCREEN
    assert opened[-1].height() > SCREEN[1] * 3 / 4
    assert window.canvas.size[1] > SCREEN[0] // 3


def test_a_panel_that_the_menu_closed_comes_back_as_a_tab(window, qtbot, from_menu) -> None:
    for name in PANELS[:3]:
        from_menu(name)
    dock_of(window, "Correct").close()
    qtbot.waitUntil(lambda: in_front(window.window.dock_widgets["Lesions (medseg)"]))
    from_menu("Correct")
    assert tabs_of(window, "Correct") == {"Segment", "Lesions"}


def test_a_panel_beside_one_that_floats_has_a_place_of_its_own(window, qtbot, from_menu) -> None:
    from_menu("Segment")
    dock_of(window, "Segment").setFloating(True)
    from_menu("Lesions")
    assert tabs_of(window, "Lesions") == set()
    assert dock_of(window, "Segment").isFloating()


def test_a_panel_that_was_dragged_away_stays_there(window, qtbot, from_menu) -> None:
    from medseg_napari.view.adapter import window_widget
    from qtpy.QtCore import Qt

    from_menu("Segment")
    panel = from_menu("Lesions")
    dock = dock_of(window, "Lesions")
    window_widget(window).addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, dock)
    dock.close()
    dock.show()
    qtbot.waitUntil(panel.isVisible)
    assert "Segment" not in tabs_of(window, "Lesions")

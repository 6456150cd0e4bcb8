"""The panel Correct as a user drives it, and diameters that are dragged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from lesions_cases import agree, bound, world_of
from medseg_napari import controller_steps as steps
from medseg_napari.controller import release
from session_cases import cuboid, output


@pytest.fixture
def panel_of(window, qtbot):
    """Docks the panel in a window."""
    from medseg_napari.widgets.correct import CorrectPanel

    def make():
        panel = CorrectPanel(window)
        window.window.add_dock_widget(panel, name="Correct", area="right")
        qtbot.waitUntil(panel.isVisible)
        return panel

    return make


def press(qtbot, button) -> None:
    from qtpy.QtCore import Qt

    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_each_button_is_one_step_that_undo_names(panel_of, window, qtbot) -> None:
    panel = panel_of()
    assert not panel.object.isEnabled()
    work = bound(window)
    assert panel.object.isEnabled()
    work.select([12])
    assert panel.target.text() == "lesion 12: tumour"
    assert panel.shape.by_mm.value() == 2.0
    assert not panel.object.buttons["merge"].isEnabled()
    press(qtbot, panel.shape.buttons["grow"])
    assert work.session.undo_name == "Grow lesion 12 by 2 mm"
    assert panel.history.undo.toolTip() == "Undo: Grow lesion 12 by 2 mm (Ctrl+Z)"
    agree(work)
    press(qtbot, panel.history.undo)
    assert panel.history.redo.toolTip().startswith("Redo: Grow lesion 12 by 2 mm")
    agree(work)
    work.select([7, 12])
    press(qtbot, panel.object.buttons["merge"])
    assert work.session.undo_name == "Merge 2 lesions"
    press(qtbot, panel.object.buttons["delete"])
    assert work.session.undo_name == "Delete lesion 12"
    agree(work)
    release(window)
    assert not panel.object.isEnabled()


def test_clicks_on_an_object_that_is_gone_since_say_so(panel_of, window, qtbot) -> None:
    work = bound(window)
    panel = panel_of()
    work.select([3])
    press(qtbot, panel.object.buttons["clicks"])
    work.session.delete([3])
    for _ in range(2):
        work.clicks.click(world_of(work, (1, 1, 1)))
    assert panel.message.text() == "there is no instance 3"
    assert work.session.undo_name == "Delete lesion 3"


def test_two_clicks_split_and_one_click_adds(panel_of, window, qtbot) -> None:
    work = bound(window, replace(output(), items=[cuboid(3, "2:5,3:7,3:9")]))
    panel = panel_of()
    work.select([3])
    press(qtbot, panel.object.buttons["clicks"])
    assert panel.message.text() == "click two points inside lesion 3"
    work.clicks.click(world_of(work, (3, 4, 3)))
    assert work.message == "click 1 more, or press Escape"
    work.clicks.click(world_of(work, (3, 4, 8)))
    assert work.session.undo_name == "Split lesion 3 into 2"
    agree(work)
    panel.draw.classes.setCurrentText("node")
    press(qtbot, panel.add.buttons["add"])
    work.clicks.cancel()
    assert work.message == "cancelled"
    press(qtbot, panel.add.buttons["add"])
    work.clicks.click(world_of(work, (6, 2, 10)))
    made = work.item
    assert (made.id, made.class_name) == (5, "node")
    agree(work)


@pytest.fixture
def begun_step(panel_of, window, qtbot, monkeypatch):
    """Presses a button of Shape with lesion 12 chosen, whose step is a heavy one."""

    def begin(button: str):
        monkeypatch.setattr(steps, "HEAVY_VOXELS", 1)
        work, panel = bound(window), panel_of()
        work.select([12])
        press(qtbot, panel.shape.buttons[button])
        assert panel.runner.busy
        return work, panel

    return begin


def test_a_heavy_step_runs_beside_the_interface(begun_step, qtbot) -> None:
    work, panel = begun_step("grow")
    assert not panel.shape.isEnabled()
    qtbot.waitUntil(lambda: not panel.runner.busy)
    assert work.session.undo_name == "Grow lesion 12 by 2 mm"
    assert panel.shape.isEnabled()
    agree(work)


def test_what_a_heavy_step_refuses_is_said(begun_step, qtbot) -> None:
    work, panel = begun_step("interpolate")
    qtbot.waitUntil(lambda: not panel.runner.busy)
    assert "lesion 12 has no empty axial slice" in panel.message.text()
    assert work.session.undo_name is None


def test_the_brush_is_taken_and_put_away(panel_of, window, qtbot) -> None:
    work = bound(window)
    panel = panel_of()
    work.select([7])
    panel.draw.radius_mm.setValue(3.5)
    panel.draw.ball.setChecked(True)
    press(qtbot, panel.draw.buttons["paint"])
    layer = work.current.layer
    assert window.layers.selection.active is layer
    assert (str(layer.mode), layer.brush_size, layer.n_edit_dimensions) == ("paint", 10, 3)
    press(qtbot, panel.draw.buttons["stop"])
    assert str(layer.mode) == "pan_zoom"


def test_a_dragged_end_of_a_diameter_is_a_step(viewer) -> None:
    work = bound(viewer)
    work.select([7])
    lines = work.lines
    before = work.session.lines()[7]
    assert len(lines.layer.data) == 2
    moved = [np.array(points) for points in lines.layer.data]
    moved[0][1] += (0, 1, 0)  # one voxel along y, 0.9 mm
    lines._quiet = True
    lines.layer.data = moved
    lines._quiet = False
    lines.dragged()
    after = work.session.lines()[7]
    assert work.session.undo_name == "Move the long diameter of lesion 7"
    assert after.long_by == "reader"
    assert after.long.start_lps_mm == before.long.start_lps_mm
    step = np.subtract(after.long.stop_lps_mm, before.long.stop_lps_mm)
    assert step == pytest.approx([0, 0.9, 0], abs=1e-5)
    assert after.short == before.short
    work.undo()
    assert work.session.lines()[7] == before
    work.redo()
    lines.reset()
    assert work.session.lines()[7].long_by == "mask"


def test_both_diameters_are_reset_in_one_step_with_a_name(viewer) -> None:
    work = bound(viewer)
    work.select([7])
    mask = work.session.lines()[7]
    work.lines.reset()
    assert work.message == "no diameter of 7 was moved"
    for which in ("long", "short"):
        work.session.move_line(7, which, (0, 0, 0), (3, 4, 0))
    moved = work.session.lines()[7]
    work.lines.reset()
    assert work.session.lines()[7] == mask
    assert work.session.undo_name == "Reset both diameters of lesion 7"
    work.undo()
    assert work.session.lines()[7] == moved


def test_the_lines_are_those_of_the_table_and_lie_in_its_slice(viewer) -> None:
    work = bound(viewer)
    for number in (3, 7, 12, 40):
        work.select([number])
        wanted = work.session.lines()[number]
        shown = work.lines.layer
        found = np.asarray(shown.data[0]) * shown.scale + shown.translate
        ends = work.placement.lps_to_world([wanted.long.start_lps_mm, wanted.long.stop_lps_mm])
        assert found == pytest.approx(ends, abs=1e-4)
        assert float(shown.data[0][0][0]).is_integer()
        text = f"{wanted.long.length_mm:.1f} × {wanted.short.length_mm:.1f} mm"
        assert shown.features["mm"].tolist() == [text, ""]
    work.select([1])
    assert len(work.lines.layer.data) == 0
    work.select([7])
    work.lines.set_wanted(wanted=False)
    assert len(work.lines.layer.data) == 0
    work.lines.go()
    assert str(work.lines.layer.mode) == "direct"
    assert viewer.dims.point[0] == pytest.approx(
        work.placement.lps_to_world(work.session.lines()[7].long.start_lps_mm)[0]
    )

"""The panel Lesions as a user drives it: clicks and keys in a window."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from lesions_cases import agree, bound, world_of
from medseg_napari.controller import bind
from medseg_napari.session import Filter, find_session
from medseg_napari.view.adapter import canvas_widget, window_widget
from medseg_napari.view.layer_data import image_data, labels_data
from medseg_napari.view.opening import add_layers
from session_cases import image, many, output, session

from medseg.types import Geometry


@pytest.fixture
def panel_of(window, qtbot):
    """Docks the panel in a window."""
    from medseg_napari.widgets.lesions import LesionsPanel

    def make():
        panel = LesionsPanel(window)
        window.window.add_dock_widget(panel, name="Lesions", area="right")
        qtbot.waitUntil(panel.isVisible)
        return panel

    return make


def rows_marked(panel) -> list[int]:
    return [int(panel.table.rows.ids[row]) for row in panel.table.chosen_rows()]


def click_row(qtbot, panel, number: int) -> None:
    from qtpy.QtCore import Qt

    row = panel.table.rows.row_of(number)
    place = panel.table.visualRect(panel.table.rows.index(row, 1)).center()
    qtbot.mouseClick(panel.table.viewport(), Qt.MouseButton.LeftButton, pos=place)


def test_a_review_from_the_start_page_to_the_saved_table(
    panel_of, window, qtbot, tmp_path: Path
) -> None:
    from qtpy.QtCore import Qt

    add_layers(window, [image_data(image()), labels_data(output())])
    panel = panel_of()
    panel.start.reader.setText("AB")
    panel.start.folder.setText(str(tmp_path / "work"))
    qtbot.mouseClick(panel.start.begin, Qt.MouseButton.LeftButton)
    work = panel.controller
    assert work is not None
    assert panel.totals.text_of("tumour")[0] == "3"
    qtbot.waitUntil(lambda: not panel._timer.isActive())

    click_row(qtbot, panel, 12)  # a row to the picture
    assert work.session.selection.current == 12
    best = work.session.largest_slice(12, 0).index_zyx
    assert window.dims.point[0] == pytest.approx(world_of(work, best)[0])
    work.pick(world_of(work, (7, 9, 11)))  # the picture to a row
    assert rows_marked(panel) == [40]

    click_row(qtbot, panel, 7)
    qtbot.keyClick(panel.table, Qt.Key.Key_W)
    assert panel.totals.text_of("tumour")[0::2] == ("3", "2")
    assert rows_marked(panel) == [12]
    panel.review.comment.setText("partly necrotic")
    qtbot.keyClick(panel.review.comment, Qt.Key.Key_Return)
    assert work.session.review(12).comment == "partly necrotic"
    qtbot.keyClick(canvas_widget(window), Qt.Key.Key_G)
    assert work.session.review(12).decision == "accept"
    qtbot.keyClick(canvas_widget(window), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert work.session.review(12).decision is None
    assert panel.message.text() == "undone: Accept lesion 12"
    agree(work)

    panel.save_csv(str(tmp_path / "table.csv"))
    saved = pd.read_csv(tmp_path / "table.csv", keep_default_na=False)
    assert saved["instance_id"].tolist() == [1, 3, 7, 12, 40]
    assert saved["mark"].tolist() == ["", "", "reject", "", ""]
    assert saved["comment"].tolist()[3] == "partly necrotic"


def test_of_several_images_on_the_grid_the_chosen_one_is_measured_and_named(
    panel_of, window, qtbot
) -> None:
    """The second image holds 100 more in each voxel; a third one lies elsewhere."""
    from qtpy.QtCore import Qt

    more = replace(image(), array=image().array + 100, modality="MR", unit="unknown")
    away = replace(image(), geometry=Geometry.from_spacing(image().array.shape, (9.0, 9.0, 9.0)))
    names = ("T1", "T2", "away")
    data = [
        image_data(one, name=name) for one, name in zip((image(), more, away), names, strict=True)
    ]
    add_layers(window, [*data, labels_data(output())])
    panel = panel_of()
    assert [panel.start.images.itemText(n) for n in range(2)] == ["T1", "T2"]
    assert panel.start.images.count() == 2
    panel.start.images.setCurrentText("T2")
    panel.start.reader.setText("AB")
    panel.start.folder.clear()
    qtbot.mouseClick(panel.start.begin, Qt.MouseButton.LeftButton)
    work = panel.controller
    found = work.session.frame(["instance_id", "intensity_mean"]).set_index("instance_id")
    item = work.session.instance(7)
    mean = more.array[item.box][item.mask].mean()
    assert found.loc[7, "intensity_mean"] == pytest.approx(mean)
    qtbot.waitUntil(lambda: panel.shown.text() == "5 objects; intensities of T2")


def test_buttons_reset_a_diameter_and_save_a_picture_with_numbers(
    panel_of, window, qtbot, tmp_path: Path, monkeypatch
) -> None:
    from matplotlib.image import imread
    from medseg_napari.widgets import lesions_picture
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QFileDialog

    asked = []
    real = lesions_picture.screenshot
    monkeypatch.setattr(
        lesions_picture, "screenshot", lambda *a, **k: (asked.append(k), real(*a, **k))[1]
    )
    work = bound(window)
    panel = panel_of()
    click_row(qtbot, panel, 7)
    work.session.move_line(7, "long", (0, 0, 0), (3, 4, 0))
    qtbot.mouseClick(panel.reset_line, Qt.MouseButton.LeftButton)
    assert work.session.lines()[7].long_by == "mask"
    assert panel.message.text() == "Reset the long diameter of lesion 7: done"

    work.show(filter=Filter(classes=frozenset(["tumour"])))
    path = tmp_path / "here.png"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "here"), ""))
    qtbot.mouseClick(panel.picture, Qt.MouseButton.LeftButton)
    assert asked == [{"numbers_of": work.objects, "ids": {7, 12, 40}}]
    assert imread(path).ndim == 3
    work.objects.visible = False
    qtbot.mouseClick(panel.picture, Qt.MouseButton.LeftButton)
    assert asked[1]["numbers_of"] is None


def test_closing_the_window_ends_the_session_as_it_should(window, tmp_path: Path) -> None:
    """Else every next look at the study would speak of a crash."""
    from qtpy.QtCore import Qt

    _, layer = add_layers(window, [image_data(image()), labels_data(output())])
    bind(window, session(tmp_path), layer)
    frame = window_widget(window)
    assert frame.testAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    frame.destroyed.emit(frame)  # what napari itself leads to by the attribute above
    found = find_session(tmp_path)
    assert found is not None and found.saved.closed and not found.in_use


def test_a_key_that_is_changed_in_preferences_counts_at_once(panel_of, window, qtbot) -> None:
    from napari.settings import get_plugin_settings
    from qtpy.QtCore import Qt

    work = bound(window)
    panel = panel_of()
    page = get_plugin_settings("medseg").keys
    try:
        page.accept = "Q"
        click_row(qtbot, panel, 7)
        qtbot.keyClick(panel.table, Qt.Key.Key_Q)
        assert work.session.review(7).decision == "accept"
        qtbot.keyClick(canvas_widget(window), Qt.Key.Key_G)
        assert work.session.review(12).decision is None
        qtbot.keyClick(canvas_widget(window), Qt.Key.Key_Q)
        assert work.session.review(12).decision == "accept"
        assert panel.review.buttons["accept"].toolTip() == "Key Q"
        qtbot.keyClick(canvas_widget(window), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        assert work.session.review(12).decision is None
    finally:
        page.accept = "G"


def test_a_comment_that_is_being_written_is_neither_lost_nor_overwritten(
    panel_of, window, qtbot
) -> None:
    """Whether a click on a button takes the focus from a line differs between systems."""
    from qtpy.QtCore import Qt

    work = bound(window)
    panel = panel_of()
    for button in panel.review.buttons.values():
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    click_row(qtbot, panel, 7)
    qtbot.keyClicks(panel.review.comment, "partly")
    work.session.mark([40], "unsure")  # as a step that was computed beside the interface
    assert panel.review.comment.text() == "partly"
    qtbot.keyClicks(panel.review.comment, " cystic")
    qtbot.mouseClick(panel.review.buttons["accept"], Qt.MouseButton.LeftButton)
    assert work.session.review(7).comment == "partly cystic"
    assert work.session.review(7).decision == "accept"
    assert work.session.selection.current == 12
    assert panel.review.comment.text() == ""
    assert work.session.review(12).comment == ""


def test_sort_and_filter_by_hand_and_the_picture_follows(panel_of, window, qtbot) -> None:
    from qtpy.QtCore import Qt

    work = bound(window)
    panel = panel_of()
    heads = panel.table.horizontalHeader()
    column = panel.table.rows.columns.index("score")
    place = heads.sectionViewportPosition(column) + heads.sectionSize(column) // 2
    qtbot.mouseClick(heads.viewport(), Qt.MouseButton.LeftButton, pos=_point(place, 10))
    assert work.session.selection.order.column == "score"
    assert panel.table.rows.ids.tolist() == work.session.selection.ids.tolist()
    panel.filter.score[0].setValue(0.6)
    qtbot.waitUntil(lambda: panel.table.rows.rowCount() == 3)
    assert panel.shown.text().startswith("3 of 5 objects shown")
    assert work.objects.colormap.map(work.objects.data.dtype.type(7))[3] == 0
    panel.filter.classes.setCurrentText("all lesions")
    qtbot.waitUntil(lambda: set(panel.table.rows.ids.tolist()) == {12, 40})
    qtbot.mouseClick(panel.filter.reset, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.table.rows.rowCount() == 5)
    assert work.session.selection.filter == Filter()


def _point(x: int, y: int):
    from qtpy.QtCore import QPoint

    return QPoint(x, y)


def test_columns_are_chosen_and_copied(panel_of, window, qtbot) -> None:
    from medseg_napari.widgets.lesions_choices import ColumnsDialog
    from medseg_napari.widgets.lesions_columns import column_names
    from qtpy.QtGui import QGuiApplication

    work = bound(window)
    panel = panel_of()
    dialog = ColumnsDialog(column_names(work.session), panel.table.rows.columns)
    qtbot.addWidget(dialog)
    dialog.tick("sphericity")
    dialog.tick("organ", on=False)
    assert "sphericity" in dialog.chosen
    panel.show_columns(["instance_id", "sphericity"])
    panel.table.copy([0, 1])
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[0] == "instance_id\tsphericity"
    assert [line.split("\t")[0] for line in lines[1:]] == ["1", "3"]


def test_300_lesions_open_with_the_table_at_once(panel_of, window, qtbot) -> None:
    volume, start = many(300, spread=48)
    work = bound(window, start, volume)
    panel = panel_of()
    assert panel.table.rows.rowCount() == 300
    qtbot.waitUntil(lambda: not panel._timer.isActive(), timeout=60_000)
    column = panel.table.rows.columns.index("volume_ml")
    assert panel.table.rows.data(panel.table.rows.index(0, column)) != "…"
    work.select([300])
    assert rows_marked(panel) == [300]


def test_a_session_that_is_no_longer_shown_is_let_go_with_its_image(
    panel_of, window, qtbot
) -> None:
    import gc
    import weakref

    from medseg_napari.controller import release
    from medseg_napari.widgets.table_model import LesionTableModel

    panel = panel_of()
    session_of_first = weakref.ref(bound(window).session)
    for _ in range(2):
        bound(window)
    qtbot.waitUntil(lambda: len(panel.findChildren(LesionTableModel)) == 1)
    release(window)
    qtbot.waitUntil(lambda: not panel.findChildren(LesionTableModel))

    def let_go() -> bool:
        gc.collect()
        return session_of_first() is None

    qtbot.waitUntil(let_go)

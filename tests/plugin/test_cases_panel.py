"""The Cases panel as a user has it: one key saves a case and opens the next."""

from __future__ import annotations

from pathlib import Path

import pytest
from session_cases import image, output

import medseg
from medseg.errors import OutputError

PATIENCE_MS = 120_000


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    from medseg_napari.session import CaseList

    folder = tmp_path / "studies"
    folder.mkdir()
    for name in ("a", "b"):
        medseg.write(image(), folder / f"{name}.nii.gz")
    for reader in ("AB", "CD"):
        cases = CaseList(folder, folder / "medseg", reader)
        for name in ("a", "b"):
            work = cases.open(name, image(), output())
            work.mark([3, 12], "accept")
            work.mark([7], "reject")
            work.close()
    return folder


@pytest.fixture
def panel(window, studies):
    from medseg_napari.widgets.cases import CasesPanel

    made = CasesPanel(window)
    window.window.add_dock_widget(made, name="Cases", area="right")
    made.studies.studies.setText(str(studies))
    made.studies.reader.setText("ab")
    made.open_list()
    yield made
    made.watcher.stop()
    made.work.leave()


def opened(qtbot, panel, case: str) -> None:
    def there() -> bool:
        current = panel.work.current
        return not panel.watcher.is_busy and current is not None and current.id == case

    qtbot.waitUntil(there, timeout=PATIENCE_MS)


def test_one_key_saves_a_case_and_opens_the_next(window, qtbot, panel) -> None:
    from medseg_napari.view.adapter import canvas_widget
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    index = panel.model.index(0, 0)
    panel.table.activated.emit(index)
    opened(qtbot, panel, "a")
    assert panel.work.session.review(7).decision == "reject"
    QTest.keyClick(canvas_widget(window), Qt.Key.Key_K)
    opened(qtbot, panel, "b")
    assert panel.work.cases.status("a") == "done"
    assert "1 done" in panel.counts.text()
    assert [layer.name for layer in window.layers] == ["b", "b: objects"]
    QTest.keyClick(canvas_widget(window), Qt.Key.Key_K, Qt.KeyboardModifier.ShiftModifier)
    opened(qtbot, panel, "a")
    assert panel.work.cases.status("b") == "to do"
    panel.as_status.setCurrentText("second read")
    panel.save_and_next()
    opened(qtbot, panel, "b")
    panel.save_and_next()
    qtbot.waitUntil(lambda: "Every case" in panel.banner.text.text(), timeout=PATIENCE_MS)
    assert panel.work.cases.counts() == {"to do": 0, "done": 1, "second read": 1}
    assert not len(window.layers)


def test_readers_are_compared_and_the_cases_exported_and_pictured(
    qtbot, panel, tmp_path: Path
) -> None:
    panel.open_case("a")
    opened(qtbot, panel, "a")
    panel.compare.scope.setCurrentText("all cases")
    panel.compare.compare.click()
    qtbot.waitUntil(lambda: not panel.watcher.is_busy, timeout=PATIENCE_MS)
    assert panel.compare.table.rowCount() == 3
    assert "kappa 1.00" in panel.compare.words.text()
    panel.write_page(tmp_path / "a.html")
    qtbot.waitUntil(lambda: "a.html" in panel.banner.text.text(), timeout=PATIENCE_MS)
    assert "a" in (tmp_path / "a.html").read_text(encoding="utf-8")
    panel.export_to(tmp_path / "data")
    qtbot.waitUntil(lambda: "no case is left" in panel.banner.text.text(), timeout=PATIENCE_MS)
    panel.save_and_next()
    opened(qtbot, panel, "b")
    panel.export_to(tmp_path / "data")
    qtbot.waitUntil(lambda: "1 case," in panel.banner.text.text(), timeout=PATIENCE_MS)
    assert (tmp_path / "data" / "dataset.json").is_file()
    assert "not in it, to do: b" in panel.banner.text.text()


def test_a_case_that_cannot_be_opened_leaves_none_on_display_that_is_not_kept(
    window, qtbot, panel, studies: Path
) -> None:
    panel.open_case("a")
    opened(qtbot, panel, "a")
    (studies / "b.nii.gz").write_bytes(b"cut short")
    panel.save_and_next()
    qtbot.waitUntil(lambda: not panel.watcher.is_busy, timeout=PATIENCE_MS)
    assert "b.nii.gz" in panel.banner.text.text()
    assert panel.work.current is None
    assert not len(window.layers)
    assert [row.status for row in panel.model.rows] == ["done", "to do"]
    assert panel.status.text() == ""
    assert not panel.by_hand.isEnabled()


def test_a_status_that_cannot_be_written_leaves_no_closed_case_on_display(
    window, qtbot, panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OutputError("disk-full", "case.json", "there is no room", "make room")

    panel.open_case("a")
    opened(qtbot, panel, "a")
    monkeypatch.setattr("medseg_napari.session.CaseList.set_status", full)
    panel.save_and_next()
    assert "[disk-full]" in panel.banner.text.text()
    assert panel.work.current is None and not len(window.layers)
    assert panel.status.text() == ""


def test_where_there_is_nothing_to_compare_the_panel_says_what_to_do(
    qtbot, panel, studies: Path
) -> None:
    from medseg_napari.session import CaseList

    medseg.write(image(), studies / "c.nii.gz")
    CaseList(studies, studies / "medseg", "CD").open("c", image(), output()).close()
    panel.open_list()
    panel.open_case("c")
    opened(qtbot, panel, "c")
    assert panel.compare.reader.currentText() == "CD"
    panel.compare.compare.click()
    qtbot.waitUntil(lambda: not panel.watcher.is_busy, timeout=PATIENCE_MS)
    assert "[nothing-to-compare]; read a case first that CD has read" in panel.banner.text.text()
    assert "fault" not in panel.banner.text.text()

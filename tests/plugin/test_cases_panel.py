"""The Cases panel as a user has it: one key saves a case and opens the next."""

from __future__ import annotations

from pathlib import Path

import pytest
from session_cases import image, output

import medseg

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

"""A model that wants a point, as a user has it: begun in Segment, clicked in Correct."""

from __future__ import annotations

import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
from lesions_cases import bound, world_of
from medseg_napari.controller import controller_of, release
from medseg_napari.run import Worker
from medseg_napari.view.opening import open_study
from session_cases import image, output

import medseg
from medseg import samples
from medseg.types import Geometry, Volume

PATIENCE_MS = 120_000
MODEL = "lung-nodule-ct"


@pytest.fixture
def correct(window):
    from medseg_napari.widgets.correct import CorrectPanel

    made = CorrectPanel(window)
    window.window.add_dock_widget(made, name="Correct", area="right")
    yield made
    made.looker.close()


@pytest.fixture
def slow(tmp_path) -> Worker:
    """A worker whose process looks for ever."""
    script = tmp_path / "child.py"
    script.write_text(
        textwrap.dedent(
            """
            import json, sys, time
            sys.stdin.readline()
            print(json.dumps({"event": "phase", "phase": "segmenting"}), flush=True)
            time.sleep(600)
            """
        ),
        encoding="utf-8",
    )
    return Worker([sys.executable, str(script)])


def press(qtbot, button) -> None:
    from qtpy.QtCore import Qt

    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def no_crop() -> tuple[Volume, np.ndarray]:
    """The CT with a nodule, widened so that it is no crop, and a voxel in the nodule."""
    folder = samples.path("lung_nodule_crop")
    seen = medseg.read(folder / "image.nii.gz", modality="CT", unit="HU")
    (truth,) = medseg.read_instances(folder / "label.nii.gz")
    inside = np.argwhere(truth.mask)[truth.voxel_count // 2] + [part.start for part in truth.box]
    wider = np.pad(seen.array, ((0, 0), (0, 0), (0, 120)), mode="edge")
    return replace(seen, array=wider, geometry=Geometry(wider.shape, seen.geometry.affine)), inside


def test_a_nodule_that_is_clicked_is_the_one_that_python_finds_there(
    window, qtbot, correct
) -> None:
    from medseg_napari.widgets.segment import SegmentPanel

    volume, inside = no_crop()
    panel = SegmentPanel(window)
    window.window.add_dock_widget(panel, name="Segment", area="right")
    open_study(window, volume, name="chest")
    qtbot.waitUntil(lambda: panel.model.choice.name == MODEL)
    panel.keep.reader.setText("AB")
    assert panel.start.text() == "Begin, then point"
    assert "Add by click" in panel.estimate.text()
    press(qtbot, panel.start)
    work = controller_of(window)
    assert work is not None and len(work.session.instances) == 0
    assert not panel.watcher.is_busy
    assert correct.add.model is not None and correct.add.model.name == MODEL
    assert not correct.add.reach_mm.isEnabled()
    press(qtbot, correct.add.buttons["add"])
    assert correct.message.text() == "click into the new nodule"
    work.clicks.click(world_of(work, inside))
    assert correct.add.buttons["cancel"].isEnabled() and not correct.draw.isEnabled()
    assert correct.message.text().startswith(f"{MODEL}: ")
    qtbot.waitUntil(lambda: not correct.looker.busy, timeout=PATIENCE_MS)
    assert work.session.undo_name == f"Add lesion 1 by {MODEL}"
    point = volume.geometry.index_to_world(inside).tolist()
    (expected,) = medseg.segment(volume, medseg.load_model(MODEL), at=point)
    (made,) = work.session.instances
    assert (made.box, made.score) == (expected.box, expected.score)
    assert np.array_equal(made.mask, expected.mask)
    assert work.item is made and correct.draw.isEnabled()
    press(qtbot, correct.add.buttons["add"])
    work.clicks.click(world_of(work, inside))
    assert "the click lies in lesion 1" in correct.message.text()
    assert not correct.looker.busy
    panel.worker.close()


def test_a_cancel_ends_the_process_and_another_session_takes_nothing(
    window, qtbot, correct, slow
) -> None:
    work = bound(window)
    correct.looker.worker = slow
    correct.add.by.setCurrentIndex(1)
    for end in (lambda: press(qtbot, correct.add.buttons["cancel"]), lambda: release(window)):
        press(qtbot, correct.add.buttons["add"])
        work.clicks.click(world_of(work, (6, 1, 1)))
        qtbot.waitUntil(lambda: "Segmenting" in correct.message.text(), timeout=PATIENCE_MS)
        end()
        assert not correct.looker.busy
        assert work.session.undo_name is None
    assert correct.message.text() == ""


def test_a_closed_panel_ends_the_process_of_the_model_that_looks(window, qtbot, slow) -> None:
    from medseg_napari.widgets.correct import CorrectPanel

    work = bound(window)
    panel = CorrectPanel(window)
    dock = window.window.add_dock_widget(panel, name="Correct", area="right")
    panel.looker.worker = slow
    panel.add.by.setCurrentIndex(1)
    press(qtbot, panel.add.buttons["add"])
    work.clicks.click(world_of(work, (6, 1, 1)))
    assert slow.process_number is not None
    with qtbot.waitSignal(panel.destroyed, timeout=PATIENCE_MS):
        dock.destroyOnClose()
    assert slow.process_number is None
    assert not slow.is_busy


def test_a_crash_of_the_model_is_said_and_the_panel_goes_on(
    window, qtbot, correct, tmp_path
) -> None:
    script = tmp_path / "child.py"
    script.write_text("import sys; sys.stdin.readline(); sys.exit('no such thing')")
    work = bound(window)
    correct.looker.worker = Worker([sys.executable, str(script)])
    correct.add.by.setCurrentIndex(1)
    press(qtbot, correct.add.buttons["add"])
    work.clicks.click(world_of(work, (6, 1, 1)))
    qtbot.waitUntil(lambda: not correct.looker.busy, timeout=PATIENCE_MS)
    assert "no such thing" in correct.message.text()
    assert correct.draw.isEnabled() and correct.add.buttons["add"].isEnabled()


def test_of_two_models_of_one_name_the_folder_that_was_chosen_is_taken(window, correct) -> None:
    from medseg.models.packages import package_folder

    bound(window)
    folder = str(package_folder(MODEL))
    correct.add_folder(folder)
    assert correct.add.model.name == folder
    assert [correct.add.by.itemText(n) for n in (1, 2)] == [MODEL, MODEL]


def test_what_takes_no_click_is_not_offered(window, correct) -> None:
    work = bound(window, replace(output(), items=[]), replace(image(), modality="PT"))
    assert correct.add.by.count() == 1
    correct.add_folder(str(samples.path("lung_nodule_crop")))
    assert "model-invalid" in work.message
    correct.add_folder("phantom-lesions")
    assert correct.add.model is None
    assert work.message == "phantom-lesions does not outline what is pointed at in this image"

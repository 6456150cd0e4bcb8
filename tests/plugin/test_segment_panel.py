"""The Segment panel as a user has it: from an image to a session, the window never stands still."""

from __future__ import annotations

import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from medseg_napari.session import Session, find_session
from medseg_napari.session.snapshot import write_snapshot
from session_cases import image, output, session

import medseg
from medseg.phantom import touching_lesions
from medseg.types import Geometry, Volume

PATIENCE_MS = 120_000
MODEL = "phantom-lesions"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "studies" / "one.nii.gz"
    path.parent.mkdir()
    medseg.write(touching_lesions(3).volume, path)
    return path


@pytest.fixture
def panel(window, qtbot):
    from medseg_napari.widgets.segment import SegmentPanel

    made = SegmentPanel(window)
    window.window.add_dock_widget(made, name="Segment", area="right")
    yield made
    made.watcher.stop()
    made.worker.close()


def shown(window, path: Path | None, volume: Volume | None = None):
    from medseg_napari.view.facts import StudySource
    from medseg_napari.view.opening import open_study, read_volume

    image = read_volume(path, modality="MR") if volume is None else volume
    source = StudySource(None if path is None else str(path))
    return open_study(window, image, name="one", source=source)[0]


def choose(panel, name: str) -> None:
    names = [one.name for one in panel.model.choices]
    panel.model.list.setCurrentIndex(names.index(name))


def click(qtbot, button) -> None:
    from qtpy.QtCore import Qt

    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_a_click_gives_a_session_that_is_kept_and_shown(window, qtbot, panel, study) -> None:
    from medseg_napari.controller import controller_of
    from medseg_napari.session import CaseList

    layer = shown(window, study)
    choose(panel, MODEL)
    assert not panel.start.isEnabled()
    assert "initials" in panel.estimate.text()
    panel.keep.reader.setText("ab")
    assert panel.start.isEnabled()
    qtbot.waitUntil(lambda: "1 window" in panel.estimate.text(), timeout=PATIENCE_MS)
    click(qtbot, panel.start)
    assert not panel.start.isEnabled() and panel.cancel.isEnabled()
    qtbot.waitUntil(lambda: controller_of(window) is not None, timeout=PATIENCE_MS)
    work = controller_of(window).session
    expected = medseg.segment(layer.metadata["medseg"].volume, medseg.load_model(MODEL))
    assert [item.id for item in work.instances] == [item.id for item in expected]
    cases = CaseList(study.parent, study.parent / "medseg", "AB")
    assert work.store is not None and work.store.folder == cases.folder("one")
    labels = controller_of(window).objects
    assert labels.visible and labels.data.any()
    assert panel.start.isEnabled() and not panel.cancel.isEnabled()


def test_a_slow_network_neither_stops_the_window_nor_outlives_a_cancel(
    window, qtbot, panel, tmp_path, study
) -> None:
    from medseg_napari.run import Worker

    script = tmp_path / "child.py"
    script.write_text(
        textwrap.dedent(
            """
            import json, sys, time
            sys.stdin.readline()
            print(json.dumps({"event": "phase", "phase": "segmenting"}), flush=True)
            print(json.dumps({"event": "progress", "done": 1, "total": 9}), flush=True)
            time.sleep(600)
            """
        ),
        encoding="utf-8",
    )
    panel.worker = Worker([sys.executable, str(script)])
    panel.keep.reader.setText("AB")
    shown(window, study)
    choose(panel, MODEL)
    panel.run()
    qtbot.waitUntil(lambda: "1 of 9" in panel.status.text(), timeout=PATIENCE_MS)
    gaps, last = [], [time.monotonic()]

    def beat() -> bool:
        now = time.monotonic()
        gaps.append(now - last[0])
        last[0] = now
        return len(gaps) > 20

    qtbot.waitUntil(beat, timeout=PATIENCE_MS)
    assert sorted(gaps)[len(gaps) // 2] < 0.5
    folder = panel.worker._child.folder
    click(qtbot, panel.cancel)
    assert "Cancelled" in panel.status.text()
    qtbot.waitUntil(lambda: not folder.exists(), timeout=PATIENCE_MS)
    assert not (study.parent / "medseg").exists()
    assert panel.start.isEnabled()


def test_a_result_goes_to_its_own_study_though_another_is_open_by_then(
    window, qtbot, panel, tmp_path, study
) -> None:
    """As where a reader goes on in the list of cases while the network runs."""
    from medseg_napari.controller import controller_of
    from medseg_napari.run import Worker

    ready, script = tmp_path / "result.npz", tmp_path / "child.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import json, pathlib, shutil, sys, time
            sys.stdin.readline()
            print(json.dumps({{"event": "phase", "phase": "segmenting"}}), flush=True)
            while not pathlib.Path({str(ready)!r}).exists():
                time.sleep(0.05)
            shutil.copy({str(ready)!r}, sys.argv[1])
            print(json.dumps({{"event": "result", "file": "result.npz"}}), flush=True)
            """
        ),
        encoding="utf-8",
    )
    panel.worker = Worker([sys.executable, str(script)])
    panel.keep.reader.setText("AB")
    first = shown(window, study)
    choose(panel, MODEL)
    panel.run()
    assert not panel.keep.isEnabled()
    qtbot.waitUntil(lambda: "Segmenting" in panel.status.text(), timeout=PATIENCE_MS)
    window.layers.remove(first)
    other = study.with_name("two.nii.gz")
    medseg.write(touching_lesions(5).volume, other)
    shown(window, other)
    write_snapshot(touching_lesions(3).truth, ready)
    qtbot.waitUntil(lambda: "was closed" in panel.banner.text.text(), timeout=PATIENCE_MS)
    found = find_session(study.parent / "medseg" / "one" / "AB")
    assert found is not None and found.saved.closed
    assert not (study.parent / "medseg" / "two").exists()
    assert controller_of(window) is None
    assert panel.start.isEnabled()


def test_a_fault_of_the_program_is_said_and_the_panel_can_start_again(
    window, qtbot, panel, study
) -> None:
    from medseg_napari.run import Job

    panel.keep.reader.setText("AB")
    shown(window, study)
    choose(panel, MODEL)

    def broken(_: object) -> None:
        raise ZeroDivisionError

    panel.worker.segment = lambda *_, **__: Job(broken)
    with qtbot.captureExceptions() as raised:
        panel.run()
        qtbot.waitUntil(lambda: "program-fault" in panel.banner.text.text(), timeout=PATIENCE_MS)
    assert [one[0] for one in raised] == [ZeroDivisionError]
    assert panel.start.isEnabled()


def test_an_image_of_another_modality_cannot_be_segmented(window, qtbot, panel) -> None:
    panel.keep.reader.setText("AB")
    shown(window, None, image())
    choose(panel, MODEL)
    qtbot.waitUntil(lambda: not panel.start.isEnabled(), timeout=PATIENCE_MS)
    assert "is for MR; the image is CT" in panel.problem


def test_a_crash_leaves_a_question_and_the_answer_brings_the_work_back(
    window, qtbot, panel, tmp_path
) -> None:
    from medseg_napari.controller import controller_of

    path = tmp_path / "one.nii.gz"
    medseg.write(image(), path)
    left = session(tmp_path / "medseg" / "one" / "AB")
    left.mark([3], "reject")
    left.store.abandon()  # as a process leaves it that was killed
    shown(window, path, image())
    qtbot.waitUntil(lambda: "not closed" in panel.banner.text.text(), timeout=PATIENCE_MS)
    click(qtbot, panel.banner.button("Go on"))
    work = controller_of(window).session
    assert work.reader == "AB"
    assert work.review(3).decision == "reject"
    assert "out-of-domain" in panel.banner.text.text()


def test_a_rectangle_makes_the_box(window, qtbot, panel) -> None:
    panel.keep.reader.setText("AB")
    shown(window, None, touching_lesions(3).volume)
    choose(panel, MODEL)
    panel.region.list.setCurrentIndex(1)
    assert "Draw the box" in panel.problem
    panel.region.start_drawing()
    corners = [[35, 4, 20], [35, 4, 50], [35, 30, 50], [35, 30, 20]]
    window.layers["region"].add([corners], shape_type="rectangle")
    assert panel.box == (slice(0, 48), slice(4, 31), slice(20, 51))
    assert "48 × 27 × 31 voxels" in panel.region.words.text()
    assert panel.problem == ""


def test_go_on_opens_the_session_on_the_image_that_it_was_offered_for(
    window, qtbot, panel, tmp_path
) -> None:
    """Another image of the modality is the chosen one, and stays it."""
    from medseg_napari.controller import controller_of

    other = replace(image(), array=image().array + 1)
    for name, volume in (("one", image()), ("two", other)):
        medseg.write(volume, tmp_path / f"{name}.nii.gz")
    folder = tmp_path / "medseg" / "two" / "AB"
    Session.begin(other, output(), "AB", folder=folder).close()
    panel.keep.reader.setText("AB")
    first = shown(window, tmp_path / "one.nii.gz", image())
    qtbot.waitUntil(lambda: not panel._greeting.isActive(), timeout=PATIENCE_MS)
    shown(window, tmp_path / "two.nii.gz", other)
    qtbot.waitUntil(lambda: "Go on with it?" in panel.banner.text.text(), timeout=PATIENCE_MS)
    assert panel.channels.first is first
    click(qtbot, panel.banner.button("Go on"))
    assert "image-changed" not in panel.banner.text.text()
    work = controller_of(window).session
    assert work.store.folder == folder
    assert (work.volume.array == other.array).all()


def test_a_question_about_an_image_that_is_closed_by_then_opens_nothing(
    window, qtbot, panel, tmp_path
) -> None:
    from medseg_napari.controller import controller_of

    medseg.write(image(), tmp_path / "one.nii.gz")
    session(tmp_path / "medseg" / "one" / "AB").close()
    panel.keep.reader.setText("AB")
    layer = shown(window, tmp_path / "one.nii.gz", image())
    qtbot.waitUntil(lambda: "Go on with it?" in panel.banner.text.text(), timeout=PATIENCE_MS)
    window.layers.remove(layer)
    click(qtbot, panel.banner.button("Go on"))
    assert controller_of(window) is None and panel.banner.isHidden()


def test_the_folder_of_keeping_both_is_that_of_its_own_study_alone(
    window, qtbot, panel, tmp_path
) -> None:
    """The model wants a point, so a session begins at once."""
    from medseg_napari.controller import controller_of

    grid = Geometry.from_spacing((40, 40, 40), (5.0, 5.0, 5.0))
    volume = Volume(np.arange(64_000, dtype=np.float32).reshape(grid.shape), grid, "CT", "HU")
    layers = []
    base = tmp_path / "medseg"
    panel.keep.reader.setText("AB")
    for name in ("one", "two"):
        medseg.write(volume, tmp_path / f"{name}.nii.gz")
        if name == "one":
            layers.append(shown(window, tmp_path / "one.nii.gz", volume))
    choose(panel, "lung-nodule-ct")
    panel.run()
    assert controller_of(window).session.store.folder == base / "one" / "AB"
    panel.run()
    click(qtbot, panel.banner.button("Keep both"))
    assert controller_of(window).session.store.folder == base / "one" / "AB-2"
    panel._refresh()
    assert panel.keep.path == base / "one" / "AB-2"
    window.layers.remove(layers[0])
    shown(window, tmp_path / "two.nii.gz", volume)
    assert panel.keep.path == base / "two" / "AB"
    panel.keep.folder.setText(str(tmp_path / "mine"))
    panel.keep.folder.setModified(True)  # as where it was typed
    panel._refresh()
    assert panel.keep.path == tmp_path / "mine"


def test_keeping_both_is_asked_anew_where_another_image_was_chosen_since(
    window, qtbot, panel, tmp_path
) -> None:
    from medseg_napari.controller import controller_of

    grid = Geometry.from_spacing((40, 40, 40), (5.0, 5.0, 5.0))
    volume = Volume(np.arange(64_000, dtype=np.float32).reshape(grid.shape), grid, "CT", "HU")
    panel.keep.reader.setText("AB")
    for name in ("one", "two"):
        medseg.write(volume, tmp_path / f"{name}.nii.gz")
        shown(window, tmp_path / f"{name}.nii.gz", volume)
    choose(panel, "lung-nodule-ct")
    place = next(iter(panel.channels.lists.values()))
    place.setCurrentIndex(1)
    panel.run()
    panel.run()
    place.setCurrentIndex(2)
    click(qtbot, panel.banner.button("Keep both"))
    assert controller_of(window).session.store.folder == tmp_path / "medseg" / "two" / "AB"

"""`medseg view` as a user has it: panels in tabs, a review that begins, and one that goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from medseg_napari.controller import controller_of
from medseg_napari.session import Session
from session_cases import image, output

import medseg

SCREEN = (1280, 800)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A study and its objects."""
    study, objects = tmp_path / "study.nii.gz", tmp_path / "objects.seg.nrrd"
    medseg.write(image(), study)
    medseg.write(output(), objects)
    return study, objects


@pytest.fixture
def launched(needs_window, request, monkeypatch: pytest.MonkeyPatch, qtbot, files):
    """Opens the study as the command does, in a window that the test closes."""
    import napari
    from medseg_napari.view.launch import launch
    from medseg_napari.view.opening import read_volume

    def call(labels: Path | None = None, **more):
        monkeypatch.setattr(napari, "Viewer", request.getfixturevalue("make_napari_viewer"))
        volume = read_volume(files[0], modality="CT", unit="HU")
        viewer = launch(volume, files[0], labels, **more)
        docked = viewer.window.dock_widgets
        return viewer, docked["Segment (medseg)"], docked["Lesions (medseg)"]

    return call


def in_front(panel) -> bool:
    """Whether a panel is the one that is seen among the tabs."""
    return not panel.visibleRegion().isEmpty()


def test_the_review_of_given_objects_begins_in_the_folder_that_was_named(
    launched, files, tmp_path: Path, qtbot
) -> None:
    viewer, segment, lesions = launched(files[1], output=tmp_path / "out", reader="ab")
    qtbot.waitUntil(lambda: in_front(lesions))
    work = controller_of(viewer).session
    assert (work.reader, work.store.folder) == ("AB", tmp_path / "out" / "AB")
    assert lesions.table.rows.rowCount() == len(output())
    assert work.store.saved.source == {
        "path": str(files[0]), "modality": "CT", "unit": "HU"
    }  # fmt: skip
    assert not in_front(segment)
    assert segment.keep.path == tmp_path / "out" / "AB"


def test_without_objects_the_panel_that_finds_some_is_in_front(launched, qtbot) -> None:
    viewer, segment, lesions = launched()
    qtbot.waitUntil(lambda: in_front(segment))
    assert not in_front(lesions)
    assert controller_of(viewer) is None
    assert lesions.start.banner.isHidden()


def test_a_reader_who_is_not_known_is_asked_for(launched, files, qtbot) -> None:
    from qtpy.QtCore import Qt

    viewer, _, lesions = launched(files[1])
    assert controller_of(viewer) is None
    assert "initials" in lesions.start.message.text()
    lesions.start.reader.setText("a b")
    qtbot.mouseClick(lesions.start.begin, Qt.MouseButton.LeftButton)
    assert controller_of(viewer) is None, "nothing is begun that would not be kept"
    qtbot.keyClicks(lesions.start.reader, "\b\b\bab")
    qtbot.mouseClick(lesions.start.begin, Qt.MouseButton.LeftButton)
    work = controller_of(viewer).session
    assert work.store.folder == files[0].parent / "medseg" / "study" / "AB"


def test_work_that_a_crash_cut_off_is_offered_and_goes_on(launched, files, qtbot) -> None:
    from qtpy.QtCore import Qt

    folder = files[0].parent / "medseg" / "study" / "AB"
    volume = medseg.read(files[0], modality="CT", unit="HU")
    work = Session.begin(volume, output(), "AB", folder=folder)
    work.comment(3, "necrotic")
    work.delete([7])
    work.keep_view(["instance_id", "comment"])
    work.store.abandon()
    viewer, segment, lesions = launched(files[1], reader="AB")
    assert controller_of(viewer) is None
    qtbot.waitUntil(lambda: in_front(lesions) and lesions.start.banner.isVisible())
    assert "was not closed" in lesions.start.banner.text.text()
    qtbot.mouseClick(lesions.start.banner.button("Go on"), Qt.MouseButton.LeftButton)
    work = controller_of(viewer)
    assert work is not None
    assert work.session.undo_name == "Delete lesion 7"
    assert work.session.review(3).comment == "necrotic"
    assert lesions.table.rows.columns == ["instance_id", "comment"]
    assert not viewer.layers["objects"].visible
    assert segment.banner.isHidden()


def test_both_works_are_kept_where_one_begins_anew(launched, files, qtbot) -> None:
    from qtpy.QtCore import Qt

    folder = files[0].parent / "medseg" / "study" / "AB"
    Session.begin(None, output(), "AB", folder=folder).close()
    viewer, _, lesions = launched(files[1], reader="AB")
    qtbot.waitUntil(lesions.start.banner.isVisible)
    assert "Go on with it?" in lesions.start.banner.text.text()
    qtbot.mouseClick(lesions.start.banner.button("Begin anew"), Qt.MouseButton.LeftButton)
    assert controller_of(viewer).session.store.folder == folder.with_name("AB-2")


def test_a_second_reader_begins_his_own_work_beside_the_first_ones(launched, files, qtbot) -> None:
    base = files[0].parent / "medseg" / "study"
    Session.begin(None, output(), "AB", folder=base / "AB").close()
    viewer, _, _ = launched(files[1], reader="cd")
    assert controller_of(viewer).session.store.folder == base / "CD"
    _, _, lesions = launched(reader="EF")
    qtbot.waitUntil(lesions.start.banner.isVisible)
    assert "another reader's" in lesions.start.banner.text.text()
    with pytest.raises(ValueError, match="no button"):
        lesions.start.banner.button("Go on")
    assert lesions.start.banner.button("Dismiss").isEnabled()


def test_an_image_that_changed_is_said_with_its_code(launched, files, qtbot) -> None:
    from qtpy.QtCore import Qt

    folder = files[0].parent / "medseg" / "study" / "AB"
    other = image()
    other.array[0, 0, 0] += 1
    Session.begin(other, output(), "AB", folder=folder).close()
    viewer, _, lesions = launched(reader="AB")
    qtbot.waitUntil(lesions.start.banner.isVisible)
    qtbot.mouseClick(lesions.start.banner.button("Go on"), Qt.MouseButton.LeftButton)
    assert controller_of(viewer) is None
    assert "[image-changed]" in lesions.start.banner.text.text()


def test_window_and_panels_fit_a_small_screen(launched, files, qtbot) -> None:
    viewer, _, lesions = launched(files[1], reader="AB")
    viewer.window.resize(*SCREEN)
    qtbot.waitUntil(lambda: in_front(lesions))
    size = viewer.window.geometry()[2:]
    assert size[0] <= SCREEN[0]
    assert size[1] <= SCREEN[1]
    bottom = lesions.message.mapTo(lesions, lesions.message.rect().bottomLeft())
    assert bottom.y() <= lesions.height()
    assert viewer.canvas.size[1] > SCREEN[0] // 3

"""Work that is nowhere on the disk: parted from its layer, it is kept until somebody lets it go."""

from __future__ import annotations

from pathlib import Path

import pytest
from lesions_cases import bound, only
from medseg_napari.controller import controller_of, release, set_aside
from medseg_napari.session import Session
from medseg_napari.view.facts import StudySource
from medseg_napari.widgets.preferences import Preferences
from medseg_napari.widgets.segment_show import bring_back, remarks, show_session, way_back
from session_cases import image, output, session


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    found: list[Session] = []
    monkeypatch.setattr("medseg_napari.controller.warn_of_aside", found.append)
    return found


def another(viewer, work: Session | None = None):
    new = Session.begin(image(), output(), "AB") if work is None else work
    wishes = Preferences(min_volume_ml=0.0)
    return show_session(viewer, new, name="new", source=StudySource(), wishes=wishes)


def test_a_new_result_sets_marks_aside_that_are_not_on_the_disk(viewer, said) -> None:
    work = bound(viewer, only(3, 12))
    old, objects = work.session, work.objects
    old.mark([3], "accept")
    new = another(viewer)
    assert said == [old]
    line = "AB's review of before (1 step) is not kept on the disk: it stands aside"
    assert line in remarks(new.session, new)
    ((name, act),) = way_back(viewer)
    assert name == "Bring it back"
    act()
    assert controller_of(viewer).session is old and controller_of(viewer).objects is objects
    assert old.review(3).decision == "accept"
    assert old.undo() is not None
    assert set_aside(viewer) == [] == way_back(viewer)
    bring_back(viewer)
    assert controller_of(viewer).session is old


def test_removing_the_layer_sets_its_marks_aside_and_they_come_back_with_it(viewer, said) -> None:
    work = bound(viewer, only(3, 12))
    old, objects = work.session, work.objects
    old.delete([12])
    viewer.layers.remove(objects)
    assert controller_of(viewer) is None and said == [old]
    bring_back(viewer)
    assert objects in viewer.layers and controller_of(viewer).session is old
    assert set(objects.data.ravel().tolist()) == {0, 3}
    old.undo()
    assert set(objects.data.ravel().tolist()) == {0, 3, 12}


def test_what_is_on_the_disk_or_holds_no_step_is_closed(viewer, said, tmp_path: Path) -> None:
    bound(viewer, only(3, 12))
    kept = session(tmp_path)
    another(viewer, kept)
    kept.mark([3], "accept")
    another(viewer)
    assert set_aside(viewer) == [] == said
    with pytest.raises(ValueError, match="closed"):
        kept.mark([3], "reject")


def test_work_stays_aside_through_another_release_and_the_last_comes_first(viewer, said) -> None:
    first = bound(viewer, only(3, 12)).session
    first.mark([3], "accept")
    second = another(viewer).session
    second.mark([7], "reject")
    release(viewer)
    assert [one for one, _ in set_aside(viewer)] == [first, second] == said
    bring_back(viewer)
    assert controller_of(viewer).session is second
    bring_back(viewer)
    assert controller_of(viewer).session is first
    assert [one for one, _ in set_aside(viewer)] == [second]


def test_the_lesions_panel_asks_what_becomes_of_it(window, qtbot) -> None:
    from medseg_napari.widgets.lesions import LesionsPanel

    panel = LesionsPanel(window)
    window.window.add_dock_widget(panel)
    work = bound(window, only(3, 12))
    old = work.session
    old.mark([3], "accept")
    window.layers.remove(work.objects)
    banner = panel.start.banner
    qtbot.waitUntil(banner.isVisible)
    assert "not kept on the disk" in banner.text.text()
    banner.button("Bring it back").click()
    assert controller_of(window).session is old
    window.layers.remove(work.objects)
    qtbot.waitUntil(banner.isVisible)
    banner.button("Let it go").click()
    assert set_aside(window) == [] and banner.isHidden()

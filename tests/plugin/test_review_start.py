"""The start page of a review: what lies in the folder is asked about, never drawn into a layer."""

from __future__ import annotations

from pathlib import Path

import pytest
from lesions_cases import only
from medseg_napari.controller import controller_of
from medseg_napari.session import Session
from medseg_napari.view.facts import StudySource
from medseg_napari.view.layer_data import image_data, labels_data
from medseg_napari.view.opening import add_layers
from session_cases import image, output, session


@pytest.fixture
def start(window, qtbot):
    """The start page of the panel Lesions, docked, of the reader AB."""
    from medseg_napari.widgets.lesions import LesionsPanel

    panel = LesionsPanel(window)
    window.window.add_dock_widget(panel, name="Lesions", area="right")
    qtbot.waitUntil(panel.isVisible)
    panel.start.reader.setText("AB")
    return panel.start


def opened(window, study: Path, *models):
    """A study as it is opened from a file, with layers model1, model2, ... of objects on it."""
    labels = [labels_data(one, name=f"model{n}") for n, one in enumerate(models, start=1)]
    source = StudySource(str(study))
    return add_layers(window, [image_data(image(), name="CT", source=source), *labels])


def press(qtbot, button) -> None:
    from qtpy.QtCore import Qt

    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def reviewed(window, start, qtbot, tmp_path: Path):
    """After a review of model1, whose layer was removed: model2 is chosen. Its layer."""
    _, first, second = opened(window, tmp_path / "study.nii", output(), only(3))
    assert start.layers.currentText() == "model1"
    press(qtbot, start.begin)
    controller_of(window).session.mark([7], "reject")
    window.layers.remove(first)
    assert controller_of(window) is None and start.layers.currentText() == "model2"
    qtbot.waitUntil(lambda: start.begin.text() == "Go on with the review")
    return second


def test_a_session_on_other_objects_is_asked_about_and_gets_a_layer_of_its_own(
    window, start, qtbot, tmp_path: Path, reviewed
) -> None:
    before = reviewed.data.copy()
    press(qtbot, start.begin)
    assert controller_of(window) is None
    assert "AB's session (1 step" in start.banner.text.text()
    press(qtbot, start.banner.button("Go on"))
    work = controller_of(window)
    assert work.session.store.folder == tmp_path / "medseg" / "study" / "AB"
    assert work.session.review(7).decision == "reject"
    assert work.objects is not reviewed and work.objects.name == "CT: objects"
    assert (reviewed.data == before).all() and not reviewed.visible


def test_or_another_session_is_begun_on_the_chosen_objects(
    window, start, qtbot, tmp_path: Path, reviewed
) -> None:
    press(qtbot, start.begin)
    press(qtbot, start.banner.button("Begin anew"))
    work = controller_of(window)
    assert work.objects is reviewed
    assert [item.id for item in work.session.instances] == [3]
    assert work.session.store.folder == tmp_path / "medseg" / "study" / "AB-2"
    window.layers.clear()
    opened(window, tmp_path / "next.nii", output())
    assert start.folder.text() == str(tmp_path / "medseg" / "next" / "AB")


@pytest.mark.parametrize("fits", [True, False])
def test_without_an_image_a_session_goes_on_where_its_grid_is_that_of_the_objects(
    window, start, qtbot, tmp_path: Path, fits: bool
) -> None:
    session(tmp_path / "kept").close()
    here = only(3) if fits else _elsewhere()
    (layer,) = add_layers(window, [labels_data(here, name="model")])
    before = layer.data.copy()
    start.folder.setText(str(tmp_path / "kept"))
    press(qtbot, start.begin)
    press(qtbot, start.banner.button("Go on"))
    work = controller_of(window)
    assert (layer.data == before).all()
    if fits:
        assert len(work.session.instances) == 5 and work.objects is not layer
    else:
        assert work is None
        assert "[grid-mismatch]" in start.banner.text.text()
        Session.resume(None, tmp_path / "kept", "AB").close()  # nothing holds it open


def _elsewhere():
    from medseg.phantom import touching_lesions

    return touching_lesions(3).truth

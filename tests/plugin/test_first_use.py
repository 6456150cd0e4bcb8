"""What a panel says and shows to whoever meets it first: hints, initials, the plane of a line."""

from __future__ import annotations

from pathlib import Path

import pytest
from lesions_cases import bound
from medseg_napari.view.layer_data import image_data
from medseg_napari.view.opening import add_layers
from medseg_napari.view.planes import PLANES, plane_of, show_plane, slice_axis
from session_cases import image

import medseg

PATIENCE_MS = 120_000


@pytest.fixture
def cases_of(window):
    """Docks the panel of cases in a window."""
    from medseg_napari.widgets.cases import CasesPanel

    made = []

    def make():
        panel = CasesPanel(window)
        window.window.add_dock_widget(panel, name="Cases", area="right")
        made.append(panel)
        return panel

    yield make
    for panel in made:
        panel.watcher.stop()
        panel.work.leave()


@pytest.mark.parametrize("plane", PLANES)
def test_the_way_to_a_diameter_ends_in_the_plane_that_it_lies_in(viewer, plane) -> None:
    work = bound(viewer)
    for number in (3, 7, 12, 40):
        work.select([number])
        show_plane(viewer, plane)
        work.lines.go()
        assert plane_of(viewer) == "axial"
        axis = slice_axis(viewer)
        for line in work.lines.layer.data:
            depths = line[:, axis] * work.lines.layer.scale[axis] + work.lines.layer.translate[axis]
            assert depths == pytest.approx(viewer.dims.point[axis], abs=1e-3)


@pytest.mark.filterwarnings("ignore:Contours are not displayed")  # napari says it of any contour
def test_the_way_to_a_diameter_leaves_a_view_in_3d_as_it_is(viewer) -> None:
    work = bound(viewer)
    work.select([7])
    show_plane(viewer, "sagittal", ndisplay=3)
    work.lines.go()
    assert (plane_of(viewer), viewer.dims.ndisplay) == ("sagittal", 3)


def test_the_start_of_a_review_says_what_is_missing(window, qtbot) -> None:
    from medseg_napari.widgets.review_start import StartBox

    box = StartBox(window)
    qtbot.addWidget(box)
    assert box.message.text() == "Open a study first."
    add_layers(window, [image_data(image())])
    assert "No objects yet" in box.message.text()
    box.let_go()


def test_cases_know_who_reads_from_the_session_at_hand(window, cases_of) -> None:
    assert cases_of().studies.reader.text() == ""
    bound(window)
    assert cases_of().studies.reader.text() == "AB"


def test_cases_ask_for_initials_and_say_that_a_case_was_begun_by_hand(
    window, qtbot, cases_of, tmp_path: Path
) -> None:
    from qtpy.QtCore import Qt

    medseg.write(image(), tmp_path / "a.nii.gz")
    panel = cases_of()
    panel.studies.studies.setText(str(tmp_path))
    qtbot.mouseClick(panel.studies.open, Qt.MouseButton.LeftButton)
    assert panel.banner.text.text() == "Enter your initials beside Reader."
    qtbot.keyClicks(panel.studies.reader, "ab")
    qtbot.mouseClick(panel.studies.open, Qt.MouseButton.LeftButton)
    panel.open_case("a")
    qtbot.waitUntil(panel.by_hand.isEnabled, timeout=PATIENCE_MS)
    qtbot.mouseClick(panel.by_hand, Qt.MouseButton.LeftButton)
    assert panel.status.text() == "a: begun by hand. Draw with Paint new in Correct."

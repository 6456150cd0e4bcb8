"""`medseg view`: what it opens, and what it says where no window can be opened."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest
from cli_cases import bright_array, save_nifti, two_echoes

import medseg.cli.view

REAL_FIND_SPEC = find_spec


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch):
    """Take packages away, and put a screen there."""
    monkeypatch.setenv("DISPLAY", ":0")

    def take(*names: str) -> None:
        monkeypatch.setattr(
            medseg.cli.view,
            "find_spec",
            lambda name: None if name in names else REAL_FIND_SPEC("medseg"),
        )

    take()
    return take


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("napari",), "needs napari [extra-missing]"),
        (("PyQt6", "PySide6", "PyQt5"), "needs a Qt binding [extra-missing]"),
        (("napari", "PyQt6", "PySide6", "PyQt5"), "needs napari and a Qt binding [extra-missing]"),
    ],
)
def test_what_is_missing_is_one_line_that_installs_it(run, without, image, names, said) -> None:
    without(*names)
    outcome = run("view", image)
    assert outcome.code == 1
    (line,) = outcome.err.splitlines()
    assert said in line
    assert "pip install 'medseg[napari]' pyqt6" in line


def test_one_binding_is_enough(without) -> None:
    without("PyQt6", "PyQt5")
    medseg.cli.view.require_viewer()


def test_the_binding_that_crashes_is_named(run, without, image, monkeypatch) -> None:
    without("PyQt6")
    monkeypatch.setattr(medseg.cli.view, "version", lambda name: "6.12.0")
    monkeypatch.setattr(medseg.cli.view.sys, "version_info", (3, 11, 9))
    outcome = run("view", image)
    assert outcome.code == 1
    assert "PySide6 6.12.0 crashes" in outcome.err
    monkeypatch.setattr(medseg.cli.view.sys, "version_info", (3, 12, 0))
    medseg.cli.view.require_viewer()


def test_without_a_screen_there_is_a_line_and_no_crash(run, without, image, monkeypatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(medseg.cli.view.sys, "platform", "linux")
    outcome = run("view", image)
    assert outcome.code == 1
    assert "[display-missing]" in outcome.err


def test_a_study_that_is_not_there_is_refused_before_a_window_opens(run, without, tmp_path) -> None:
    outcome = run("view", tmp_path / "nowhere.nii.gz")
    assert outcome.code == 3
    assert "[path-missing]" in outcome.err


@pytest.fixture
def model_instead(monkeypatch: pytest.MonkeyPatch, skip_unless, without) -> list[object]:
    """A viewer without a window takes the place of napari's; it is in the list afterwards."""
    skip_unless(
        find_spec("napari") is not None, "napari is not installed: pip install 'medseg[napari]'"
    )
    import napari
    from medseg_napari.view import launch
    from napari.components import ViewerModel

    made: list[object] = []

    class Shown(ViewerModel):
        def __init__(self, *, title: str, show: bool) -> None:
            super().__init__(title=title)
            made.append(self)

        def show(self) -> None:
            made.append("shown")

        def close(self) -> None:
            made.append("closed")

    monkeypatch.setattr(napari, "Viewer", Shown)
    monkeypatch.setattr(launch, "run", lambda: made.append("ran"))
    monkeypatch.setattr(
        launch, "dock_panels", lambda _, reader, *, begin: made.append((reader, begin))
    )
    monkeypatch.setattr(launch, "make_room", lambda viewer, dock: None)
    return made


def test_a_study_opens_with_its_objects_over_it(run, model_instead, image, labels) -> None:
    outcome = run("view", image, "--labels", labels, "--modality", "CT", "--unit", "HU")
    assert outcome.code == 0, outcome.err
    viewer, *then = model_instead
    assert then == [("", True), "shown", "ran"]
    assert viewer.title == "medseg: study"
    shown, objects = viewer.layers
    assert (shown.name, objects.name) == ("study", "labels")
    assert shown.contrast_limits == [-160, 240]
    assert set(objects.metadata["medseg"].instances.to_labelmap().ravel()) == {0, 3, 7}
    assert viewer.canvas.overlays["medseg_left"].text == "R"


def test_reader_and_folder_of_the_review_are_handed_to_the_panels(
    run, model_instead, image, tmp_path
) -> None:
    outcome = run("view", image, "--reader", "AB", "--output", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    viewer, *then = model_instead
    assert then == [("AB", False), "shown", "ran"]
    assert viewer.layers[0].metadata["medseg_work"] == tmp_path / "out"


def test_each_volume_of_a_folder_has_a_review_of_its_own(run, model_instead, tmp_path) -> None:
    from medseg_napari.widgets.segment_sessions import study_folder

    two_echoes(tmp_path / "scan")
    folders = set()
    for number in (1, 2):
        outcome = run("view", tmp_path / "scan", "--volume", number)
        assert outcome.code == 0, outcome.err
        layer = next(one for one in reversed(model_instead) if hasattr(one, "layers")).layers[0]
        assert layer.metadata["medseg"].source.volume == number
        folders.add(study_folder(layer))
    assert len(folders) == 2


def test_objects_of_another_grid_are_refused_and_no_window_stays(
    run, model_instead, image, tmp_path
) -> None:
    other = save_nifti(tmp_path / "other.nii.gz", (bright_array()[:-1] > 150).astype("uint8"))
    outcome = run("view", image, "--labels", other)
    assert outcome.code == 3
    assert "[grid-mismatch]" in outcome.err
    assert model_instead[1:] == ["closed"]


def test_help_loads_no_heavy_library_and_says_what_is_needed() -> None:
    code = (
        "import sys; from medseg.cli import main; assert main(['view', '--help']) == 0;"
        "print({'napari', 'qtpy', 'numpy', 'pydicom', 'medseg_napari'} & set(sys.modules))"
    )
    words = [sys.executable, "-c", code]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "set()"
    assert "Needs napari and a Qt binding" in ran.stdout
    assert "3 the input was refused" in ran.stdout

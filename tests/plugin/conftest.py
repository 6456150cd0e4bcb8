"""Viewers for the plugin's tests: a model without Qt for most, a window for few."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from napari import Viewer
    from napari.components import ViewerModel

_LINUX_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY")


@pytest.fixture(scope="session", autouse=True)
def _own_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The settings of whoever runs the tests are neither read nor changed."""
    own = str(tmp_path_factory.mktemp("napari") / "settings.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_CONFIG", own)
        if find_spec("napari") is not None:  # napari's pytest plugin may have read it before
            patch.setattr("napari.settings._napari_settings._CFG_PATH", own)
            patch.setattr("napari.settings._CFG_PATH", own)
        yield


@pytest.fixture
def viewer(skip_unless) -> ViewerModel:
    """A viewer without a window; it needs no Qt."""
    skip_unless(
        find_spec("napari") is not None, "napari is not installed: pip install 'medseg[napari]'"
    )
    from napari.components import ViewerModel

    return ViewerModel()


@pytest.fixture
def needs_window(skip_unless) -> None:
    """Skips where no window of napari can be opened."""
    skip_unless(find_spec("napari") is not None, "napari is not installed")
    bound = any(find_spec(name) is not None for name in ("PyQt6", "PySide6"))
    skip_unless(bound, "there is no Qt binding: pip install pyqt6")
    skip_unless(find_spec("pytestqt") is not None, "pytest-qt is not installed")
    screen = not sys.platform.startswith("linux") or any(
        os.environ.get(name) for name in _LINUX_SCREENS
    )
    skip_unless(screen, "there is no screen; with pytest-xvfb and xvfb installed there is")


@pytest.fixture
def window(needs_window: None, request: pytest.FixtureRequest) -> Viewer:
    """A viewer with a window, which is closed again after the test."""
    make = request.getfixturevalue("make_napari_viewer")
    viewer: Viewer = make(show=True)
    return viewer

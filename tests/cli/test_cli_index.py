"""`medseg inspect` keeps an index in the user's cache folder, unless told not to."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medseg.cli.folders import index_folder
from medseg.io.dicom import index
from medseg.phantom import write_dicom_series
from medseg.types import Geometry, Volume

scan_module = importlib.import_module("medseg.io.dicom.scan")  # the function has its name


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(index, "SETTLED_S", -60.0)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    if sys.platform == "darwin":
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    array = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    geometry = Geometry.from_spacing(array.shape, (2.0, 1.0, 1.0))
    volume = Volume(array, geometry, modality="CT", unit="HU")
    write_dicom_series(volume, tmp_path / "study")
    return tmp_path / "study"


def test_a_second_look_shows_the_same(run: Callable[..., object], study: Path, cache: Path) -> None:
    first = run("inspect", study, "--json")
    assert list(cache.rglob("*.sqlite"))
    assert run("inspect", study, "--json") == first
    assert not list(study.rglob("*.sqlite"))


def test_without_an_index_nothing_is_kept(
    run: Callable[..., object], study: Path, cache: Path
) -> None:
    run("inspect", study, "--no-index")
    assert not cache.exists()


def test_converting_keeps_and_uses_no_index(
    run: Callable[..., object],
    study: Path,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is written rests on headers that were read now."""
    run("convert", study, "-o", tmp_path / "first")
    assert not cache.exists()
    run("inspect", study)
    opened: list[str] = []
    read = scan_module.read_header

    def noted(path: Path, file_bytes: int, *, whole: bool) -> object:
        opened.append(path.name)
        return read(path, file_bytes, whole=whole)

    monkeypatch.setattr(scan_module, "read_header", noted)
    run("convert", study, "-o", tmp_path / "second")
    assert len(opened) == 4


@pytest.mark.skipif(
    sys.platform == "win32", reason="Windows keeps caches elsewhere than XDG_CACHE_HOME says"
)
def test_a_relative_cache_folder_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    folder = index_folder()
    assert folder is None or folder.is_absolute()

"""The benchmark of the napari plugin: its scene, its sums, and a small run in a window."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

Load = Callable[[str], ModuleType]


@pytest.fixture(autouse=True)
def _with_napari(skip_unless) -> None:
    skip_unless(find_spec("napari") is not None, "napari is not installed")
    skip_unless(find_spec("PyQt6") is not None, "PyQt6 is not installed")


def test_the_organ_of_the_scene_goes_on_below_the_lesions_in_it(load: Load, tmp_path) -> None:
    work = load("napari_work")
    work.write_scene(tmp_path, 48, 5)
    volume, instances = work.instances_of(tmp_path)
    assert volume.array.dtype == np.int16
    assert [item.kind for item in instances] == ["lesion"] * 5 + ["organ"]
    labels, organ = np.load(tmp_path / "labels.npy"), instances.items[-1]
    assert organ.voxel_count >= (labels == 6).sum() > 0


def test_growth_is_that_of_a_straight_line_with_its_error(load: Load) -> None:
    work = load("napari_work")
    at = np.arange(10, 110, 10)
    assert work.growth(at, 3.0 + 0.02 * at, 100) == pytest.approx((2.0, 0.0), abs=1e-9)
    noisy = 0.02 * at + np.resize([1.0, -1.0], 10)
    found, error = work.growth(at, noisy, 100)
    assert abs(found - 2.0) < 2 * error
    assert np.isnan(work.growth(at[:2], at[:2], 100)).all()


def test_bars_are_told_by_the_worst_case(load: Load, monkeypatch, capsys, tmp_path) -> None:
    panels = load("napari_panels")

    def samples(value: float) -> dict[str, object]:
        return {"seconds": [value], "growth_mb": (0.0, 0.1), "growth_none": (0.0, 0.0)}

    def found(who: str, _plan: object) -> dict[str, object]:
        memory = dict.fromkeys(("before", "opened", "memory", "at end"), 100.0)
        memory["memory"] += 400.0 * (who == "medseg")
        times = {name: [0.1] * 9 + [0.4] * (name == "merge") * 9 for name in panels.EDITS}
        return {
            **memory, **times, "click": [0.1], "start": 2.0, "open": 1.0, "measured": 0.1,
            "closed": [110.0], "alive": 0, "steps": samples(0.1), "edits": samples(0.2),
            "renderer": "none",
        }  # fmt: skip

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(panels, "once", found)
    monkeypatch.setattr(sys, "argv", ["napari_panels.py", "--size", "48", "--objects", "3"])
    panels.main()
    printed = capsys.readouterr().out
    line = {text.split()[2]: text for text in printed.splitlines() if text.startswith("measures")}
    assert "NOT MET" in line["merge"]
    assert "NOT MET" not in line["paint"]
    extra = next(text for text in printed.splitlines() if text.startswith("extra"))
    assert "NOT MET" in extra  # 400 MB where the labels of 48³ voxels take none to speak of


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="a missing DISPLAY is told on Linux alone"
)
def test_without_a_screen_it_says_how_to_have_one(load: Load, monkeypatch, capsys) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr(sys, "argv", ["napari_panels.py"])
    with pytest.raises(SystemExit):
        load("napari_panels").main()
    assert "xvfb-run -a" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_small_run_drives_the_panels_and_closes_all(
    load: Load, tmp_path: Path, skip_unless
) -> None:
    skip_unless(bool(os.environ.get("DISPLAY")), "there is no screen")
    work, panels = load("napari_work"), load("napari_panels")
    work.write_scene(tmp_path, 48, 4)
    found = panels.once("medseg", work.Plan(str(tmp_path), 2, 1, 3, 1))
    assert found["alive"] == 0
    assert len(found["click"]) == 2
    assert len(found["undo"]) == 4

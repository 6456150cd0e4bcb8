"""The tables of the nodule model: clicks as far off as they say, a threshold and its part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from medseg.io import read
from medseg.samples import path as sample
from medseg.training.datasets import LoadedCase
from medseg.types import Geometry, Instances, Volume

Load = Callable[[str], ModuleType]


@pytest.fixture
def nodules(load: Load) -> ModuleType:
    return load("model_nodules")


def ball(radius_mm: float) -> LoadedCase:
    """A ball of 100 HU in lung, and a bright vessel apart from it."""
    geometry = Geometry.from_spacing((21, 41, 41), (2.0, 1.0, 1.0), (5.0, -7.0, 30.0))
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    away = np.linalg.norm(geometry.index_to_world(index) - (25.0, 13.0, 50.0), axis=-1)
    mask = away <= radius_mm
    values = np.where(mask, 100, -850).astype(np.int16)
    values[:, 38:, 38:] = 60
    truth = Instances.from_labelmap(mask.astype(np.uint8), geometry)
    return LoadedCase("lidc_0042_2", {"ct": Volume(values, geometry, "CT", "HU")}, truth)


def test_clicks_lie_half_a_radius_from_the_middle(nodules) -> None:
    case = ball(9.0)
    points = nodules.off_the_middle(
        nodules.truth_mask(case), case.truth.geometry, np.random.default_rng(0)
    )
    away = np.linalg.norm(np.array(points) - (25.0, 13.0, 50.0), axis=1)
    assert len(points) == 3 and away == pytest.approx(4.5, rel=0.02)


def test_a_click_stays_in_the_image(nodules) -> None:
    mask = np.ones((2, 9, 9), dtype=bool)
    geometry = Geometry.from_spacing(mask.shape, (0.5, 1.0, 1.0))
    for point in nodules.off_the_middle(mask, geometry, np.random.default_rng(1)):
        assert (geometry.world_to_index(point) <= np.array(mask.shape) - 1 + 1e-9).all()
        assert (geometry.world_to_index(point) >= -1e-9).all()


def test_a_threshold_takes_the_part_nearest_to_the_middle(nodules) -> None:
    case = ball(6.0)
    row = nodules.compared(case, nodules.by_threshold(case, -400))
    assert row["dice"] == 1 and row["error"] == 0 and not row["touches"]
    assert nodules.compared(case, nodules.by_threshold(case, 2000))["dice"] == 0
    assert row["mm3"] == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.05)


def test_the_best_threshold_is_the_one_with_the_highest_dice(nodules, monkeypatch) -> None:
    case = ball(6.0)
    case.volumes["ct"].array[:, :19] += np.int16(400)
    monkeypatch.setattr(nodules, "THRESHOLDS_HU", (-500, 0, 200))
    assert nodules.best_threshold([case]) == 0


@pytest.mark.parametrize("place", [(0, 5, 5), (20, 5, 5), (5, 0, 5), (5, 5, 40)])
def test_a_mask_that_reaches_any_face_touches_the_border(nodules, place) -> None:
    mask = np.zeros((21, 41, 41), dtype=bool)
    mask[5, 5, 5] = True
    assert not nodules.touches(mask)
    mask[place] = True
    assert nodules.touches(mask)


def test_figures_are_those_of_nodules_and_intervals_those_of_patients(nodules) -> None:
    rows = [
        {"case": f"lidc_{n // 2:04}_{n % 2}", "mm3": 1.0, "touches": False, "dice": d, "error": e}
        for n, (d, e) in enumerate([(0.9, 0.1), (0.8, -0.2), (0.5, 0.4), (0.8, -0.3)])
    ]
    row = nodules.summary("all", rows)
    assert row["nodules"] == 4 and row["patients"] == 2 and row["Dice below 0.6"] == 1
    assert row["mean Dice"] == pytest.approx(0.75)
    assert row["median absolute volume error"] == pytest.approx(0.25)
    assert row["mean volume error"] == pytest.approx(0.0)
    assert row["95 % interval"] == "0.650 to 0.850"
    assert nodules.summary("none", []) == {"what": "none", "nodules": 0}


def test_a_crop_is_pasted_into_the_middle_of_a_whole_ct(nodules, monkeypatch) -> None:
    monkeypatch.setattr(nodules, "CT_SHAPE", (60, 96, 96))
    crop = read(sample("lung_nodule_crop") / "image.nii.gz", modality="CT", unit="HU")
    whole, point = nodules.ct_around(crop)
    turned = crop.reoriented(*crop.geometry.closest_axes())
    index = whole.geometry.world_to_index(point)
    low = np.rint(index - (np.array(turned.array.shape) - 1) / 2).astype(int)
    place = tuple(slice(a, a + n) for a, n in zip(low, turned.array.shape, strict=True))
    np.testing.assert_array_equal(whole.array[place], turned.array)
    assert whole.geometry.spacing_mm == pytest.approx(turned.geometry.spacing_mm)
    assert whole.array[0].mean() == pytest.approx(-850, abs=3)


def test_a_bar_that_is_missed_is_named(nodules) -> None:
    good = {"mean Dice": 0.83, "median absolute volume error": 0.1}
    click = {"slowest seconds": 0.4, "extra MB": 200.0}
    found = {
        "crops": [good],
        "clicks": [{"mean Dice": 0.83}, {"mean Dice": 0.815}],
        "whole CT": [click],
    }
    assert nodules.missed(found) == []
    found["clicks"][1]["mean Dice"] = 0.80
    found["whole CT"][0]["slowest seconds"] = 1.5
    assert nodules.missed(found) == [
        "Dice lost half a radius off: 0.030, bar 0.02",
        "seconds of the slowest click: 1.500, bar 1",
    ]


def test_clicks_are_told_apart_by_the_region_that_they_asked_for(nodules, monkeypatch) -> None:
    seconds = {28.8: [0.3, 0.4, 0.5], 57.6: [2.0]}
    answers = [
        {"region": mm, "objects": 1, "seconds": s, "extra MB": 10 * s, "process MB": 900.0}
        for mm, all_of_it in seconds.items()
        for s in all_of_it
    ]
    monkeypatch.setattr(nodules, "in_fresh_process", lambda *_: {"clicks": answers})
    every, near, far = nodules.whole_ct_rows(Path("package"), [Path("image")])
    assert (every["nodules"], every["median seconds"], every["slowest seconds"]) == (4, 0.45, 2.0)
    assert (near["nodules"], near["median seconds"]) == (3, 0.4)
    assert far["what"].endswith("58 mm") and every["extra MB"] == 20.0

"""The comparison of heads: its figures on cases made by hand, its tables, one tiny run."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from medseg.heads import HEADS
from medseg.phantom import touching_lesions
from medseg.types import Geometry, Instance, InstanceClass, Instances

Load = Callable[[str], ModuleType]
SHAPE = (8, 8, 40)
CLASSES = (InstanceClass("a", "lesion", 1), InstanceClass("b", "lesion", 2))


def bars(*spans: tuple[str, int, int], scores: tuple[float, ...] = ()) -> Instances:
    """Objects that fill rows of 64 voxels from one x up to another."""
    items = [
        Instance(
            n + 1,
            name,
            "lesion",
            scores[n] if scores else 1.0,
            (slice(0, 8), slice(0, 8), slice(start, stop)),
            np.ones((8, 8, stop - start), dtype=bool),
        )
        for n, (name, start, stop) in enumerate(spans)
    ]
    return Instances(Geometry.identity(SHAPE), items, CLASSES)


def test_exact_answers_have_every_overlap_figure_one(load: Load) -> None:
    truth = bars(("a", 0, 10), ("a", 6, 16), ("b", 20, 24))
    found = load("heads_overlap").overlap_figures([(truth, truth)])
    assert found == (1, 1.0, 1.0, 2, 1.0, 1.0)  # each of the two is covered by 4 of 10


def test_a_pair_with_one_object_missed_is_not_found_and_asks_for_no_coverage(load: Load) -> None:
    truth = bars(("a", 0, 10), ("b", 6, 16))
    found = load("heads_overlap").overlap_figures([(bars(("a", 0, 10)), truth)])
    assert (found.pairs, found.both_found, found.covered_recall, found.twice) == (1, 0.0, 0.5, 0.0)
    assert math.isnan(found.double_coverage)


def test_common_voxels_count_where_both_answers_hold_them(load: Load) -> None:
    truth = bars(("a", 0, 10), ("a", 6, 16))
    half = bars(("a", 0, 8), ("a", 6, 16))  # holds 2 of the 4 common columns twice
    found = load("heads_overlap").overlap_figures([(half, truth)])
    assert (found.both_found, found.double_coverage, found.twice) == (1.0, 0.5, 0.5)


def test_objects_that_barely_meet_are_no_pair_and_nothing_at_all_gives_nan(load: Load) -> None:
    overlap = load("heads_overlap")
    apart = bars(("a", 0, 20), ("a", 19, 39))  # IoU 1 / 39
    assert overlap.true_pairs(apart) == []
    found = overlap.overlap_figures([(bars(), bars())])
    assert (found.pairs, found.covered) == (0, 0)
    assert all(math.isnan(share) for share in (found.both_found, found.covered_recall, found.twice))


def test_a_wrong_class_finds_nothing(load: Load) -> None:
    truth, found = bars(("a", 0, 10), ("a", 6, 16)), bars(("b", 0, 10), ("b", 6, 16))
    assert load("heads_overlap").overlap_figures([(found, truth)]).both_found == 0


def test_the_balanced_score_lies_between_the_last_that_counts_and_the_next(load: Load) -> None:
    figures = load("heads_figures")
    truth = bars(("a", 0, 4), ("a", 10, 14))
    found = bars(("a", 0, 4), ("a", 10, 14), ("a", 20, 24), scores=(0.9, 0.6, 0.4))
    score = figures.balanced_score([(found, truth)])
    assert score == pytest.approx(0.5)
    assert [len(one) for one, _ in figures.above([(found, truth)], score)] == [2]
    assert figures.balanced_score([(truth, found)]) == 0.0  # too few: all count
    assert figures.balanced_score([(found, bars())]) > 0.9


def test_a_row_tells_classes_apart(load: Load) -> None:
    truth = bars(("a", 0, 4), ("b", 10, 14), ("b", 20, 24), ("b", 30, 34))
    found = bars(("a", 0, 4), ("a", 5, 8), ("b", 10, 14), scores=(0.9, 0.8, 0.7))
    row = load("heads_figures").figures([(found, truth)], 0.5)
    assert (row["ap50_a"], row["ap50_b"]) == (1.0, pytest.approx(34 / 101))
    assert (row["count_a"], row["count_b"]) == (1.0, pytest.approx(-2 / 3))
    assert row["count"] == pytest.approx(-0.25)
    assert row["surface_dice"] == 1.0


def test_representations_hold_what_they_can(load: Load) -> None:
    ceilings = load("heads_ceilings")
    truth = bars(("a", 0, 10), ("a", 6, 16), ("b", 20, 30))
    one, other, alone = ceilings.label_map(truth)
    assert (one.sum(), other.sum(), alone.sum()) == (64 * 8, 64 * 8, 64 * 10)
    assert not (one & other).any()
    assert len(ceilings.components(truth)) == 2
    even = bars(("a", 4, 12))
    for masks in (ceilings.half_resolution(even), ceilings.roi(even, 28)):
        assert np.array_equal(masks[0], ceilings.whole(even.items[0], SHAPE))


def test_finer_masks_have_higher_ceilings(load: Load) -> None:
    ceilings, truth = load("heads_ceilings"), touching_lesions(0, shape=(24, 32, 32)).truth
    ious = []
    for cells in (3, 7, 14, 28):
        masks = ceilings.roi(truth, cells)
        exact = [ceilings.whole(item, (24, 32, 32)) for item in truth]
        ious.append(
            np.mean([(a & b).sum() / (a | b).sum() for a, b in zip(masks, exact, strict=True)])
        )
    assert ious == sorted(ious)
    assert ious[-1] > 0.97


def row(seed: int, **changes: Any) -> dict[str, Any]:
    """A row that meets every bar of the touching phantom, changed where asked."""
    shares = dict.fromkeys(("both_found", "double_coverage", "covered_recall", "twice"), 0.8)
    counts = dict.fromkeys(("count", "count_ellipsoid", "count_shell", "count_absolute"), 0.04)
    aps = dict.fromkeys(("ap10", "ap50", "ap50_ellipsoid", "ap50_shell", "ap75", "pq"), 0.9)
    return {
        "head": "detr",
        "backbone": "residual_pyramid",
        "phantom": "touching",
        "minutes": 20.0,
        "seed": seed,
        "shape": [48, 64, 64],
        "windows": 200,
        "threshold_windows": 200,
        "surface_dice": 0.9,
        "seconds": 0.1,
        "parameters": 1_000_000,
        "peak_mb": 900.0,
        "training_minutes": 20.0,
        "steps": 1000,
        "planned_steps": 1000,
        "decayed": True,
        **aps,
        **counts,
        **shares,
        **changes,
    }


def test_tables_give_mean_and_range_and_say_which_bars_are_met(load: Load, capsys) -> None:
    tables = load("heads_tables")
    rows = [row(0, ap50=0.84), row(1, ap50=0.88), row(0, head="yolact", ap75=0.5, twice=math.nan)]
    tables.print_tables(rows)
    printed = capsys.readouterr().out
    assert "## touching, 20 minutes of training" in printed
    assert "| detr | residual_pyramid | 2 | 0.860 (0.840 to 0.880) |" in printed
    assert "- detr on residual_pyramid: met" in printed
    assert "- yolact on residual_pyramid: NOT MET: ap75 ≥ 0.55 (is 0.500)" in printed
    assert "met by detr on residual_pyramid, yolact" in printed


def test_runs_of_so_many_steps_have_a_table_of_their_own(load: Load, capsys) -> None:
    given = {"minutes": None, "asked_steps": 4000}
    here, there = row(0, device="cpu", **given), row(1, device="cuda", **given)
    load("heads_tables").print_tables([row(0), here, there])
    minutes, steps = capsys.readouterr().out.split("## touching, 4000 steps of training")
    assert "## touching, 20 minutes of training" in minutes
    assert "s a window" in minutes
    assert "| detr | residual_pyramid | 2 |" in steps
    assert "s a window" not in steps


def test_real_images_show_dice_and_no_overlap(load: Load, capsys) -> None:
    load("heads_tables").print_tables([row(0, phantom="nodules", dice=0.77)])
    printed = capsys.readouterr().out
    assert "Dice of the class" in printed
    assert "| detr | residual_pyramid | 1 | 0.770 |" in printed
    assert "| seeds | s a case |" in printed
    assert "pairs both found" not in printed


def test_of_ms_lesions_there_are_brains_and_no_seeds(load: Load, capsys) -> None:
    load("heads_tables").print_tables([row(brain, phantom="ms", dice=0.7) for brain in (7, 19)])
    printed = capsys.readouterr().out
    assert "| head | backbone | brains left out | Dice of the class |" in printed
    assert "| detr | residual_pyramid | 2 | 0.700 |" in printed


def test_minutes_are_those_of_a_cpu(load: Load, capsys) -> None:
    with pytest.raises(SystemExit):
        load("heads").arguments_of(["--head", "detr", "--minutes", "20", "--device", "cuda"])
    assert "--minutes are a CPU's" in capsys.readouterr().err


@pytest.mark.parametrize("script", ["heads", "heads_real"])
def test_a_training_needs_a_length(load: Load, script: str, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", [script, "--head", "detr"])
    with pytest.raises(SystemExit):
        load(script).main()
    assert "give --minutes or --steps" in capsys.readouterr().err


def test_counts_are_judged_whichever_way_they_are_off(load: Load) -> None:
    tables = load("heads_tables")
    bars_of = tables.BARS["touching"]
    assert not tables.unmet([row(0)], bars_of)
    assert tables.unmet([row(0, count=-0.06)], bars_of) == ["count within ±0.05 (is -0.060)"]
    assert tables.unmet([row(0, ap50=math.nan)], bars_of) == ["ap50 ≥ 0.85 (is nan)"]
    assert "stopped" in tables.unmet([row(0, decayed=False)], bars_of)[0]


@pytest.mark.parametrize("other", [row(0), row(1, windows=100)])
def test_rows_that_cannot_be_averaged_are_refused(load: Load, other: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="in one table"):
        load("heads_tables").print_tables([row(0), other])


@pytest.mark.parametrize("head", sorted(HEADS))
@pytest.mark.parametrize("phantom", ["touching", "nested", "toy"])
def test_every_head_has_a_recipe_on_every_phantom(load: Load, head: str, phantom: str) -> None:
    heads = load("heads")
    task = heads.Task(head, "residual_pyramid", phantom, 20.0, 7, (48, 64, 64))
    recipe = heads.recipe_of(task, 1000)
    assert (recipe.model.head.name, recipe.training.seed, recipe.training.steps) == (head, 7, 1000)
    assert recipe.data.generator == heads.SCENES[phantom].generator
    seeds = recipe.data.seeds["training_seeds"]
    assert not {*range(200), *range(3000, 3200)} & set(seeds)
    for steps in (1, 30):
        assert heads.recipe_of(task, steps).training.warmup_steps < steps


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_tiny_run_writes_a_row_and_prints_it_again(load: Load, tmp_path: Path, capsys) -> None:
    pytest.importorskip("lightning_fabric", reason="the extra train is not installed")
    heads = load("heads")
    few = ["--windows", "2", "--threshold-windows", "2", "--shape", "16", "32", "32"]
    words = ["--head", "center_offset", "--minutes", "0.02", "--out", str(tmp_path), *few]
    assert heads.main(words) == 0
    printed = capsys.readouterr().out
    kept = json.loads((tmp_path / "row.json").read_text())
    assert kept["steps"] >= 1 and kept["parameters"] > 0 and kept["training_minutes"] < 0.2
    assert not (tmp_path / "pace").exists()
    assert heads.main(words) == 0
    assert capsys.readouterr().out == printed
    assert heads.main(["--table", str(tmp_path)]) == 0
    assert "| center_offset | residual_pyramid | 1 |" in capsys.readouterr().out
    model = load("heads_seconds").trained_head(tmp_path)
    assert [len(one) for one in load("heads_seconds").seconds_of({"x": model}, 2).values()] == [2]
    steps = [*words[:2], "--steps", "3", "--out", str(tmp_path / "steps"), *few]
    assert heads.main(steps) == 0
    kept = json.loads((tmp_path / "steps" / "row.json").read_text())
    assert (kept["steps"], kept["planned_steps"], kept["minutes"]) == (3, 3, None)
    other = heads.budget_of(heads.Task("center_offset", "x", "toy", 1.0, 0, (8, 8, 8)))
    with pytest.raises(SystemExit, match="another row"):
        heads.planned(other, tmp_path)

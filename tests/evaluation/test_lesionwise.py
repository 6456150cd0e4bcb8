"""The rows of one case, against full arrays, also where instances overlap."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from evaluation_cases import CLASSES, random_pair, rectangle, study, whole
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.evaluation import (
    EvaluationSettings,
    MatchingRule,
    average_symmetric_mm,
    evaluate,
    hausdorff_mm,
    match,
    surface_dice,
    surface_distances,
)
from medseg.evaluation.lesionwise import case_record
from medseg.evaluation.sizes import size_names, size_positions
from medseg.evaluation.tallies import OBJECT_COLUMNS, table
from medseg.evaluation.unions import class_voxels, without_overlap
from medseg.measurement.selection import large_enough
from medseg.types import Geometry, Instance, Instances

RULES = (
    MatchingRule(threshold=0.3),
    MatchingRule(threshold=0.3, assignment="optimal"),
    MatchingRule("dice", 0.4, many_to_one=True),
    MatchingRule("centre_mm", 2.0, within_class=False),
)
NO_BOOTSTRAP = EvaluationSettings(bootstrap_samples=0)


def spaced(instances: Instances, spacing_mm: tuple[float, float, float]) -> Instances:
    """The same masks on voxels of another size."""
    geometry = Geometry.from_spacing(instances.geometry.shape, spacing_mm)
    return Instances(geometry, instances.items, instances.classes)


def check_rows_of(seed: int, rule: MatchingRule) -> None:
    rng = np.random.default_rng(seed)
    spacing = (5.0, 1.0, 0.75)
    pred, ref = (spaced(side, spacing) for side in random_pair(rng))
    record = case_record("1", pred, ref, EvaluationSettings(rule=rule))
    rows = table(record.objects, OBJECT_COLUMNS)
    matching = match(pred, ref, rule)
    of_status = Counter(rows["status"])
    assert of_status["missed"] == matching.unmatched_ref.size
    assert of_status["false alarm"] == matching.unmatched_pred.size
    assert of_status["further"] == matching.further_pred.size
    matched = rows[rows["status"] == "matched"]
    assert matched["pred_id"].tolist() == [pred.items[n].id for n in matching.pred]
    assert matched["ref_id"].tolist() == [ref.items[m].id for m in matching.ref]
    for n, m, row in zip(matching.pred, matching.ref, matched.itertuples(), strict=True):
        found, wanted = whole(pred, pred.items[n]), whole(ref, ref.items[m])
        both = np.sum(found & wanted)
        assert row.iou == pytest.approx(both / np.sum(found | wanted))
        assert row.dice == pytest.approx(2 * both / (found.sum() + wanted.sum()))
        assert row.volume_ref_ml == pytest.approx(wanted.sum() * math.prod(spacing) / 1000)
        assert row.volume_error == pytest.approx(found.sum() / wanted.sum() - 1)
        surfaces = surface_distances(found, wanted, spacing)
        assert row.surface_dice == pytest.approx(surface_dice(surfaces, 1.0))
        assert row.hd95_mm == pytest.approx(hausdorff_mm(surfaces))
        assert row.assd_mm == pytest.approx(average_symmetric_mm(surfaces))


@pytest.mark.parametrize("rule", RULES)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_rows_equal_full_arrays(rule: MatchingRule, seed: int) -> None:
    check_rows_of(seed, rule)


@pytest.mark.slow
@given(seed=st.integers(0, 2**32 - 1), rule=st.sampled_from(RULES))
@settings(max_examples=1000)
def test_rows_equal_full_arrays_a_thousand_times(seed: int, rule: MatchingRule) -> None:
    check_rows_of(seed, rule)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=1000)
def test_class_voxels_equal_those_of_full_arrays_where_instances_overlap(seed: int) -> None:
    pred, ref = random_pair(np.random.default_rng(seed))
    for name, found in class_voxels(pred, ref).items():
        sides = []
        for side in (pred, ref):
            mask = np.zeros(side.geometry.shape, dtype=bool)
            for item in side:
                if item.class_name == name:
                    np.logical_or(mask, whole(side, item), out=mask)
            sides.append(mask)
        one, other = sides
        assert found == (one.sum(), other.sum(), np.sum(one & other))
    apart = without_overlap(pred)
    covered = Counter(
        (item.class_name, index)
        for item in apart
        for index in map(tuple, np.argwhere(whole(apart, item)))
    )
    assert set(covered.values()) <= {1}


def test_a_chain_of_overlaps_becomes_one_and_other_classes_stay() -> None:
    masks = [rectangle(slice(n, n + 6), slice(0, 5)) for n in (0, 5, 10, 30)]
    names = ["tumour", "tumour", "tumour", "tumour"]
    merged = without_overlap(study([*masks, masks[0]], names=[*names, "node"]))
    assert [item.voxel_count for item in merged] == [16 * 5, 30, 30]
    assert [item.class_name for item in merged] == ["tumour", "tumour", "node"]


def test_overlapping_predictions_of_one_object_are_a_hit_a_false_alarm_and_a_split() -> None:
    mask = rectangle(slice(0, 10), slice(0, 10))
    pred, ref = study([mask, mask], scores=[0.5, 0.9]), study([mask])
    found = evaluate(pred, ref, NO_BOOTSTRAP)
    assert found.objects["status"].tolist() == ["matched", "false alarm"]
    assert found.objects["pred_id"].tolist() == [2, 1]
    assert found.cases.loc[0, ["volume_pred_ml", "dice", "splits"]].tolist() == [0.1, 1.0, 1]
    row = found.splits_and_merges.iloc[0]
    assert (row["kind"], row["class_name"], row["id"], row["parts"]) == (
        "split",
        "tumour",
        1,
        "1 2",
    )
    several = EvaluationSettings(rule=MatchingRule(many_to_one=True), bootstrap_samples=0)
    found = evaluate(pred, ref, several)
    assert found.objects["status"].tolist() == ["matched", "further"]
    assert found.objects["ref_id"].tolist() == [1, 1]
    assert (found.value("fp"), found.value("precision"), found.value("recall")) == (0, 1.0, 1.0)
    assert found.cases.loc[0, "count_pred"] == 2


def test_a_merged_pair_is_listed_with_its_parts() -> None:
    halves = [rectangle(slice(0, 10), slice(0, 10)), rectangle(slice(10, 18), slice(0, 10))]
    found = evaluate(study([halves[0] | halves[1]]), study(halves), NO_BOOTSTRAP)
    row = found.splits_and_merges.iloc[0]
    assert (row["kind"], row["id"], row["parts"]) == ("merge", 1, "1 2")
    assert (found.value("merges"), found.value("splits")) == (1, 0)
    assert found.objects["status"].tolist() == ["matched", "missed"]


def test_without_surfaces_none_is_measured() -> None:
    mask = rectangle(slice(0, 10), slice(0, 10))
    found = evaluate(
        study([mask]), study([mask]), EvaluationSettings(surface=False, bootstrap_samples=0)
    )
    assert found.objects[["surface_dice", "hd95_mm", "assd_mm"]].isna().all(axis=None)
    assert not found.summary["metric"].isin(["surface_dice", "hd95_mm", "assd_mm"]).any()


def test_an_object_below_the_least_volume_is_left_out_on_both_sides_and_counted() -> None:
    sizes = (3, 4, 5)
    masks = [rectangle(slice(10 * n, 10 * n + size), slice(0, 1)) for n, size in enumerate(sizes)]
    pred, ref = study([*masks, rectangle(slice(40, 42), slice(0, 1))]), study(masks)
    found = evaluate(pred, ref, EvaluationSettings(min_volume_ml=0.004, bootstrap_samples=0))
    assert found.objects["ref_id"].tolist() == [2, 3]  # 4 mm3 are not below 0.004 ml
    assert found.cases.loc[0, ["too_small_ref", "too_small_pred"]].tolist() == [1, 2]
    assert (found.value("ap_iou_0.50"), found.value("precision")) == (1.0, 1.0)
    stated = found.summary["conditions"]
    assert stated.str.contains(
        "those below 0.004 mL left out on both sides (1 reference, 2 predicted)", regex=False
    ).all()


def test_scores_below_the_threshold_count_in_curves_only() -> None:
    masks = [rectangle(slice(10 * n, 10 * n + 8), slice(0, 8)) for n in range(3)]
    pred, ref = study(masks, scores=[0.9, 0.5, 0.2]), study(masks)
    found = evaluate(pred, ref, EvaluationSettings(score_threshold=0.5, bootstrap_samples=0))
    assert (found.value("tp"), found.value("fn")) == (2, 1)
    assert found.cases.loc[0, "count_pred"] == 2
    assert found.value("ap_iou_0.50") == found.value("cpm") == 1.0


def test_size_is_the_reference_objects_and_a_false_alarms_own() -> None:
    def ball(side: int, start: int) -> np.ndarray:
        mask = np.zeros((12, 12, 80), dtype=bool)
        mask[:side, :side, start : start + side] = True
        return mask

    ref = study([ball(4, 0), ball(5, 20), ball(10, 40)])
    pred = study([ball(5, 0), ball(5, 20), ball(3, 70)])
    found = evaluate(pred, ref, EvaluationSettings(size_edges_ml=(0.125, 1.0), bootstrap_samples=0))
    assert size_names((0.125, 1.0)) == ("below 0.125 ml", "0.125 to 1 ml", "1 ml and more")
    assert found.objects[["status", "size_class"]].to_numpy().tolist() == [
        ["matched", "below 0.125 ml"],
        ["matched", "0.125 to 1 ml"],
        ["missed", "1 ml and more"],
        ["false alarm", "below 0.125 ml"],
    ]
    sizes = size_names((0.125, 1.0))
    assert [found.value("recall", size_class=size) for size in sizes] == [1.0, 1.0, 0.0]
    assert found.value("precision", size_class=sizes[0]) == 0.5
    assert math.isnan(found.value("precision", size_class=sizes[2]))


def test_an_edge_is_the_same_whatever_a_file_made_of_the_spacing() -> None:
    rounded = float(np.float32(0.1))
    volumes = np.array([0.1, rounded, 0.1 * (1 - 1e-7), 0.0999])
    assert size_positions(volumes, (0.1,)).tolist() == [1, 1, 1, 0]
    assert large_enough(volumes, 0.1).tolist() == [True, True, True, False]
    assert size_positions(volumes, ()).tolist() == [0, 0, 0, 0]
    assert size_names(()) == ()


def test_a_class_of_one_side_only_is_missed_or_invented() -> None:
    mask = rectangle(slice(0, 10), slice(0, 10))
    pred, ref = study([mask], names=["node"]), study([mask], names=["tumour"])
    rows = evaluate(pred, ref, NO_BOOTSTRAP).objects
    assert rows[["status", "class_name"]].to_numpy().tolist() == [
        ["missed", "tumour"],
        ["false alarm", "node"],
    ]
    across = EvaluationSettings(rule=MatchingRule(within_class=False), bootstrap_samples=0)
    found = evaluate(pred, ref, across)
    row = found.objects.iloc[0]
    assert (row["status"], row["class_name"], row["pred_class_name"]) == (
        "matched",
        "tumour",
        "node",
    )
    assert found.value("recall", "tumour") == 1.0
    assert math.isnan(found.value("cpm", "tumour"))  # whose hit would it be?


def test_one_voxel_and_the_border_have_every_figure() -> None:
    mask = np.zeros((1, 50, 50), dtype=bool)
    mask[0, 0, 0] = True
    rows = evaluate(study([mask]), study([mask]), NO_BOOTSTRAP).objects
    figures = ["iou", "dice", "surface_dice", "hd95_mm", "assd_mm", "volume_error"]
    assert rows.loc[0, figures].tolist() == [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]


@pytest.mark.slow
def test_more_objects_than_sixteen_bits_number_are_each_a_row() -> None:
    labels = np.zeros((560, 50, 20), dtype=np.int64)
    labels[::2, ::2, ::2] = np.arange(1, 70001).reshape(280, 25, 10)
    items = [
        Instance(
            int(labels[z, y, x]),
            "tumour",
            "lesion",
            1.0,
            (slice(z, z + 1), slice(y, y + 1), slice(x, x + 1)),
            np.ones((1, 1, 1), dtype=bool),
        )
        for z, y, x in np.argwhere(labels).tolist()
    ]
    many = Instances(Geometry.identity(labels.shape), items, CLASSES)
    quick = EvaluationSettings(
        surface=False, iou_thresholds=(0.5,), size_edges_ml=(), bootstrap_samples=0
    )
    found = evaluate(many, many, quick)
    assert found.value("tp") == 70000
    assert isinstance(found.objects, pd.DataFrame)
    assert found.objects["pred_id"].max() == 70000

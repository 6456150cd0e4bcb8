"""The one door: every figure against the single functions, known cases, empty sides."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from evaluate_cases import LEAN, NOTHING, ONE, QUICK, SQUARE, cases_of, values_of
from evaluation_cases import rectangle, study
from hypothesis import given, settings
from hypothesis import strategies as st

import medseg
from medseg.evaluation import (
    EvaluationSettings,
    MatchingRule,
    average_precision,
    bland_altman,
    case_auroc,
    class_dice,
    concordance,
    count_error,
    detection_scores,
    evaluate,
    froc,
    mean_average_precision,
    panoptic_quality,
    splits_and_merges,
)
from medseg.types import Geometry, InstanceClass, Instances


@pytest.mark.slow
@given(seed=st.integers(0, 2**32 - 1), many_to_one=st.booleans())
@settings(max_examples=1000)
def test_every_figure_is_that_of_its_own_function(seed: int, many_to_one: bool) -> None:
    preds, refs = cases_of(seed, 3)
    cases = list(zip(preds, refs, strict=True))
    rule = MatchingRule(threshold=0.3, many_to_one=many_to_one)
    found = evaluate(preds, refs, replace(LEAN, rule=rule))
    scores, quality = detection_scores(cases, rule), panoptic_quality(cases, rule)
    curve, errors = froc(cases, rule, LEAN.fp_per_case), count_error(cases)
    volumes = found.cases["volume_pred_ml"], found.cases["volume_ref_ml"]
    counts = [len(pred) for pred in preds], [len(ref) for ref in refs]
    relations = [splits_and_merges(*case) for case in cases]
    means = mean_average_precision(cases, LEAN.iou_thresholds)
    wanted = {
        **scores._asdict(),
        "pq": quality.pooled.pq,
        "sq": quality.pooled.sq,
        "rq": quality.pooled.rq,
        "ap_iou_0.10": means["at"][0]["pooled"],
        "ap_iou_0.50": means["at"][1]["pooled"],
        "map": means["pooled"],
        "map_of_classes": means["mean"],
        "sensitivity_at_0.5_fp": curve.values[0],
        "sensitivity_at_2_fp": curve.values[1],
        "cpm": curve.cpm,
        "case_auroc": case_auroc(cases),
        "count_error": errors.bias,
        "count_error_absolute": errors.absolute,
        "splits": sum(one.split_count for one in relations),
        "merges": sum(one.merge_count for one in relations),
        "volume_bias_ml": bland_altman(*volumes).bias,
        "volume_limit_low_ml": bland_altman(*volumes).lower,
        "volume_ccc": concordance(*volumes).ccc,
        "count_limit_high": bland_altman(*counts).upper,
        "count_ccc": concordance(*counts).ccc,
    }
    values = values_of(found)
    of_all = {name: values["all"][name] for name in wanted}
    assert of_all == pytest.approx(wanted, nan_ok=True)
    for name in ("node", "tumour"):
        assert values[name]["pq"] == pytest.approx(quality.per_class[name].pq, nan_ok=True)
        assert values[name]["map"] == pytest.approx(means["per_class"][name], nan_ok=True)
        dice = [class_dice(*case)[name] for case in cases]
        known = [value for value in dice if not math.isnan(value)]
        mean = np.mean(known) if known else math.nan
        assert values[name]["class_dice"] == pytest.approx(mean, nan_ok=True)
        of_class = found.classes[found.classes["class_name"] == name]
        assert of_class["dice"].tolist() == pytest.approx(dice, nan_ok=True)


@pytest.mark.slow
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=1000)
def test_means_and_medians_are_those_of_the_rows_of_matched_objects(seed: int) -> None:
    found = evaluate(*cases_of(seed, 2), replace(LEAN, rule=MatchingRule(threshold=0.1)))
    values = values_of(found)
    for name in ("all", "node", "tumour"):
        rows = found.objects[found.objects["status"] == "matched"]
        rows = rows if name == "all" else rows[rows["class_name"] == name]
        for metric in ("dice", "surface_dice", "hd95_mm", "assd_mm"):
            mean = rows[metric].mean()
            assert values[name][metric] == pytest.approx(mean, nan_ok=True)
        median = rows["volume_error"].median()
        assert values[name]["volume_error"] == pytest.approx(median, nan_ok=True)
        absolute = rows["volume_error"].abs().median()
        assert values[name]["volume_error_absolute"] == pytest.approx(absolute, nan_ok=True)
        counted = values[name]["tp"] + values[name]["fp"] + values[name]["fn"]
        penalised = rows["dice"].sum() / counted if counted else math.nan
        assert values[name]["dice_all_objects"] == pytest.approx(penalised, nan_ok=True)


@pytest.mark.parametrize(
    ("pred", "ref", "expected"),
    [
        ([(20, 35, 10, 20)], [(20, 40, 10, 20)], (1, 0, 0, 0.75, 1, 0.75, 0.857142857)),
        (
            [(20, 35, 10, 20)],
            [(20, 30, 10, 20), (30, 40, 10, 20)],
            (1, 0, 1, 2 / 3, 2 / 3, 4 / 9, 0.857142857),
        ),
        ([(20, 25, 10, 15)], [(20, 40, 10, 20)], (0, 1, 1, 0, 0, 0, 0.222222222)),
        ([], [(20, 40, 10, 20)], (0, 0, 1, 0, 0, 0, 0)),
        ([(20, 35, 10, 20)], [], (0, 1, 0, 0, 0, 0, 0)),
    ],
)
def test_panoptica_cases_have_their_published_figures(pred, ref, expected) -> None:
    sides = [
        study([rectangle(slice(a, b), slice(c, d)) for a, b, c, d in rows]) for rows in (pred, ref)
    ]
    found = evaluate(*sides, QUICK)
    names = ("tp", "fp", "fn", "sq", "rq", "pq", "class_dice")
    # Panoptica calls the quality of no pair 0; there is none to be told.
    wanted = [
        math.nan if name == "sq" and expected[0] == 0 else value
        for name, value in zip(names, expected, strict=True)
    ]
    assert [found.value(name) for name in names] == pytest.approx(wanted, nan_ok=True)


UNDEFINED = math.nan


@pytest.mark.parametrize(
    ("pred", "ref", "expected"),
    [
        (
            NOTHING,
            NOTHING,
            {
                **dict.fromkeys(("tp", "fp", "fn", "splits", "merges"), 0),
                **dict.fromkeys(("precision", "recall", "f1", "pq", "sq", "rq"), UNDEFINED),
                **dict.fromkeys(("dice", "dice_all_objects", "hd95_mm", "assd_mm"), UNDEFINED),
                **dict.fromkeys(("ap_iou_0.50", "map", "cpm", "case_auroc"), UNDEFINED),
                **dict.fromkeys(("class_dice", "count_error", "volume_ccc"), UNDEFINED),
                **dict.fromkeys(("volume_bias_ml", "count_bias"), 0),
            },
        ),
        (
            NOTHING,
            ONE,
            {
                "fn": 1,
                "recall": 0,
                "precision": UNDEFINED,
                **dict.fromkeys(("f1", "pq", "rq", "dice_all_objects", "class_dice"), 0),
                **dict.fromkeys(("ap_iou_0.50", "map", "cpm"), 0),
                **dict.fromkeys(
                    ("sq", "dice", "surface_dice", "hd95_mm", "volume_error"), UNDEFINED
                ),
                "count_error": -1,
                "count_error_absolute": 1,
                "volume_bias_ml": -0.1,
            },
        ),
        (
            ONE,
            NOTHING,
            {
                "fp": 1,
                "precision": 0,
                "recall": UNDEFINED,
                **dict.fromkeys(("f1", "pq", "rq", "dice_all_objects", "class_dice"), 0),
                **dict.fromkeys(("ap_iou_0.50", "map", "cpm"), UNDEFINED),
                **dict.fromkeys(
                    ("sq", "dice", "surface_dice", "hd95_mm", "volume_error"), UNDEFINED
                ),
                "count_error": math.inf,
                "count_error_absolute": math.inf,
                "volume_bias_ml": 0.1,
            },
        ),
    ],
    ids=["both empty", "empty prediction", "empty reference"],
)
def test_empty_sides_have_the_documented_figures(
    pred: Instances, ref: Instances, expected: dict[str, float]
) -> None:
    found = evaluate(pred, ref, QUICK)
    assert {name: found.value(name) for name in expected} == pytest.approx(expected, nan_ok=True)
    full = evaluate(ONE, ONE, QUICK)
    for name in ("summary", "cases", "classes", "objects", "splits_and_merges"):
        empty, other = getattr(found, name), getattr(full, name)
        assert empty.dtypes.to_dict() == other.dtypes.to_dict()
        if name in ("summary", "cases", "classes"):
            assert len(empty) == len(other)
    json.dumps(found.as_dict(), allow_nan=False)


def test_a_case_with_both_sides_empty_leaves_the_others_as_they_are() -> None:
    alone = evaluate({"a": ONE}, {"a": ONE}, QUICK)
    beside = evaluate({"a": ONE, "b": NOTHING}, {"a": ONE, "b": NOTHING}, QUICK)
    for name in ("precision", "recall", "f1", "pq", "dice", "ap_iou_0.50", "class_dice"):
        assert beside.value(name) == alone.value(name) == 1.0
    assert beside.value("case_auroc") == 1.0
    row = beside.cases.iloc[1]
    assert (row["case"], row["tp"], row["fp"], row["fn"]) == ("b", 0, 0, 0)
    assert all(math.isnan(row[name]) for name in ("precision", "recall", "f1", "pq", "dice"))


def test_across_classes_a_prediction_counts_in_its_own_class() -> None:
    mask = np.zeros((4, 8, 8), dtype=np.uint8)
    mask[1:3, 2:6, 2:6] = 1
    grid = Geometry.identity(mask.shape)
    found, drawn = (
        Instances.from_labelmap(mask, grid, (InstanceClass(name, "lesion", 1),)) for name in "AB"
    )
    chosen = EvaluationSettings(MatchingRule(within_class=False), bootstrap_samples=0)
    rows = medseg.evaluate(found, drawn, chosen).classes.set_index("class_name")
    assert rows["tp"].to_dict() == {"B": 1, "A": 0}
    assert rows["count_pred"].to_dict() == {"B": 0, "A": 1}
    assert rows["count_ref"].to_dict() == {"B": 1, "A": 0}


def test_a_case_row_without_a_pair_has_no_segmentation_quality_but_panoptic_quality() -> None:
    rows = evaluate([ONE, ONE], [ONE, NOTHING], QUICK).cases
    assert rows["pq"].tolist() == [1.0, 0.0]
    assert rows["sq"].tolist() == pytest.approx([1.0, math.nan], nan_ok=True)


def relabelled(instances: Instances, name: str) -> Instances:
    """The same objects, all of one class."""
    items = [replace(item, class_name=name) for item in instances]
    return replace(instances, items=items)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_across_classes_curves_are_those_of_objects_of_one_class(seed: int) -> None:
    preds, refs = cases_of(seed, 3)
    across = replace(QUICK, rule=MatchingRule(threshold=0.3, within_class=False))
    found = evaluate(preds, refs, across)
    same = evaluate(*([relabelled(one, "tumour") for one in side] for side in (preds, refs)), QUICK)
    of_rule = average_precision(
        list(zip(preds, refs, strict=True)), MatchingRule(threshold=0.5, within_class=False)
    )
    for name in ("map", "ap_iou_0.10", "ap_iou_0.50"):
        assert found.value(name) == pytest.approx(same.value(name), nan_ok=True)
    assert found.value("ap_iou_0.50") == pytest.approx(of_rule["pooled"], nan_ok=True)


def test_across_classes_a_class_has_no_curve_and_the_rows_say_why() -> None:
    found = study([SQUARE], names=["node"])
    across = EvaluationSettings(MatchingRule(within_class=False), bootstrap_samples=0)
    rows = evaluate(found, ONE, across).summary
    curves = rows["metric"].str.match("ap_iou_|map|sensitivity_at_|cpm")
    empty = curves & ((rows["class_name"] != "all") | (rows["metric"] == "map_of_classes"))
    assert set(rows[empty]["class_name"]) == {"all", "node", "tumour"}
    assert rows[empty]["value"].isna().all() and (rows[empty]["n"] == 0).all()
    told = rows[curves & ~empty]
    assert (told["value"] == 1.0).all() and (told["n"] == 1).all()
    assert told["conditions"].str.contains("; whatever the class; ").all()
    reason = "; empty: a curve across classes is one of all classes together; "
    assert (rows["conditions"].str.contains(reason, regex=False) == empty).all()

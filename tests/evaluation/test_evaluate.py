"""The one door: every figure against the single functions, known cases, empty sides, refusals."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_cases import CLASSES, random_pair, rectangle, study
from hypothesis import given, settings
from hypothesis import strategies as st

import medseg
from medseg.errors import InputRefused
from medseg.evaluation import (
    Evaluation,
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
from medseg.evaluation.figures import FIGURES, figure
from medseg.types import Geometry, InstanceClass, Instances

NOTHING = study([])
SQUARE = rectangle(slice(0, 10), slice(0, 10))
ONE = study([SQUARE])
QUICK = EvaluationSettings(bootstrap_samples=0)


def cases_of(seed: int, count: int) -> tuple[list[Instances], list[Instances]]:
    rng = np.random.default_rng(seed)
    pairs = [random_pair(rng) for _ in range(count)]
    return [pred for pred, _ in pairs], [ref for _, ref in pairs]


@given(seed=st.integers(0, 2**32 - 1), many_to_one=st.booleans())
@settings(max_examples=25)
def test_every_figure_is_that_of_its_own_function(seed: int, many_to_one: bool) -> None:
    preds, refs = cases_of(seed, 4)
    cases = list(zip(preds, refs, strict=True))
    rule = MatchingRule(threshold=0.3, many_to_one=many_to_one)
    found = evaluate(preds, refs, replace(QUICK, rule=rule))
    scores, quality = detection_scores(cases, rule), panoptic_quality(cases, rule)
    curve, errors = froc(cases, rule), count_error(cases)
    volumes = found.cases["volume_pred_ml"], found.cases["volume_ref_ml"]
    counts = [len(pred) for pred in preds], [len(ref) for ref in refs]
    relations = [splits_and_merges(*case) for case in cases]
    means = mean_average_precision(cases)
    wanted = {
        **scores._asdict(),
        "pq": quality.pooled.pq,
        "sq": quality.pooled.sq,
        "rq": quality.pooled.rq,
        "ap_iou_0.10": average_precision(cases, 0.1)["pooled"],
        "ap_iou_0.50": average_precision(cases, 0.5)["pooled"],
        "map": means["pooled"],
        "map_of_classes": means["mean"],
        "sensitivity_at_0.5_fp": curve.values[2],
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
    assert {name: found.value(name) for name in wanted} == pytest.approx(wanted, nan_ok=True)
    for name in ("node", "tumour"):
        assert found.value("pq", name) == pytest.approx(quality.per_class[name].pq, nan_ok=True)
        assert found.value("map", name) == pytest.approx(means["per_class"][name], nan_ok=True)
        dice = [class_dice(*case)[name] for case in cases]
        known = [value for value in dice if not math.isnan(value)]
        mean = np.mean(known) if known else math.nan
        assert found.value("class_dice", name) == pytest.approx(mean, nan_ok=True)
        of_class = found.classes[found.classes["class_name"] == name]
        assert of_class["dice"].tolist() == pytest.approx(dice, nan_ok=True)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_means_and_medians_are_those_of_the_rows_of_matched_objects(seed: int) -> None:
    found = evaluate(*cases_of(seed, 3), replace(QUICK, rule=MatchingRule(threshold=0.1)))
    for name in ("all", "node", "tumour"):
        rows = found.objects[found.objects["status"] == "matched"]
        rows = rows if name == "all" else rows[rows["class_name"] == name]
        for metric in ("dice", "surface_dice", "hd95_mm", "assd_mm"):
            mean = rows[metric].mean()
            assert found.value(metric, name) == pytest.approx(mean, nan_ok=True)
        median = rows["volume_error"].median()
        assert found.value("volume_error", name) == pytest.approx(median, nan_ok=True)
        absolute = rows["volume_error"].abs().median()
        assert found.value("volume_error_absolute", name) == pytest.approx(absolute, nan_ok=True)
        counted = found.value("tp", name) + found.value("fp", name) + found.value("fn", name)
        penalised = rows["dice"].sum() / counted if counted else math.nan
        assert found.value("dice_all_objects", name) == pytest.approx(penalised, nan_ok=True)


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
    assert [found.value(name) for name in names] == pytest.approx(list(expected))


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
                **dict.fromkeys(("f1", "pq", "sq", "rq", "dice_all_objects", "class_dice"), 0),
                **dict.fromkeys(("ap_iou_0.50", "map", "cpm"), 0),
                **dict.fromkeys(("dice", "surface_dice", "hd95_mm", "volume_error"), UNDEFINED),
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
                **dict.fromkeys(("f1", "pq", "sq", "rq", "dice_all_objects", "class_dice"), 0),
                **dict.fromkeys(("ap_iou_0.50", "map", "cpm"), UNDEFINED),
                **dict.fromkeys(("dice", "surface_dice", "hd95_mm", "volume_error"), UNDEFINED),
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


def test_one_case_sequences_and_mappings_are_the_same() -> None:
    preds, refs = cases_of(1, 3)
    names = ["x", "y", "z"]
    in_a_row = evaluate(preds, refs, QUICK)
    named = evaluate(
        dict(zip(names[::-1], preds[::-1], strict=True)), dict(zip(names, refs, strict=True)), QUICK
    )
    assert in_a_row.cases["case"].tolist() == ["1", "2", "3"]
    assert named.cases["case"].tolist() == names  # the reference's order
    assert in_a_row.summary.equals(named.summary)
    single = evaluate(preds[0], refs[0], QUICK)
    assert single.cases["case"].tolist() == ["1"]
    assert repr(single).startswith("Evaluation(1 cases, ")


def test_the_door_of_the_package_is_this_function() -> None:
    assert medseg.evaluate is evaluate


class OnDemand(Mapping[str, Instances]):
    """Cases that count how often each is read."""

    def __init__(self, cases: dict[str, Instances]) -> None:
        self.cases, self.read = cases, Counter[str]()

    def __getitem__(self, name: str) -> Instances:
        self.read[name] += 1
        return self.cases[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.cases)

    def __len__(self) -> int:
        return len(self.cases)


def test_a_mapping_reads_each_case_once() -> None:
    pred, ref = OnDemand({"a": ONE, "b": NOTHING}), OnDemand({"a": ONE, "b": ONE})
    evaluate(pred, ref, QUICK)
    assert pred.read == ref.read == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    ("pred", "ref", "message"),
    [
        (
            {"a": ONE, "c": ONE},
            {"a": ONE, "b": ONE},
            r"no prediction for case 'b'; no reference for",
        ),
        ({}, {str(n): ONE for n in range(5)}, r"no prediction for case '0', '1', '2' and 2 more"),
        ([ONE, ONE], [ONE], r"no reference for case '2'"),
        (ONE, {"a": ONE}, r"no prediction for case 'a'; no reference for case '1'"),
        ([], [], r"there is no case"),
    ],
)
def test_sides_that_do_not_pair_are_a_bad_call(pred: Any, ref: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(pred, ref)


def test_patients_must_name_every_case() -> None:
    with pytest.raises(ValueError, match="does not name the patient of case 'b'"):
        evaluate({"a": ONE, "b": ONE}, {"a": ONE, "b": ONE}, patients={"a": "p"})


def test_a_class_named_all_is_a_bad_call() -> None:
    odd = replace(NOTHING, classes=(replace(CLASSES[0], name="all"),))
    with pytest.raises(ValueError, match="a class named 'all' cannot be told from all classes"):
        evaluate(odd, odd)


def test_another_grid_is_refused_with_the_name_of_the_case() -> None:
    other = Instances(Geometry.from_spacing((1, 50, 50), (1.0, 1.0, 2.0)), [], CLASSES)
    with pytest.raises(InputRefused, match=r"^case 'b', prediction: its grid .* \[grid-mismatch\]"):
        evaluate({"a": ONE, "b": other}, {"a": ONE, "b": ONE})


def test_a_score_that_is_no_number_is_a_bad_call() -> None:
    with pytest.raises(ValueError, match="has the score NaN"):
        evaluate(study([SQUARE], scores=[math.nan]), ONE)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"iou_thresholds": (0.0, 0.5)}, r"an IoU threshold must be in \(0, 1\]"),
        ({"iou_thresholds": (0.5, 0.1)}, "iou_thresholds must be given by rising value"),
        ({"fp_per_case": (-1.0,)}, "a rate of false alarms must be 0 or more"),
        ({"fp_per_case": (2.0, 1.0)}, "fp_per_case must be given by rising value"),
        ({"size_edges_ml": (0.0, 1.0)}, "size_edges_ml must be above 0 and given by rising"),
        ({"tolerance_mm": -1.0}, "tolerance_mm must be 0 or more"),
        ({"tolerance_mm": math.nan}, "tolerance_mm must be 0 or more"),
        ({"min_volume_ml": math.inf}, "min_volume_ml must be 0 or more"),
        ({"score_threshold": 2.0}, r"score_threshold must be in \[0, 1\]"),
        ({"split_share": 0.0}, r"split_share must be in \(0, 1\]"),
        ({"connectivity": 8}, "connectivity must be 6, 18, 26 or None"),
        ({"bootstrap_samples": -1}, "bootstrap_samples must be 0 or more"),
        ({"confidence": 1.0}, r"confidence must be in \(0, 1\)"),
        ({"seed": -1}, "seed must be 0 or more"),
    ],
)
def test_settings_that_make_no_sense_are_a_bad_call(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluationSettings(**values)


def test_the_same_seed_gives_the_same_intervals_and_each_holds_its_value() -> None:
    sides = cases_of(5, 12)
    one, same, other = (
        evaluate(*sides, EvaluationSettings(bootstrap_samples=200, seed=seed)).summary
        for seed in (1, 1, 2)
    )
    assert one.equals(same)
    assert not one["low"].equals(other["low"])
    assert one["value"].equals(other["value"])
    known = one[one["low"].notna() & (one["size_class"] == "all")]
    assert len(known) > 100
    assert (known["low"] <= known["high"]).all()


def test_cases_of_one_patient_give_a_wider_interval_than_as_many_patients() -> None:
    # Four patients whose cases are alike: as sixteen cases they would seem to say more.
    preds = [ONE if n < 8 else NOTHING for n in range(16)]
    names = [str(n) for n in range(16)]
    pred, ref = dict(zip(names, preds, strict=True)), dict.fromkeys(names, ONE)
    widths = []
    for patients in (None, {name: str(int(name) // 4) for name in names}):
        rows = evaluate(pred, ref, patients=patients).summary
        row = rows[(rows["metric"] == "recall") & (rows["class_name"] == "all")].iloc[0]
        widths.append(row["high"] - row["low"])
        assert row["value"] == 0.5
    assert widths[1] > 1.5 * widths[0]


def test_a_single_patient_has_no_interval_and_the_row_says_so() -> None:
    rows = evaluate([ONE, ONE], [ONE, ONE], patients={"1": "p", "2": "p"}).summary
    assert rows["low"].isna().all()
    assert rows["conditions"].str.endswith("2 cases of 1 patients, no interval").all()


def test_every_figure_states_unit_connectivity_size_matching_and_pooling() -> None:
    settings_ = replace(QUICK, connectivity=18, rule=MatchingRule("dice", 0.25))
    rows = evaluate(ONE, ONE, settings_).summary
    assert (
        rows["conditions"]
        .str.startswith("objects are masks; 18-connected components; of every size; ")
        .all()
    )
    for row in rows.itertuples():
        said = figure(row.metric)
        assert (row.unit, row.definition) == (said.unit, said.definition)
        if said.basis == "cases":
            assert "a value a case" in row.conditions
        else:
            assert "matched by " in row.conditions
            assert "objects of all cases pooled" in row.conditions
    of = rows.drop_duplicates("metric").set_index("metric")["conditions"]
    assert "Dice of at least 0.25" in of["precision"]
    assert "Dice of at least 0.25" in of["cpm"]
    assert "IoU of at least 0.35;" in of["ap_iou_0.35"]
    assert "IoU of at least 0.1, 0.15, 0.2" in of["map"]
    assert "tolerance 1 mm" in of["surface_dice"]
    assert "at least 0.5 of its voxels" in of["splits"]
    assert rows[rows["size_class"] != "all"]["conditions"].str.contains("size by the ref").all()


def test_every_metric_is_in_the_summary_once_a_class_and_size() -> None:
    rows = evaluate(*cases_of(2, 3), QUICK).summary
    assert not rows.duplicated(["metric", "class_name", "size_class"]).any()
    assert set(rows["class_name"]) == {"all", "node", "tumour"}
    of_all = rows[(rows["class_name"] == "all") & (rows["size_class"] == "all")]["metric"]
    curves = of_all.str.match("ap_iou_|sensitivity_at_")
    assert list(of_all[curves]) == [
        *(f"ap_iou_{n / 20:.2f}" for n in range(2, 11)),
        *(f"sensitivity_at_{rate}_fp" for rate in ("0.125", "0.25", "0.5", "1", "2", "4", "8")),
    ]
    assert set(of_all[~curves]) == set(FIGURES) - {"ap", "sensitivity"}


def test_a_figure_that_is_none_is_a_key_error() -> None:
    found: Evaluation = evaluate(ONE, ONE, QUICK)
    with pytest.raises(KeyError, match="no figure 'f2' of class 'all' and size 'all'"):
        found.value("f2")


def test_json_has_null_where_a_figure_is_undefined_or_infinite() -> None:
    written = evaluate(ONE, NOTHING, QUICK).as_dict()
    again = json.loads(json.dumps(written, allow_nan=False))
    assert list(again) == [
        "settings",
        "summary",
        "cases",
        "classes",
        "objects",
        "splits_and_merges",
    ]
    values = {
        row["metric"]: row["value"]
        for row in again["summary"]
        if (row["class_name"], row["size_class"]) == ("all", "all")
    }
    assert (values["fp"], values["recall"], values["count_error"]) == (1, None, None)
    assert again["objects"][0]["ref_id"] is None
    assert again["settings"]["rule"]["threshold"] == 0.5


def test_without_thresholds_rates_and_edges_their_figures_are_left_out() -> None:
    bare = replace(QUICK, iou_thresholds=(), fp_per_case=(), size_edges_ml=())
    rows = evaluate(ONE, ONE, bare).summary
    assert not rows["metric"].str.contains("ap_iou|map|sensitivity|cpm").any()
    assert set(rows["size_class"]) == {"all"}


def test_the_page_explains_every_metric(repository: Path) -> None:
    page = (repository / "docs" / "evaluating.md").read_text(encoding="utf-8")
    points = {"ap": "ap_iou_0.10", "sensitivity": "sensitivity_at_0.125_fp"}
    assert [name for name in FIGURES if f"`{points.get(name, name)}`" not in page] == []


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

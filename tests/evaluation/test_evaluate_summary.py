"""The summary: intervals, conditions, every metric once, JSON, and the page that explains them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from evaluate_cases import NOTHING, ONE, QUICK, cases_of

from medseg.evaluation import Evaluation, EvaluationSettings, MatchingRule, evaluate
from medseg.evaluation.bootstrap import LEAST_PATIENTS
from medseg.evaluation.figures import FIGURES, figure


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
    # Ten patients whose cases are alike: as forty cases they would seem to say more.
    preds = [ONE if n < 20 else NOTHING for n in range(40)]
    names = [str(n) for n in range(40)]
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
    assert rows["conditions"].str.contains("; 2 cases of 1 patient; interval: none, since ").all()


def test_few_patients_have_no_interval_by_resampling_and_the_rows_say_so() -> None:
    pred, ref = [ONE] * LEAST_PATIENTS, [ONE, NOTHING] * (LEAST_PATIENTS // 2)
    few, enough = (evaluate(pred[:n], ref[:n]) for n in (LEAST_PATIENTS - 1, LEAST_PATIENTS))
    assert few.summary[["low", "high"]].isna().all(axis=None)
    reason = f"interval: none, since resampling tells too little of fewer than {LEAST_PATIENTS} pat"
    assert few.summary["conditions"].str.contains(reason, regex=False).all()
    rows = enough.summary.set_index(["metric", "class_name", "size_class"]).loc[:, "all", "all"]
    assert rows.loc["precision", "low"] < 0.5 < rows.loc["precision", "high"]
    assert rows.loc["volume_limit_low_ml", "low"] < rows.loc["volume_limit_low_ml", "high"]
    assert rows["conditions"].str.endswith("1000 resamples of patients (seed 0)").all()


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

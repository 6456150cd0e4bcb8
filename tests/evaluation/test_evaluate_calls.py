"""What `evaluate` takes: one case, sequences, mappings and settings; and what it refuses."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from evaluate_cases import NOTHING, ONE, QUICK, SQUARE, cases_of
from evaluation_cases import CLASSES, study

import medseg
from medseg.errors import InputRefused
from medseg.evaluation import EvaluationSettings, evaluate
from medseg.types import Geometry, Instances


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
    assert repr(single).startswith("Evaluation(1 case, ")


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


@pytest.mark.parametrize("side", ["prediction", "reference"])
def test_a_class_named_as_all_classes_are_is_refused(side: str) -> None:
    odd = replace(NOTHING, classes=(replace(CLASSES[0], name="all"),))
    sides = (odd, ONE) if side == "prediction" else (ONE, odd)
    message = rf"^case '1', {side}: has a class named 'all', .* \[names-invalid\]; give the class"
    with pytest.raises(InputRefused, match=message):
        evaluate(*sides)


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

"""The one door of evaluating: predictions and references in, every figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from medseg.evaluation.evaluation import Evaluation, EvaluationSettings
from medseg.evaluation.lesionwise import case_record
from medseg.evaluation.summary import summary_table
from medseg.evaluation.tallies import (
    OBJECT_COLUMNS,
    RELATION_COLUMNS,
    class_table,
    table,
    tallies,
)
from medseg.evaluation.terms import ALL
from medseg.types import Instances

OneOrMany = Instances | Mapping[str, Instances] | Sequence[Instances]
"""One case, cases by name, or cases in a row, then named 1, 2, ..."""

_SHOWN = 3


def evaluate(
    pred: OneOrMany,
    ref: OneOrMany,
    settings: EvaluationSettings | None = None,
    *,
    patients: Mapping[str, str] | None = None,
) -> Evaluation:
    """Compare predictions with references, object by object; objects may overlap.

    Both sides are one case, mappings of the same case names, or sequences of one length. A case
    is asked for once and not kept, so a mapping that reads files on demand holds one at a time.
    `patients` names the patient of each case, for the intervals; by default each case is one.
    What an empty side gives stands in docs/evaluating.md.

    Raises ValueError where the sides do not pair, `patients` lacks a case or a score is NaN;
    InputRefused where a case lies on two grids (`grid-mismatch`) or a class is named `all`, as
    all classes together are (`names-invalid`).
    """
    chosen = settings or EvaluationSettings()
    found, wanted = _by_name(pred), _by_name(ref)
    _require_same_names(found, wanted)
    names = list(wanted)
    patient_of_case = _patients(names, patients)
    records = [case_record(name, found[name], wanted[name], chosen) for name in names]
    sums = tallies(records)
    classes = class_table(sums)
    objects = table([row for record in records for row in record.objects], OBJECT_COLUMNS)
    cases = classes[classes["class_name"] == ALL].drop(columns="class_name").reset_index(drop=True)
    cases.insert(1, "patient", pd.Series(patient_of_case, dtype="str"))
    relations = [row for record in records for row in record.relations]
    return Evaluation(
        settings=chosen,
        summary=summary_table(records, objects, sums, patient_of_case, chosen),
        cases=cases,
        classes=classes[classes["class_name"] != ALL].reset_index(drop=True),
        objects=objects,
        splits_and_merges=table(relations, RELATION_COLUMNS),
    )


def _by_name(cases: OneOrMany) -> Mapping[str, Instances]:
    if isinstance(cases, Mapping):
        return cases
    many = [cases] if isinstance(cases, Instances) else cases
    return {str(n): one for n, one in enumerate(many, start=1)}


def _require_same_names(pred: Mapping[str, Instances], ref: Mapping[str, Instances]) -> None:
    found, wanted = set(pred), set(ref)  # asking `in` may read a case
    sides = (("prediction", wanted - found), ("reference", found - wanted))
    lost = [f"no {side} for case {_listed(sorted(names))}" for side, names in sides if names]
    if lost:
        msg = f"predictions and references do not pair: {'; '.join(lost)}"
        raise ValueError(msg)
    if not wanted:
        msg = "there is no case to evaluate"
        raise ValueError(msg)


def _patients(names: Sequence[str], patients: Mapping[str, str] | None) -> list[str]:
    if patients is None:
        return list(names)
    lost = [name for name in names if name not in patients]
    if lost:
        msg = f"patients does not name the patient of case {_listed(lost)}"
        raise ValueError(msg)
    return [patients[name] for name in names]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown

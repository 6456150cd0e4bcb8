"""Cases that are put to `evaluate`, and its settings without resampling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from evaluation_cases import random_pair, rectangle, study

from medseg.evaluation import Evaluation, EvaluationSettings
from medseg.types import Instances

NOTHING = study([])
SQUARE = rectangle(slice(0, 10), slice(0, 10))
ONE = study([SQUARE])
QUICK = EvaluationSettings(bootstrap_samples=0)
LEAN = replace(QUICK, iou_thresholds=(0.1, 0.5), fp_per_case=(0.5, 2.0), size_edges_ml=())
"""What a thousand evaluations can afford."""


def cases_of(seed: int, count: int) -> tuple[list[Instances], list[Instances]]:
    rng = np.random.default_rng(seed)
    pairs = [random_pair(rng) for _ in range(count)]
    return [pred for pred, _ in pairs], [ref for _, ref in pairs]


def values_of(found: Evaluation) -> dict[str, dict[str, float]]:
    """Every figure of objects of all sizes, by class, read from the summary in one go."""
    rows = found.summary[found.summary["size_class"] == "all"]
    values: dict[str, dict[str, float]] = {}
    columns = (rows[name].tolist() for name in ("class_name", "metric", "value"))
    for class_name, metric, value in zip(*columns, strict=True):
        values.setdefault(class_name, {})[metric] = value
    return values

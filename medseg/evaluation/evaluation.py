"""What an evaluation was asked for, and what it found."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any

import pandas as pd

from medseg.evaluation.detection import IOUS_3D
from medseg.evaluation.froc import LUNA16_POINTS
from medseg.evaluation.matching import MatchingRule
from medseg.evaluation.terms import ALL
from medseg.io.tables import table_as_rows
from medseg.measurement.parts import Connectivity
from medseg.measurement.selection import several


@dataclass(frozen=True)
class EvaluationSettings:
    """What is counted as found, what is left out, and how figures are taken.

    `rule` says which predicted object stands for which reference object. Objects below
    `min_volume_ml` are left out on both sides, predicted ones below `score_threshold` wherever no
    curve over scores is drawn. `tolerance_mm` is that of surface Dice; without `surface` no surface
    is measured. `size_edges_ml` part size
    classes by the reference object's volume (a false alarm's own); of the default, balls have
    diameters of 6, 12 and 27 mm. `split_share` is the least share of an object's voxels that makes
    another object one of its parts. `connectivity` (6, 18, 26) is stated, not applied: it is the
    one by which objects were made from masks, None where objects were given as such.

    Raises ValueError for a value that makes no sense.
    """

    rule: MatchingRule = field(default_factory=MatchingRule)
    iou_thresholds: tuple[float, ...] = IOUS_3D
    fp_per_case: tuple[float, ...] = LUNA16_POINTS
    tolerance_mm: float = 1.0
    surface: bool = True
    min_volume_ml: float = 0.0
    score_threshold: float = 0.0
    size_edges_ml: tuple[float, ...] = (0.1, 1.0, 10.0)
    split_share: float = 0.5
    connectivity: Connectivity | None = None
    bootstrap_samples: int = 1000
    confidence: float = 0.95
    seed: int = 0

    @property
    def ap_rules(self) -> tuple[MatchingRule, ...]:
        """COCO's rule at each IoU threshold; whether classes may differ is as `rule` says."""
        coco = MatchingRule(within_class=self.rule.within_class)
        return tuple(replace(coco, threshold=iou) for iou in self.iou_thresholds)

    def __post_init__(self) -> None:
        _require(all(0 < one <= 1 for one in self.iou_thresholds), "an IoU threshold", "in (0, 1]")
        _require(
            all(0 <= one < math.inf for one in self.fp_per_case),
            "a rate of false alarms",
            "0 or more",
        )
        _require(_rises(self.iou_thresholds), "iou_thresholds", "given by rising value")
        _require(_rises(self.fp_per_case), "fp_per_case", "given by rising value")
        rising = _rises((0.0, *self.size_edges_ml))
        _require(rising, "size_edges_ml", "above 0 and given by rising value")
        _require(0 <= self.tolerance_mm < math.inf, "tolerance_mm", "0 or more")
        _require(0 <= self.min_volume_ml < math.inf, "min_volume_ml", "0 or more")
        _require(0 <= self.score_threshold <= 1, "score_threshold", "in [0, 1]")
        _require(0 < self.split_share <= 1, "split_share", "in (0, 1]")
        _require(self.connectivity in (None, 6, 18, 26), "connectivity", "6, 18, 26 or None")
        _require(self.bootstrap_samples >= 0, "bootstrap_samples", "0 or more")
        _require(0 < self.confidence < 1, "confidence", "in (0, 1)")
        _require(self.seed >= 0, "seed", "0 or more")


def _require(holds: bool, what: str, wanted: str) -> None:  # noqa: FBT001 - the condition itself
    if not holds:
        msg = f"{what} must be {wanted}"
        raise ValueError(msg)


def _rises(values: tuple[float, ...]) -> bool:
    return all(low < high for low, high in pairwise(values))


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """How good predictions are: of each object, each case, and all together.

    `summary`: a row a figure, class and size class (`metric`, `class_name`, `size_class`, `value`,
    `low`, `high`, `n`, `unit`, `definition`, `conditions`). `low` to `high` is the percentile
    bootstrap interval over patients, `n` the objects or cases that the value rests on;
    `conditions` states unit, connectivity, minimum size, matching and pooling of that figure.
    `cases`: a row a case, all classes pooled; `classes`: a row a case and class.
    `objects`: a row a matched pair, a miss, a false alarm or an ignored prediction (`status`).
    `splits_and_merges`: a row an object that several of the other side share.
    Empty fields are what cannot be told; docs/evaluating.md says when.
    """

    settings: EvaluationSettings
    summary: pd.DataFrame
    cases: pd.DataFrame
    classes: pd.DataFrame
    objects: pd.DataFrame
    splits_and_merges: pd.DataFrame

    def __repr__(self) -> str:
        cases, rows = several(len(self.cases), "case"), several(len(self.objects), "object")
        return f"Evaluation({cases}, {rows})"

    def value(self, metric: str, class_name: str = ALL, size_class: str = ALL) -> float:
        """One figure of `summary`; KeyError where there is no such row."""
        rows = self.summary
        found = rows[
            (rows["metric"] == metric)
            & (rows["class_name"] == class_name)
            & (rows["size_class"] == size_class)
        ]
        if found.empty:
            msg = f"no figure {metric!r} of class {class_name!r} and size {size_class!r}"
            raise KeyError(msg)
        return float(found["value"].iloc[0])

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON has it: lists of rows; what is NaN, infinite or empty is None."""
        tables = {
            "summary": self.summary,
            "cases": self.cases,
            "classes": self.classes,
            "objects": self.objects,
            "splits_and_merges": self.splits_and_merges,
        }
        return {
            "settings": asdict(self.settings),
            **{name: table_as_rows(table) for name, table in tables.items()},
        }

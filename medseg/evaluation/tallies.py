"""Records of cases as tables, and as one number a case and class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medseg.evaluation.bootstrap import quotients
from medseg.evaluation.lesionwise import FALSE_ALARM, FURTHER, MATCHED, MISSED, CaseRecord
from medseg.evaluation.terms import ALL

OBJECT_COLUMNS: Mapping[str, str] = {
    "case": "str",
    "status": "str",
    "class_name": "str",
    "pred_class_name": "str",
    "ref_id": "Int64",
    "pred_id": "Int64",
    "score": "float64",
    "size_class": "str",
    "volume_ref_ml": "float64",
    "volume_pred_ml": "float64",
    "volume_error": "float64",
    "iou": "float64",
    "dice": "float64",
    "surface_dice": "float64",
    "hd95_mm": "float64",
    "assd_mm": "float64",
}
RELATION_COLUMNS: Mapping[str, str] = {
    "case": "str",
    "kind": "str",
    "class_name": "str",
    "id": "int64",
    "parts": "str",
}


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    """Rows under fixed columns and types; what a row lacks is empty. No row: the same columns."""
    return pd.DataFrame(
        {
            name: pd.Series([row.get(name) for row in rows], dtype=dtype)
            for name, dtype in columns.items()
        }
    )


@dataclass(frozen=True, eq=False)
class Tallies:
    """Sums by case and class: every array is (cases, classes + 1), the last column all classes.

    A class that a case does not know has no object there. Volumes of all classes are their sum,
    so what an organ and a lesion in it share counts in both.
    """

    cases: tuple[str, ...]
    names: tuple[str, ...]
    sums: Mapping[str, NDArray[np.float64]]

    def __getitem__(self, key: str) -> NDArray[np.float64]:
        return self.sums[key]

    @property
    def dice(self) -> NDArray[np.float64]:
        """Dice of the classes' unions; NaN where neither side has an object."""
        both = self["volume_ref_ml"] + self["volume_pred_ml"]
        return quotients(2 * self["volume_shared_ml"], both)


def tallies(records: Sequence[CaseRecord]) -> Tallies:
    """Add up the records."""
    names = tuple(dict.fromkeys(name for record in records for name in record.classes))
    place = {name: n for n, name in enumerate(names)}
    keys = (
        *("tp", "fp", "fn", "further", "iou", "splits", "merges"),
        *("too_small_ref", "too_small_pred", "count_pred"),
        *("volume_ref_ml", "volume_pred_ml", "volume_shared_ml"),
    )
    sums = {key: np.zeros((len(records), len(names) + 1)) for key in keys}
    status = {MATCHED: "tp", FALSE_ALARM: "fp", MISSED: "fn", FURTHER: "further"}
    for c, record in enumerate(records):
        for row in record.objects:
            sums[status[row["status"]]][c, place[row["class_name"]]] += 1
            sums["iou"][c, place[row["class_name"]]] += row.get("iou", 0.0)
        _count_predicted(record, sums["count_pred"][c], place)
        for row in record.relations:
            sums[f"{row['kind']}s"][c, place[row["class_name"]]] += 1
        for side, counts in (("ref", record.too_small_ref), ("pred", record.too_small_pred)):
            for name, count in counts.items():
                sums[f"too_small_{side}"][c, place[name]] += count
        for name, voxels in record.voxels.items():
            for side, count in voxels._asdict().items():
                sums[f"volume_{side}_ml"][c, place[name]] += count * record.voxel_ml
    for one in sums.values():
        one[:, -1] = one[:, :-1].sum(axis=1)
    sums["count_ref"] = sums["tp"] + sums["fn"]
    return Tallies(tuple(record.name for record in records), (*names, ALL), sums)


def _count_predicted(
    record: CaseRecord, counts: NDArray[np.float64], place: Mapping[str, int]
) -> None:
    """Add predicted objects to their own classes: a pair's row has that of its reference."""
    for row in record.objects:
        if "pred_class_name" in row:
            counts[place[row["pred_class_name"]]] += 1


def class_table(found: Tallies) -> pd.DataFrame:
    """A row a case and class, all classes together (`all`) last in each case."""
    width = len(found.names)
    tp, fp, fn = found["tp"], found["fp"], found["fn"]
    missed = fp / 2 + fn / 2
    figures = {
        "precision": quotients(tp, tp + fp),
        "recall": quotients(tp, tp + fn),
        "f1": quotients(tp, tp + missed),
        "pq": quotients(found["iou"], tp + missed),
        "sq": quotients(found["iou"], tp),
        "rq": quotients(tp, tp + missed),
        "dice": found.dice,
    }
    counts = ("count_ref", "count_pred", "tp", "fp", "fn", "further")
    rest = ("too_small_ref", "too_small_pred", "splits", "merges")
    columns: dict[str, Any] = {
        "case": pd.Series(np.repeat(np.asarray(found.cases, dtype=object), width), dtype="str"),
        "class_name": pd.Series(list(found.names) * len(found.cases), dtype="str"),
        **{key: found[key].ravel().astype(np.int64) for key in counts},
        **{key: values.ravel() for key, values in figures.items()},
        "volume_ref_ml": found["volume_ref_ml"].ravel(),
        "volume_pred_ml": found["volume_pred_ml"].ravel(),
        **{key: found[key].ravel().astype(np.int64) for key in rest},
    }
    return pd.DataFrame(columns)

"""The tables of a batch in Python, with their types."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from medseg.errors import InputRefused
from medseg.io.checks import must_exist
from medseg_workflows.collect import (
    QUARANTINE,
    QUARANTINE_TYPES,
    STUDIES,
    STUDY_TYPES,
    TABLES,
    read_json,
)
from medseg_workflows.plan_output import PLAN_CSV

BATCH = "batch.json"
_PLAN_NUMBERS: Mapping[str, str] = {
    "number": "Int64",
    "volume": "Int64",
    "slices": "Int64",
    "spacing_z_mm": "float64",
    "cover_mm": "float64",
}


class Results(NamedTuple):
    """The tables of a batch: one row an object, a study with a model, a failure, a series.

    `lesions` and `organs` have the columns of `medseg.measurement.COLUMNS` after those that say
    whose they are. Codes are text; what is missing is NA.
    """

    lesions: pd.DataFrame
    studies: pd.DataFrame
    quarantine: pd.DataFrame
    plan: pd.DataFrame
    organs: pd.DataFrame


def load_results(out: str | Path) -> Results:
    """The tables that `medseg batch` left in the folder `out`, as they stand there.

    Raises InputRefused: `path-missing`, `format-unknown` where it is no folder of a batch or of
    another version, `table-invalid` where a table is not there.
    """
    folder = Path(out)
    must_exist(folder)
    check_batch(folder)
    missing = [name for name in (*TABLES, PLAN_CSV) if not (folder / name).is_file()]
    if missing:
        raise InputRefused(
            "table-invalid",
            folder.name,
            f"has no {missing[0]}: the batch did not come to its end",
            "run the same `medseg batch` again",
        )
    return Results(
        lesions=pd.read_parquet(folder / "lesions.parquet"),
        studies=read_csv(folder / STUDIES, STUDY_TYPES),
        quarantine=read_csv(folder / QUARANTINE, QUARANTINE_TYPES),
        plan=read_csv(folder / PLAN_CSV, _PLAN_NUMBERS),
        organs=pd.read_parquet(folder / "organs.parquet"),
    )


def check_batch(folder: Path) -> None:
    """Raise InputRefused (`format-unknown`) for what is no batch, or one of another version."""
    if not (folder / BATCH).is_file():
        raise InputRefused(
            "format-unknown",
            folder.name,
            f"is no folder of a batch: {BATCH} is not there",
            "give the folder that `medseg batch -o` wrote",
        )
    read_json(folder / BATCH, BATCH)


def read_csv(path: Path, types: Mapping[str, str]) -> pd.DataFrame:
    """A table whose columns are text where `types` says nothing else: codes may be all digits."""
    kinds = defaultdict(lambda: "str", types)
    return pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=[""])

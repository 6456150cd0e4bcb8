"""What a report says of a batch: figures, reasons, plots and the rows of its tables."""

from __future__ import annotations

import base64
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from medseg.refusal_codes import REFUSALS
from medseg_workflows.collect import (
    NOT_IN_ROOT,
    QUARANTINE,
    QUARANTINE_TYPES,
    STUDIES,
    STUDY_TYPES,
    read_json,
)
from medseg_workflows.objects import OBJECTS
from medseg_workflows.plan_output import kind_of
from medseg_workflows.report.plots import Histogram, of_counts, of_volumes
from medseg_workflows.report.thumbnails import THUMBNAIL
from medseg_workflows.results import read_csv

MOST_PICTURES = 2_000
"""Pictures in the page; of more studies only those with a flag have one."""
MOST_OBJECTS = 100_000
"""Rows of a table of objects in the page, the largest objects first to stay."""

STATES = ("done", "quarantined", "not-selected", "pending")
_OUTLIERS = {
    "count-outlier": ("lesion_count", "far more lesions than in other studies of this model"),
    "volume-outlier": ("lesion_volume_ml", "far more lesion volume than in other studies"),
}
_ASSUMED = "modality-assumed"
_FENCE, _FEWEST = 3.0, 20
_ORGANS_SHOWN = 6
_OBJECT_COLUMNS = (
    *("study", "model", "instance_id", "class_name", "volume_ml"),
    *("recist_long_mm", "organ", "score"),
)


class Reason(NamedTuple):
    """A code with the number of studies, what it means and the way out."""

    code: str
    studies: int
    what_happened: str
    what_to_do: str


class Setup(NamedTuple):
    """Something that results were made with, and how many were."""

    name: str
    text: str
    studies: int


@dataclass(frozen=True)
class Content:
    """All that the template shows; `data` is what its script draws."""

    totals: Mapping[str, int]
    studies: int
    patients: int
    objects: Mapping[str, int]
    failures: Sequence[Reason]
    unselected: Sequence[Reason]
    warnings: Sequence[Reason]
    assumed: Reason | None
    plots: Mapping[str, Sequence[Histogram]]
    models: Sequence[Setup]
    versions: Sequence[Setup]
    settings: Sequence[Setup]
    data: Mapping[str, Any]


def content_of(out: Path) -> Content:
    """Gather the content from the tables of `collect`, and from the records that they name.

    Raises InputRefused (`file-corrupt`, `format-unknown`) for a damaged record.
    """
    studies = read_csv(out / STUDIES, STUDY_TYPES)
    quarantine = read_csv(out / QUARANTINE, QUARANTINE_TYPES)
    objects = {kind: _objects(out, name) for kind, name in OBJECTS.items()}
    told = _Told.of(out, studies)
    flags = _flags(studies)
    warnings = _warnings(flags, told.warnings)
    totals = studies["state"].value_counts()
    return Content(
        totals={state: int(totals.get(state, 0)) for state in STATES},
        studies=studies["study"].nunique(),
        patients=studies["patient"].nunique(),
        objects={kind: len(table) for kind, table in objects.items()},
        failures=_failures(quarantine),
        unselected=_unselected(studies),
        warnings=warnings,
        assumed=next((one for one in warnings if one.code == _ASSUMED), None),
        plots=_plots(studies, objects),
        models=told.setups("model"),
        versions=told.setups("versions"),
        settings=told.setups("settings"),
        data=_data(out, studies, quarantine, objects, flags),
    )


@dataclass(frozen=True)
class _Told:
    """What the records of finished jobs say that is in no table."""

    warnings: Mapping[str, str]
    counts: Mapping[str, Counter[tuple[str, str]]]

    @classmethod
    def of(cls, out: Path, studies: pd.DataFrame) -> _Told:
        warnings: dict[str, str] = {}
        counts: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
        for key in studies.loc[studies["state"] == "done", "key"]:
            record = read_json(out / "done" / key / "record.json", f"done/{key}/record.json")
            for one in record["warnings"]:
                warnings.setdefault(one["code"], one["detail"])
            model = record["model"]
            name = f"{model['name']} {model['version']}"
            counts["model"][name, f"weights {model['weights_sha256'][:12]}"] += 1
            counts["versions"]["versions", _in_words(record["versions"])] += 1
            counts["settings"]["settings", _in_words(record["settings"])] += 1
        return cls(warnings, counts)

    def setups(self, of: str) -> list[Setup]:
        return [Setup(*what, count) for what, count in sorted(self.counts.get(of, {}).items())]


def _in_words(said: Mapping[str, Any]) -> str:
    def word(value: Any) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        return (" ".join(map(str, value)) if isinstance(value, list) else str(value)) or "none"

    return ", ".join(f"{name.replace('_', ' ')} {word(value)}" for name, value in said.items())


def _objects(out: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(out / f"{name}.parquet", columns=list(_OBJECT_COLUMNS))


def _flags(studies: pd.DataFrame) -> list[list[str]]:
    """The codes of warnings of each row, and what lies far above the others of its model."""
    found = [[] if pd.isna(codes) else codes.split(";") for codes in studies["warnings"]]
    for code, (column, _) in _OUTLIERS.items():
        for _, rows in studies[studies["state"] == "done"].groupby("model"):
            values = rows[column].astype("float64").to_numpy()
            if len(values) < _FEWEST:
                continue
            low, high = np.percentile(values, (25, 75))
            for n in rows.index[values > high + _FENCE * max(high - low, 0.0)]:
                if high > low:
                    found[n].append(code)
    return found


def _failures(quarantine: pd.DataFrame) -> list[Reason]:
    return _by_count(
        Reason(
            str(code),
            len(rows),
            _meaning(str(code), rows["what_happened"]),
            _usual(rows["what_to_do"]),
        )
        for code, rows in quarantine.groupby("code")
    )


def _meaning(code: str, details: pd.Series[str]) -> str:
    """The meaning of a code of the closed table with a case, of another the words of most cases."""
    usual = _usual(details)
    return f"{REFUSALS[code].meaning}; for example: {usual}" if code in REFUSALS else usual


def _usual(texts: pd.Series[str]) -> str:
    """The most frequent text, of equal ones the first in order."""
    counts = Counter(texts.dropna())
    return min(counts, key=lambda text: (-counts[text], text), default="")


def _unselected(studies: pd.DataFrame) -> list[Reason]:
    rows = studies[studies["state"] == "not-selected"]
    counts = Counter(rows["detail"].fillna("no reason is known"))
    return _by_count(Reason("", count, str(text), "") for text, count in counts.items())


def _warnings(flags: Sequence[Sequence[str]], details: Mapping[str, str]) -> list[Reason]:
    counts = Counter(code for codes in flags for code in codes)
    texts = {code: text for code, (_, text) in _OUTLIERS.items()}
    texts = {**texts, NOT_IN_ROOT: "was done before and is gone from the folder", **details}
    return _by_count(Reason(code, n, texts.get(code, ""), "") for code, n in counts.items())


def _by_count(reasons: Iterable[Reason]) -> list[Reason]:
    return sorted(reasons, key=lambda one: (-one.studies, one.code, one.what_happened))


def _plots(
    studies: pd.DataFrame, objects: Mapping[str, pd.DataFrame]
) -> dict[str, list[Histogram]]:
    """Histograms of each model: lesions where there are any, else its organs."""
    done = studies[studies["state"] == "done"]
    found = {}
    for model, rows in done.groupby("model"):
        lesions, organs = (table[table["model"] == model] for table in objects.values())
        volumes = rows["lesion_volume_ml"].to_numpy()
        if len(lesions):
            none = f"; without a lesion and not drawn: {np.count_nonzero(volumes == 0):,}"
            found[str(model)] = [
                of_counts("Lesions a study", rows["lesion_count"].to_numpy(dtype=np.int64)),
                of_volumes("Volume of a lesion, ml", lesions["volume_ml"].to_numpy()),
                of_volumes("Lesion volume a study, ml", volumes[volumes > 0], none),
            ]
        elif len(organs):
            found[str(model)] = [
                of_volumes(f"Volume of {name}, ml", one["volume_ml"].to_numpy())
                for name, one in list(organs.groupby("class_name"))[:_ORGANS_SHOWN]
            ]
    return found


def _data(
    out: Path,
    studies: pd.DataFrame,
    quarantine: pd.DataFrame,
    objects: Mapping[str, pd.DataFrame],
    flags: Sequence[Sequence[str]],
) -> dict[str, Any]:
    """Rows as lists; an object's row begins with the place of its study's row."""
    remedies = dict(zip(quarantine["key"], quarantine["what_to_do"], strict=True))
    columns = {
        "study": studies["study"],
        "patient": studies["patient"],
        "model": studies["model"],
        "state": studies["state"],
        "reason": _reasons(studies),
        "lesions": studies["lesion_count"],
        "organs": studies["organ_count"],
        "lesions ml": studies["lesion_volume_ml"].round(3),
        "flags": pd.Series([" ".join(codes) for codes in flags], dtype="str"),
        "modality": studies["modality"],
        "slices": studies["slices"],
        "spacing mm": studies["spacing_z_mm"].round(2),
        "what happened": studies["detail"],
        "what to do": studies["key"].map(remedies),
        "key": studies["key"],
    }
    places = {
        pair: n for n, pair in enumerate(zip(studies["study"], studies["model"], strict=True))
    }
    return {
        "studies": {"columns": list(columns), "rows": _rows(pd.DataFrame(columns))},
        **{OBJECTS[kind]: _object_rows(table, places) for kind, table in objects.items()},
        "pictures": _pictures(out, studies, flags),
    }


def _reasons(studies: pd.DataFrame) -> pd.Series[str]:
    """The code of each row, or the fact for which no rule takes it."""
    facts = studies["detail"].map(kind_of, na_action="ignore")
    return studies["code"].where(studies["state"] != "not-selected", facts)


def _object_rows(table: pd.DataFrame, places: Mapping[tuple[Any, Any], int]) -> dict[str, Any]:
    kept = table
    if len(table) > MOST_OBJECTS:
        kept = table.loc[table["volume_ml"].nlargest(MOST_OBJECTS).index.sort_values()]
    pairs = zip(kept["study"], kept["model"], strict=True)
    columns = {
        "row": pd.Series([places[pair] for pair in pairs], index=kept.index, dtype="int64"),
        "id": kept["instance_id"],
        "class": kept["class_name"],
        "volume ml": kept["volume_ml"],
        "longest mm": kept["recist_long_mm"],
        "organ": kept["organ"],
        "score": kept["score"],
    }
    rows = _rows(pd.DataFrame(columns))
    return {"columns": list(columns), "rows": rows, "all": len(table)}


def _rows(table: pd.DataFrame) -> list[list[Any]]:
    """Plain values, None where one is missing."""
    whole = table.astype(object)
    return whole.where(whole.notna(), None).to_numpy().tolist()


def _pictures(out: Path, studies: pd.DataFrame, flags: Sequence[Sequence[str]]) -> dict[str, str]:
    """Thumbnails as Base64 by the place of their row."""
    done = [n for n, state in enumerate(studies["state"]) if state == "done"]
    if len(done) > MOST_PICTURES:
        done = [n for n in done if flags[n]][:MOST_PICTURES]
    paths = {n: out / "done" / studies["key"].iloc[n] / THUMBNAIL for n in done}
    return {
        str(n): base64.b64encode(path.read_bytes()).decode()
        for n, path in paths.items()
        if path.is_file()
    }

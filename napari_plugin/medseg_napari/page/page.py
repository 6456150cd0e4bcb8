"""The page of a case, from what a session holds."""

from __future__ import annotations

import base64
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from medseg.evaluation.page import Table, rendered
from medseg.evaluation.wording import number
from medseg.io.atomic import atomic_path
from medseg.measurement.column import Column
from medseg.measurement.columns import columns_of
from medseg.types import Instance, Instances, Volume
from medseg_napari.page.pictures import MOST_PICTURED, pictures
from medseg_napari.session import ClassCount, Lines, Review, Session

_NOT_SHOWN = frozenset({"notes", "comment"})
_DECIDED = {"accept": "accepted", "reject": "rejected", "unsure": "unsure"}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CaseAbout:
    """What a case does not know itself: its title, shown as it is, and lines of name and text.

    `warnings` beyond those of image and objects are said as well.
    """

    title: str
    facts: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Case:
    """What a session holds at one moment; nothing of it changes, so any thread may draw it."""

    volume: Volume | None
    instances: Instances
    reader: str
    frame: pd.DataFrame
    totals: Mapping[str, ClassCount]
    reviews: Mapping[int, Review]
    lines: Mapping[int, Lines]
    notes: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, session: Session) -> Case:
        """The case as it is now; what is not measured yet is measured."""
        return cls(
            session.volume,
            session.instances,
            session.reader,
            session.frame(),
            session.totals(),
            {item.id: session.review(item.id) for item in session.instances},
            session.lines() if "recist" in session.table.groups else {},
            session.notes,
        )


@dataclass(frozen=True)
class _Pictured:
    number: int
    heading: str
    caption: str
    content: str


def case_page(case: Case, about: CaseAbout, *, progress: Progress | None = None) -> str:
    """The page as text: counts, warnings, a picture of each lesion and organ, the whole table.

    The largest lesions come first; beyond `MOST_PICTURED` objects the page says how many have no
    picture. Without an image there are none. Everything from files is escaped. The same case
    gives the same text.
    """
    shown = _order(case.instances)
    return rendered(
        "medseg_napari.page",
        "case.html.jinja",
        about=about,
        counts=[_count(name, one) for name, one in case.totals.items()],
        facts=[*about.facts.items(), ("reader", case.reader)],
        warnings=_warnings(case, about),
        pictured=list(_pictured(case, shown[:MOST_PICTURED], progress)),
        unpictured=max(0, len(shown) - MOST_PICTURED) if case.volume is not None else 0,
        objects=len(shown),
        has_lines=bool(case.lines) and case.volume is not None,
        table=measures_table(case.frame),
        comments=list(_comments(case)),
        version=version("medseg"),
    )


def write_case_page(
    case: Case, path: Path, about: CaseAbout, *, progress: Progress | None = None
) -> None:
    """Write `case_page`, whole or not at all. Raises OutputError where it cannot be written."""
    text = case_page(case, about, progress=progress)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def measures_table(frame: pd.DataFrame) -> Table:
    """All columns that say something, one row an object; heads carry the units of the columns."""
    names = [
        str(name) for name in frame.columns if name not in _NOT_SHOWN and _says(frame[str(name)])
    ]
    known = {one.name: one for one in columns_of(None)}
    rows = [
        [_cell(value, known.get(name)) for name, value in zip(names, row, strict=True)]
        for row in frame[names].astype(object).itertuples(index=False, name=None)
    ]
    heads = [_head(name, known.get(name)) for name in names]
    return Table("All measures, positions in LPS millimetres", heads, rows)


def _order(instances: Instances) -> list[Instance]:
    """Lesions, then organs, the largest of each first."""
    return sorted(
        instances.items, key=lambda item: (item.kind != "lesion", -item.voxel_count, item.id)
    )


def _pictured(
    case: Case, items: Sequence[Instance], progress: Progress | None
) -> Iterator[_Pictured]:
    if case.volume is None or not items:
        return
    rows = {row["instance_id"]: row for row in case.frame.to_dict("records")}
    found = pictures(case.volume, case.instances, [item.id for item in items], case.lines)
    for done, (item, content) in enumerate(zip(items, found, strict=True), start=1):
        caption = _caption(item, rows[item.id], case.reviews[item.id])
        text = base64.b64encode(content).decode()
        yield _Pictured(item.id, f"{item.id} · {item.class_name}", caption, text)
        if progress is not None:
            progress(done, len(items))


def _caption(item: Instance, row: Mapping[Hashable, Any], review: Review) -> str:
    parts = [f"{number(float(row['volume_ml']), 'mL')} ml"]
    axes = [_diameter(row, which) for which in ("long", "short")]
    if None not in axes:
        by_hand = " as drawn by hand" if review.lines else ""
        since = " before its mask was changed" if row["edited_after_lines"] else ""
        parts.append(" × ".join(str(one) for one in axes) + f" mm{by_hand}{since}")
    parts.append(f"score {item.score:.2f}")
    if review.mark is not None:
        mark = review.mark
        parts.append(f"{_DECIDED[mark.decision]} by {mark.reader}")
    return ", ".join(parts)


def _diameter(row: Mapping[Hashable, Any], which: str) -> str | None:
    """The reader's diameter where he drew one, else the mask's."""
    for name in (f"reader_{which}_mm", f"recist_{which}_mm"):
        value = row.get(name)
        if value is not None and not pd.isna(value):
            return f"{float(value):.1f}"
    return None


def _count(name: str, one: ClassCount) -> tuple[str, str, str]:
    said = f"{number(one.kept_volume_ml, 'mL')} ml"
    rejected = one.count - one.kept_count
    return name, str(one.kept_count), f"{said}, {rejected} more rejected" if rejected else said


def _warnings(case: Case, about: CaseAbout) -> list[tuple[str, str]]:
    image = () if case.volume is None else case.volume.warnings
    said = [*case.instances.warnings, *image, *case.notes, *about.warnings]
    return list(dict.fromkeys((code, detail) for code, detail in said))


def _comments(case: Case) -> Iterator[tuple[int, str]]:
    for item in case.instances:
        text = case.reviews[item.id].comment
        if text:
            yield item.id, text


def _says(column: pd.Series[Any]) -> bool:
    return bool((column.notna() & (column.astype(str) != "")).any())


def _head(name: str, column: Column | None) -> str:
    words = name.removesuffix("_mm").removesuffix("_ml").replace("_", " ")
    unit = "" if column is None else column.unit
    return f"{words} ({unit})" if unit and unit not in ("1", "text") else words


def _cell(value: object, column: Column | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    unit = "" if column is None else column.unit
    return number(value, unit or "share")

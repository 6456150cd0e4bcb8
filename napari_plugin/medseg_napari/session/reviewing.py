"""Steps that say something of a lesion without touching its mask, and what was said as columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from medseg.types import Instance, Instances
from medseg_napari.session.edits import Edit, named
from medseg_napari.session.history import Entry
from medseg_napari.session.packing import mask_sum
from medseg_napari.session.review import (
    DECISIONS,
    NOTHING_SAID,
    Decision,
    Line,
    Mark,
    Review,
    Which,
)
from medseg_napari.session.table import MeasureTable

REVIEW_COLUMNS = (
    "mark",
    "marked_by",
    "marked_at",
    "edited_after_mark",
    "comment",
    "reader_long_mm",
    "reader_short_mm",
    "edited_after_lines",
)
"""What `review_columns` gives: "" and NaN where nothing was said."""

By = Literal["mask", "reader"]
_VERBS: Mapping[Decision | None, str] = {
    "accept": "Accept",
    "reject": "Reject",
    "unsure": "Mark",
    None: "Unmark",
}
Reviews = Mapping[int, Review]


@dataclass(frozen=True)
class Lines:
    """The RECIST diameters of a lesion in the world, each by the mask or as the reader drew it."""

    long: Line
    short: Line
    long_by: By
    short_by: By


def mark_edit(
    items: Sequence[Instance], reviews: Reviews, decision: Decision | None, by: tuple[str, str]
) -> Edit:
    """The step of a decision on some instances; `by` is the reader and the time (UTC).

    Raises ValueError for another word than accept, reject, unsure or None.
    """
    if decision is not None and decision not in DECISIONS:
        msg = f"a decision is one of {', '.join(DECISIONS)}; got {decision!r}"
        raise ValueError(msg)
    after = {
        item.id: replace(
            _said(reviews, item),
            mark=None if decision is None else Mark(decision, *by, mask_sum(item)),
        )
        for item in items
    }
    arguments = {"ids": [item.id for item in items], "decision": decision}
    name = named(_VERBS[decision], items) + (" as unsure" if decision == "unsure" else "")
    return _edit(name, "mark", arguments, reviews, after)


def comment_edit(item: Instance, reviews: Reviews, text: str) -> Edit:
    """The step of a comment on an instance; "" takes it away."""
    after = {item.id: replace(_said(reviews, item), comment=text.strip())}
    name = named("Comment on", [item])
    return _edit(name, "comment", {"id": item.id}, reviews, after)


def line_edit(item: Instance, reviews: Reviews, which: Which, line: Line | None) -> Edit:
    """The step of a diameter that the reader drew; None takes the mask's again.

    Raises ValueError for an organ, which has no diameters, and for another word than long or short.
    """
    if which not in ("long", "short"):
        msg = f"a diameter is 'long' or 'short'; got {which!r}"
        raise ValueError(msg)
    if item.kind != "lesion":
        msg = f"instance {item.id} is an organ, and RECIST is of lesions"
        raise ValueError(msg)
    said = _said(reviews, item)
    own = None if line is None else line._replace(mask_sum=mask_sum(item))
    after = {item.id: replace(said, long=own) if which == "long" else replace(said, short=own)}
    verb = "Reset" if line is None else "Move"
    name = f"{verb} the {which} diameter of lesion {item.id}"
    return _edit(name, "diameter", {"id": item.id, "which": which}, reviews, after)


def lines_of(table: MeasureTable, instances: Instances, reviews: Reviews) -> dict[int, Lines]:
    """The diameters of all lesions, by id."""
    ends = {
        which: np.stack(
            [
                [table.column(f"recist_{which}_{end}_{axis}_mm") for axis in "xyz"]
                for end in ("start", "stop")
            ]
        )
        for which in ("long", "short")
    }
    found = {}
    for row, item in enumerate(instances.items):
        if item.kind != "lesion":
            continue
        said = _said(reviews, item)
        long, short = (Line.of(*ends[which][:, :, row].tolist()) for which in ("long", "short"))
        found[item.id] = Lines(
            said.long or long,
            said.short or short,
            "reader" if said.long else "mask",
            "reader" if said.short else "mask",
        )
    return found


def review_columns(
    instances: Instances, reviews: Reviews, sum_of: Callable[[int], int]
) -> pd.DataFrame:
    """What was said of each instance, one row each; `sum_of` gives the sum of a mask as it is now.

    `edited_after_mark` says that the mask is not the one on which the reader decided, and
    `edited_after_lines` that a diameter of his was drawn on another one: its length may be that of
    what was split off or merged since.
    """
    rows = [_said(reviews, item) for item in instances.items]
    marks = [said.mark for said in rows]
    texts = {
        "mark": ["" if mark is None else mark.decision for mark in marks],
        "marked_by": ["" if mark is None else mark.reader for mark in marks],
        "marked_at": ["" if mark is None else mark.time for mark in marks],
        "comment": [said.comment for said in rows],
    }
    edited = [
        mark is not None and mark.mask_sum != sum_of(item.id)
        for item, mark in zip(instances.items, marks, strict=True)
    ]
    columns = {name: pd.array(values, dtype="str") for name, values in texts.items()}
    flags = {"edited_after_mark": np.asarray(edited, dtype=np.bool_)}
    lines = {
        "reader_long_mm": _lengths(said.long for said in rows),
        "reader_short_mm": _lengths(said.short for said in rows),
        "edited_after_lines": np.asarray(
            [
                any(line.mask_sum != sum_of(item.id) for line in said.lines)
                for item, said in zip(instances.items, rows, strict=True)
            ],
            dtype=np.bool_,
        ),
    }
    return pd.DataFrame({**columns, **flags, **lines}, columns=list(REVIEW_COLUMNS))


def decisions(
    steps: Iterable[Entry], items: Mapping[int, Instance], reviews: Reviews
) -> dict[int, Decision]:
    """What a reader decided of each id, by its mark, or by taking the object away.

    Taken away counts as rejected where the step left nothing in its place: an object that was
    merged or split was not rejected.
    """
    found: dict[int, Decision] = {
        number: said.mark.decision
        for number, said in reviews.items()
        if said.mark is not None and number in items
    }
    for entry in steps:
        if any(packed is not None for packed in entry.after.values()):
            continue
        found |= {number: "reject" for number in entry.after if number not in items}
    return found


def _edit(
    name: str,
    operation: str,
    arguments: Mapping[str, object],
    reviews: Reviews,
    after: Mapping[int, Review],
) -> Edit:
    before = {number: reviews.get(number, NOTHING_SAID) for number in after}
    return Edit(name, operation, arguments, {}, {}, before, after)


def _said(reviews: Reviews, item: Instance) -> Review:
    return reviews.get(item.id, NOTHING_SAID)


def _lengths(lines: Iterable[Line | None]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray(
        [np.nan if line is None else line.length_mm for line in lines], dtype=np.float64
    )

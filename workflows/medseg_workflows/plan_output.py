"""A plan for people and for programs: a table of the terminal, plan.csv and plan.json."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medseg.io.atomic import atomic_path
from medseg.refusal_codes import REFUSALS
from medseg_workflows.facts import HIDDEN, ORDER
from medseg_workflows.records import VERSION, Job, Plan, PlanRow

if TYPE_CHECKING:
    from rich.table import Table

PLAN_CSV, PLAN_JSON = "plan.csv", "plan.json"
BATCH = "batch.json"
"""Lies in OUT once a batch has begun there, whose last run the two are of from then on."""
MOST_SHOWN = 200
"""Rows of the table in a terminal; the files hold all."""

_ABOUT = (
    *("patient", "study", "model", "channel", "series", "number", "volume"),
    *("decision", "reasons", "rule"),
)
_FACTS = tuple(name for name in ORDER if name not in HIDDEN)
_COLUMNS = {"channel": "file_channel"}
"""Names of facts that are columns of their own already: what a file says is no choice of a rule."""
_NAMES = [one.name for one in fields(PlanRow)]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_plan(plan: Plan, out: Path) -> None:
    """Write `plan.csv` and `plan.json` into the folder `out`, each whole or not at all.

    The table has a row for every volume, model and channel, and last what could not be looked at;
    the JSON document the same, and the jobs, which series they take, and what was not selected.

    Raises OutputError as `atomic_path` does.
    """
    with (
        atomic_path(out / PLAN_CSV) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*_ABOUT, *(_COLUMNS.get(name, name) for name in _FACTS)])
        writer.writerows(map(_cells, _all_rows(plan)))
    with atomic_path(out / PLAN_JSON) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(_json_parts(plan))


def plan_as_dict(plan: Plan) -> dict[str, Any]:
    """The content of `plan.json`: pseudonyms, facts and reasons, no path and no name."""
    return {
        **_head(plan),
        "skipped": dict(plan.skipped),
        **{name: list(lines) for name, lines in _lists(plan)},
    }


def plan_table(plan: Plan) -> Table:
    """The first rows of the plan, study by study, for a terminal of 80 columns or more."""
    from rich.table import Table
    from rich.text import Text

    several = len({row.model for row in plan.rows}) > 1
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("study", "series", *(("model",) if several else ()), "", "why"):
        table.add_column(name, overflow="fold", no_wrap=name in ("study", "series"))
    before = ""
    for row in _all_rows(plan)[:MOST_SHOWN]:
        shown = row.study if row.study != before else ""
        if shown and before:
            table.add_section()
        before = row.study
        cells = [
            shown,
            _place(row),
            *((row.model,) if several else ()),
            row.decision,
            "; ".join(row.reasons),
        ]
        style = {"chosen": "bold", "refused": "dim"}.get(row.decision, "")
        table.add_row(*(Text(one) for one in cells), style=style)
    return table


def plan_lines(plan: Plan) -> list[str]:
    """What the plan comes to, a line each: jobs, studies without one and why, files set aside."""
    studies = {row.study for row in plan.rows} | {row.study for row in plan.unselected}
    models = Counter(job.model.name for job in plan.jobs)
    jobs = "".join(f", {count} for {name}" for name, count in sorted(models.items()))
    lines = [f"{_counted(len(studies), 'study', 'studies')}, {len(plan.jobs)} to do{jobs}"]
    notes = Counter(
        note for row in plan.rows if row.decision == "chosen" for note in row.reasons[1:]
    )
    lines += [f"{note}: {_counted(notes[note], 'image', 'images')}" for note in sorted(notes)]
    hidden = len(_all_rows(plan)) - MOST_SHOWN
    if hidden > 0:
        lines.append(f"{_counted(hidden, 'row is', 'rows are')} not shown")
    refused = Counter(one.failure.code for one in plan.refused)
    reasons = Counter(kind_of(row.reasons[0]) for row in plan.not_selected)
    for what, counts in (("quarantined", refused), ("not selected", reasons)):
        for reason, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
            lines.append(f"{what} ({reason}): {_counted(count, 'study', 'studies')}")
    for what, count in plan.skipped.items():
        lines.append(f"set aside ({what}): {_counted(count, 'file', 'files')}")
    return lines


def kind_of(reason: str) -> str:
    """The code of a reason that has one, else the fact that a rule found wanting."""
    code = reason.partition(": ")[0]
    return code if code in REFUSALS else reason.partition(" ")[0]


def _all_rows(plan: Plan) -> Sequence[PlanRow]:
    """The rows, and last what could not be looked at: that has no model."""
    return (*plan.rows, *(row for row in plan.unselected if not row.model))


def _cells(row: PlanRow) -> list[str]:
    about = _fields(row) | {"reasons": "; ".join(row.reasons)}
    values = [*(about[name] for name in _ABOUT), *(row.facts.get(name) for name in _FACTS)]
    return [_cell(value) for value in values]


def _fields(row: PlanRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _NAMES}


def _cell(value: object) -> str:
    """Text of a header that a spreadsheet would take for a formula gets an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return "/".join(value)
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text


def _lists(plan: Plan) -> Iterator[tuple[str, Iterator[Mapping[str, Any]]]]:
    yield "jobs", map(_job, plan.jobs)
    yield "rows", map(_as_dict, plan.rows)
    yield "unselected", map(_as_dict, plan.unselected)
    yield "refused", map(asdict, plan.refused)


def _head(plan: Plan) -> dict[str, Any]:
    """What a reader of the jobs has to know; `whole` says whether all of the root was looked at."""
    models = [one.name for one in plan.models]
    return {"version": VERSION, "models": models, "whole": plan.parts is None}


def _job(job: Job) -> dict[str, Any]:
    return {
        "key": job.key,
        "study": job.study,
        "patient": job.patient,
        "model": job.model.name,
        "inputs": {
            name: {"series": job.series.get(name, ""), "volume": image.volume}
            for name, image in job.inputs.items()
        },
    }


def _as_dict(row: PlanRow) -> dict[str, Any]:
    """A row without the facts that nothing states."""
    return _fields(row) | {"facts": {k: v for k, v in row.facts.items() if v is not None}}


def _json_parts(plan: Plan) -> Iterator[str]:
    """The text of `plan_as_dict`, an entry a line, without all of it in memory at once."""
    yield f'{json.dumps(_head(plan))[:-1]},\n"skipped": {json.dumps(dict(plan.skipped))}'
    for name, entries in _lists(plan):
        yield f',\n"{name}": ['
        for n, entry in enumerate(entries):
            yield f"{',' if n else ''}\n{json.dumps(entry)}"
        yield "\n]"
    yield "\n}\n"


def _place(row: PlanRow) -> str:
    volume = f"/{row.volume}" if row.volume else ""
    return f"{row.number}{volume} {row.series}" if row.series else ""


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"

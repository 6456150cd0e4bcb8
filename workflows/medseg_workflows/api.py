"""`run_batch`: a folder of studies in, every one measured or explained."""

from __future__ import annotations

import csv
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from medseg.errors import InputRefused, MedsegError
from medseg.io.atomic import atomic_path
from medseg.io.pseudonyms import Pseudonyms, site_secret
from medseg_workflows.cluster import require_cluster
from medseg_workflows.ledger import PSEUDONYMS, Ledger, Said, Todo
from medseg_workflows.options import BatchOptions
from medseg_workflows.progress import NOWHERE, Looked, Screen, Show, Tally
from medseg_workflows.records import Plan, Settings
from medseg_workflows.run import AGAIN, Progress, run_jobs

SETTINGS, OPTIONS = Settings(), BatchOptions()
MAP_COLUMNS = ("patient", "study", "patient_id", "study_uid", "where")
"""Of `pseudonyms.csv`."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch came to: of `total` studies, how many are done and quarantined, and why.

    A study counts once for each model that it is for, and a file that names no study as one.
    `not_selected` are studies that no rule of any model takes, `not_in_root` earlier results that
    are kept, of studies that are not in the folder any more.
    """

    out: Path
    plan: Plan = field(repr=False)
    total: int
    done: int
    quarantined: int
    not_selected: int
    failures: Mapping[str, int]
    not_in_root: int = 0

    @property
    def exit_code(self) -> int:
        """0 all done, 3 nothing selected or nothing done, 4 some quarantined."""
        if not self.done:
            return 3
        return 4 if self.quarantined else 0

    def as_dict(self) -> dict[str, Any]:
        """Counts, for JSON."""
        return {
            "total": self.total,
            "done": self.done,
            "quarantined": self.quarantined,
            "not_selected": self.not_selected,
            "not_in_root": self.not_in_root,
            "failures": dict(self.failures),
        }

    def in_words(self) -> str:
        """Counts in one line."""
        said = f"{self.done} of {self.total} studies done, {self.quarantined} quarantined"
        reasons = ", ".join(f"{code} {count}" for code, count in sorted(self.failures.items()))
        more = f" ({reasons})" if reasons else ""
        gone = f", {self.not_in_root} done before and gone from ROOT" if self.not_in_root else ""
        return f"{said}{more}, {self.not_selected} not selected{gone}"


def plan_batch(
    root: str | Path,
    out: str | Path,
    models: Sequence[str | Path],
    *,
    settings: Settings = SETTINGS,
    options: BatchOptions = OPTIONS,
    screen: Screen = NOWHERE,
) -> Plan:
    """What `run_batch` would do; an OUT without a batch gets `plan.csv` and `plan.json`.

    Raises MedsegError as `run_batch`.
    """
    from medseg_workflows.plan_output import write_plan

    _require_folder(Path(root))
    pseudonyms = Pseudonyms(site_secret(options.secret))
    with Ledger.open(Path(out), pseudonyms) as ledger:
        plan = _planned(Path(root), models, pseudonyms, settings, options, screen.looked)
        if not ledger.is_begun:
            write_plan(plan, ledger.out)
    return plan


def run_batch(
    root: str | Path,
    out: str | Path,
    models: Sequence[str | Path],
    *,
    settings: Settings = SETTINGS,
    options: BatchOptions = OPTIONS,
    screen: Screen = NOWHERE,
) -> Batch:
    """Segment and measure every study under `root` with each of `models`, into the folder `out`.

    What is done already stays: the same call goes on where it was stopped, and computes only what
    has changed. `settings` change results, `options` do not. `screen` shows progress (`shown`).
    Tables and report are made anew at the end, also of a run that is stopped.

    Raises InputRefused for `root` as a whole, a model or rules; OutputError where `out` is another
    run's or cannot be written; MedsegError where the cluster cannot do it; KeyboardInterrupt, with
    what is done, after Ctrl-C or SIGTERM.
    """
    from medseg_workflows.plan_output import write_plan

    root, out = Path(root).resolve(), Path(out).resolve()
    _require_folder(root)
    if not out.exists():
        require_cluster(options.cluster, insecure=options.insecure)
    pseudonyms = Pseudonyms(site_secret(options.secret))
    with _terminable(), Ledger.open(out, pseudonyms) as ledger:
        plan = _planned(root, models, pseudonyms, settings, options, screen.looked)
        if not ledger.is_begun and plan.parts is None:  # into a part more may arrive yet
            _require_studies(plan)
            _require_crops(plan)
        rules = options.select.read_text(encoding="utf-8") if options.select else ""
        ledger.begin(Said(str(root), rules, plan.models, settings), resume=options.resume)
        todo = ledger.plan(plan, retry=options.retry_quarantined)
        write_plan(plan, out)
        if options.keep_map:
            _write_map(ledger, plan, out / PSEUDONYMS)
        return _run(ledger, root, plan, todo, options, screen.show)


def _require_folder(root: Path) -> None:
    """Refuse a folder of studies that is not there, before OUT is made."""
    if not root.exists():
        remedy = "check the path, and that its disk or share is there"
        raise InputRefused("path-missing", "ROOT", "there is nothing there", remedy)


def _require_studies(plan: Plan) -> None:
    """Refuse a folder without a single study: what is begun with a wrong path misleads."""
    if plan.rows or plan.unselected:
        return
    aside = ", ".join(f"{count} {reason}" for reason, count in plan.skipped.items())
    raise InputRefused(
        "no-image-series",
        "ROOT",
        f"there is no study in it (set aside: {aside or 'nothing'})",
        "give the folder that holds DICOM studies, or NIfTI, NRRD or MHA files",
    )


def _require_crops(plan: Plan) -> None:
    """Refuse whole images for a model that segments what is pointed at, where nothing else is."""
    from medseg_workflows.plan_output import kind_of

    whole = [row for row in plan.not_selected if kind_of(row.reasons[0]) == "point-missing"]
    if whole and not plan.jobs:
        raise InputRefused(
            "point-missing",
            f"model {whole[0].model}",
            "it segments the one object that is pointed at, and a batch points at none: "
            f"{len(whole)} studies would fit if they were crops, and none is one",
            "point at objects with medseg segment --at X,Y,Z, or give a folder of crops",
        )


def _run(
    ledger: Ledger, root: Path, plan: Plan, todo: Todo, options: BatchOptions, show: Show
) -> Batch:
    tally = Tally(
        total=len(plan.jobs) + len(plan.refused),
        before=todo.done + todo.quarantined,
        done=todo.done,
        quarantined=todo.quarantined,
        failures=_failures(ledger, plan),
    )
    ledger.note("begin", total=tally.total, left=len(todo.jobs))
    try:
        run_jobs(ledger, root, todo.jobs, options, Progress(ledger, tally, show))
    except KeyboardInterrupt as stop:
        ledger.note("interrupted")
        left = sum(ledger.state(job.key) == "pending" for job in plan.jobs)
        said = f"{tally.total - left} of {tally.total} studies are finished; {AGAIN}"
        raise KeyboardInterrupt(said) from stop
    except MedsegError as error:
        ledger.note("error", code=error.code)
        raise
    finally:
        ledger.forget_attempts(job.key for job in todo.jobs if ledger.state(job.key) == "pending")
        _write_tables(ledger.out)
    states = Counter(ledger.state(key) for key in _keys(plan))
    ledger.note("end", done=states["done"], quarantined=states["quarantined"])
    return Batch(
        out=ledger.out,
        plan=plan,
        total=tally.total,
        done=states["done"],
        quarantined=states["quarantined"],
        not_selected=len({row.study for row in plan.not_selected}),
        failures=_failures(ledger, plan),
        not_in_root=_gone(ledger, plan),
    )


def _planned(
    root: Path,
    models: Sequence[str | Path],
    pseudonyms: Pseudonyms,
    settings: Settings,
    options: BatchOptions,
    looked: Looked,
) -> Plan:
    from medseg_workflows.plan import make_plan

    return make_plan(
        root,
        models,
        pseudonyms,
        rules=options.select,
        settings=settings,
        index=options.index,
        only=options.only,
        progress=looked,
    )


def _failures(ledger: Ledger, plan: Plan) -> Counter[str]:
    """What of the plan is in quarantine, by code."""
    keys = _keys(plan)
    return Counter(one["code"] for one in ledger.failures() if one["key"] in keys)


def _keys(plan: Plan) -> set[str]:
    """Of its jobs, and of what it refuses."""
    return {job.key for job in plan.jobs} | {one.key for one in plan.refused}


def _gone(ledger: Ledger, plan: Plan) -> int:
    """Results whose studies the plan did not find; none where it looked at a part of the root."""
    if plan.parts is not None:
        return 0
    models = {one.name for one in plan.models}
    return sum(ledger.record(key).model.name in models for key in ledger.done() - _keys(plan))


def _write_tables(out: Path) -> None:
    from medseg_workflows.collect import collect
    from medseg_workflows.report import write_report

    collect(out)
    write_report(out)


def _write_map(ledger: Ledger, plan: Plan, path: Path) -> None:
    """Whom the codes stand for, readable by its owner alone.

    Rows of an earlier run stay for studies that OUT has results or failures of.
    """
    rows = {
        one.study: [one.patient, one.study, one.patient_id, one.study_uid, one.where]
        for one in plan.identities
    }
    known = {key.partition("-")[0] for key in ledger.done()}
    known |= {one["study"] for one in ledger.failures()}
    for row in _read_map(path):
        if row[1] in known:
            rows.setdefault(row[1], row)
    with atomic_path(path) as temporary:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(MAP_COLUMNS)
            writer.writerows(rows[study] for study in sorted(rows))


def _read_map(path: Path) -> list[list[str]]:
    """The rows of a map of ours; nothing where there is none."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        head, *rows = [*csv.reader(file)] or [[]]
    return [row for row in rows if tuple(head) == MAP_COLUMNS and len(row) == len(head)]


@contextmanager
def _terminable() -> Iterator[None]:
    """End on SIGTERM as on Ctrl-C: a timer or a scheduler of jobs that stops a batch loses none."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

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

from medseg.errors import MedsegError
from medseg.io.atomic import atomic_path
from medseg.io.pseudonyms import Pseudonyms, site_secret
from medseg_workflows.ledger import PSEUDONYMS, Ledger, Said, Todo
from medseg_workflows.options import BatchOptions
from medseg_workflows.progress import NOWHERE, Looked, Screen, Show, Tally
from medseg_workflows.records import Plan, Settings
from medseg_workflows.run import AGAIN, Progress, run_jobs

SETTINGS, OPTIONS = Settings(), BatchOptions()


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch came to. `total` jobs were planned; `failures` counts those in quarantine.

    `not_selected` are studies that no rule of any model takes.
    """

    out: Path
    plan: Plan = field(repr=False)
    total: int
    done: int
    quarantined: int
    not_selected: int
    failures: Mapping[str, int]

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
            "failures": dict(self.failures),
        }

    def in_words(self) -> str:
        """Counts in one line."""
        said = f"{self.done} of {self.total} studies done, {self.quarantined} quarantined"
        reasons = ", ".join(f"{code} {count}" for code, count in sorted(self.failures.items()))
        more = f" ({reasons})" if reasons else ""
        return f"{said}{more}, {self.not_selected} not selected"


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
    pseudonyms = Pseudonyms(site_secret(options.secret))
    with _terminable(), Ledger.open(out, pseudonyms) as ledger:
        plan = _planned(root, models, pseudonyms, settings, options, screen.looked)
        uses = list({job.model.name: job.model for job in plan.jobs}.values())
        rules = options.select.read_text(encoding="utf-8") if options.select else ""
        ledger.begin(Said(str(root), rules, uses, settings), resume=options.resume)
        todo = ledger.plan(plan, retry=options.retry_quarantined)
        write_plan(plan, out)
        if options.keep_map:
            _write_map(plan, out / PSEUDONYMS)
        return _run(ledger, root, plan, todo, options, screen.show)


def _run(
    ledger: Ledger, root: Path, plan: Plan, todo: Todo, options: BatchOptions, show: Show
) -> Batch:
    tally = Tally(
        total=len(plan.jobs),
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
        finished = sum(ledger.state(job.key) != "pending" for job in plan.jobs)
        said = f"{finished} of {tally.total} studies are finished; {AGAIN}"
        raise KeyboardInterrupt(said) from stop
    except MedsegError as error:
        ledger.note("error", code=error.code)
        raise
    finally:
        ledger.forget_attempts(job.key for job in todo.jobs if ledger.state(job.key) == "pending")
        _write_tables(ledger.out)
    states = Counter(ledger.state(job.key) for job in plan.jobs)
    ledger.note("end", done=states["done"], quarantined=states["quarantined"])
    return Batch(
        out=ledger.out,
        plan=plan,
        total=tally.total,
        done=states["done"],
        quarantined=states["quarantined"],
        not_selected=len({row.study for row in plan.unselected}),
        failures=_failures(ledger, plan),
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
    """Jobs of the plan that are in quarantine, by code."""
    keys = {job.key for job in plan.jobs}
    return Counter(one["code"] for one in ledger.failures() if one["key"] in keys)


def _write_tables(out: Path) -> None:
    from medseg_workflows.collect import collect
    from medseg_workflows.report import write_report

    collect(out)
    write_report(out)


def _write_map(plan: Plan, path: Path) -> None:
    """Whom the codes stand for, readable by its owner alone."""
    with atomic_path(path) as temporary:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["patient", "study", "patient_id", "study_uid"])
            for one in plan.identities:
                writer.writerow([one.patient, one.study, one.patient_id, one.study_uid])


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

"""The folder OUT of a batch: what is done, failed or still to do stands there and nowhere else."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from shutil import rmtree
from typing import Any, NamedTuple, Self

from medseg import __version__
from medseg.errors import OutputError
from medseg.io.atomic import atomic_path, output_error, writable_folder
from medseg.io.batch_sources import write_sources
from medseg.io.pseudonyms import Pseudonyms, veiled
from medseg_workflows.commit import RECORD, failure_path, is_done, is_quarantined, quarantine
from medseg_workflows.owner import LOCK, OWNER, WATCH_LOCK, WATCH_OWNER, owned
from medseg_workflows.plan_output import BATCH, PLAN_CSV, PLAN_JSON
from medseg_workflows.records import VERSION, Job, ModelUse, Plan, Record, Settings, State

AUDIT, PSEUDONYMS = "audit.jsonl", "pseudonyms.csv"
FOLDERS = ("attempts", "done", "jobs", "quarantine", "superseded", "tmp")
PRIVATE = ("jobs", "tmp")
TRIED_AGAIN = frozenset({"path-missing", "path-unreadable"})
"""Failures of a disk or a share rather than of a study: the next run tries them again."""


class Said(NamedTuple):
    """What a command asks for; a folder of results belongs to one such wish."""

    root: str
    rules: str
    models: Sequence[ModelUse]
    settings: Settings


class Todo(NamedTuple):
    """The jobs of a plan that are not finished, and how many were before."""

    jobs: Sequence[Job]
    done: int
    quarantined: int


class Ledger:
    """Writes and reads OUT for the run that holds it; made by `open`."""

    def __init__(self, out: Path, pseudonyms: Pseudonyms) -> None:
        self.out, self._pseudonyms = out, pseudonyms
        self._audit: int | None = None

    @classmethod
    @contextmanager
    def open(cls, out: Path, pseudonyms: Pseudonyms) -> Iterator[Self]:
        """Hold `out`, made if missing, and put away what a run that was killed left there.

        Where `out` was missing and an error comes before `begin`, it is removed again.

        Raises OutputError: `out-owned`, `out-not-empty` where it holds what no batch made,
        `secret-other`, `version-other`, and what the operating system refuses.
        """
        missing = [one for one in (out, *out.parents) if not one.exists()]
        writable_folder(out)
        _refuse_strange(out)
        ledger = cls(out, pseudonyms)
        with owned(out), ledger._unless_begun(missing):
            ledger._check_batch()
            make_folders(out)
            _empty(out / "tmp")
            _empty(out / "jobs")
            ledger._audit = _appender(out / AUDIT)
            try:
                yield ledger
            finally:
                os.close(ledger._audit)
                _empty(out / "tmp")
                _empty(out / "jobs")

    @contextmanager
    def _unless_begun(self, missing: Sequence[Path]) -> Iterator[None]:
        """Remove these folders, OUT and its parents, where an error comes before a batch begins."""
        try:
            yield
        except BaseException:
            if missing and not self.is_begun:
                rmtree(self.out, ignore_errors=True)
                with suppress(OSError):
                    for folder in missing[1:]:
                        folder.rmdir()
            raise

    @property
    def is_begun(self) -> bool:
        """Whether OUT holds a batch."""
        return (self.out / BATCH).exists()

    def begin(self, said: Said, *, resume: bool) -> None:
        """Write `batch.json`; OutputError `batch-other` where OUT is of another wish.

        `resume` goes on in it all the same: what depends on the change is then computed anew.
        """
        now = self._wish(said)
        before = _read_json(self.out / BATCH)
        changed = [] if before is None else _changes(before, now)
        if changed and not resume and self._holds_results():
            raise OutputError(
                "batch-other",
                "OUT",
                f"it holds a batch with another {' and '.join(changed)}",
                "give another folder, or add --resume: only what has changed is computed anew",
            )
        with atomic_path(self.out / BATCH) as temporary:
            temporary.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")

    def plan(self, plan: Plan, *, retry: bool = False) -> Todo:
        """Take a plan on: put older results of its studies aside, and say what is left to do.

        A result whose study gets no job of the model any more is put aside too, and what the plan
        refuses is quarantined; studies that the plan does not look at stay as they are. `retry`
        forgets failures, so that their jobs are done once more. A result that was put aside comes
        back where it is wanted again.
        """
        wanted = {job.key for job in plan.jobs}
        pairs = {(job.study, job.model.name) for job in plan.jobs}
        pairs |= {(row.study, row.model) for row in plan.rows}
        self._put_aside(wanted, pairs)
        self._refuse(plan, pairs)
        left, done, quarantined = [], 0, len(plan.refused)
        for job in plan.jobs:
            state = self._state(job, retry=retry)
            done, quarantined = done + (state == "done"), quarantined + (state == "quarantined")
            if state == "pending":
                left.append(job)
        images = {job.key: job.inputs for job in plan.jobs}
        write_sources(self.out, images, self.done(), self._pseudonyms.key)
        return Todo(left, done, quarantined)

    def state(self, key: str) -> State:
        """Whether a job of the plan is done, quarantined or pending."""
        if is_done(self.out, key):
            return "done"
        return "quarantined" if is_quarantined(self.out, key) else "pending"

    def done(self) -> set[str]:
        """The keys of finished jobs."""
        return {path.name for path in (self.out / "done").iterdir() if (path / RECORD).is_file()}

    def record(self, key: str) -> Record:
        """What a finished job says of itself."""
        return _record(self.out / "done" / key / RECORD)

    def failure(self, key: str) -> dict[str, Any]:
        """Why a job failed: a Failure, and its key, study, patient and model."""
        return _failure(failure_path(self.out, key))

    def records(self) -> list[Record]:
        """Of all finished jobs, in the order of their keys."""
        return read_records(self.out)

    def failures(self) -> list[dict[str, Any]]:
        """Of all jobs that failed, in the order of their keys."""
        return read_failures(self.out)

    def hand_out(self, job: Job, veil: bytes) -> None:
        """Lay the job's file out for a worker, readable by who has `veil`.

        Raises OutputError.
        """
        path = self.out / "jobs" / job.key
        with atomic_path(path) as temporary:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(veiled(json.dumps(job.as_dict()).encode(), veil))

    def take_back(self, key: str) -> None:
        """Remove the job's file."""
        with suppress(OSError):
            (self.out / "jobs" / key).unlink()

    def forgive(self, key: str) -> None:
        """Take a failure back: it was not the study's."""
        failure_path(self.out, key).unlink(missing_ok=True)
        self.forget_attempts([key])

    def forget_attempts(self, keys: Iterable[str]) -> None:
        """Jobs that a run which ends well leaves undone were not what ended it."""
        for key in keys:
            with suppress(OSError):
                (self.out / "attempts" / key).unlink()

    def note(self, event: str, **facts: Any) -> None:
        """Add a line to the audit log, in one piece. Without room for it the line is lost."""
        said = {"time": datetime.now().astimezone().isoformat(timespec="milliseconds")}
        line = json.dumps({**said, "event": event, **facts}) + "\n"
        if self._audit is not None:
            with suppress(OSError):
                os.write(self._audit, line.encode())

    def _wish(self, said: Said) -> dict[str, Any]:
        digest = self._pseudonyms.job_digest
        models = [asdict(one) for one in said.models]
        for one in models:
            del one["place"]  # may be a path
        wish = {
            "version": VERSION,
            "medseg": __version__,
            "secret_check": self._pseudonyms.check,
            "root": digest(said.root),
            "rules": digest(said.rules) if said.rules else "",
            "models": models,
            "settings": asdict(said.settings),
        }
        found: dict[str, Any] = json.loads(json.dumps(wish))  # as it is read again
        return found

    def _holds_results(self) -> bool:
        return any((self.out / "done").iterdir()) or any(one["attempts"] for one in self.failures())

    def _check_batch(self) -> None:
        said = _read_json(self.out / BATCH)
        if said is None:
            return
        if said.get("version") != VERSION:
            detail = "another version of medseg made it, whose folders this one does not know"
            raise OutputError("version-other", "OUT", detail, "give another folder")
        if said.get("secret_check") != self._pseudonyms.check:
            detail = "its codes were made with another secret, so patients would get two codes"
            remedy = "give the secret's file of the first run with --secret, or another folder"
            raise OutputError("secret-other", "OUT", detail, remedy)

    def _put_aside(self, wanted: set[str], pairs: set[tuple[str, str]]) -> None:
        """Supersede what a study of the plan had for the same model under another key."""
        studies = {study for study, _ in pairs}
        for key in sorted(self.done() - wanted):
            if key.partition("-")[0] not in studies:
                continue
            record = self.record(key)
            if (record.study, record.model.name) in pairs:
                _move(self.out / "done" / key, self.out / "superseded" / key)
                self.note("superseded", key=key)

    def _refuse(self, plan: Plan, pairs: set[tuple[str, str]]) -> None:
        """Quarantine what the plan refuses, and forget the failures that it has overtaken."""
        refused = {one.key: one for one in plan.refused}
        wanted = refused.keys() | {job.key for job in plan.jobs}
        studies = {row.study for row in (*plan.rows, *plan.unselected)}
        for path in sorted((self.out / "quarantine").glob("*.json")):
            said = None if path.stem in wanted else _failure(path)
            if said is None:
                continue
            if (said["study"], said["model"]) in pairs or _is_over(said, plan, studies):
                path.unlink()
        for one in refused.values():
            names = {"key": one.key, "study": one.study, "model": one.model}
            said = {**names, "patient": one.patient, **asdict(one.failure)}
            if not is_quarantined(self.out, one.key) or self.failure(one.key) != said:
                quarantine(self.out, {**names, "patient": one.patient}, one.failure)
                self.note("quarantined", **names, code=one.failure.code)

    def _state(self, job: Job, *, retry: bool) -> State:
        aside = self.out / "superseded" / job.key
        if (aside / RECORD).is_file() and not is_done(self.out, job.key):
            _move(aside, self.out / "done" / job.key)
            self.note("restored", key=job.key)
        state = self.state(job.key)
        path = failure_path(self.out, job.key)
        if state == "done":
            path.unlink(missing_ok=True)
        if state == "quarantined" and (
            retry or _failure(path)["code"] in TRIED_AGAIN or _changed_since(path, job)
        ):
            self.forgive(job.key)
            return "pending"
        return state


def read_records(out: Path) -> list[Record]:
    """The records of all finished jobs in OUT, in the order of their keys; holds no lock."""
    return [_record(path) for path in sorted((out / "done").glob(f"*/{RECORD}"))]


def read_failures(out: Path) -> list[dict[str, Any]]:
    """Failures of all jobs in OUT with key, study, patient and model, in the order of keys."""
    return [_failure(path) for path in sorted((out / "quarantine").glob("*.json"))]


def make_folders(out: Path) -> None:
    """Make the folders of OUT; OutputError where that cannot be."""
    for name in FOLDERS:
        folder = out / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if name in PRIVATE:
                folder.chmod(0o700)
        except OSError as error:
            raise output_error(error, folder) from error


def _is_over(said: Mapping[str, Any], plan: Plan, studies: Set[str]) -> bool:
    """Whether a plan that found `studies` looked where something failed, and it is not there."""
    if said["attempts"]:
        return plan.parts is None and bool(studies) and said["study"] not in studies
    where = str(said["key"]).rpartition("-")[2]
    return plan.parts is None or (not said["model"] and where in plan.parts)


def _changed_since(failure: Path, job: Job) -> bool:
    """Whether an image of a job was written after it had failed, with the same header and size."""
    tried_ns = failure.stat().st_mtime_ns
    for image in job.inputs.values():
        for file in image.files:
            with suppress(OSError):
                if Path(file).stat().st_mtime_ns > tried_ns:
                    return True
    return False


def _record(path: Path) -> Record:
    return Record.from_dict(json.loads(path.read_text(encoding="utf-8")))


def _failure(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _read_json(path: Path) -> Mapping[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        detail = "its batch.json is damaged or cannot be read"
        raise OutputError("batch-damaged", "OUT", detail, "give another folder") from error
    return found if isinstance(found, dict) else None


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two wishes, in words."""
    words = {
        "root": "folder of studies",
        "rules": "set of rules",
        "models": "model",
        "settings": "set of options",
        "medseg": "version of medseg",
    }
    return [word for name, word in words.items() if before.get(name) != now[name]]


def _refuse_strange(out: Path) -> None:
    """A folder with files that no batch made is none for a batch."""
    if (out / BATCH).exists():
        return
    ours = {LOCK, OWNER, WATCH_LOCK, WATCH_OWNER, AUDIT, PLAN_CSV, PLAN_JSON, *FOLDERS}
    try:
        names = [one.name for one in out.iterdir() if one.name not in ours]
        strange = [name for name in names if not (name[0] == "." and ".partial" in name)]
    except OSError as error:
        raise output_error(error, out) from error
    if strange:
        detail = f"it holds {len(strange)} files or folders that no batch made"
        raise OutputError("out-not-empty", "OUT", detail, "give an empty or a new folder")


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _move(source: Path, target: Path) -> None:
    try:
        if target.exists():
            rmtree(target)
        source.rename(target)
    except OSError as error:
        raise output_error(error, target) from error


def _appender(path: Path) -> int:
    """A log opened for adding lines; a line that was cut off gets its end."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        length = os.fstat(handle).st_size
        if length:
            os.lseek(handle, -1, os.SEEK_END)
            if os.read(handle, 1) != b"\n":
                os.write(handle, b"\n")
    except OSError as error:
        raise output_error(error, path) from error
    return handle

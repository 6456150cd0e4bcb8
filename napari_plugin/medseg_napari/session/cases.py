"""A list of studies to work through, and each reader's work on them in a folder of his own.

`<out>/<case>/<reader>/` holds the reader's session and `case.json` with the status that he gave.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from medseg.errors import InputRefused
from medseg.io.atomic import atomic_path, writable_folder
from medseg.types import Instances, Volume
from medseg_napari.session.case import Case, list_studies
from medseg_napari.session.case_batch import is_batch, list_batch, why_closed
from medseg_napari.session.log import damaged
from medseg_napari.session.packing import DAMAGE
from medseg_napari.session.review import utc_now
from medseg_napari.session.session import Session
from medseg_napari.session.store import Found, find_session
from medseg_napari.session.table import MeasureOptions

Status = Literal["to do", "done", "second read"]
STATUSES: tuple[Status, ...] = get_args(Status)
"""What a reader says of a case; "second read" asks for another reader."""

STATUS_FILE = "case.json"
VERSION = 1

_RESERVED = re.compile(r"CON|PRN|AUX|NUL|COM\d|LPT\d")
_LONGEST_INITIALS = 16
_UNREADABLE = "cannot be read"


@dataclass(frozen=True)
class CaseRow:
    """One line of the list: the reader's own status and session, and what others said.

    `problem` is why the reader's own work cannot be read, "" where it can.
    """

    case: Case
    status: Status
    session: Found | None
    others: Mapping[str, str]
    problem: str = ""


class CaseList:
    """The studies of a folder in the order of their names, with numbers in them as numbers.

    The folder of a batch gives its finished and failed studies, in the order of its tables; where
    their images lie is told by the site's `secret` (None: where it usually is). `reader` are
    initials: letters, digits, - and _; capitals and small letters are the same.

    Raises InputRefused (`path-missing`, `path-unreadable`; `dataset-invalid` where the folder holds
    no study, or two of one name, and as `list_batch` does), ValueError for initials that make no
    folder name.
    """

    def __init__(
        self, studies: Path, out: Path, reader: str, *, secret: Path | None = None
    ) -> None:
        self.reader = initials(reader)
        self.out = out
        self.is_batch = is_batch(studies)
        self.problem = why_closed(studies, secret) if self.is_batch else ""
        self.cases: tuple[Case, ...]
        if self.is_batch:
            self.cases = list_batch(studies, secret)
        else:
            own = out.resolve()  # it may lie among the studies
            self.cases = tuple(one for one in list_studies(studies) if one.path.resolve() != own)
        self._by_id = {case.id: case for case in self.cases}

    def __len__(self) -> int:
        return len(self.cases)

    def case(self, case_id: str) -> Case:
        """The case of an id; ValueError where there is none."""
        if case_id not in self._by_id:
            msg = f"there is no case {case_id!r}"
            raise ValueError(msg)
        return self._by_id[case_id]

    def folder(self, case_id: str, reader: str | None = None) -> Path:
        """Where a reader's work on a case is kept (None: this reader's)."""
        who = self.reader if reader is None else initials(reader)
        return self.out / self.case(case_id).id / who

    def readers(self, case_id: str) -> list[str]:
        """Who has a folder for a case, in alphabetical order; other folders are passed over."""
        folder = self.out / self.case(case_id).id
        try:
            named = [one.name for one in folder.iterdir() if one.is_dir()]
        except OSError:  # nobody has begun, or the folder cannot be read
            return []
        return sorted(name for name in named if _is_reader(name))

    def status(self, case_id: str, reader: str | None = None) -> Status:
        """What a reader said of a case; "to do" until he said something.

        Raises InputRefused (`file-corrupt`, `path-unreadable`).
        """
        path = self.folder(case_id, reader) / STATUS_FILE
        try:
            said = json.loads(path.read_text(encoding="utf-8"))["status"]
        except FileNotFoundError:
            return "to do"
        except DAMAGE as error:
            raise damaged(STATUS_FILE, f"of case {case_id} cannot be read") from error
        except OSError as error:
            detail = f"cannot be read ({error.strerror})"
            raise InputRefused("path-unreadable", case_id, detail, "check permissions") from error
        found = next((one for one in STATUSES if one == said), None)
        if found is None:
            raise damaged(STATUS_FILE, f"of case {case_id} says {said!r}")
        return found

    def set_status(self, case_id: str, status: Status) -> None:
        """Say how far this reader is with a case. Raises OutputError."""
        if status not in STATUSES:
            msg = f"a status is one of {', '.join(STATUSES)}; got {status!r}"
            raise ValueError(msg)
        folder = writable_folder(self.folder(case_id))
        said = {"version": VERSION, "status": status, "reader": self.reader, "time": utc_now()}
        with atomic_path(folder / STATUS_FILE) as temporary:
            temporary.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")

    def rows(self) -> list[CaseRow]:
        """The whole list as it stands on the disk; what cannot be read says so in its row."""
        return [self._row(case) for case in self.cases]

    def counts(self) -> dict[Status, int]:
        """How many cases have each status of this reader; one that cannot be read is to do."""
        found = [self._known_status(case.id) for case in self.cases]
        return {status: found.count(status) for status in STATUSES}

    def step(
        self, by: Literal[1, -1], case_id: str | None = None, *, status: Status | None = None
    ) -> Case | None:
        """The next (1) or previous (-1) case, of a status if one is given; None at the end."""
        places = range(len(self.cases)) if by > 0 else range(len(self.cases) - 1, -1, -1)
        here = None if case_id is None else self.cases.index(self.case(case_id))
        for place in places:
            beyond = here is None or (place - here) * by > 0
            if beyond and status in (None, self._known_status(self.cases[place].id)):
                return self.cases[place]
        return None

    def read_volume(self, case_id: str, source: Mapping[str, Any] | None = None) -> Volume:
        """The image of a case; `source` as in `Session.begin` (None: as the session says).

        Raises InputRefused as `medseg.read` does.
        """
        case = self.case(case_id)
        if source is None:
            found = find_session(self.folder(case_id))
            source = {} if found is None else found.saved.source
        return case.read(source)

    def open(
        self,
        case_id: str,
        volume: Volume,
        output: Instances | None = None,
        *,
        source: Mapping[str, Any] | None = None,
        options: MeasureOptions | None = None,
    ) -> Session:
        """This reader's session on a case: as it was left, or a new one on a model's `output`.

        Raises OutputError and InputRefused as `Session` does, ValueError where there is none yet
        and no output is given.
        """
        folder = self.folder(case_id)
        if find_session(folder) is not None:
            return Session.resume(volume, folder, self.reader, options=options)
        if output is None:
            msg = f"case {case_id!r} has no session yet: it begins with a model's output"
            raise ValueError(msg)
        return Session.begin(
            volume, output, self.reader, folder=folder, source=source, options=options
        )

    def finish(self, case_id: str, session: Session, status: Status = "done") -> Case | None:
        """Save, set the status, close, and say which case to do comes next (None: none is left).

        Looked for behind this case first, then from the beginning. Raises OutputError.
        """
        session.close()
        self.set_status(case_id, status)
        return self.step(1, case_id, status="to do") or self.step(1, status="to do")

    def _row(self, case: Case) -> CaseRow:
        found, problem, others = None, "", {}
        try:
            found = find_session(self.folder(case.id))
            self.status(case.id)
        except InputRefused as refused:
            found, problem = None, str(refused)
        for other in self.readers(case.id):
            if other == self.reader:
                continue
            try:
                others[other] = str(self.status(case.id, other))
            except InputRefused:
                others[other] = _UNREADABLE
        return CaseRow(case, self._known_status(case.id), found, others, problem)

    def _known_status(self, case_id: str) -> Status:
        """This reader's status; a case whose file cannot be read is one to do."""
        try:
            return self.status(case_id)
        except InputRefused:
            return "to do"


def _is_reader(name: str) -> bool:
    """Whether a folder is called as a reader's is."""
    try:
        return bool(initials(name))
    except ValueError:
        return False


def initials(reader: str) -> str:
    """A reader's initials in capitals, fit for a folder's name; ValueError where they are not."""
    text = unicodedata.normalize("NFC", reader.strip()).upper()
    letters = bool(text) and all(letter.isalnum() or letter in "-_" for letter in text)
    if not letters or len(text) > _LONGEST_INITIALS or _RESERVED.fullmatch(text):
        msg = (
            f"a reader's initials are up to {_LONGEST_INITIALS} letters, digits, - or _; "
            f"got {reader!r}"
        )
        raise ValueError(msg)
    return text

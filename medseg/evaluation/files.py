"""Cases to evaluate from files: label maps of both sides, scores and patients from tables."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from medseg.errors import InputRefused
from medseg.io import read_instances
from medseg.io.checks import must_exist, unreadable
from medseg.io.instances import holds_segments
from medseg.io.names import read_names
from medseg.io.pairs import FilePairs
from medseg.measurement import split_components
from medseg.measurement.parts import Connectivity
from medseg.types import InputWarning, InstanceClass, Instances, Kind

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Reading:
    """How files become objects.

    `values`: a value of a label map is one object, or all of a class. With `connectivity` each
    value is split into its connected parts (6, 18 or 26: faces, edges too, corners too); without
    it objects stay as drawn. `names` is a file with the names of values that are classes;
    segmentations (.seg.nrrd) name their own.
    """

    values: Literal["instance", "class"] = "instance"
    connectivity: Connectivity | None = None
    names: Path | None = None

    def in_words(self) -> dict[str, str]:
        """How files were read, for a report."""
        value = "one object" if self.values == "instance" else "all of a class"
        if self.connectivity is not None:
            value += ", split into its connected parts"
        named = "" if self.names is None else f", named by {self.names.name}"
        return {"values of a label map": f"each is {value}{named}"}


class FileCases:
    """Both sides of every case, each read when it is asked for and not kept.

    `pred` and `ref` map case names to instances, `patients` to patients or is None. `warnings`
    says, once all cases were asked for, what a reader of the result should know.
    """

    def __init__(
        self,
        files: FilePairs,
        reading: Reading,
        *,
        scores: Path | None = None,
        patients: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Read the tables, not yet the cases; `progress` is told of each case that is begun.

        `scores` is a CSV table with the columns case, instance_id and score (others are ignored,
        and a single pair needs no case): the score in 0..1 of every predicted object, by its
        number in the file. `patients` is one with the columns case and patient.

        Raises InputRefused (`table-invalid`, `names-invalid`); a case raises what
        `read_instances` does. None is left out: without it figures would look better or worse.
        """
        self._files = files
        cases = [pair.case for pair in files.pairs]
        ranked = None if scores is None else _Scores(scores, cases)
        self.patients = None if patients is None else _patients(patients, cases)
        kind: Kind = "organ" if reading.values == "class" else "lesion"
        if reading.connectivity is not None:
            kind = "lesion"  # organs are not split
        classes = None if reading.names is None else read_names(reading.names, kind=kind)
        how = _How(reading, kind, classes)
        sides = {pair.case: pair for pair in files.pairs}
        self.pred = _Side("prediction", {case: sides[case].pred for case in cases}, how)
        self.ref = _Side("reference", {case: sides[case].ref for case in cases}, how)
        self.pred.scores, self.pred.progress = ranked, progress

    @property
    def warnings(self) -> tuple[InputWarning, ...]:
        """Files without a partner, what reading warned of, and what makes figures misleading."""
        found: list[InputWarning] = []
        for side, names in ((self.pred, self._files.only_pred), (self.ref, self._files.only_ref)):
            if names:
                detail = f"left out, since only the {side.side} has them: {', '.join(names)}"
                found.append(InputWarning("unpaired", detail))
        found += [*self.pred.warnings, *self.ref.warnings]
        if self.pred.names and self.ref.names and not self.pred.names & self.ref.names:
            one, other = (", ".join(sorted(side.names)) for side in (self.pred, self.ref))
            detail = f"no class is on both sides: {one} is predicted, {other} the reference"
            found.append(InputWarning("classes-differ", detail))
        if self.pred.in_parts or self.ref.in_parts:
            detail = (
                "masks of one value have several parts, and each mask counts as one object; "
                "split them by component if the parts are objects"
            )
            found.append(InputWarning("mask-in-parts", detail))
        return tuple(dict.fromkeys(found))


class _How(NamedTuple):
    reading: Reading
    kind: Kind
    classes: Sequence[InstanceClass] | None


class _Side(Mapping[str, Instances]):
    """One side of all cases; reading one notes its warnings and classes."""

    def __init__(self, side: str, paths: Mapping[str, Path], how: _How) -> None:
        self.side = side
        self.scores: _Scores | None = None
        self.progress: Progress | None = None
        self.warnings: list[InputWarning] = []
        self.names: set[str] = set()
        self.in_parts = False
        self._paths, self._how = paths, how
        self._begun = 0

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __contains__(self, case: object) -> bool:
        return case in self._paths  # a mapping's own would read the file

    def __getitem__(self, case: str) -> Instances:
        if self.progress is not None:
            self.progress(self._begun, len(self._paths))
        self._begun += 1
        found = self._read(self._paths[case])
        self.warnings += [InputWarning(code, f"{case}: {text}") for code, text in found.warnings]
        self.names.update(item.class_name for item in found)
        if self.scores is not None:
            found = self.scores.put(found, case)
        connectivity = self._how.reading.connectivity
        if connectivity is not None:
            return split_components(found, connectivity=connectivity)
        if self._how.reading.values == "instance" and len(found) == 1 and not self.in_parts:
            self.in_parts = len(split_components(found)) > 1
        return found

    def _read(self, path: Path) -> Instances:
        """Both files of a case have one name, so a refusal says which side it is about."""
        reading, kind, classes = self._how
        try:
            named = None if classes is None or holds_segments(path) else classes
            return read_instances(path, values=reading.values, kind=kind, classes=named)
        except InputRefused as refused:
            subject = f"{path.name} ({self.side})"
            raise InputRefused(refused.code, subject, refused.detail, refused.remedy) from refused


class _Scores:
    """The table of scores: each row is used, and each predicted object has one."""

    def __init__(self, path: Path, cases: Sequence[str]) -> None:
        needed = ("instance_id", "score") if len(cases) == 1 else ("case", "instance_id", "score")
        self._name = path.name
        self._of: dict[tuple[str, int], float] = {}
        for line, row in _rows(path, needed):
            case = row.get("case") or (cases[0] if len(cases) == 1 else "")
            if not case:
                raise _invalid(self._name, f"names no case in line {line}")
            key = case, self._whole(row["instance_id"], line)
            if key in self._of:
                raise _invalid(self._name, f"has object {key[1]} of {case} twice, in line {line}")
            self._of[key] = self._share(row["score"], line)

    def put(self, instances: Instances, wanted: str) -> Instances:
        """The instances with their scores."""
        ids = {item.id for item in instances}
        said = {number for case, number in self._of if case == wanted}
        for numbers, what in ((ids - said, "no score"), (said - ids, "a score, but no object")):
            if numbers:
                detail = f"has {what} of number {min(numbers)} in {wanted}"
                raise _invalid(self._name, detail + _more(len(numbers)))
        items = [replace(item, score=self._of[wanted, item.id]) for item in instances]
        return replace(instances, items=items)

    def _whole(self, text: str, line: int) -> int:
        if not text.isdecimal():
            raise _invalid(self._name, f"has the instance_id {text!r} in line {line}")
        return int(text)

    def _share(self, text: str, line: int) -> float:
        try:
            score = float(text)
        except ValueError:
            score = math.nan
        if not 0 <= score <= 1:
            raise _invalid(self._name, f"has the score {text!r} in line {line}, not one in 0 to 1")
        return score


def _patients(path: Path, cases: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line, row in _rows(path, ("case", "patient")):
        if found.setdefault(row["case"], row["patient"]) != row["patient"]:
            raise _invalid(path.name, f"gives {row['case']} another patient in line {line}")
    lost = [case for case in cases if not found.get(case)]
    if lost:
        raise _invalid(path.name, f"has no patient for {lost[0]}{_more(len(lost))}")
    return {case: found[case] for case in cases}


def _rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells of each row of a CSV table with these columns."""
    must_exist(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise unreadable(path.name, error) from error
    except UnicodeDecodeError as error:
        raise _invalid(path.name, "is no UTF-8 text") from error
    head = text.split("\n", 1)[0]
    rows = csv.DictReader(text.splitlines(), delimiter=";" if ";" in head else ",", strict=True)
    try:
        rows.fieldnames = [(name or "").strip().lower() for name in rows.fieldnames or ()]
        lost = [name for name in needed if name not in rows.fieldnames]
        if lost:
            raise _invalid(path.name, f"has no column {lost[0]}, but {', '.join(rows.fieldnames)}")
        for row in rows:
            if None in row or None in row.values():
                raise _invalid(path.name, f"has another number of cells in line {rows.line_num}")
            yield rows.line_num, {name: value.strip() for name, value in row.items()}
    except csv.Error as error:
        raise _invalid(path.name, f"is no CSV table: {error}") from error


def _more(count: int) -> str:
    return f" (and {count - 1} more such)" if count > 1 else ""


def _invalid(name: str, detail: str) -> InputRefused:
    return InputRefused(
        code="table-invalid",
        subject=name,
        detail=detail,
        remedy="mend the table; docs/evaluating.md shows one",
    )

"""Cases to evaluate from files: label maps of both sides, scores and patients from tables."""

from __future__ import annotations

import filecmp
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from medseg.errors import InputRefused
from medseg.evaluation.terms import refuse_class_named_all
from medseg.io import read_instances, require_same_grid
from medseg.io.formats import file_format, has_suffix
from medseg.io.grey import LIKE_GREY_VALUES
from medseg.io.instances import holds_segments
from medseg.io.names import read_names
from medseg.io.pairs import FilePairs
from medseg.io.tables import csv_rows, read_text
from medseg.measurement import parts_noted, split_components
from medseg.measurement.parts import Connectivity
from medseg.measurement.selection import several
from medseg.types import Geometry, InputWarning, InstanceClass, Instances, Kind

if TYPE_CHECKING:
    from medseg.io.dicom_out import Source

Progress = Callable[[int, int], None]

SIDES_IDENTICAL = "sides-identical"
"""The warning that objects are compared with themselves."""
_WHOLE = (".nii", ".nii.gz", ".mha", ".seg.nrrd", ".dcm")
"""Files with their voxels in them: equal headers may stand for other voxels."""


@dataclass(frozen=True)
class Reading:
    """How files become objects.

    `values`: a value of a label map is one object, or all of a class. With `connectivity` each
    value is split into its connected parts (6, 18 or 26: faces, edges too, corners too); without
    it objects stay as drawn. `names` is a file with the names of values that are classes;
    segmentations (.seg.nrrd, DICOM) name their own. `source` is the series that DICOM objects were
    drawn on, which an RTSTRUCT needs.
    """

    values: Literal["instance", "class"] = "instance"
    connectivity: Connectivity | None = None
    names: Path | None = None
    source: Source | None = None

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
        `read_instances` does, `grid-mismatch` with both files' names, and `names-invalid` for a
        class named `all`. None is left out: without it figures would look better or worse.
        """
        self._files = files
        cases = [pair.case for pair in files.pairs]
        ranked = None if scores is None else _Scores(scores, cases)
        self.patients = None if patients is None else _patients(patients, cases)
        kind: Kind = "organ" if reading.values == "class" else "lesion"
        if reading.connectivity is not None:
            kind = "lesion"  # organs are not split
        classes = None if reading.names is None else read_names(reading.names, kind=kind)
        if reading.names is not None:
            refuse_class_named_all(classes or (), reading.names.name)
        how = _How(reading, kind, classes)
        sides = {pair.case: pair for pair in files.pairs}
        self.pred = _Side("prediction", {case: sides[case].pred for case in cases}, how)
        self.ref = _Side("reference", {case: sides[case].ref for case in cases}, how)
        self.pred.scores, self.pred.progress = ranked, progress
        self.pred.partner, self.ref.partner = self.ref, self.pred

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
            detail = (
                f"no class is on both sides: {one} is predicted, {other} the reference; match "
                "across classes (--across-classes), or name label maps alike (--names)"
            )
            found.append(InputWarning("classes-differ", detail))
        found += [one for side in (self.pred, self.ref) for one in side.noted()]
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
        self.partner: _Side | None = None
        self.grids: dict[str, Geometry] = {}
        self.warnings: list[InputWarning] = []
        self.names: set[str] = set()
        self._in_parts: list[InputWarning] = []
        self._same: dict[str, InputWarning] = {}
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
        found = self._read(case)
        self.grids[case] = found.geometry
        self._require_grid_of_partner(case)
        named = self._named(case)
        self.warnings += [InputWarning(code, f"{named}: {text}") for code, text in found.warnings]
        self._note_same_as_partner(case, found)
        self.names.update(item.class_name for item in found)
        if self.scores is not None:
            found = self.scores.put(found, case)
        connectivity = self._how.reading.connectivity
        if connectivity is not None:
            return split_components(found, connectivity=connectivity)
        if any(code == LIKE_GREY_VALUES for code, _ in found.warnings):
            return found  # what may be an image has no lesions to be split
        noted = parts_noted(found).warnings[len(found.warnings) :]
        self._in_parts += [InputWarning(code, f"{named}: {text}") for code, text in noted]
        return found

    def noted(self) -> Iterator[InputWarning]:
        """Sides that are one, and masks in parts that are one object: the first, and how many."""
        for warnings in (list(self._same.values()), self._in_parts):
            if warnings:
                others = len(warnings) - 1
                more = f" (and so in {several(others, 'more case')})" if others else ""
                yield InputWarning(warnings[0].code, warnings[0].detail + more)

    def _named(self, case: str) -> str:
        """Both files of a case may have one name, so the side stands behind it."""
        return f"{self._paths[case].name} ({self.side})"

    def _note_same_as_partner(self, case: str, found: Instances) -> None:
        """Note objects compared with themselves; two files without an object may well be equal.

        Noted by the side that is read last, so once.
        """
        other = self.partner
        if other is None or case not in other.grids or not len(found):
            return
        one, two = self._paths[case], other._paths[case]
        if one.samefile(two):
            same = "one file"
        elif has_suffix(one, *_WHOLE) and filecmp.cmp(one, two, shallow=False):
            same = "the same byte for byte"
        else:
            return
        sides = sorted((self, other), key=lambda side: side.side)
        detail = f"{' and '.join(side._named(case) for side in sides)} are {same}"
        self._same[case] = InputWarning(SIDES_IDENTICAL, detail)

    def _source(self, case: str) -> Source | Geometry | None:
        """What a SEG or RTSTRUCT is read onto: the series it was drawn on, or the other's grid."""
        given, other = self._how.reading.source, self.partner
        if given is not None or other is None:
            return given
        sides = {self.side: self._paths[case], other.side: other._paths[case]}
        if not any(path.is_file() and _is_dicom(path) for path in sides.values()):
            return None
        from medseg.io.dicom_objects import comparing_grid  # pydicom loads here

        return comparing_grid(sides["reference"], sides["prediction"])

    def _read(self, case: str) -> Instances:
        (reading, kind, classes), path = self._how, self._paths[case]
        subject = self._named(case)
        try:
            named = None if classes is None or holds_segments(path) else classes
            source = self._source(case)
            found = read_instances(
                path, values=reading.values, kind=kind, classes=named, source=source
            )
        except InputRefused as refused:
            raise InputRefused(refused.code, subject, refused.detail, refused.remedy) from refused
        refuse_class_named_all(found.classes, subject)
        return found

    def _require_grid_of_partner(self, case: str) -> None:
        """Refuse a case whose other side was read from another grid, with the names of both."""
        other = self.partner
        if other is not None and case in other.grids:
            require_same_grid(
                self.grids[case],
                other.grids[case],
                self._named(case),
                other=f"{other.side} {other._paths[case].name}",
            )


def _is_dicom(path: Path) -> bool:
    """Whether a file says so; one that says nothing is refused when it is read itself."""
    try:
        return file_format(path) == "DICOM"
    except InputRefused:
        return False


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
    try:
        columns, rows = csv_rows(read_text(path))
        lost = [name for name in needed if name not in columns]
        if lost:
            raise _invalid(
                path.name, f"has no column {lost[0]}, but {', '.join(columns) or 'none'}"
            )
        yield from rows
    except ValueError as error:
        raise _invalid(path.name, str(error)) from error


def _more(count: int) -> str:
    return f" (and {count - 1} more such)" if count > 1 else ""


def _invalid(name: str, detail: str) -> InputRefused:
    return InputRefused(
        code="table-invalid",
        subject=name,
        detail=detail,
        remedy="mend the table; docs/evaluating.md shows one",
    )

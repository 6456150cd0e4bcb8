"""Which studies lie under a folder: DICOM in any layout and image files, whatever else is there."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

from medseg.errors import InputRefused
from medseg.io.dicom.access import series_of_files
from medseg.io.dicom.classes import class_name
from medseg.io.dicom.folders import FolderScan, scan_folders
from medseg.io.dicom.records import Frame, Series
from medseg.io.dicom.suv import PetUnits
from medseg.io.formats import IMAGE_SUFFIXES, has_suffix
from medseg_workflows.facts import SeriesFacts, file_facts, is_segmentation, series_facts
from medseg_workflows.owner import LOCK, OWNER

_MARK_ENDS = 132
"""Bytes of preamble and mark (PS3.10 7.1)."""

Progress = Callable[[int, int], None]
"""Called with the number of files looked at and of series found so far; may raise to cancel."""


@dataclass(frozen=True, slots=True)
class Study:
    """The series of one study in a fixed order.

    `uid` is that of DICOM, or names what stands for it in a second line, and the same goes for
    `patient_id`. `refused` is why none of the series is taken.
    """

    uid: str = field(repr=False)
    patient_id: str = field(repr=False)
    series: tuple[SeriesFacts, ...]
    refused: str = ""


def stand_in(kind: Literal["file", "series", "study"], name: str) -> str:
    """What stands for the UID or PatientID that is not there: no such value has two lines."""
    return f"{kind}\n{name}"


class Lost(NamedTuple):
    """What could not be looked at: where, from the root on, and why."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Surveyed:
    """All under a root: DICOM studies, image files by where they lie, and what is neither."""

    studies: tuple[Study, ...]
    files: Mapping[str, SeriesFacts] = field(repr=False)
    lost: tuple[Lost, ...] = field(repr=False)
    skipped: Mapping[str, int]


def survey(
    root: Path,
    *,
    index: Path | None = None,
    pet: PetUnits = "physical",
    modality: str = "",
    only: Set[str] | None = None,
    progress: Progress | None = None,
) -> Surveyed:
    """Look at everything under `root`, reading headers alone; `modality` is that of image files.

    The results of a batch are not looked into. `index` and `only` are as in
    `scan_folders`, `pet` as in `read`.

    Raises InputRefused for the root itself alone (`path-missing`, `path-unreadable`).
    """
    gathering = _Gathering(pet, modality)
    for found in scan_folders(root, index=index, leave_out=_is_output, only=only):
        gathering.add(found)
        if progress is not None:
            progress(gathering.looked_at, len(gathering.series))
    return gathering.surveyed()


def _is_output(names: Set[str]) -> bool:
    """Whether a folder with these names in it is the OUT of a batch."""
    return LOCK in names and (OWNER in names or "batch.json" in names)


@dataclass(slots=True)
class _Place:
    """Where the files of a series were found: whole in one folder, or in parts."""

    folders: set[str]
    facts: SeriesFacts | None
    paths: list[Path] = field(default_factory=list)


class _Gathering:
    """Folders come one by one, and only facts are kept of them."""

    def __init__(self, pet: PetUnits, modality: str) -> None:
        self._pet, self._modality = pet, modality
        self.series: dict[tuple[str, str], _Place] = {}  # by UID, and hash of the study's
        self.looked_at = 0
        self._damaged: dict[str, set[str]] = defaultdict(set)  # folders by the UID that is named
        self._spoilt: set[str] = set()  # folders with a file that cannot be read
        self._files: dict[str, SeriesFacts] = {}
        self._lost: list[Lost] = []
        self._skipped: Counter[str] = Counter()

    def add(self, found: FolderScan) -> None:
        for one in found.scan.series:
            self.looked_at += one.files
            self._add_series(found.folder, one)
        for where, error in found.passed_over:
            self.looked_at += 1
            self._lost.append(Lost(where, _said(error)))
            if error.code == "path-unreadable" and where != found.folder:
                self._spoilt.add(found.folder)
        self._skipped.update(found.scan.skipped)
        self.looked_at += sum(found.scan.skipped.values())
        self._add_files(found)

    def _add_series(self, folder: str, series: Series) -> None:
        if series.kind == "other":
            names = {class_name(one) for one in series.sop_classes}
            self._skipped[", ".join(sorted(names))] += series.files
            return
        if series.kind == "damaged" or series.damaged:
            self._damaged[series.uid].add(folder)
        if series.kind == "damaged":
            return
        for study, part in _by_study(series):
            place = self.series.get((series.uid, study))
            if place is None:
                self.series[series.uid, study] = _Place({folder}, self._facts(folder, part))
                continue
            if place.facts is not None:
                place.paths.extend(map(Path, (*place.facts.files, *place.facts.copies)))
                place.facts = None
            place.folders.add(folder)
            place.paths.extend({frame.file.path: None for frame in part.frames})

    def _facts(self, folder: str, series: Series) -> SeriesFacts | None:
        try:
            return series_facts(series, pet=self._pet)
        except InputRefused as error:
            self._lost.append(Lost(folder, _said(error)))
            self._damaged[series.uid].add(folder)  # what else there is of it is not whole
            return None

    def _add_files(self, found: FolderScan) -> None:
        names = {one.name.lower() for one in found.not_dicom}
        for path in found.not_dicom:
            if has_suffix(path, ".dcm", ".dicom", ".ima") and _is_blank(path):
                self._damaged[""].add(found.folder)
            if path.name.startswith(".") or not has_suffix(path, *IMAGE_SUFFIXES):
                continue
            if _is_second_half(path.name.lower(), names):
                continue
            self._skipped["not DICOM"] -= 1
            if is_segmentation(path):
                self._skipped["segmentation"] += 1
                continue
            where = f"{found.folder}{path.name}"
            self._files[where] = file_facts(path, where, modality=self._modality)

    def surveyed(self) -> Surveyed:
        """What all folders hold together."""
        uids = Counter(uid for uid, _ in self.series)
        whole = []
        for (uid, _), place in self.series.items():
            facts = self._together(place)
            if facts is not None:
                whole.append(_doubted(facts, self._doubt(uid, place, uids[uid])))
        sound = {folder for place in self.series.values() for folder in place.folders}
        for uid, folders in self._damaged.items():
            if not uids[uid]:  # else the series says so, or those that lie beside it
                text = "file-corrupt: a damaged DICOM file"
                alone = folders if uid else folders - sound
                self._lost.extend(Lost(f"{folder}{uid}", text) for folder in sorted(alone))
        skipped = {name: count for name, count in sorted(self._skipped.items()) if count}
        return Surveyed(tuple(_studies(whole)), self._files, tuple(sorted(self._lost)), skipped)

    def _together(self, place: _Place) -> SeriesFacts | None:
        """The facts of a series, read again where its files came in parts."""
        if place.facts is not None or not place.paths:
            return place.facts
        try:
            series = series_of_files(place.paths)
        except InputRefused as error:
            self._lost.append(Lost(min(place.folders), _said(error)))
            return None
        return self._facts(min(place.folders), series)

    def _doubt(self, uid: str, place: _Place, studies: int) -> str:
        """Why a series may not be whole, "" where nothing speaks against it."""
        if studies > 1:
            return f"duplicate-uid: one SeriesInstanceUID in {studies} studies"
        if uid in self._damaged:
            return "file-corrupt: files of it have a damaged header"
        if self._damaged.get("", set()) & place.folders:
            return "file-corrupt: its folder holds a damaged DICOM file"
        if self._spoilt & place.folders:
            return "path-unreadable: its folder holds a file that cannot be read"
        return ""


def _by_study(series: Series) -> Iterator[tuple[str, Series]]:
    """The parts of a series by the hash of the StudyInstanceUID that their files name."""
    parts: dict[str, list[Frame]] = defaultdict(list)
    for frame in series.frames:
        parts[frame.file.facts["study"]].append(frame)
    if len(parts) < 2:
        yield next(iter(parts), ""), series
        return
    for study, frames in parts.items():
        files = len({frame.file.order for frame in frames})
        yield study, replace(series, frames=tuple(frames), files=files)


def _doubted(facts: SeriesFacts, doubt: str) -> SeriesFacts:
    """The facts, refused for the doubt if there is one and nothing worse."""
    if not doubt:
        return facts
    volumes = tuple(replace(one, refused=one.refused or doubt) for one in facts.volumes)
    return replace(facts, volumes=volumes)


def file_studies(files: Mapping[str, SeriesFacts], channels: Sequence[str]) -> Iterator[Study]:
    """Image files as studies: a study each, or for several channels one of all NAME_channel."""
    groups: dict[str, list[SeriesFacts]] = defaultdict(list)
    for where, facts in files.items():
        name, channel = _named(where, channels) if len(channels) > 1 else (where, None)
        volumes = tuple(
            replace(one, facts={**one.facts, "channel": channel}) for one in facts.volumes
        )
        groups[name].append(replace(facts, volumes=volumes))
    for name in sorted(groups):
        uid = stand_in("file", name)
        yield Study(uid, uid, tuple(sorted(groups[name], key=lambda one: one.uid)))


def _named(where: str, channels: Sequence[str]) -> tuple[str, str | None]:
    """The name without channel and suffix, and the channel; the whole and None without one."""
    folder, slash, name = where.rpartition("/")
    stem = next(name[: -len(one)] for one in _SUFFIXES if name.lower().endswith(one))
    for channel in channels:
        if stem.lower().endswith(f"_{channel.lower()}"):
            return f"{folder}{slash}{stem[: -len(channel) - 1]}", channel
    return where, None


_SUFFIXES = sorted(IMAGE_SUFFIXES, key=len, reverse=True)


def _studies(series: Iterable[SeriesFacts]) -> Iterator[Study]:
    groups: dict[str, list[SeriesFacts]] = defaultdict(list)
    for one in series:
        groups[one.study_uid or stand_in("series", one.uid)].append(one)
    for uid in sorted(groups):
        mine = tuple(sorted(groups[uid], key=lambda one: (one.number, one.uid)))
        patients = sorted({one.patient_id for one in mine})
        refused = ""
        if len(patients) > 1:
            refused = f"several-patients: {len(patients)} different PatientIDs in one study"
        yield Study(uid, patients[0] or stand_in("study", uid), mine, refused)


def _is_second_half(name: str, names: set[str]) -> bool:
    """Whether this is the .img of a .hdr that is there itself."""
    stem, _, tail = name.rpartition(".img")
    return (
        tail in ("", ".gz")
        and bool(stem)
        and not names.isdisjoint((f"{stem}.hdr", f"{stem}.hdr.gz"))
    )


def _is_blank(path: Path) -> bool:
    """Whether nothing or zeros stand where DICOM says what it is: a copy that was not written."""
    try:
        with path.open("rb") as file:
            return not file.read(_MARK_ENDS).strip(b"\0")
    except OSError:
        return False


def _said(error: InputRefused) -> str:
    return f"{error.code}: {error.detail}"

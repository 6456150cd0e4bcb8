"""Where the work on a study is kept, and what of it lies there from before; without Qt.

`<folder of the study>/medseg/<study>/<reader>`: as `CaseList` has it for that folder, so that the
Cases panel finds what was begun from a single study, and the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medseg.errors import InputRefused, MedsegError
from medseg.types import Instances, Volume
from medseg_napari.session import Session, find_session
from medseg_napari.session.cases import initials
from medseg_napari.session.store import Found
from medseg_napari.view.facts import LayerFacts, facts_of
from medseg_napari.view.opening import stem

if TYPE_CHECKING:
    from napari.layers import Layer

OUT = "medseg"
CASE_KEY = "medseg_case"
"""In a layer's metadata: the folder of all readers' work on its case, where a list says so."""
WORK_KEY = "medseg_work"
"""The same, where whoever opened the study named the folder."""


@dataclass(frozen=True)
class Offer:
    """A session that a person may go on with; `problem` says why it cannot be read.

    `reader` is who is asked, as he wrote his initials: only one's own work can be gone on with.
    """

    folder: Path
    found: Found | None
    problem: str = ""
    reader: str = ""

    @property
    def is_of_another(self) -> bool:
        """Whether it is the work of another reader than who is asked; False where nobody is."""
        own = "" if self.found is None else self.found.saved.reader
        return bool(own and self.reader.strip()) and _known_as(own) != _known_as(self.reader)

    @property
    def can_resume(self) -> bool:
        """Whether it can be opened now."""
        return self.found is not None and not self.found.in_use and not self.is_of_another

    @property
    def is_unfinished(self) -> bool:
        """Whether it was left without being closed, as after a crash."""
        return self.found is not None and self.found.crashed

    def may_be_of(self, series: str | None) -> bool:
        """Whether it may lie on a series: False where it says that it lies on another one."""
        own = None if self.found is None else self.found.saved.source.get("series")
        return series is None or own in (None, series)

    @property
    def words(self) -> str:
        """What is asked."""
        if self.found is None:
            return f"The session of {self.folder.name} cannot be read: {self.problem}"
        saved, steps = self.found.saved, self.found.steps
        count = "1 step" if steps == 1 else f"{steps} steps"
        what = f"{saved.reader}'s session ({count}, last {_moment(self.found.last_time)})"
        if self.is_of_another:
            return f"{what} is there. It is another reader's, and stays as it is: begin your own."
        if self.found.in_use:
            return f"{what} is open in another window."
        lost = " The step that was being written is lost." if self.found.torn else ""
        if self.is_unfinished:
            return f"{what} was not closed: the program ended before.{lost} Go on with it?"
        return f"{what} is there. Go on with it?"


def default_folder(layer: Layer, reader: str) -> Path | None:
    """Where a reader's work on a layer's study is kept unless he says otherwise.

    None where the study has no path, or the initials are none yet.
    """
    base = study_folder(layer)
    try:
        return None if base is None else base / initials(reader)
    except ValueError:
        return None


def study_folder(layer: Layer) -> Path | None:
    """The folder of all readers' work on a study; None where the study has no path.

    A study that was chosen among several in one folder has one of its own.
    """
    for key in (CASE_KEY, WORK_KEY):
        if key in layer.metadata:
            return Path(layer.metadata[key])
    facts = facts_of(layer)
    if facts is None or facts.source.path is None:
        return None
    source, path = facts.source, Path(facts.source.path).absolute()
    name = stem(path)
    if source.volume is not None:
        name = f"{name}-{source.series or 'series'}-{source.volume}"
    return path.parent / OUT / name


def session_source(facts: LayerFacts) -> dict[str, Any]:
    """What a session keeps to find its image again, in the words of `medseg.read`."""
    found, volume = facts.source.as_dict(), facts.volume
    if volume is None:
        return found
    if volume.unit == "SUVbw":
        found["pet"] = "SUVbw"  # PET is opened so; read otherwise, its measures would differ
    if volume.meta.get("format", "DICOM") != "DICOM":  # no such file says it: a person did
        said = {"modality": volume.modality, "unit": volume.unit}
        found |= {name: value for name, value in said.items() if value != "unknown"}
    return found


def offers(layer: Layer, reader: str = "") -> list[Offer]:
    """What lies there from before for a reader: his own, unfinished work first, then the latest.

    Work on another series of the same folder is left out.
    """
    base, facts = study_folder(layer), facts_of(layer)
    if base is None or not base.is_dir():
        return []
    folders = sorted(one for one in base.iterdir() if one.is_dir())
    series = None if facts is None else facts.source.series
    there = (offer_of(one, reader) for one in folders)
    found = [one for one in there if one is not None and one.may_be_of(series)]
    found.sort(key=lambda one: "" if one.found is None else one.found.last_time, reverse=True)
    return sorted(found, key=lambda one: (one.is_of_another, not one.is_unfinished))


def resumed(offer: Offer, volume: Volume | None, written: str) -> Session:
    """The session of an offer, gone on with by whose initials are written, else by its reader.

    Raises as `Session.resume` does, and ValueError for initials that are none or another reader's.
    """
    own = "" if offer.found is None else offer.found.saved.reader
    offer = replace(offer, reader=written)
    if offer.is_of_another:
        raise ValueError(offer.words)
    reader = initials(written) if written.strip() else own
    return Session.resume(volume, offer.folder, reader)


def begun(
    facts: LayerFacts, output: Instances, reader: str, folder: Path | None
) -> tuple[Session, list[str]]:
    """A session on objects of an image, and a line that says why it is not kept on the disk."""
    source = session_source(facts)
    try:
        return Session.begin(facts.volume, output, reader, folder=folder, source=source), []
    except MedsegError as error:
        return Session.begin(facts.volume, output, reader), [str(error)]


def offer_of(folder: Path, reader: str = "") -> Offer | None:
    """What lies in a folder for a reader; None where it holds no session."""
    try:
        found = find_session(folder)
    except InputRefused as refused:
        return Offer(folder, None, str(refused))
    return None if found is None else Offer(folder, found, reader=reader)


def _known_as(reader: str) -> str:
    """A reader's initials as his folder has them; as written where they make no folder name."""
    try:
        return initials(reader)
    except ValueError:
        return reader.strip()


def _moment(time: str) -> str:
    """A time of the log as people read it: the day and the minute, in UTC."""
    return f"{time[:10]} {time[11:16]} UTC"


def free_folder(folder: Path) -> Path:
    """A folder among those of the study for the same reader, in which no session lies yet."""
    number = 2
    while True:
        other = folder.with_name(f"{folder.name}-{number}")
        if offer_of(other) is None:
            return other
        number += 1

"""What the parts of a batch hand to each other: plain values that go to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

from medseg.io.batch_sources import ImageInput

State = Literal["done", "quarantined", "not-selected", "pending"]
"""Where a study is with a model; "pending" is planned and not finished yet."""

VERSION = 1
"""Of everything that a batch writes; another version is refused, never guessed at."""


@dataclass(frozen=True, slots=True)
class ModelUse:
    """A model as a batch uses it; `place` is what `load_model` takes: a name or a folder."""

    name: str
    version: str
    weights_sha256: str
    place: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """What changes a result, and so belongs to a job's key.

    `threads` is how many threads a child computes with, the same whatever the number of workers.
    `formats` are those of `medseg.io.dicom_out`, `views` those of `medseg.inference.results`.
    `timestamp` is ISO 8601, "" for the clock.
    """

    formats: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    probabilities: bool = False
    pseudonymous_dicom: bool = False
    modality: str = ""
    unit: str = ""
    pet: str = "physical"
    timestamp: str = ""
    threads: int = 1
    device: str = "cpu"

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Self:
        """What `asdict` gave."""
        return cls(**{**said, "formats": tuple(said["formats"]), "views": tuple(said["views"])})


@dataclass(frozen=True, slots=True)
class Job:
    """One study for one model. `key`, `study` and `patient` are pseudonyms; the files are not.

    `inputs` maps a channel of the model to the image for it, the first channel first; `series` to
    the pseudonym of its series. `warnings` are pairs of code and detail that the plan has of the
    images, for the job's record.
    """

    key: str
    study: str
    patient: str
    model: ModelUse
    inputs: Mapping[str, ImageInput] = field(repr=False)
    settings: Settings
    warnings: tuple[tuple[str, str], ...] = ()
    series: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON; holds paths and UIDs, so it is never written in clear."""
        return asdict(replace(self, inputs=dict(self.inputs), series=dict(self.series)))

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Self:
        """What `as_dict` gave."""
        return cls(
            said["key"],
            said["study"],
            said["patient"],
            ModelUse(**said["model"]),
            {name: ImageInput.from_dict(one) for name, one in said["inputs"].items()},
            Settings.from_dict(said["settings"]),
            tuple((code, detail) for code, detail in said["warnings"]),
            dict(said["series"]),
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a study was not done: a code, what happened, and what to do.

    Codes are those of InputRefused, ModelError and OutputError, and `timeout`, `memory`, `died`
    (the child's process), `worker-died` and `failed` (an error of the program). What a plan refuses
    was never tried: it has no attempts.
    """

    code: str
    detail: str
    remedy: str
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Record:
    """`record.json` of one finished job, beside its files.

    `inputs` are the facts of each channel that `summary.json` gives, `classes` the count and total
    volume of each class, `warnings` pairs of code and detail. `series` are the pseudonyms of the
    series by channel. `seconds` are those of each step; they differ between runs and so stand in no
    table.
    """

    key: str
    study: str
    patient: str
    model: ModelUse
    settings: Settings
    inputs: Mapping[str, Mapping[str, Any]]
    classes: Mapping[str, Mapping[str, Any]]
    warnings: Sequence[Mapping[str, str]]
    files: Sequence[str]
    versions: Mapping[str, str]
    seconds: Mapping[str, float]
    peak_memory_mb: float
    series: Mapping[str, str] = field(default_factory=dict)
    version: int = VERSION

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON; the place of the model is left out, since it may be a path."""
        inputs, classes, series = dict(self.inputs), dict(self.classes), dict(self.series)
        said = asdict(replace(self, inputs=inputs, classes=classes, series=series))
        said["model"].pop("place")
        return said

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Self:
        """What `as_dict` gave."""
        return cls(
            **{
                **said,
                "model": ModelUse(**said["model"], place=""),
                "settings": Settings.from_dict(said["settings"]),
            }
        )


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One series (or image file) and one model: chosen, beaten by a better one, or refused.

    `reasons` says why, for people: rules that fail, the preference that decided, or the code of
    what reading refuses; then what is assumed or left aside of a chosen image. Nothing in it names
    a patient or a path; `series` is a pseudonym.
    """

    study: str
    patient: str
    series: str
    number: int
    volume: int | None
    model: str
    rule: str
    channel: str
    decision: Literal["chosen", "beaten", "refused"]
    reasons: Sequence[str]
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom the codes of a study stand for; written only where a map of pseudonyms is asked for.

    What is no DICOM has "" for UID and PatientID, and `where` says where it lies, from the root on.
    """

    study: str
    patient: str
    study_uid: str = field(repr=False)
    patient_id: str = field(repr=False)
    where: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class RefusedStudy:
    """A study that a model would have got, but the image for it cannot be read.

    Also what could not be looked at and names no study: it has no `model`, and its key ends with
    the code of its folder of the root.
    """

    key: str
    study: str
    patient: str
    model: str
    failure: Failure


@dataclass(frozen=True, slots=True)
class Plan:
    """What a batch will do: its jobs in order of their keys, and a row for every series and model.

    `unselected` are studies without any job, with the nearest reason, and what could not be looked
    at, which has no model; `refused` says where that is the fault of an image and not of a rule.
    `skipped` counts files that are no images. `models` are all that were given. `parts` are the
    codes of the folders of the root that were looked into; None is all of it.
    """

    jobs: tuple[Job, ...] = field(repr=False)
    rows: tuple[PlanRow, ...]
    unselected: tuple[PlanRow, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    identities: tuple[Identity, ...] = field(default=(), repr=False)
    refused: tuple[RefusedStudy, ...] = ()
    models: tuple[ModelUse, ...] = ()
    parts: frozenset[str] | None = None

    @property
    def not_selected(self) -> tuple[PlanRow, ...]:
        """Of the studies without a job those that rules alone leave out."""
        refused = {one.study for one in self.refused}
        return tuple(row for row in self.unselected if row.study not in refused)

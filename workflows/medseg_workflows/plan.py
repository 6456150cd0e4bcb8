"""What a batch will do: which series of a study go to which model, and why the others do not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

from medseg import __version__
from medseg.card import Card
from medseg.errors import ModelError
from medseg.io.batch_sources import ImageInput
from medseg.io.dicom.suv import PetUnits
from medseg.io.pseudonyms import Pseudonyms
from medseg.models.packages import card_of, check_weights, package_folder, shipped
from medseg.refusal_codes import REFUSALS
from medseg_workflows.choice import Candidate, Verdict, choose, missed
from medseg_workflows.facts import HIDDEN, SeriesFacts, VolumeFacts
from medseg_workflows.records import (
    Failure,
    Identity,
    Job,
    ModelUse,
    Plan,
    PlanRow,
    RefusedStudy,
    Settings,
)
from medseg_workflows.rules import ChannelRule, Rule, default_rule, modality_of, read_rules
from medseg_workflows.studies import Lost, Progress, Study, file_studies, stand_in, survey

DEFAULT = Settings()

_CUT = "cut-copies-dropped"
_NO_DICOM = (
    "frame-of-reference-missing: is no DICOM, so nothing says which patient and study the DICOM "
    "results belong to that --format and --probabilities ask for"
)


class _Planned(NamedTuple):
    """A model, its card, and its rules in the order in which they are tried."""

    model: ModelUse
    card: Card
    rules: tuple[Rule, ...]


class _Seen(NamedTuple):
    """A volume of a study, as rules see it and as rows show it; `number` is that of its series."""

    series: SeriesFacts
    volume: VolumeFacts
    candidate: Candidate
    number: int
    shown: Mapping[str, Any]


class _Taken(NamedTuple):
    """What a rule made of a study: a row for each volume and channel, and what it chose.

    `refused` is why an image that it would have chosen cannot be read.
    """

    rows: list[PlanRow]
    inputs: dict[str, tuple[SeriesFacts, VolumeFacts]]
    missing: str
    refused: str


def make_plan(  # noqa: PLR0913 - what a batch may say of it
    root: Path,
    models: Sequence[str | Path],
    pseudonyms: Pseudonyms,
    *,
    rules: Path | None = None,
    settings: Settings = DEFAULT,
    index: Path | None = None,
    only: Set[str] | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Plan all of `root` from headers alone, for shipped models by name or packages by folder.

    `rules` is a RULES.toml; a model that it does not name gets the rule of its card. The order of
    files and series changes nothing. `only` names the folders of `root` that are planned,
    "" its own files; None is all of it.

    Raises InputRefused (of the root as a whole, or ModelError), RulesError.
    """
    planned = _planned(models, rules)
    pet = "SUVbw" if (settings.pet, settings.unit) == ("physical", "SUVbw") else settings.pet
    found = survey(
        root,
        index=index,
        pet=cast("PetUnits", pet),
        modality=settings.modality,
        only=only,
        progress=progress,
    )
    planner = _Planner(pseudonyms, settings)
    for study in found.studies:
        planner.add(study, planned)
    for one in planned:
        for study in file_studies(found.files, [channel.name for channel in one.card.channels]):
            planner.add(study, [one])
    plan = planner.plan(found.lost, found.skipped)
    parts = None if only is None else frozenset(planner.part(f"{one}/") for one in only)
    return replace(plan, models=tuple(one.model for one in planned), parts=parts)


def require_models(models: Sequence[str | Path], rules: Path | None) -> None:
    """See that the models and the rules for them can be used, whatever the studies are.

    Raises ModelError, RulesError.
    """
    _planned(models, rules)


class _Planner:
    """Studies come one by one; jobs and rows are what is kept of them."""

    def __init__(self, codes: Pseudonyms, settings: Settings) -> None:
        self._codes, self._settings = codes, settings
        self._jobs: dict[str, Job] = {}
        self._rows: dict[str, list[PlanRow]] = {}
        self._identities: dict[str, Identity] = {}
        self._refused: dict[str, RefusedStudy] = {}

    def add(self, study: Study, models: Iterable[_Planned]) -> None:
        named = self._named(study.uid, study.patient_id)
        rows = self._rows.setdefault(named.study, [])
        seen = self._seen(study)
        for one in models:
            taken = _taken(named, seen, one.rules)
            rows.extend(taken.rows)
            if not taken.missing:
                job = self._job(study, named, one.model, taken.inputs)
                self._jobs[job.key] = job
            elif taken.refused:
                digest = self._codes.job_digest(f"model\n{one.model.name}")
                self._refuse(named, one.model.name, taken.refused, digest)

    def plan(self, lost: Sequence[Lost], skipped: Mapping[str, int]) -> Plan:
        done = {job.study for job in self._jobs.values()}
        unselected = [
            min(rows, key=lambda row: (len(row.reasons), _order(row)))
            for study, rows in self._rows.items()
            if study not in done
        ]
        unselected += [self._lost(one) for one in lost]
        refused = (self._refused[key] for key in sorted(self._refused))
        return Plan(
            jobs=tuple(self._jobs[key] for key in sorted(self._jobs)),
            rows=tuple(sorted((row for rows in self._rows.values() for row in rows), key=_order)),
            unselected=tuple(sorted(unselected, key=_order)),
            skipped=dict(skipped),
            identities=tuple(self._identities[code] for code in sorted(self._identities)),
            refused=tuple(refused),
        )

    def part(self, where: str) -> str:
        """The code of the folder of the root in which something lies, or of the root itself."""
        return self._codes.job_digest(f"folder\n{where.rpartition('/')[0].partition('/')[0]}")

    def _named(self, uid: str, patient_id: str) -> Identity:
        codes = self._codes.study(uid), self._codes.patient(patient_id)
        kind, stands_in, name = uid.partition("\n")
        is_file = bool(stands_in) and kind == "file"
        identity = Identity(
            *codes,
            study_uid="" if is_file else name or uid,
            patient_id="" if "\n" in patient_id else patient_id,
            where=name or "." if is_file else "",
        )
        self._identities[identity.study] = identity
        return identity

    def _lost(self, lost: Lost) -> PlanRow:
        named = self._named(*[stand_in("file", lost.where)] * 2)
        self._refuse(named, "", lost.reason, self.part(lost.where))
        return _row(named, Verdict("refused", (lost.reason,)))

    def _refuse(self, named: Identity, model: str, reason: str, digest: str) -> None:
        code, _, detail = reason.partition(": ")
        failure = Failure(code, detail, REFUSALS[code].remedy, attempts=0)
        key = f"{named.study}-{digest}"
        self._refused[key] = RefusedStudy(key, named.study, named.patient, model, failure)

    def _seen(self, study: Study) -> list[_Seen]:
        seen = []
        for number, one in enumerate(study.series, start=1):
            code = self._codes.series(one.uid)
            for each in one.volumes:
                refused = study.refused or each.refused or self._no_dicom(one)
                candidate = Candidate((one.uid, each.number or 0), code, each.facts, refused)
                shown = {name: value for name, value in each.facts.items() if name not in HIDDEN}
                seen.append(_Seen(one, each, candidate, number, shown))
        return seen

    def _no_dicom(self, series: SeriesFacts) -> str:
        """Why nothing can be written of it that the settings ask for, "" where it can."""
        wanted = self._settings.formats or self._settings.probabilities
        return _NO_DICOM if wanted and not series.is_dicom else ""

    def _job(
        self,
        study: Study,
        named: Identity,
        model: ModelUse,
        inputs: Mapping[str, tuple[SeriesFacts, VolumeFacts]],
    ) -> Job:
        said = {
            "study": study.uid,
            "patient": study.patient_id,
            "inputs": [
                (name, one.uid, one.content, each.number) for name, (one, each) in inputs.items()
            ],
            "model": (model.name, model.weights_sha256),
            "medseg": __version__,
            "settings": asdict(self._settings),
        }
        images = {
            name: ImageInput(one.files, one.uid if one.is_dicom else "", each.number)
            for name, (one, each) in inputs.items()
        }
        digest = self._codes.job_digest(json.dumps(said, sort_keys=True))
        key = f"{named.study}-{digest}"
        warnings = tuple((_CUT, text) for one, _ in inputs.values() if (text := _cut_copies(one)))
        series = {name: self._codes.series(one.uid) for name, (one, _) in inputs.items()}
        codes = (key, named.study, named.patient)
        return Job(*codes, model, images, self._settings, warnings, series)


def _taken(named: Identity, seen: Sequence[_Seen], rules: Sequence[Rule]) -> _Taken:
    """What the first rule that gives every channel makes of a study, else the nearest."""
    tried = [_by_rule(named, seen, rule) for rule in rules]
    whole = next((taken for taken in tried if not taken.missing), None)
    if whole is not None:
        return whole
    nearest = min(tried, key=lambda taken: min(len(row.reasons) for row in taken.rows))
    return next((taken for taken in tried if taken.refused), nearest)


def _by_rule(named: Identity, seen: Sequence[_Seen], rule: Rule) -> _Taken:
    candidates = [one.candidate for one in seen]
    asked = {one.channel: one for one in rule.channels}
    verdicts = {channel: choose(candidates, one) for channel, one in asked.items()}
    inputs = {
        channel: (one.series, one.volume)
        for channel, mine in verdicts.items()
        for one, verdict in zip(seen, mine, strict=True)
        if verdict.decision == "chosen"
    }
    unreadable = _unreadable(rule, candidates, inputs)
    missing = _missing(rule, inputs) or unreadable
    rows = [
        _row(
            named,
            _withheld(_noted(verdict, one, asked[channel]), missing),
            series=one.candidate.code,
            number=one.number,
            volume=one.volume.number,
            model=rule.model,
            rule=rule.name,
            channel=channel,
            facts=one.shown,
        )
        for channel, mine in verdicts.items()
        for one, verdict in zip(seen, mine, strict=True)
    ]
    return _Taken(rows, inputs, missing, unreadable)


def _row(named: Identity, verdict: Verdict, **about: Any) -> PlanRow:
    """The row of a volume; of what could not be looked at nothing is known."""
    unknown = {"series": "", "number": 0, "volume": None, "model": "", "rule": "", "channel": ""}
    told = {"decision": verdict.decision, "reasons": verdict.reasons}
    return PlanRow(
        study=named.study, patient=named.patient, **{**unknown, "facts": {}, **about, **told}
    )


def _order(row: PlanRow) -> tuple[str | int, ...]:
    return row.patient, row.study, row.model, row.number, row.volume or 0, row.channel, row.series


def _unreadable(rule: Rule, candidates: Sequence[Candidate], inputs: Iterable[str]) -> str:
    """Why the first channel that lacks is refused, where each has an image that would fit.

    A channel that is not required lacks only where there is such an image: without it a result
    would be another one, and nobody would know.
    """
    lacking = [one for one in rule.channels if one.channel not in inputs]
    found = {one.channel: missed(candidates, one) for one in lacking}
    if any(one.required and found[one.channel] is None for one in lacking):
        return ""
    return next((one.refused for one in found.values() if one is not None), "")


def _missing(rule: Rule, inputs: Mapping[str, tuple[SeriesFacts, VolumeFacts]]) -> str:
    """Why the chosen images are not enough for a job, "" where they are."""
    lacking = [one.channel for one in rule.channels if one.required and one.channel not in inputs]
    if lacking:
        return f"channel-missing: no image for {' and '.join(lacking)}"
    images = [(one.uid, each.number) for one, each in inputs.values()]
    if len(set(images)) < len(images):
        return f"the rule gives {' and '.join(inputs)} the same image"
    return ""


def _noted(verdict: Verdict, seen: _Seen, asked: ChannelRule) -> Verdict:
    """A choice with what is assumed or left aside of its image."""
    if verdict.decision != "chosen":
        return verdict
    stated = seen.volume.facts["modality"] is not None
    assumed = "" if stated else f"modality is not stated, taken for {asked.modality}"
    notes = filter(None, (assumed, _cut_copies(seen.series)))
    return Verdict("chosen", (*verdict.reasons, *notes))


def _cut_copies(series: SeriesFacts) -> str:
    """What is left aside of a series, "" where nothing is."""
    if not series.cut:
        return ""
    if series.cut == 1:
        return "1 copy of a file is cut short and left aside, the whole one is read"
    return f"{series.cut} copies of files are cut short and left aside, the whole ones are read"


def _withheld(verdict: Verdict, missing: str) -> Verdict:
    """A choice that leads to no job is none."""
    if verdict.decision == "chosen" and missing:
        return Verdict("refused", (missing,))
    return verdict


def _planned(models: Sequence[str | Path], rules: Path | None) -> tuple[_Planned, ...]:
    """The models, each once, with their rules.

    Raises ModelError, RulesError, and ValueError where no model is given.
    """
    if not models:
        msg = "a plan is for at least one model"
        raise ValueError(msg)
    found: dict[str, tuple[ModelUse, Card]] = {}
    for place in models:
        use, card = _use_of(place)
        if use.weights_sha256 != found.setdefault(card.name, (use, card))[0].weights_sha256:
            detail, remedy = "two packages have this name", "rename one, or leave it out"
            raise ModelError("model-invalid", f"model {card.name}", detail, remedy)
    cards = [card for _, card in found.values()]
    own = {} if rules is None else read_rules(rules, cards)
    one_modality = len({modality_of(one, card) for card in cards for one in card.channels}) == 1
    return tuple(
        _Planned(use, card, own.get(name) or (default_rule(card, unknown_modality=one_modality),))
        for name, (use, card) in found.items()
    )


def _use_of(place: str | Path) -> tuple[ModelUse, Card]:
    folder, card = package_folder(place), card_of(place)
    check_weights(folder, card)
    where = str(place) if str(place) in shipped() else str(folder.resolve())
    return ModelUse(card.name, card.version, card.weights_sha256, where), card

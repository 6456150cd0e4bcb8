"""Rules that say which series of a study a model gets: RULES.toml, or those that a card means."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medseg.card import Card, Channel
from medseg.errors import MedsegError
from medseg.io.dicom.classes import PROJECTIONS
from medseg_workflows.conditions import (
    FACTS,
    Condition,
    Extreme,
    Preference,
    condition_of,
    preference_of,
)
from medseg_workflows.regions import other_parts

FEWEST_SLICES = 10
WIDEST = 4.0
"""A default rule takes voxel edges of up to so many times the longest edge of the model's grid."""

_NOT_ORIGINAL = ("MPR", "REFORMATTED", "CPR", "SECONDARY", "LOCALIZER")
_MODALITIES = {"ct_window": "CT", "suv": "PT"}
_HEADER = re.compile(r"\s*(\[{1,2})\s*([^\[\]]+?)\s*\]{1,2}\s*(#.*)?")
_KEY = re.compile(r"""\s*([\w"'.\- ]+?)\s*=""")

Path_ = tuple[str | int, ...]


class RulesError(MedsegError):
    """RULES.toml has a fault; `subject` names the file and the line."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class ChannelRule:
    """What a rule asks of the series for one channel of a model; preferences in their order.

    `modality` is what an image that does not state its own is taken for. `crop_mm` is how long an
    image may be for a model that segments what is pointed at.
    """

    channel: str
    modality: str
    must: tuple[Condition, ...]
    allow_unknown: tuple[str, ...]
    prefer: tuple[Preference, ...]
    required: bool = True
    crop_mm: float | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to choose series for a model: all channels of its card, the first one first."""

    name: str
    model: str
    channels: tuple[ChannelRule, ...]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Allowed(_Part):
    keys: list[str] = Field(default_factory=list)


class _Demands(_Part):
    must: dict[str, Any] = Field(default_factory=dict)
    allow_unknown: _Allowed = _Allowed()
    prefer: list[dict[str, Any]] = Field(default_factory=list)


class _Channel(_Demands):
    name: str


class _Rule(_Demands):
    name: str = Field(min_length=1)
    model: str
    channel: list[_Channel] = Field(default_factory=list)


class _File(_Part):
    rule: list[_Rule] = Field(min_length=1)


class _LocatedError(Exception):
    """A fault and the path of keys to it."""

    def __init__(self, path: Path_, what: str) -> None:
        super().__init__(what)
        self.path, self.what = path, what


def read_rules(path: Path, cards: Sequence[Card]) -> dict[str, tuple[Rule, ...]]:
    """The rules of a file by the name of the model; models without one are left out.

    Raises RulesError `rules-unreadable`, `rules-invalid`: the file, the line, the key.
    """
    try:
        source = path.read_text(encoding="utf-8-sig")
        raw = tomllib.loads(source)
    except (OSError, UnicodeDecodeError) as error:
        detail = getattr(error, "strerror", None) or "is no UTF-8 text"
        raise RulesError("rules-unreadable", path.name, detail, "check the file") from error
    except tomllib.TOMLDecodeError as error:
        remedy = "mend the line"
        raise RulesError("rules-invalid", path.name, f"is no TOML: {error}", remedy) from error
    try:
        rules = _checked(raw, {card.name: card for card in cards})
    except _LocatedError as fault:
        line = _line_of(_lines(source), fault.path)
        key = ".".join(str(part) for part in fault.path if isinstance(part, str))
        detail = f"{key}: {fault.what}" if key else fault.what
        subject = f"{path.name}, line {line}"
        raise RulesError("rules-invalid", subject, detail, "mend the line") from fault
    return {card.name: found for card in cards if (found := _of_model(rules, card.name))}


def default_rule(card: Card, *, unknown_modality: bool) -> Rule:
    """The rule that a card means: what its model was made for, and the finest series of it.

    `unknown_modality` says whether an image that does not state its modality is taken for one of
    the card's. A model of several channels gets only images that say their channel.
    """
    several = len(card.channels) > 1
    widest = WIDEST * max(card.spacing_mm)
    must: dict[str, Any] = {
        "image_type_none_of": [*_NOT_ORIGINAL, *sorted(PROJECTIONS)],
        "slices": {"min": FEWEST_SLICES},
        "spacing_z_mm": {"max": widest},
        "spacing_xy_mm": {"max": widest},
    }
    if elsewhere := other_parts(card.body_part):
        must["body_part_none_of"] = list(elsewhere)
    allowed = ("image_type", "body_part", *(("modality",) if unknown_modality else ()))
    prefer = (
        Extreme("smallest", "spacing_z_mm"),
        Extreme("largest", "slices"),
        condition_of("image_type_any_of", ["ORIGINAL"]),
    )
    channels = []
    for one in card.channels:
        own = {"modality": modality_of(one, card)} | ({"channel": one.name} if several else {})
        conditions = tuple(condition_of(*pair) for pair in (own | must).items())
        channels.append(_channel_rule(one, card, conditions, allowed, prefer))
    return Rule(f"default of {card.name}", card.name, tuple(channels))


def modality_of(channel: Channel, card: Card) -> str:
    """The modality that a channel of a model is for."""
    return _MODALITIES.get(channel.normalisation.kind, card.modality)


def _channel_rule(
    channel: Channel,
    card: Card,
    must: tuple[Condition, ...],
    allowed: tuple[str, ...],
    prefer: tuple[Preference, ...],
) -> ChannelRule:
    """The rule for a channel of a model; the first channel's image is the one pointed at."""
    first = channel.name == card.channels[0].name
    crop_mm = card.pointed.largest_crop_mm if first and card.pointed is not None else None
    return ChannelRule(
        channel.name,
        modality_of(channel, card),
        must,
        allowed,
        prefer,
        required=channel.required,
        crop_mm=crop_mm,
    )


def _of_model(rules: Sequence[Rule], model: str) -> tuple[Rule, ...]:
    return tuple(one for one in rules if one.model == model)


def _checked(raw: Mapping[str, Any], cards: Mapping[str, Card]) -> list[Rule]:
    try:
        said = _File.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        unknown = first["type"] == "extra_forbidden"
        raise _LocatedError(first["loc"], "is no key here" if unknown else first["msg"]) from error
    rules = []
    for n, one in enumerate(said.rule):
        if one.model not in cards:
            there = ", ".join(cards)
            raise _LocatedError(
                ("rule", n, "model"), f"no model {one.model!r} here; there are {there}"
            )
        rules.append(_rule(one, ("rule", n), cards[one.model]))
    return rules


def _rule(said: _Rule, path: Path_, card: Card) -> Rule:
    names = [one.name for one in card.channels]
    mine: dict[str, tuple[_Channel, Path_]] = {}
    for n, one in enumerate(said.channel):
        place = (*path, "channel", n)
        if one.name not in names or one.name in mine:
            what = "is named twice" if one.name in mine else f"is not of {', '.join(names)}"
            raise _LocatedError((*place, "name"), f"{one.name!r} {what}")
        mine[one.name] = one, place
    common = _demands(said, path)
    channels = []
    for channel in card.channels:
        must, allowed, prefer = common
        if channel.name in mine:
            own = _demands(*mine[channel.name])
            must, allowed, prefer = must + own[0], allowed + own[1], own[2] + prefer
        elif len(names) > 1:
            what = f"model {card.name} has several channels, and the rule has none for "
            raise _LocatedError(path, f"{what}{channel.name!r} ([[rule.channel]])")
        channels.append(_channel_rule(channel, card, must, allowed, prefer))
    return Rule(said.name, said.model, tuple(channels))


def _demands(
    said: _Demands, path: Path_
) -> tuple[tuple[Condition, ...], tuple[str, ...], tuple[Preference, ...]]:
    must = []
    for key, value in said.must.items():
        place = (*path, "must", key)
        try:
            must.append(condition_of(key, value))
        except ValueError as error:
            raise _LocatedError(place, str(error)) from error
    for key in said.allow_unknown.keys:
        if key not in FACTS:
            what = f"{key!r} is none of {', '.join(FACTS)}"
            raise _LocatedError((*path, "allow_unknown", "keys"), what)
    prefer = []
    for n, table in enumerate(said.prefer):
        place = (*path, "prefer", n, *([next(iter(table))] if len(table) == 1 else []))
        try:
            prefer.append(preference_of(table))
        except ValueError as error:
            raise _LocatedError(place, str(error)) from error
    return tuple(must), tuple(said.allow_unknown.keys), tuple(prefer)


def _lines(source: str) -> dict[Path_, int]:
    """The line of each table and key of a TOML text, by the path of keys to it."""
    found: dict[Path_, int] = {}
    counts: dict[Path_, int] = {}
    table: Path_ = ()
    for number, line in enumerate(source.splitlines(), start=1):
        if header := _HEADER.fullmatch(line):
            table = ()
            *parents, last = _words(header[2])
            for word in parents:
                table = (*table, word)
                table = (*table, counts[table] - 1) if table in counts else table
            table = (*table, last)
            if header[1] == "[[":
                counts[table] = counts.get(table, 0) + 1
                table = (*table, counts[table] - 1)
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault((*table, *_words(key[1])), number)
    return found


def _words(dotted: str) -> list[str]:
    return [word.strip().strip("\"'") for word in dotted.split(".")]


def _line_of(lines: Mapping[Path_, int], path: Path_) -> int:
    """The line of the longest part of the path that has one, else the first."""
    parts = (path[:length] for length in range(len(path), 0, -1))
    return next((lines[part] for part in parts if part in lines), 1)

"""What a rule demands of an image, and what it prefers: decided on facts, said in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from types import MappingProxyType
from typing import Any, Literal

from medseg_workflows.facts import HIDDEN, Facts

EQUAL = ("modality", "orientation", "body_part", "image_type", "channel")
"""Facts of one word, or of several in `image_type`: a word holds where it is the same."""
CONTAINED = ("kernel", "manufacturer", "volume_label", "description")
"""Facts of free text: a word holds where it stands anywhere in it."""
CLOSED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "modality": ("CT", "MR", "PT"),
        "orientation": ("axial", "coronal", "sagittal", "oblique"),
    }
)
"""Facts that have no other words."""
NUMBERS = ("slices", "spacing_z_mm", "spacing_xy_mm", "cover_mm", "longest_mm", "matrix")
FLAGS = ("contrast",)
FACTS = (*EQUAL, *CONTAINED, *NUMBERS, *FLAGS)

Test = Literal["is", "any_of", "none_of", "range", "flag"]
_SAME_BELOW = 2
"""Decimals to which numbers are compared where the smallest or largest is preferred."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One key of a rule: a fact, how it is tested, and against what.

    `wanted` holds words, or True or False, or the least and the most.
    """

    key: str
    fact: str
    test: Test
    wanted: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        """Whether a value that is known passes."""
        if self.test == "flag":
            return value is self.wanted[0]
        if self.test == "range":
            return bool(self.wanted[0] <= value <= self.wanted[1])
        found = any(_matches(self, word, value) for word in self.wanted)
        return not found if self.test == "none_of" else found

    def fault(self, facts: Facts, allowed: Sequence[str]) -> str | None:
        """Why the facts do not pass, in words; None where they do."""
        value = facts[self.fact]
        if value is None:
            return None if self.fact in allowed else f"{self.fact} is not stated"
        return None if self.holds(value) else self._words(value)

    def _words(self, value: Any) -> str:
        if self.test == "range":
            least, most = self.wanted
            return f"{self.fact} {value:g} {f'< {least:g}' if value < least else f'> {most:g}'}"
        if self.test == "flag":
            return f"{self.fact} is {_yes(value)}, not {_yes(self.wanted[0])}"
        wanted = ", ".join(self.wanted)
        if self.fact in HIDDEN:
            return f"{self.fact} has {'one' if self.test == 'none_of' else 'none'} of {wanted}"
        shown = "/".join(value) if isinstance(value, tuple) else value
        if self.test == "none_of":
            hit = next(word for word in self.wanted if _matches(self, word, value))
            return f"{self.fact} {shown} is ruled out" + (f" by {hit}" if hit != shown else "")
        return f"{self.fact} is {shown}, not {wanted.replace(', ', ' or ')}"

    @property
    def words(self) -> str:
        """The condition itself, as a preference names it."""
        if self.test == "range":
            least, most = self.wanted
            ends = [f"from {least:g}"] * isfinite(least) + [f"to {most:g}"] * isfinite(most)
            return f"{self.fact} {' '.join(ends)}"
        if self.test == "flag":
            return f"{self.fact} {_yes(self.wanted[0])}"
        return f"{self.key} {', '.join(self.wanted)}"


@dataclass(frozen=True, slots=True)
class Extreme:
    """A preference for the smallest or the largest value of a number."""

    key: Literal["smallest", "largest"]
    fact: str

    @property
    def words(self) -> str:
        """The preference as it is named."""
        return f"{self.key} {self.fact}"


Preference = Condition | Extreme


def penalty(preference: Preference, facts: Facts) -> float:
    """What the preference holds against the facts: less is better; unknown is not preferred."""
    value = facts[preference.fact]
    if isinstance(preference, Condition):
        return 0.0 if value is not None and preference.holds(value) else 1.0
    if value is None:
        return inf
    rounded = round(float(value), _SAME_BELOW)
    return rounded if preference.key == "smallest" else -rounded


def comparison(preference: Preference, better: Facts, worse: Facts) -> str:
    """How one beat the other, in words."""
    if isinstance(preference, Condition):
        return preference.words
    values = [
        "unknown" if one is None else f"{one:g}"
        for one in (better[preference.fact], worse[preference.fact])
    ]
    return f"{preference.words}, {values[0]} against {values[1]}"


def condition_of(key: str, value: Any) -> Condition:
    """The condition that a key of TOML and its value mean.

    Raises ValueError that says what is wrong.
    """
    fact, test = _parts(key)
    if fact in NUMBERS:
        return Condition(key, fact, "range", _ends(fact, value))
    if fact in FLAGS:
        if not isinstance(value, bool):
            msg = f"wants true or false; got {value!r}"
            raise ValueError(msg)
        return Condition(key, fact, "flag", (value,))
    words = [value] if test == "is" else value
    if (
        not isinstance(words, list)
        or not words
        or not all(isinstance(one, str) and one.strip() for one in words)
    ):
        msg = f"wants {'a word' if test == 'is' else 'a list of words'} in quotes; got {value!r}"
        raise ValueError(msg)
    wanted = tuple(one.strip() for one in words)
    known = CLOSED.get(fact, wanted)
    unknown = [one for one in wanted if one.casefold() not in {word.casefold() for word in known}]
    if unknown:
        msg = f"is one of {', '.join(known)}; got {unknown[0]!r}"
        raise ValueError(msg)
    return Condition(key, fact, test, wanted)


def preference_of(table: Mapping[str, Any]) -> Preference:
    """The preference that one `prefer` table means; it holds one key.

    Raises ValueError that says what is wrong.
    """
    if len(table) != 1:
        msg = f"wants one key, so that their order is plain; got {', '.join(table) or 'none'}"
        raise ValueError(msg)
    ((key, value),) = table.items()
    if key not in ("smallest", "largest"):
        return condition_of(key, value)
    if value not in NUMBERS:
        msg = f"wants one of {', '.join(NUMBERS)}; got {value!r}"
        raise ValueError(msg)
    return Extreme("smallest" if key == "smallest" else "largest", value)


def _parts(key: str) -> tuple[str, Test]:
    for ending in ("any_of", "none_of"):
        fact = key.removesuffix(f"_{ending}")
        if fact != key and fact in (*EQUAL, *CONTAINED):
            return fact, "any_of" if ending == "any_of" else "none_of"
    if key in FACTS:
        return key, "is"
    msg = f"is no key of a rule; there are {', '.join(FACTS)}, and words with _any_of or _none_of"
    raise ValueError(msg)


def _ends(fact: str, value: Any) -> tuple[float, float]:
    known = isinstance(value, dict) and value and set(value) <= {"min", "max"}
    if not known or not all(_is_number(one) for one in value.values()):
        msg = f"wants {{ min = …, max = … }} or one of them; got {value!r}"
        raise ValueError(msg)
    least, most = float(value.get("min", -inf)), float(value.get("max", inf))
    if least > most:
        msg = f"has min {least:g} above max {most:g}: no {fact} is both"
        raise ValueError(msg)
    return least, most


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _matches(condition: Condition, word: str, value: Any) -> bool:
    values = value if isinstance(value, tuple) else (value,)
    if condition.fact in CONTAINED and condition.test != "is":
        return any(word.casefold() in one.casefold() for one in values)
    return any(word.casefold() == one.casefold() for one in values)


def _yes(value: Any) -> str:
    return "yes" if value else "no"

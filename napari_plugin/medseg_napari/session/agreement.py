"""How far two readers of one case agree: on outlines, on what is a lesion, and on the count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np

from medseg.evaluation.kappa import CohenKappa, cohen_kappa
from medseg.evaluation.matching import MatchingRule, match
from medseg.evaluation.overlap import pair_overlaps
from medseg.types import Instances, Kind
from medseg_napari.session.document import Document
from medseg_napari.session.log import masks_digest
from medseg_napari.session.review import Decision
from medseg_napari.session.reviewing import decisions
from medseg_napari.session.store import find_session, read_document

RULE = MatchingRule("dice", 0.1, assignment="optimal")
"""Outlines of one lesion may differ much: a Dice of 0.1 and the same class make a pair."""

_DECIDED = ("accept", "reject")


@dataclass(frozen=True, eq=False)
class Reading:
    """What one reader left of a case: all objects, and what he decided of each id.

    `began_with` stands for the output that he began with, whose lesions are `offered`.
    """

    reader: str
    instances: Instances
    decisions: Mapping[int, Decision]
    began_with: str
    offered: frozenset[int]

    @property
    def kept(self) -> Instances:
        """The objects that he did not reject."""
        return self.instances.filter(lambda item: self.decisions.get(item.id) != "reject")

    @classmethod
    def of(cls, folder: Path) -> Self:
        """The reading in a session's folder, which may be open elsewhere.

        A session of one's own is as well read so: every step is on the disk.

        Raises InputRefused (`path-missing`, `path-unreadable`, `file-corrupt`).
        """
        found = find_session(folder)
        document = read_document(folder)
        return cls.from_document(document, "" if found is None else found.saved.reader)

    @classmethod
    def from_document(cls, document: Document, reader: str) -> Self:
        """The reading that a document holds now."""
        said = decisions(document.history.done, document.items, document.reviews)
        offered = frozenset(item.id for item in document.start if item.kind == "lesion")
        return cls(reader, document.instances, said, masks_digest(document.start), offered)


@dataclass(frozen=True)
class PairedObject:
    """An object that both readers kept, with the ids that it has for each, and their Dice."""

    class_name: str
    kind: Kind
    first_id: int
    second_id: int
    dice: float


@dataclass(frozen=True)
class ClassAgreement:
    """How many objects of a class each reader kept, and how many of them are pairs.

    `mean_dice` is over the pairs; NaN where there is none.
    """

    kind: Kind
    first: int
    second: int
    paired: int
    mean_dice: float


@dataclass(frozen=True, eq=False)
class Agreement:
    """Two readers of one case, or of several taken together (`pooled`).

    `decided` are the decisions of both on the lesions that both accepted or rejected; `kappa` is
    over them. `undecided` lesions are those of which one of them said nothing, or unsure. `by` says
    what makes one lesion of two: its id in the output that both began with, or that they match.
    """

    readers: tuple[str, str]
    classes: Mapping[str, ClassAgreement]
    pairs: tuple[PairedObject, ...]
    only_first: tuple[int, ...]
    only_second: tuple[int, ...]
    decided: tuple[tuple[Decision, Decision], ...]
    undecided: int
    by: Literal["id", "match", "both"]

    @property
    def kappa(self) -> CohenKappa:
        """Cohen's kappa of accept and reject; NaN where chance would give as much."""
        first, second = [one for one, _ in self.decided], [other for _, other in self.decided]
        return cohen_kappa(first, second, categories=_DECIDED)


def agreement(first: Reading, second: Reading, *, rule: MatchingRule = RULE) -> Agreement:
    """How far two readings of one case agree; rejected objects are left out of pairs and counts.

    Raises InputRefused (`grid-mismatch`) for readings of different images.
    """
    mine, theirs = first.kept, second.kept
    overlaps = pair_overlaps(mine, theirs)
    found = match(mine, theirs, rule, overlaps=overlaps)
    places = zip(overlaps.pred.tolist(), overlaps.ref.tolist(), strict=True)
    dice = dict(zip(places, overlaps.dice.tolist(), strict=True))
    pairs = tuple(
        PairedObject(
            mine.items[n].class_name,
            mine.items[n].kind,
            mine.items[n].id,
            theirs.items[m].id,
            dice.get((n, m), 0.0),
        )
        for n, m in zip(found.pred.tolist(), found.ref.tolist(), strict=True)
    )
    same_start = first.began_with == second.began_with
    both = [(n, n) for n in sorted(first.offered)] if same_start else _matched(first, second, rule)
    said = [(first.decisions.get(n), second.decisions.get(m)) for n, m in both]
    decided = tuple((a, b) for a, b in said if a in _DECIDED and b in _DECIDED and a and b)
    return Agreement(
        (first.reader, second.reader),
        _by_class(mine, theirs, pairs),
        pairs,
        tuple(mine.items[n].id for n in found.unmatched_pred.tolist()),
        tuple(theirs.items[m].id for m in found.unmatched_ref.tolist()),
        decided,
        len(said) - len(decided),
        "id" if same_start else "match",
    )


def pooled(found: Iterable[Agreement]) -> Agreement:
    """Several cases of the same two readers as one; the ids in it are those of their own cases.

    Raises ValueError for no case, and for other readers.
    """
    cases = list(found)
    if len({one.readers for one in cases}) != 1:
        msg = "agreement is pooled over the cases of the same two readers"
        raise ValueError(msg)
    pairs = tuple(pair for one in cases for pair in one.pairs)
    ways = {one.by for one in cases}
    names = dict.fromkeys(name for one in cases for name in one.classes)
    known = {name: [one.classes[name] for one in cases if name in one.classes] for name in names}
    return Agreement(
        cases[0].readers,
        {name: _joined(parts, name, pairs) for name, parts in known.items()},
        pairs,
        tuple(number for one in cases for number in one.only_first),
        tuple(number for one in cases for number in one.only_second),
        tuple(both for one in cases for both in one.decided),
        sum(one.undecided for one in cases),
        ways.pop() if len(ways) == 1 else "both",
    )


def _matched(first: Reading, second: Reading, rule: MatchingRule) -> list[tuple[int, int]]:
    """The lesions that are one by a rule, rejected ones too, by the ids that each reader has."""
    mine, theirs = (
        one.instances.filter(lambda item: item.kind == "lesion") for one in (first, second)
    )
    found = match(mine, theirs, rule)
    places = zip(found.pred.tolist(), found.ref.tolist(), strict=True)
    return [(mine.items[n].id, theirs.items[m].id) for n, m in places]


def _by_class(
    mine: Instances, theirs: Instances, pairs: tuple[PairedObject, ...]
) -> dict[str, ClassAgreement]:
    first, second = (Counter(item.class_name for item in side) for side in (mine, theirs))
    kinds = {one.name: one.kind for one in (*mine.classes, *theirs.classes)}
    return {
        name: _counted(kind, first[name], second[name], name, pairs) for name, kind in kinds.items()
    }


def _joined(
    parts: list[ClassAgreement], name: str, pairs: tuple[PairedObject, ...]
) -> ClassAgreement:
    first, second = sum(one.first for one in parts), sum(one.second for one in parts)
    return _counted(parts[0].kind, first, second, name, pairs)


def _counted(
    kind: Kind, first: int, second: int, name: str, pairs: tuple[PairedObject, ...]
) -> ClassAgreement:
    dice = [pair.dice for pair in pairs if pair.class_name == name]
    return ClassAgreement(kind, first, second, len(dice), float(np.mean(dice)) if dice else np.nan)

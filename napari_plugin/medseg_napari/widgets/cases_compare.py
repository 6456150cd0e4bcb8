"""Two readers beside each other, in one case or in all that both read; without Qt."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from medseg.errors import InputRefused, MedsegError
from medseg_napari.session import Agreement, CaseList, Reading, agreement, find_session, pooled

HEADS = ("class", "first", "second", "pairs", "mean Dice")
_DASH = "–"


@dataclass(frozen=True, eq=False)
class Comparison:
    """The agreement of two readers, and of which cases."""

    found: Agreement
    cases: tuple[str, ...]

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads of the table, with the readers' initials."""
        first, second = self.found.readers
        return HEADS[0], first, second, *HEADS[3:]

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The cells of the table: a row for each class that one of them kept an object of."""
        return [
            (name, str(one.first), str(one.second), str(one.paired), _share(one.mean_dice))
            for name, one in self.found.classes.items()
            if one.first or one.second
        ]

    @property
    def lines(self) -> list[str]:
        """What the table does not say."""
        first, second = self.found.readers
        alone = (
            f"Kept by {first} alone: {len(self.found.only_first)}, "
            f"by {second} alone: {len(self.found.only_second)}."
        )
        return [_cases(self.cases), alone, kappa_in_words(self.found)]


def readers_of(cases: CaseList, case_ids: Sequence[str]) -> list[str]:
    """Who else has a session on one of the cases; one that cannot be read is passed over."""
    found = {
        reader
        for case in case_ids
        for reader in cases.readers(case)
        if reader != cases.reader and _has_session(cases, case, reader)
    }
    return sorted(found)


def compare(
    cases: CaseList,
    other: str,
    case_ids: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """This reader beside another in those of the cases that both have a session on.

    Raises MedsegError (`nothing-to-compare`) where there is none, InputRefused as `Reading.of`.
    """
    both = [
        case
        for case in case_ids
        if all(find_session(cases.folder(case, who)) for who in (cases.reader, other))
    ]
    if not both:
        who, remedy = f"{cases.reader} and {other}", f"read a case first that {other} has read"
        detail = "there is no case that both have a session on"
        raise MedsegError("nothing-to-compare", who, detail, remedy)
    found = []
    for done, case in enumerate(both, start=1):
        readings = [Reading.of(cases.folder(case, who)) for who in (cases.reader, other)]
        found.append(agreement(*readings))
        if progress is not None:
            progress(done, len(both))
    return Comparison(found[0] if len(found) == 1 else pooled(found), tuple(both))


def kappa_in_words(found: Agreement) -> str:
    """What accept and reject come to: kappa with its interval, or why there is none."""
    kappa = found.kappa
    undecided = f" {found.undecided} more were not decided by both." if found.undecided else ""
    if not kappa.n:
        return "No lesion was accepted or rejected by both." + undecided
    same = f"both said the same of {kappa.agreement:.0%} of {kappa.n} lesions"
    if math.isnan(kappa.kappa):
        return f"Accept or reject: {same}; kappa cannot be told.{undecided}"
    ends = "" if math.isnan(kappa.low) else f" ({kappa.low:z.2f} to {kappa.high:z.2f})"
    return f"Accept or reject: kappa {kappa.kappa:z.2f}{ends}, {same}.{undecided}"


def _has_session(cases: CaseList, case: str, reader: str) -> bool:
    try:
        return find_session(cases.folder(case, reader)) is not None
    except InputRefused:
        return False


def _cases(cases: Sequence[str]) -> str:
    return f"Case {cases[0]}." if len(cases) == 1 else f"{len(cases)} cases taken together."


def _share(value: float) -> str:
    return _DASH if math.isnan(value) else f"{value:.3f}"

"""Which of the images of a study a rule takes: each is chosen, beaten or refused, with reasons."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from medseg_workflows.conditions import comparison, penalty
from medseg_workflows.facts import Facts
from medseg_workflows.rules import ChannelRule

Decision = Literal["chosen", "beaten", "refused"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One volume: `identity` (series, volume) tells it from all others of its study.

    `code` names its series in reasons. `refused` is why it cannot be taken whatever a rule says.
    """

    identity: tuple[str, int] = field(repr=False)
    code: str
    facts: Facts = field(repr=False)
    refused: str = ""


class Verdict(NamedTuple):
    """What became of a candidate, and why."""

    decision: Decision
    reasons: tuple[str, ...]


Rank = tuple[float, ...]

_UNTOLD = (
    *("orientation", "slices", "spacing_z_mm", "spacing_xy_mm", "cover_mm"),
    *("longest_mm", "matrix"),
    "volume_label",
)
"""Facts that sound images alone have."""


def choose(candidates: Sequence[Candidate], rule: ChannelRule) -> tuple[Verdict, ...]:
    """A verdict for each candidate; at most one is chosen, whatever their order.

    Preferences decide in their order, then the series' UID. Volumes of one series have nothing but
    preferences to tell them apart: where those are even, the series is refused.
    """
    verdicts: dict[int, Verdict] = {}
    ranks: dict[int, Rank] = {}
    for n, one in enumerate(candidates):
        reasons = faults(one, rule)
        if reasons:
            verdicts[n] = Verdict("refused", reasons)
        else:
            ranks[n] = tuple(penalty(each, one.facts) for each in rule.prefer)
    for n, reason in _undecided(candidates, ranks).items():
        verdicts[n] = Verdict("refused", (reason,))
        del ranks[n]
    order = sorted(ranks, key=lambda n: (ranks[n], candidates[n].identity))
    for place, n in enumerate(order):
        verdicts[n] = (
            _won(candidates, ranks, order, rule)
            if place == 0
            else _lost(candidates, ranks, order[0], n, rule)
        )
    return tuple(verdicts[n] for n in range(len(candidates)))


def faults(candidate: Candidate, rule: ChannelRule) -> tuple[str, ...]:
    """Why a candidate does not fit a rule: that it cannot be read, or every demand that fails."""
    if candidate.refused:
        return (candidate.refused,)
    found = [one.fault(candidate.facts, rule.allow_unknown) for one in rule.must]
    found.append(_too_long(candidate.facts, rule))
    return tuple(dict.fromkeys(fault for fault in found if fault is not None))


def _too_long(facts: Facts, rule: ChannelRule) -> str | None:
    """Why an image cannot go to a model that segments what is pointed at; None where it can."""
    longest_mm = facts["longest_mm"]
    if rule.crop_mm is None or longest_mm is None or longest_mm <= rule.crop_mm:
        return None
    return (
        f"point-missing: {longest_mm:.0f} mm long, and without a point the model takes crops of at "
        f"most {rule.crop_mm:g} mm"
    )


def missed(candidates: Sequence[Candidate], rule: ChannelRule) -> Candidate | None:
    """The best of those that cannot be read and fit a rule by all that is known of them."""
    allowed = (*rule.allow_unknown, *_UNTOLD)
    fitting = [
        one
        for one in candidates
        if one.refused and not any(each.fault(one.facts, allowed) for each in rule.must)
    ]

    def rank(one: Candidate) -> tuple[Rank, tuple[str, int]]:
        return tuple(penalty(each, one.facts) for each in rule.prefer), one.identity

    return min(fitting, key=rank, default=None)


def _undecided(candidates: Sequence[Candidate], ranks: dict[int, Rank]) -> dict[int, str]:
    """The volumes of each series of which two are even as its best, and what to say of them."""
    series: dict[str, list[int]] = defaultdict(list)
    for n in ranks:
        series[candidates[n].identity[0]].append(n)
    found = {}
    for members in series.values():
        best = min(ranks[n] for n in members)
        even = sorted(candidates[n].identity[1] for n in members if ranks[n] == best)
        if len(even) > 1:
            which = (
                f"{', '.join(map(str, even[:-1]))} and {even[-1]}"
                if len(even) < 5
                else f"{even[0]} to {even[-1]} ({len(even)})"
            )
            text = f"several-volumes: nothing in the rule prefers one of the volumes {which}"
            found.update(dict.fromkeys(members, text))
    return found


def _won(
    candidates: Sequence[Candidate], ranks: dict[int, Rank], order: Sequence[int], rule: ChannelRule
) -> Verdict:
    if len(order) == 1:
        return Verdict("chosen", ("the only one that fits",))
    first, second = order[:2]
    return Verdict(
        "chosen", (f"best of {len(order)}: {_decisive(candidates, ranks, first, second, rule)}",)
    )


def _lost(
    candidates: Sequence[Candidate], ranks: dict[int, Rank], winner: int, n: int, rule: ChannelRule
) -> Verdict:
    better = candidates[winner]
    volume = f", volume {better.identity[1]}" if better.identity[1] else ""
    why = _decisive(candidates, ranks, winner, n, rule)
    return Verdict("beaten", (f"by series {better.code}{volume}: {why}",))


def _decisive(
    candidates: Sequence[Candidate],
    ranks: dict[int, Rank],
    winner: int,
    loser: int,
    rule: ChannelRule,
) -> str:
    """The first preference in which the two differ."""
    pairs = zip(rule.prefer, ranks[winner], ranks[loser], strict=True)
    for n, (preference, better, worse) in enumerate(pairs, start=1):
        if better != worse:
            words = comparison(preference, candidates[winner].facts, candidates[loser].facts)
            return f"preference {n} ({words})"
    return "even in all preferences, first by UID"

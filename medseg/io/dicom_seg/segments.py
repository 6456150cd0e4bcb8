"""What a SEG says of its segments: number, label, codes, and the class and id they stand for."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from medseg.types import InstanceClass, Kind

_ORGAN_CODES = frozenset({("SCT", "91723000"), ("SCT", "123037004"), ("SRT", "T-D000A")})
_LESION_CODES = frozenset({("SCT", "49755003"), ("SRT", "M-01000")})
_NODE_SITES = frozenset({("SCT", "59441001"), ("SRT", "T-C4000")})
_NUMBERED = re.compile(r"^(.*\S)[\s_#-]+0*([1-9]\d{0,17})$")


@dataclass(frozen=True)
class Segment:
    """What the file says of one segment."""

    number: int
    label: str
    tracking: str
    codes: tuple[tuple[str, str], ...]
    kind: Kind | None
    in_node: bool


def segment_of(item: Dataset) -> Segment:
    """The facts of one item of the SegmentSequence."""
    category = _code(item, "SegmentedPropertyCategoryCodeSequence")
    site = _code(item, "AnatomicRegionSequence")
    parts = [
        category,
        _code(item, "SegmentedPropertyTypeCodeSequence"),
        *(_code(one, None) for one in _modifiers(item)),
        site,
    ]
    kind: Kind | None = None
    if category in _ORGAN_CODES:
        kind = "organ"
    elif category in _LESION_CODES:
        kind = "lesion"
    number = int(item.SegmentNumber)
    return Segment(
        number=number,
        label=" ".join(str(item.get("SegmentLabel") or f"segment {number}").split()),
        tracking=" ".join(str(item.get("TrackingID") or "").split()),
        codes=tuple(parts),
        kind=kind,
        in_node=site in _NODE_SITES,
    )


def _modifiers(item: Dataset) -> Iterator[Dataset]:
    for one in item.get("SegmentedPropertyTypeCodeSequence") or ():
        yield from one.get("SegmentedPropertyTypeModifierCodeSequence") or ()


def _code(item: Dataset, keyword: str | None) -> tuple[str, str]:
    """Scheme and value; ("", "") where there is none."""
    found = [item] if keyword is None else item.get(keyword)
    if not found:
        return "", ""
    one = found[0]
    return str(one.get("CodingSchemeDesignator") or ""), str(one.get("CodeValue") or "")


def ids_of(segments: Sequence[Segment], *, ours: bool) -> list[int]:
    """The number at the end of each tracking id where medseg wrote the file, else SegmentNumber."""
    if ours:
        found = [_NUMBERED.match(one.tracking) for one in segments]
        numbers = [int(match[2]) for match in found if match]
        if len(set(numbers)) == len(segments):
            return numbers
    return [one.number for one in segments]


def classes_of(
    segments: Sequence[Segment], kind: Kind, *, ours: bool
) -> tuple[list[str], tuple[InstanceClass, ...]]:
    """The class of each segment by name, and the classes in the order of their first segment.

    Labels that differ in a number at the end alone are one class where all their codes are equal;
    else each label is a class. `kind` is that of a category that says none. A class of lesions
    whose site is a lymph node is one of nodes, which RECIST measures by their short axis.
    """
    stems: dict[str, set[tuple[tuple[str, str], ...]]] = defaultdict(set)
    words = [one.tracking if ours and one.tracking else one.label for one in segments]
    matches = [_NUMBERED.match(word) for word in words]
    for one, word, match in zip(segments, words, matches, strict=True):
        stems[match[1] if match else word].add(one.codes)
    names = [
        match[1] if match and len(stems[match[1]]) == 1 else word
        for word, match in zip(words, matches, strict=True)
    ]
    firsts: dict[str, Segment] = {}
    for name, one in zip(names, segments, strict=True):
        firsts.setdefault(name, one)
    classes = []
    for number, (name, one) in enumerate(firsts.items(), 1):
        mine = one.kind or kind
        node = mine == "lesion" and one.in_node
        classes.append(InstanceClass(name, mine, number, node=node))
    return names, tuple(classes)

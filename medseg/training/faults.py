"""What can be wrong with a data set, and the faults that only show beside the other cases.

Sizes and intensities are judged on logarithms against the set's median in units of its median
absolute deviation, so that the faulty cases do not move the measure that finds them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, nan
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from medseg.errors import InputRefused
from medseg.training.datasets import Case
from medseg.types import Shape

Severity = Literal["error", "warning"]

FAULTS: Mapping[str, tuple[Severity, str]] = MappingProxyType(
    {
        "image-missing": ("error", "bring the image, or exclude the case"),
        "label-missing": ("error", "bring the label map, or exclude the case"),
        "class-unknown": ("error", "mend the label map, or add the class to the recipe"),
        "label-empty": ("error", "bring the right label map, or exclude the case"),
        "size-impossible": ("error", "look at the label map; mend it or exclude the case"),
        "sides-swapped": ("error", "swap the two labels, or mend the image's direction"),
        "duplicate-image": ("error", "keep one of the two"),
        "class-rare": ("warning", "check that the label map belongs to this data set"),
        "class-absent": ("warning", "an organ that was not drawn is not background"),
        "several-components": ("warning", "look for stray voxels in the label map"),
        "channel-grid": ("warning", "it is resampled to the first channel's grid"),
        "intensity-unusual": ("warning", "check the unit of the image's values"),
        "spacing-unusual": ("warning", "check the spacing that the file states"),
    }
)
"""Each fault of a case with its severity and the way out; a file that is refused is an error."""

ENOUGH_CASES = 8
"""Fewer cases than this say nothing of what is usual."""

DEVIATIONS, SIZE_FACTOR, RANGE_FACTOR, SPACING_FACTOR = 5.0, 4.0, 50.0, 2.0
"""Beyond so many robust standard deviations and beyond the factor as well is out of the usual."""

RARE_SHARE = 0.05
LARGEST_SHARE_OF_FIELD = 0.9
AIR_HU = -500.0


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with one case, and what to do about it."""

    case: str
    code: str
    severity: Severity
    detail: str
    remedy: str


class ObjectFacts(NamedTuple):
    """The voxels of one label value in one case; `largest` is its largest component's count.

    `left_mm` is the x, which grows to the patient's left, of the middle of one that has a side.
    """

    voxels: int
    volume_ml: float
    components: int
    largest: int
    left_mm: float = nan

    def joined(self, other: ObjectFacts) -> ObjectFacts:
        """Both as one object in so many components."""
        return ObjectFacts(
            self.voxels + other.voxels,
            self.volume_ml + other.volume_ml,
            self.components + other.components,
            max(self.largest, other.largest),
        )


@dataclass(frozen=True)
class CaseFacts:
    """What the other cases are compared with; None or empty where it could not be read.

    `spacing_mm` is along S, P, L; `digest` is the hash of the first channel's values; `low` and
    `high` are its extremes; `objects` are by label value.
    """

    case: str
    shape: Shape | None = None
    spacing_mm: tuple[float, float, float] | None = None
    digest: str | None = None
    low: float | None = None
    high: float | None = None
    objects: Mapping[int, ObjectFacts] = field(default_factory=dict)


@dataclass(frozen=True)
class Expected:
    """What is known of a data set beforehand: the names of its label values, and which are organs.

    `names` empty: unknown, and then each value counts as an organ. `modality` may be "unknown".
    `possible_ml` is the smallest and largest volume of label values.
    """

    names: Mapping[int, str] = field(default_factory=dict)
    organs: frozenset[int] | None = None
    values: Literal["class", "instance"] = "class"
    modality: str = "unknown"
    channels: tuple[str, ...] = ()
    possible_ml: Mapping[int, tuple[float, float]] = field(default_factory=dict)

    def is_organ(self, value: int) -> bool:
        """Whether one object a case is expected of a label value."""
        if self.values == "instance":
            return False
        return self.organs is None or value in self.organs

    def title(self, value: int) -> str:
        """A label value as a person reads it."""
        return f"{self.names[value]} (label {value})" if value in self.names else f"label {value}"


@dataclass(frozen=True)
class DataReport:
    """The cases of a data set, what was seen of each, and all faults, errors first."""

    name: str
    cases: tuple[Case, ...]
    faults: tuple[Fault, ...]
    facts: tuple[CaseFacts, ...]

    @property
    def ok(self) -> bool:
        """Whether no fault is an error."""
        return not self.faulty

    @property
    def faulty(self) -> frozenset[str]:
        """The ids of the cases with an error."""
        return frozenset(one.case for one in self.faults if one.severity == "error")

    def as_frame(self) -> pd.DataFrame:
        """One row a fault: case, severity, code, detail, remedy."""
        columns = ["case", "severity", "code", "detail", "remedy"]
        rows = [[getattr(one, name) for name in columns] for one in self.faults]
        return pd.DataFrame(rows, columns=columns, dtype="str")

    def cases_frame(self) -> pd.DataFrame:
        """One row a case: shape and spacing (z, y, x), extremes, and millilitres a label value."""
        values = sorted({value for one in self.facts for value in one.objects})
        rows = []
        for one in self.facts:
            z, y, x = one.shape or (None, None, None)
            dz, dy, dx = one.spacing_mm or (None, None, None)
            row = [one.case, z, y, x, dz, dy, dx, one.low, one.high]
            sizes = [one.objects[n].volume_ml if n in one.objects else None for n in values]
            rows.append([*row, *sizes])
        head = ["case", "shape_z", "shape_y", "shape_x"]
        head += ["spacing_z_mm", "spacing_y_mm", "spacing_x_mm", "intensity_min", "intensity_max"]
        return pd.DataFrame(rows, columns=[*head, *(f"label_{n}_ml" for n in values)])


def fault(case: str, code: str, detail: str, severity: Severity | None = None) -> Fault:
    """A fault of `FAULTS`, with its own severity where none is given."""
    usual, remedy = FAULTS[code]
    return Fault(case, code, severity or usual, detail, remedy)


def refusal(case: str, refused: InputRefused) -> Fault:
    """The fault of a case whose file was refused."""
    detail = refused.detail if refused.subject == case else f"{refused.subject}: {refused.detail}"
    return Fault(case, refused.code, "error", detail, refused.remedy)


def faults_of_the_set(facts: Sequence[CaseFacts], expected: Expected) -> list[Fault]:
    """The faults that show only beside the other cases."""
    rules: tuple[Callable[[Sequence[CaseFacts], Expected], list[Fault]], ...] = (
        _duplicates,
        _sizes,
        _sides,
        _rare_classes,
        _absent_classes,
        _components,
        _intensities,
        _spacings,
    )
    return [one for rule in rules for one in rule(facts, expected)]


def outliers(values: ArrayLike, factor: float) -> NDArray[np.bool_]:
    """Which of N values above 0 lie off their median by `factor` and by five robust deviations.

    Robust standard deviation of the logarithm: 1.4826 median |x - median| (Rousseeuw and Croux,
    J. Am. Stat. Assoc. 88, 1993). Fewer than eight values: none.
    """
    logs = np.log(np.asarray(values, dtype=np.float64))
    if logs.size < ENOUGH_CASES:
        return np.zeros(logs.size, dtype=bool)
    away = np.abs(logs - np.median(logs))
    return np.asarray(away > max(DEVIATIONS * 1.4826 * float(np.median(away)), np.log(factor)))


def _duplicates(facts: Sequence[CaseFacts], _: Expected) -> list[Fault]:
    first: dict[str, str] = {}
    found = []
    for one in facts:
        if one.digest is None:
            continue
        other = first.setdefault(one.digest, one.case)
        if other != one.case:
            detail = f"its image holds the same values as that of case {other}"
            found.append(fault(one.case, "duplicate-image", detail))
    return found


def _sizes(facts: Sequence[CaseFacts], expected: Expected) -> list[Fault]:
    found = []
    for value in _organ_values(facts, expected):
        drawn = [(one.case, one.objects[value]) for one in facts if value in one.objects]
        sizes = np.array([what.volume_ml for _, what in drawn])
        usual, odd = float(np.median(sizes)), outliers(sizes, SIZE_FACTOR)
        for (case, what), is_odd in zip(drawn, odd, strict=True):
            title = expected.title(value)
            least, most = expected.possible_ml.get(value, (0.0, inf))
            if not least <= what.volume_ml <= most:
                detail = (
                    f"{title} has {what.volume_ml:.3g} ml; possible are {least:g} to {most:g} ml"
                )
                found.append(fault(case, "size-impossible", detail))
            elif what.voxels == 1:
                found.append(fault(case, "size-impossible", f"{title} is a single voxel"))
            elif is_odd:
                detail = f"{title} has {what.volume_ml:.3g} ml; usual are {usual:.3g} ml"
                found.append(fault(case, "size-impossible", detail))
    return found


def _sides(facts: Sequence[CaseFacts], expected: Expected) -> list[Fault]:
    found = []
    for right, left in sided_pairs(expected.names):
        for one in facts:
            if right not in one.objects or left not in one.objects:
                continue
            if one.objects[right].left_mm > one.objects[left].left_mm:
                titles = expected.title(right), expected.title(left)
                detail = f"{titles[0]} lies on the left of {titles[1]}"
                found.append(fault(one.case, "sides-swapped", detail))
    return found


def sided_pairs(names: Mapping[int, str]) -> list[tuple[int, int]]:
    """Label values of the right and left of a pair: names that differ in that word alone."""
    values = {tuple(re.split(r"[\W_]+", name.lower())): value for value, name in names.items()}
    other = {"right": "left", "r": "l"}
    pairs = []
    for words, value in values.items():
        mirrored = tuple(other.get(word, word) for word in words)
        if mirrored != words and mirrored in values:
            pairs.append((value, values[mirrored]))
    return pairs


def _rare_classes(facts: Sequence[CaseFacts], expected: Expected) -> list[Fault]:
    labelled = [one for one in facts if one.objects]
    if expected.names or expected.values == "instance" or len(labelled) < ENOUGH_CASES:
        return []
    count = Counter(value for one in labelled for value in one.objects)
    limit = max(1, int(RARE_SHARE * len(labelled)))
    found = []
    for one in labelled:
        rare = [value for value in one.objects if count[value] <= limit]
        if rare:
            detail = f"label {rare[0]} is in {count[rare[0]]} of {len(labelled)} label maps"
            more = f" (and {len(rare) - 1} more such values)" if len(rare) > 1 else ""
            found.append(fault(one.case, "class-rare", detail + more))
    return found


def _absent_classes(facts: Sequence[CaseFacts], expected: Expected) -> list[Fault]:
    labelled = [one for one in facts if one.objects]
    found = []
    for value in _organ_values(facts, expected):
        having = sum(value in one.objects for one in labelled)
        if having * 2 <= len(labelled):
            continue
        detail = f"{expected.title(value)} is missing; {having} of {len(labelled)} cases have it"
        found += [
            fault(one.case, "class-absent", detail) for one in labelled if value not in one.objects
        ]
    return found


def _components(facts: Sequence[CaseFacts], expected: Expected) -> list[Fault]:
    found = []
    for value in _organ_values(facts, expected):
        drawn = [(one.case, one.objects[value]) for one in facts if value in one.objects]
        # Where nothing says that it is an organ, being in one piece elsewhere does.
        if expected.organs is None and np.median([what.components for _, what in drawn]) > 1:
            continue
        for case, what in drawn:
            if what.components > 1:
                outside = what.voxels - what.largest
                detail = (
                    f"{expected.title(value)} has {what.components} components; "
                    f"{outside} of {what.voxels} voxels are outside the largest"
                )
                found.append(fault(case, "several-components", detail))
    return found


def _intensities(facts: Sequence[CaseFacts], expected: Expected) -> list[Fault]:
    known = [one for one in facts if one.low is not None and one.high is not None]
    lows = np.array([one.low for one in known], dtype=np.float64)
    highs = np.array([one.high for one in known], dtype=np.float64)
    if lows.size == 0 or expected.modality == "MR":
        return []
    if expected.modality == "PT":
        odd = highs > 1000.0
        texts = [f"its largest value is {high:.4g}, too much for SUV" for high in highs]
    elif expected.modality == "CT" or float(np.median(lows)) <= AIR_HU:
        odd = lows >= 0
        texts = [f"its lowest value is {low:.4g}; air is -1000 HU" for low in lows]
    else:
        ranges = highs - lows
        odd = outliers(np.maximum(ranges, 1e-12), RANGE_FACTOR)
        usual = float(np.median(ranges))
        texts = [f"its values span {span:.3g}; usual are {usual:.3g}" for span in ranges]
    return [
        fault(one.case, "intensity-unusual", text)
        for one, text, is_odd in zip(known, texts, odd, strict=True)
        if is_odd
    ]


def _spacings(facts: Sequence[CaseFacts], _: Expected) -> list[Fault]:
    known = [one for one in facts if one.spacing_mm is not None]
    if len(known) < ENOUGH_CASES:
        return []
    spacings = np.array([one.spacing_mm for one in known], dtype=np.float64)
    usual = np.median(spacings, axis=0)
    ratio = np.maximum(spacings / usual, usual / spacings).max(axis=1)
    texts = [" x ".join(f"{mm:.3g}" for mm in row) for row in spacings]
    wanted = " x ".join(f"{mm:.3g}" for mm in usual)
    return [
        fault(one.case, "spacing-unusual", f"its spacing is {text} mm; usual are {wanted} mm")
        for one, text, off in zip(known, texts, ratio, strict=True)
        if off > SPACING_FACTOR
    ]


def _organ_values(facts: Sequence[CaseFacts], expected: Expected) -> list[int]:
    """The label values found that count as organs, and are of a known class if there are any."""
    values = sorted({value for one in facts for value in one.objects})
    known = [value for value in values if not expected.names or value in expected.names]
    return [value for value in known if expected.is_organ(value)]

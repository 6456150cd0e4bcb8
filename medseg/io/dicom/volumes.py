"""Several volumes in one series: what sets them apart, and which images belong to which."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from itertools import combinations

from medseg.io.dicom.records import Frame, SplitValue

SPLIT_TAGS = (
    "ImageType",
    "EchoTime",
    "EchoNumbers",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "InversionTime",
    "FlipAngle",
    "KVP",
    "ConvolutionKernel",
    "StackID",
    "AcquisitionNumber",
    "AcquisitionTime",
)
"""The tags that are tried, the most telling ones first."""

BY_NUMBER = "InstanceNumber from"
"""How the label of a volume starts that no tag sets apart from the others."""

MOST_TAGS_TOGETHER = 3
_SHOWN_TYPES = frozenset(
    (
        *("M", "P", "R", "I", "MAGNITUDE", "PHASE", "PHASE_MAP", "REAL", "IMAGINARY"),
        *("W", "F", "IP", "OP", "WATER", "FAT", "IN_PHASE", "OUT_PHASE"),
        *("FIELD_MAP", "T1_MAP", "T2_MAP", "ADC", "FA"),
    )
)
_SHOWN_NUMBERS = frozenset(SPLIT_TAGS) - {
    "ImageType",
    "ConvolutionKernel",
    "StackID",
    "AcquisitionTime",
}

_B_VALUE, _DIRECTION = "DiffusionBValue", "DiffusionGradientOrientation"

Key = tuple[SplitValue, ...]
Labelled = tuple[str, tuple[Frame, ...]]


def split_volumes(places: Sequence[Sequence[Frame]]) -> tuple[Labelled, ...] | None:
    """The volumes of a series whose every position holds the same number of images.

    The first tag, or two or three tags together, that part the images of every position alike
    give the volumes, in the order of their values; else the order of InstanceNumber at each
    position does. None where neither sets them apart.
    """
    varying = [name for name in SPLIT_TAGS if _varies(places, name)]
    for together in range(1, MOST_TAGS_TOGETHER + 1):
        for names in combinations(varying, together):
            if names == (_DIRECTION,) and _B_VALUE in varying:
                continue  # directions say little without their b-value
            if (parted := _parted(places, names)) is not None:
                return parted
    return _by_instance_number(places)


def _value(frame: Frame, name: str) -> SplitValue:
    return frame.split.get(name, ())


def _varies(places: Sequence[Sequence[Frame]], name: str) -> bool:
    return len({_value(frame, name) for frame in places[0]}) > 1


def _parted(places: Sequence[Sequence[Frame]], names: Sequence[str]) -> tuple[Labelled, ...] | None:
    def key_of(frame: Frame) -> Key:
        return tuple(_value(frame, name) for name in names)

    keys = sorted({key_of(frame) for frame in places[0]})
    columns = _columns(places, key_of, keys)
    if columns is None:
        return None
    return tuple((_label(names, key), frames) for key, frames in zip(keys, columns, strict=True))


def _columns(
    places: Sequence[Sequence[Frame]],
    key_of: Callable[[Frame], Hashable],
    keys: Sequence[Hashable],
) -> list[tuple[Frame, ...]] | None:
    """The frame of each key at every position; None unless each has exactly one everywhere."""
    table: list[dict[Hashable, Frame]] = []
    for place in places:
        row = {key_of(frame): frame for frame in place}
        if len(row) != len(place) or set(row) != set(keys):
            return None
        table.append(row)
    return [tuple(row[key] for row in table) for key in keys]


def _by_instance_number(places: Sequence[Sequence[Frame]]) -> tuple[Labelled, ...] | None:
    rows: list[list[Frame]] = []
    for place in places:
        by_number = {frame.instance_number: frame for frame in place}
        wrong = any(value is None or not math.isfinite(value) for value in by_number)
        if wrong or len(by_number) != len(place):
            return None
        rows.append(sorted(place, key=lambda frame: frame.instance_number or 0.0))
    return tuple(
        (f"{BY_NUMBER} {frames[0].instance_number:g}", frames) for frames in zip(*rows, strict=True)
    )


def _label(names: Sequence[str], key: Key) -> str:
    """Names the tags and shows numbers and known codes; other text of the header is not shown."""
    parts = []
    for name, values in zip(names, key, strict=True):
        shown: list[str] = []
        if name == "ImageType":
            shown = [str(value) for value in values if str(value) in _SHOWN_TYPES]
        elif name in _SHOWN_NUMBERS:
            shown = [f"{value:g}" for value in values]
        parts.append(" ".join([name, "/".join(shown)]) if shown else name)
    return ", ".join(parts)

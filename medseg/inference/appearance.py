"""How an image looks, in a few numbers: what the out-of-domain check compares."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medseg.card import Channel
from medseg.types import Volume

Looks = Literal["ct_window", "z_score", "suv"]
"""The kinds of a card's normalisation: fixed units, or the arbitrary ones of MR."""

MOST_PLANES = 48
"""Slices from which the numbers are taken, evenly over the volume."""

MOST_VALUES = 500_000
"""Voxels from which percentiles are taken."""

HU_AIR = -200.0
"""Below this lie air and lung in Hounsfield units, and no value of MR or PET."""

_AXES = ("z", "y", "x")


class Feature(NamedTuple):
    """One number of an image: its name in words, and how far images of one protocol differ.

    Differences count on a logarithmic scale, that of log(value + `offset`), where there is an
    offset. `usual` is the standard deviation on that scale between patients of one protocol,
    rounded up from the public sets that medseg's models were trained on.
    """

    words: str
    usual: float
    offset: float | None = None

    def scaled(self, value: float) -> float:
        """The value on the scale on which differences count."""
        return value if self.offset is None else math.log(max(value, 0.0) + self.offset)


def _changes(usual: float, offset: float, unit: str) -> dict[str, Feature]:
    return {
        f"change_{axis}": Feature(f"the mean step between voxels along {axis}{unit}", usual, offset)
        for axis in _AXES
    }


_SHARED = {
    "minimum_share": Feature("the share of voxels at the minimum", 0.5, 0.05),
}
_OF_RANGE = "of the range from 5th to 95th percentile"

FEATURES: Mapping[Looks, Mapping[str, Feature]] = MappingProxyType(
    {
        "z_score": {
            "below_zero": Feature("the share of voxels below 0", 0.01),
            "p25": Feature(f"the 25th percentile, as a part {_OF_RANGE}", 0.12),
            "p50": Feature(f"the median, as a part {_OF_RANGE}", 0.12),
            "p75": Feature(f"the 75th percentile, as a part {_OF_RANGE}", 0.12),
            "lower_tail": Feature(
                f"the 1st to the 5th percentile, in parts {_OF_RANGE}", 0.35, 0.02
            ),
            "upper_tail": Feature(
                f"the 95th to the 99th percentile, in parts {_OF_RANGE}", 0.4, 0.02
            ),
            **_SHARED,
            **_changes(0.25, 0.001, f", in parts {_OF_RANGE}"),
        },
        "ct_window": {
            "p1": Feature("the 1st percentile in HU", 60.0),
            "p5": Feature("the 5th percentile in HU", 60.0),
            "p25": Feature("the 25th percentile in HU", 100.0),
            "p50": Feature("the median in HU", 100.0),
            "p75": Feature("the 75th percentile in HU", 100.0),
            "p95": Feature("the 95th percentile in HU", 100.0),
            "p99": Feature("the 99th percentile in HU", 200.0),
            "air_share": Feature(f"the share of voxels below {HU_AIR:g} HU", 0.1),
            **_SHARED,
            **_changes(0.35, 1.0, " in HU"),
        },
        "suv": {
            "below_zero": Feature("the share of voxels below 0", 0.01),
            "p25": Feature("the 25th percentile in SUV", 0.5, 0.05),
            "p50": Feature("the median in SUV", 0.5, 0.05),
            "p75": Feature("the 75th percentile in SUV", 0.5, 0.05),
            "p95": Feature("the 95th percentile in SUV", 0.5, 0.05),
            "p99": Feature("the 99th percentile in SUV", 0.5, 0.05),
            **_SHARED,
            **_changes(0.4, 0.01, " in SUV"),
        },
    }
)
"""What is looked at, by how a card scales intensities."""


def appearance(volume: Volume, channel: Channel) -> dict[str, float]:
    """The numbers of `FEATURES` for one channel of a case, in their own units.

    The array's axes are taken for z, y, x: give volumes turned to S, P, L. Of MR only voxels above
    the minimum count, as in its normalisation. What cannot be told, such as a step along an axis of
    one voxel, is left out.
    """
    planes = volume.array[_evenly(volume.array.shape[0], MOST_PLANES)].astype(np.float32)
    values = planes.ravel()[:: max(1, planes.size // MOST_VALUES)]
    lowest = float(values.min())
    kind = channel.normalisation.kind
    numbers = _LOOKS[kind](values[values > lowest] if kind == "z_score" else values)
    numbers["minimum_share"] = float((values == lowest).mean())
    length = numbers.pop("length", 1.0)
    for axis, step in _steps(volume.array, planes, lowest).items():
        numbers[f"change_{axis}"] = step / length
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def air_share(volume: Volume) -> float:
    """The share of voxels with values that only Hounsfield units of air and lung have."""
    planes = volume.array[_evenly(volume.array.shape[0], MOST_PLANES)]
    return float(np.count_nonzero(planes < HU_AIR) / planes.size)


def _evenly(length: int, most: int) -> NDArray[np.intp]:
    return np.unique(np.linspace(0, length - 1, min(length, most)).round().astype(np.intp))


def _steps(array: NDArray[Any], planes: NDArray[np.float32], lowest: float) -> dict[str, float]:
    """Mean difference of neighbours above the minimum, by axis, unsigned; NaN for no pair."""
    at = _evenly(array.shape[0], MOST_PLANES)
    at = at[at < array.shape[0] - 1]
    pairs = {
        "z": (array[at].astype(np.float32), array[at + 1].astype(np.float32)),
        "y": (planes[:, :-1], planes[:, 1:]),
        "x": (planes[..., :-1], planes[..., 1:]),
    }
    means = {}
    for axis, (one, other) in pairs.items():
        inside = (one > lowest) & (other > lowest)
        count = np.count_nonzero(inside)
        total = np.abs(one - other).sum(where=inside, dtype=np.float64)
        means[axis] = float(total / count) if count else math.nan
    return means


def _of_mr(body: NDArray[np.float32]) -> dict[str, float]:
    """Numbers of the voxels above the minimum, and the length that steps are parts of."""
    if not body.size:
        return {}
    p1, p5, p25, p50, p75, p95, p99 = (
        float(one) for one in np.percentile(body, [1, 5, 25, 50, 75, 95, 99])
    )
    length = max(p95 - p5, 1e-6 * max(abs(p95), abs(p5)), 1e-30)
    return {
        "below_zero": float((body < 0).mean()),
        "p25": (p25 - p5) / length,
        "p50": (p50 - p5) / length,
        "p75": (p75 - p5) / length,
        "lower_tail": (p5 - p1) / length,
        "upper_tail": (p99 - p95) / length,
        "length": length,
    }


def _of_ct(values: NDArray[np.float32]) -> dict[str, float]:
    numbers = {f"p{n}": float(np.percentile(values, n)) for n in (1, 5, 25, 50, 75, 95, 99)}
    return {**numbers, "air_share": float((values < HU_AIR).mean())}


def _of_pet(values: NDArray[np.float32]) -> dict[str, float]:
    numbers = {f"p{n}": float(np.percentile(values, n)) for n in (25, 50, 75, 95, 99)}
    return {**numbers, "below_zero": float((values < 0).mean())}


_LOOKS: Mapping[Looks, Callable[[NDArray[np.float32]], dict[str, float]]] = MappingProxyType(
    {"z_score": _of_mr, "ct_window": _of_ct, "suv": _of_pet}
)

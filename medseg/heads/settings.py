"""What decoders of all heads share: settings that make no sense are refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from medseg.card import CardClass

DOUBTFUL = 0.05
"""Objects of a window below this score are not worth stitching."""


@dataclass(frozen=True)
class DecoderSettings:
    """The classes and the settings, all numbers, of a decoder.

    Each lies between its `limits`, neither included: those that it does not name between 0 and 1,
    `smallest_mm3` above -1.

    Raises ValueError that names the setting as a card does: `head.decoder.NAME`.
    """

    classes: tuple[CardClass, ...]

    limits: ClassVar[Mapping[str, tuple[float, float]]] = {}

    def __post_init__(self) -> None:
        usual = dict.fromkeys(self.settings, (0.0, 1.0)) | {"smallest_mm3": (-1.0, np.inf)}
        _check_numbers(self.settings, usual | dict(self.limits))
        for one in fields(self):
            value = getattr(self, one.name)
            if one.type == "int" and not isinstance(value, int):
                msg = f"head.decoder.{one.name} is an integer; got {value!r}"
                raise ValueError(msg)

    @property
    def settings(self) -> dict[str, float]:
        """Everything that decides the decoding, for the provenance."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "classes"}


@dataclass(frozen=True)
class InstanceSettings(DecoderSettings):
    """Those that all decoders of box and query heads have; objects below either are dropped.

    Raises ValueError where `score_threshold` is below what is worth stitching: such objects are
    gone before it counts.
    """

    score_threshold: float = 0.3
    smallest_mm3: float = 30.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.score_threshold < self.least_score:
            msg = (
                f"head.decoder.score_threshold = {self.score_threshold:g} is below "
                f"{self.least_score:g}: objects of a lower score are never looked at"
            )
            raise ValueError(msg)

    @property
    def least_score(self) -> float:
        """The score from which on objects of a window are looked at."""
        return DOUBTFUL


def _check_numbers(values: Mapping[str, object], limits: Mapping[str, tuple[float, float]]) -> None:
    for name, (low, high) in limits.items():
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            msg = f"head.decoder.{name} is a number; got {value!r}"
            raise ValueError(msg)
        if not low < value < high:
            msg = f"head.decoder.{name} = {value:g} is not above {low:g} and below {high:g}"
            raise ValueError(msg)

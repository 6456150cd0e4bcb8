"""Why a DICOM series is refused, and the way out of each refusal."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from medseg.errors import InputRefused
from medseg.io.dicom.records import Series
from medseg.refusal_codes import REFUSALS

REMEDIES: Mapping[str, str] = MappingProxyType({code: one.remedy for code, one in REFUSALS.items()})
"""The way out that is shown with each code of this reader."""


def counted(number: int, noun: str) -> str:
    """The number with its noun, which takes an s except after 1."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def refusal(series: Series, code: str, detail: str) -> InputRefused:
    """The error for a series; `detail` holds numbers and names of tags only."""
    return InputRefused(code, series.subject, detail, REMEDIES[code])


def path_refusal(code: str, detail: str) -> InputRefused:
    """The error for what was passed as a whole; a path may name a patient, so it is not shown."""
    return InputRefused(code, "DICOM input", detail, REMEDIES[code])

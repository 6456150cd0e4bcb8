"""Stored values to real ones by slope and intercept, and their unit (PS3.3 C.11.1, C.8.9.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from medseg.io.dicom.classes import SUPPORTED
from medseg.io.dicom.geometry import Fault
from medseg.io.dicom.records import Frame
from medseg.types import Unit

_LARGEST = 1e37
_LARGEST_STORED = 2.0**32
_HOUNSFIELD = frozenset({"", "HU", "HU_MOD"})


def rescale_fault(frames: Sequence[Frame]) -> Fault | None:
    """What is absent or makes no sense in the slopes and intercepts of a stack."""
    if any(frame.modality_lut for frame in frames):
        return Fault("rescale-invalid", "a ModalityLUTSequence is there")
    slopes = sum(frame.slope is not None for frame in frames)
    intercepts = sum(frame.intercept is not None for frame in frames)
    if slopes == intercepts == 0:
        if SUPPORTED[frames[0].file.sop_class] == "MR":
            return None
        return Fault("rescale-missing", "RescaleSlope and RescaleIntercept are absent")
    if slopes < len(frames) or intercepts < len(frames):
        detail = f"{slopes} of {len(frames)} images have RescaleSlope, {intercepts} the intercept"
        return Fault("rescale-invalid", detail)
    for frame in frames:
        slope, intercept = slope_and_intercept(frame)
        finite = math.isfinite(slope) and math.isfinite(intercept)
        if not finite or slope == 0 or abs(slope) * _LARGEST_STORED + abs(intercept) > _LARGEST:
            detail = f"RescaleSlope {slope:g}, RescaleIntercept {intercept:g}"
            return Fault("rescale-invalid", detail)
    return None


def slope_and_intercept(frame: Frame) -> tuple[float, float]:
    """What real values are made with; 1 and 0 where an MR image has neither."""
    if frame.slope is None or frame.intercept is None:
        return 1.0, 0.0
    return frame.slope, frame.intercept


def unit_of(frames: Sequence[Frame]) -> Unit:
    """The unit that the tags state; "unknown" where they state another or differ."""
    units = {_unit(frame) for frame in frames}
    return units.pop() if len(units) == 1 else "unknown"


def _unit(frame: Frame) -> Unit:
    modality = SUPPORTED[frame.file.sop_class]
    if modality == "CT":
        return "HU" if frame.rescale_type in _HOUNSFIELD else "unknown"
    if modality == "MR":
        return "arbitrary"
    units, suv_type = frame.file.facts["units"], frame.file.facts["suv_type"]
    if units == "BQML":
        return "Bq/ml"
    return "SUVbw" if units == "GML" and suv_type in ("", "BW") else "unknown"

"""PET in SUV by body weight: which factor its headers allow, and what it is made of.

The rules are those of the QIBA FDG-PET profile: value x weight / decayed dose, with the private
factors of Philips and the private scan time of GE. What is absent or contradicts itself gives no
factor. Times are kept as seconds from the injection alone: no date or clock time goes further.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal

from pydicom.dataset import Dataset

from medseg.io.dicom.geometry import Fault
from medseg.io.dicom.records import Frame
from medseg.io.dicom.rescale import slope_and_intercept, unit_of
from medseg.io.dicom.tags import items, number, text, texts
from medseg.types import Unit

PetUnits = Literal["stored", "physical", "SUVbw"]
"""What PET is read in: as stored (counts stay counts), in the unit that its tags give (SUVbw or
Bq/ml), or in SUV by body weight."""

CODE = "suv-not-computable"
WEIGHT_KG = (1.0, 400.0)
LEAST_DOSE_BQ = 1e6
MOST_HALF_LIVES = 10.0
_DAY_S = 86400.0
_CLOCK_TOLERANCE_S = 1.0  # of times that are written with and without fractions
_SAME_INJECTION_S = 60.0
_NEEDED_CORRECTIONS = ("ATTN", "DECY")
_OTHER_UNITS = frozenset(
    (
        *("NONE", "CM2", "CM2ML", "PCNT", "CPS", "MGMINML", "UMOLMINML", "MLMING", "MLG", "1CM"),
        *("UMOLML", "PROPCNTS", "PROPCPS", "MLMINML", "MLML", "STDDEV"),
    )
)
"""The other defined terms of PS3.3 C.8.9.1.1.3; what is none of them is not shown."""
_PHILIPS = "Philips PET Private Group"
_GE = "GEMS_PETD_01"

_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_CLOCK = re.compile(r"(\d{2}):?(\d{2})(?::?(\d{2})(?:\.(\d{1,6}))?)?")
_MOMENT = re.compile(r"(\d{8})(\d{4}(?:\d{2}(?:\.\d{1,6})?)?)([+-]\d{4})?")
_OFFSET = re.compile(r"([+-])(\d{2})(\d{2})")


@dataclass(frozen=True, slots=True)
class PetScale:
    """The unit of a PET volume, what its rescaled values are multiplied by, and why."""

    unit: Unit
    factor: float = 1.0
    parts: Mapping[str, Any] = field(default_factory=dict)


def pet_facts(ds: Dataset) -> dict[str, str]:
    """What SUV needs of one header, as text by name; absent tags are left out.

    The names that end in _s are seconds from the injection. `injection` says whether that is
    known with its date ("dated"), as a time of the day ("time"), or contradicts itself ("clash").
    """
    given = items(ds, 0x00540016)
    first = given[0] if given else Dataset()
    found = {
        "pet_doses": str(len(given)),
        "pet_decay": text(ds, 0x00541102),
        "pet_corrected": "\\".join(texts(ds, 0x00280051)),
        **_numbers_of(
            pet_weight_kg=number(ds, 0x00101030),
            pet_dose_bq=number(first, 0x00181074),
            pet_half_life_s=number(first, 0x00181075),
            pet_suv_per_count=_private(ds, 0x7053, _PHILIPS, 0x00, number),
            pet_bq_per_count=_private(ds, 0x7053, _PHILIPS, 0x09, number),
        ),
        **_clock_facts(ds, first),
    }
    return {name: value for name, value in found.items() if value}


def _numbers_of(**values: float | None) -> dict[str, str]:
    return {name: repr(value) for name, value in values.items() if value is not None}


def _private(
    ds: Dataset, group: int, creator: str, element: int, read: Callable[[Dataset, int], Any]
) -> Any:
    """The value of a private tag, in whichever block its creator has reserved (PS3.5 7.8.1)."""
    for block in range(0x10, 0x100):
        tag = group << 16 | block
        if tag in ds and text(ds, tag) == creator:
            return read(ds, group << 16 | block << 8 | element)
    return None


def _clock_facts(ds: Dataset, given: Dataset) -> dict[str, str]:
    zone = text(ds, 0x00080201)
    series = _date_and_time(ds, 0x00080021, 0x00080031)
    stated, clock = text(given, 0x00181078), _clock(text(given, 0x00181072))
    injected, kind = _moment(stated, zone), "dated"
    if stated and injected is None:
        return {"pet_injection": "clash"}
    if injected is not None and clock is not None:
        apart = abs(injected - _midnight(injected) - clock).total_seconds()
        if min(apart, _DAY_S - apart) > _SAME_INJECTION_S:
            return {"pet_injection": "clash"}
    if injected is None:
        if clock is None or series is None:
            return {}
        injected, kind = _midnight(series) + clock, "time"
    acquired = _date_and_time(ds, 0x00080022, 0x00080032)
    if acquired is None:
        acquired = _moment(text(ds, 0x0008002A), zone)
    scanned = _moment(_private(ds, 0x0009, _GE, 0x0D, text) or "", zone)
    times = {"series": series, "acquisition": acquired, "ge_scan": scanned}
    return {"pet_injection": kind} | {
        f"pet_{name}_s": repr((time - injected).total_seconds())
        for name, time in times.items()
        if time is not None
    }


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _date_and_time(ds: Dataset, date_tag: int, time_tag: int) -> datetime | None:
    day, clock = _date(text(ds, date_tag)), _clock(text(ds, time_tag))
    return None if day is None or clock is None else day + clock


def _date(value: str) -> datetime | None:
    found = _DATE.fullmatch(value)
    try:
        return datetime(int(found[1]), int(found[2]), int(found[3]), tzinfo=UTC) if found else None
    except ValueError:
        return None


def _clock(value: str) -> timedelta | None:
    """A time of the day, to the minute at least."""
    found = _CLOCK.fullmatch(value)
    if found is None:
        return None
    hour, minute, second = (int(part or 0) for part in found.groups()[:3])
    if hour > 23 or minute > 59 or second > 60:
        return None
    fraction = float(f"0.{found[4] or 0}")
    return timedelta(hours=hour, minutes=minute, seconds=second + fraction)


def _moment(value: str, zone: str) -> datetime | None:
    """A date with its time (PS3.5 6.2, DT) on the clock of the series.

    None too where it has an offset from UTC and the series does not say its own.
    """
    found = _MOMENT.fullmatch(value)
    day, clock = (_date(found[1]), _clock(found[2])) if found else (None, None)
    if found is None or day is None or clock is None:
        return None
    moment = day + clock
    if not found[3] or found[3] == zone:
        return moment
    own, local = _offset(found[3]), _offset(zone)
    return None if own is None or local is None else moment - own + local


def _offset(value: str) -> timedelta | None:
    found = _OFFSET.fullmatch(value)
    if found is None:
        return None
    size = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return size if found[1] == "+" else -size


def pet_scale(frames: Sequence[Frame], wanted: PetUnits) -> PetScale | Fault:
    """How a PET volume becomes what is wanted; the fault is `suv-not-computable`.

    Counts need the private factors of Philips, which give SUV or Bq/ml; without them they have no
    physical unit.
    """
    unit = unit_of(frames)
    if wanted == "stored":
        return PetScale(unit)
    units = {frame.file.facts["units"] for frame in frames}
    try:
        if units == {"CNTS"}:
            return _of_counts(frames, wanted)
        if unit == "SUVbw":
            return PetScale(unit, parts={"method": "stored as SUVbw"})
        if wanted == "physical":
            return PetScale(unit)
        if unit != "Bq/ml":
            raise _NoFactorError(_other_unit(frames, units))
        return _by_dose(frames, 1.0)
    except _NoFactorError as error:
        return Fault(CODE, str(error))


class _NoFactorError(Exception):
    """Why there is no factor: names of tags and numbers only."""


def _other_unit(frames: Sequence[Frame], units: set[str]) -> str:
    if len(units) > 1:
        return "Units differ inside the series"
    types = {frame.file.facts["suv_type"] for frame in frames} - {"", "BW"}
    if units == {"GML"} and types:
        return "SUVType is not BW (body weight)"
    unit = units.pop()
    shown = unit if unit in _OTHER_UNITS else "another one"
    return f"Units is {shown}, not BQML, GML or CNTS" if unit else "Units is absent"


def _of_counts(frames: Sequence[Frame], wanted: PetUnits) -> PetScale:
    per_count = _number(frames, "pet_suv_per_count", absent=0.0)
    if per_count:
        _require_plain(frames, per_count, "the private SUV factor (7053,1000)")
        parts = {"method": "Philips (7053,1000)", "suv_per_count": per_count}
        return PetScale("SUVbw", per_count, parts | {"factor": per_count})
    activity = _number(frames, "pet_bq_per_count", absent=0.0)
    if not activity:
        msg = "Units is CNTS, and the private factors (7053,1000) and (7053,1009) are absent or 0"
        raise _NoFactorError(msg)
    _require_plain(frames, activity, "the private activity factor (7053,1009)")
    if wanted == "physical":
        parts = {"method": "Philips (7053,1009)", "bq_per_ml_per_count": activity}
        return PetScale("Bq/ml", activity, parts | {"factor": activity})
    return _by_dose(frames, activity)


def _require_plain(frames: Sequence[Frame], factor: float, what: str) -> None:
    if not 0 < factor < math.inf:
        msg = f"{what} is {factor:g}"
        raise _NoFactorError(msg)
    if any(slope_and_intercept(frame)[1] != 0 for frame in frames):
        msg = "RescaleIntercept is not 0"
        raise _NoFactorError(msg)


def _by_dose(frames: Sequence[Frame], bq_per_ml: float) -> PetScale:
    """Bq/ml x body weight in g / dose at the time to which the values are decay-corrected."""
    _require_plain(frames, bq_per_ml, "the activity factor")
    corrections = {frame.file.facts.get("pet_corrected", "") for frame in frames}
    for name in _NEEDED_CORRECTIONS:
        if any(name not in one.split("\\") for one in corrections):
            msg = f"CorrectedImage does not hold {name}"
            raise _NoFactorError(msg)
    if _same(frames, "pet_doses", "0") != "1":
        msg = "RadiopharmaceuticalInformationSequence does not hold one item"
        raise _NoFactorError(msg)
    weight = _inside(frames, "pet_weight_kg", *WEIGHT_KG, "kg")
    dose = _inside(frames, "pet_dose_bq", LEAST_DOSE_BQ, math.inf, "Bq")
    decay = _same(frames, "pet_decay", "")
    parts: dict[str, Any] = {"method": "body weight and dose", "decay_correction": decay}
    if decay == "START":
        half_life = _inside(frames, "pet_half_life_s", 0, math.inf, "s")
        since, source = _since_injection_s(frames, half_life)
        parts |= {"half_life_s": half_life, "decay_s": since, "scan_start": source}
        decayed = dose * 2.0 ** (-since / half_life)
    elif decay == "ADMIN":
        decayed = dose
    else:
        shown = decay if decay == "NONE" else "absent or another than START and ADMIN"
        msg = f"DecayCorrection is {shown}"
        raise _NoFactorError(msg)
    factor = bq_per_ml * weight * 1000.0 / decayed
    parts |= {"weight_kg": weight, "dose_bq": dose, "decayed_dose_bq": decayed, "factor": factor}
    if bq_per_ml != 1.0:
        parts["bq_per_ml_per_count"] = bq_per_ml
    return PetScale("SUVbw", factor, parts)


def _since_injection_s(frames: Sequence[Frame], half_life_s: float) -> tuple[float, str]:
    """Seconds from the injection to the start of the scan, and the tag that says the start."""
    kind = _same(frames, "pet_injection", "")
    if kind == "clash":
        msg = "RadiopharmaceuticalStartTime and StartDateTime contradict each other or the series"
        raise _NoFactorError(msg)
    if not kind:
        msg = "the time of the injection or of the series is absent or no time"
        raise _NoFactorError(msg)
    start, source = _scan_start_s(frames)
    if kind == "time":
        if half_life_s * MOST_HALF_LIVES >= _DAY_S:
            msg = "the date of the injection is absent, and the half-life is too long to do without"
            raise _NoFactorError(msg)
        start %= _DAY_S  # later than the scan means the day before
    if not 0 <= start <= MOST_HALF_LIVES * half_life_s:
        msg = f"the scan starts {start:g} s after the injection; the half-life is {half_life_s:g} s"
        raise _NoFactorError(msg)
    return start, source


def _scan_start_s(frames: Sequence[Frame]) -> tuple[float, str]:
    """SeriesTime, unless an image was acquired before it; then the private scan time of GE."""
    acquired = [_text_number(frame.file.facts.get("pet_acquisition_s")) for frame in frames]
    if any(value is None for value in acquired):
        msg = "AcquisitionDate or AcquisitionTime is absent, so that SeriesTime cannot be trusted"
        raise _NoFactorError(msg)
    first = min(value for value in acquired if value is not None) + _CLOCK_TOLERANCE_S
    series = _number(frames, "pet_series_s", absent=math.inf)
    if series <= first:
        return series, "SeriesTime"
    scanned = _number(frames, "pet_ge_scan_s", absent=math.inf)
    if scanned <= first:
        return scanned, "GE (0009,100D)"
    msg = "SeriesTime is absent or later than an AcquisitionTime, and no private tag has the start"
    raise _NoFactorError(msg)


_TAGS: Mapping[str, str] = MappingProxyType(
    {
        "pet_doses": "RadiopharmaceuticalInformationSequence",
        "pet_decay": "DecayCorrection",
        "pet_injection": "the time of the injection",
        "pet_series_s": "SeriesTime",
        "pet_ge_scan_s": "the private scan time (0009,100D)",
        "pet_suv_per_count": "the private SUV factor (7053,1000)",
        "pet_bq_per_count": "the private activity factor (7053,1009)",
        "pet_weight_kg": "PatientWeight",
        "pet_dose_bq": "RadionuclideTotalDose",
        "pet_half_life_s": "RadionuclideHalfLife",
    }
)


def _same(frames: Sequence[Frame], name: str, absent: str) -> str:
    values = {frame.file.facts.get(name, absent) for frame in frames}
    if len(values) > 1:
        msg = f"{_TAGS[name]} differs inside the series"
        raise _NoFactorError(msg)
    return values.pop()


def _text_number(value: str | None) -> float | None:
    return None if value is None else float(value)


def _number(frames: Sequence[Frame], name: str, absent: float) -> float:
    return float(_same(frames, name, repr(absent)))


def _inside(frames: Sequence[Frame], name: str, least: float, most: float, unit: str) -> float:
    """A number that every image states alike, above 0 and between the limits."""
    stated = _same(frames, name, "")
    if not stated:
        msg = f"{_TAGS[name]} is absent"
        raise _NoFactorError(msg)
    value = float(stated)
    if not (0 < value < math.inf and least <= value <= most):
        msg = f"{_TAGS[name]} is {value:g} {unit}"
        raise _NoFactorError(msg)
    return value

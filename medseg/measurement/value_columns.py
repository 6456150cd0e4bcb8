"""The columns that say what the image holds inside an object, and what lies around it."""

from __future__ import annotations

from medseg.measurement.column import IBSI, OWN, Column, DType

_FINITE = "Empty where no image was given or no voxel of it is finite."


def _intensity(name: str, definition: str, *, tag: str = "intensity-based statistics") -> Column:
    text = f"{definition} of the image over the object's finite voxels. {_FINITE}"
    unit = "the image's unit"
    return Column(f"intensity_{name}", "intensity", "float64", unit, text, f"{IBSI}, {tag}")


INTENSITY = (
    _intensity("mean", "Mean"),
    _intensity("std", "Population standard deviation (divided by N, not N - 1)"),
    _intensity("min", "Least value"),
    _intensity("max", "Largest value"),
    _intensity("median", "Median"),
    *(
        _intensity(f"p{percent}", f"{percent}th percentile (linear between the two nearest values)")
        for percent in (10, 25, 75, 90)
    ),
    Column(
        "intensity_unit",
        "intensity",
        "str",
        "",
        "Unit of the image: HU, SUVbw, Bq/ml, arbitrary or unknown. Empty without an image.",
        OWN,
    ),
)

_SUV = "g/mL"
_SUV_ONLY = "Empty where the image is not in SUVbw."
_PEAK = (
    "Mean over the voxels whose centres lie in a ball of 1 mL (radius 6.2 mm), also outside the "
    "object, "
)


def _suv(name: str, unit: str, definition: str, source: str) -> Column:
    return Column(f"suv_{name}", "suv", "float64", unit, f"{definition} {_SUV_ONLY}", source)


SUV = (
    _suv("max", _SUV, "Largest SUVbw.", OWN),
    _suv("mean", _SUV, "Mean SUVbw.", OWN),
    _suv(
        "peak_local",
        _SUV,
        f"{_PEAK}around the object's largest voxel; of equal voxels the one with the highest mean.",
        f"{IBSI}, local intensity peak",
    ),
    _suv(
        "peak_global",
        _SUV,
        f"{_PEAK}around whichever voxel of the object gives the most.",
        f"{IBSI}, global intensity peak",
    ),
    _suv("tlg_g", "g", "Total lesion glycolysis: suv_mean times volume_ml.", OWN),
)


def _relation(name: str, unit: str, definition: str, *, dtype: DType = "float64") -> Column:
    return Column(name, "relations", dtype, unit, definition, OWN)


RELATIONS = (
    _relation(
        "touches_border",
        "",
        "Whether a voxel of the object lies in the image's first or last plane along any axis, "
        "so that the object may go on outside.",
        dtype="bool",
    ),
    _relation(
        "component_count",
        "",
        "Connected parts of the object, at 26 neighbours; above 1 for an object in pieces.",
        dtype="int64",
    ),
    _relation(
        "nearest_lesion_id",
        "",
        "Number of the nearest other lesion. Empty for organs, and where there is no other lesion.",
        dtype="Int64",
    ),
    _relation(
        "nearest_lesion_mm",
        "mm",
        "Distance to the nearest other lesion, between voxel centres; 0 where the two overlap.",
    ),
    _relation(
        "organ",
        "",
        "The organ that holds more of the lesion's voxels than any other, be it a small part of "
        "them: organ_fraction, and a note below one half. Empty for organs, where no organs were "
        "given, and outside every organ.",
        dtype="str",
    ),
    _relation(
        "organ_fraction", "", "Share of the lesion's voxels that lie in organ; 0 outside all."
    ),
    _relation(
        "nearest_organ",
        "",
        "For a lesion outside every organ: the nearest one.",
        dtype="str",
    ),
    _relation(
        "nearest_organ_mm",
        "mm",
        "For a lesion outside every organ: distance to the nearest one, between voxel centres.",
    ),
)

NOTES = (
    Column(
        "notes",
        "always",
        "str",
        "",
        "Why a value is empty, what was assumed, and the codes of warnings; parted by semicolons.",
        OWN,
    ),
)

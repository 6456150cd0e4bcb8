"""The data dictionary of the table: what each column holds, its unit and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Column:
    """One column of the table; `dtype` is pandas' and the same in an empty table."""

    name: str
    dtype: Literal["int64", "float64", "bool", "str"]
    unit: str
    definition: str
    source: str


_OWN = "medseg"
_DICOM = "DICOM PS3.3 C.7.6.2.1.1 (patient axes)"
_IBSI = "IBSI 1 (Zwanenburg et al., Radiology 2020)"
_WHERE_EMPTY = "Empty where no image was given or no voxel of it is finite."


def _along(axis: str) -> tuple[Column, Column]:
    return (
        Column(
            f"bbox_{axis}_start", "int64", "voxel", f"First index of the object along {axis}.", _OWN
        ),
        Column(
            f"bbox_{axis}_stop",
            "int64",
            "voxel",
            f"One past the last index of the object along {axis}.",
            _OWN,
        ),
    )


def _centroid(axis: str, towards: str) -> Column:
    text = f"Mean position of the object's voxel centres, {axis} in LPS (towards {towards})."
    return Column(f"centroid_{axis}_mm", "float64", "mm", text, _DICOM)


def _intensity(name: str, definition: str) -> Column:
    text = f"{definition} of the image over the object's finite voxels. {_WHERE_EMPTY}"
    return Column(f"intensity_{name}", "float64", "the image's unit", text, _IBSI)


COLUMNS: tuple[Column, ...] = (
    Column("instance_id", "int64", "", "Number of the object; kept from the file.", _OWN),
    Column("class_name", "str", "", "What the object is.", _OWN),
    Column("kind", "str", "", "organ (one object a class) or lesion (many).", _OWN),
    Column("score", "float64", "", "How sure the model is, 0 to 1; 1 for drawn objects.", _OWN),
    Column("voxel_count", "int64", "voxel", "Voxels in the object's mask.", _OWN),
    Column(
        "volume_ml",
        "float64",
        "mL",
        "Number of voxels times the volume of one, the determinant of the image's affine.",
        f"{_IBSI}, approximate volume by voxel counting",
    ),
    _centroid("x", "the patient's left"),
    _centroid("y", "the patient's back"),
    _centroid("z", "the patient's head"),
    *_along("z"),
    *_along("y"),
    *_along("x"),
    _intensity("mean", "Mean"),
    _intensity("std", "Population standard deviation (divided by N, not N - 1)"),
    _intensity("min", "Least value"),
    _intensity("max", "Largest value"),
    Column(
        "touches_border",
        "bool",
        "",
        "Whether a voxel of the object lies in the image's first or last plane along any axis, "
        "so that the object may go on outside.",
        _OWN,
    ),
    Column("notes", "str", "", "Why a value is empty, and the codes of warnings.", _OWN),
)
"""The columns of `measure`, in their order."""

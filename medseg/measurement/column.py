"""What a column of the table says of itself, and the groups that columns come in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Group = Literal["size", "shape", "recist", "intensity", "suv", "relations"]
GROUPS: tuple[Group, ...] = ("size", "shape", "recist", "intensity", "suv", "relations")
"""What a caller may choose; each costs only its own measuring."""

ALWAYS = "always"
"""The group of the columns that come with every choice."""

DType = Literal["int64", "float64", "bool", "str", "Int64", "boolean"]

OWN = "medseg"
IBSI = "IBSI 1 (Zwanenburg et al., Radiology 2020)"
RECIST = "RECIST 1.1 (Eisenhauer et al., Eur J Cancer 2009)"
DICOM_AXES = "DICOM PS3.3 C.7.6.2.1.1 (patient axes)"


@dataclass(frozen=True)
class Column:
    """One column of the table; `dtype` is pandas' and the same in an empty table.

    `Int64` and `boolean` are pandas' types that hold missing values; in the others a missing value
    is NaN.
    """

    name: str
    group: Group | Literal["always"]
    dtype: DType
    unit: str
    definition: str
    source: str
